//! The windows in this process's memory: gone at its end, refilled at its start.
//!
//! A mutex a slot makes every call one moment. Chunks leave a room's front when it has too many
//! events or bytes, or when they are too old, but only those at or below the history's watermark,
//! which the wiring tells ([`MemoryWindows::set_watermark`]); beyond a hard cap they leave anyhow.
//! States stay. The rooms with an open broadcast stand in an index of their own. What a room is made
//! of is in [`room`].

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use danmu_schemas::{LogIdentity, Position, RoomId, Slot};
use tokio::sync::watch;

use super::additions::Additions;
use super::store::{
    RefillToken, RoomCopy, RoomWatch, RoomWindow, WindowRead, WindowStep, WindowStore,
};
use super::watches::Watches;
use crate::projection::{Appended, Loaded, StoreError, StoredState};
#[cfg(feature = "shortcuts")]
use crate::shortcuts::{Shortcut, takes};

mod room;
#[cfg(feature = "shortcuts")]
mod shortcuts;

use room::Room;

/// How much of a room is kept.
#[derive(Debug, Clone, Copy)]
pub struct WindowLimits {
    /// Events, where the history has the older ones.
    pub events_max: usize,
    /// Bytes of chunks, likewise.
    pub bytes_max: usize,
    /// By the room's log clock, likewise.
    pub age_ms_max: i64,
    /// Bytes of chunks, whatever the history has.
    pub hard_bytes_max: usize,
}

impl Default for WindowLimits {
    fn default() -> Self {
        Self {
            events_max: 20_000,
            bytes_max: 4 * 1_024 * 1_024,
            age_ms_max: 10 * 60 * 1_000,
            hard_bytes_max: 64 * 1_024 * 1_024,
        }
    }
}

/// Windows in memory. Clones share them.
#[derive(Clone)]
pub struct MemoryWindows {
    shared: Arc<Shared>,
}

struct Shared {
    limits: WindowLimits,
    slots: Vec<Mutex<SlotWindow>>,
    /// The rooms with an open broadcast. Taken while a slot is held, never the other way round.
    live: Mutex<BTreeSet<RoomId>>,
}

#[derive(Default)]
struct SlotWindow {
    position: Option<(Position, LogIdentity)>,
    refill: Option<(RefillToken, u64)>,
    /// Up to where the history has everything.
    watermark: Option<Position>,
    rooms: HashMap<RoomId, Room>,
    /// Counts changes of rooms; goes on over a wipe, so that no version comes twice.
    version: u64,
    /// The version at which the slot got its position: that of every room that it does not have.
    filled_version: u64,
    watches: Watches,
    #[cfg(feature = "shortcuts")]
    rooms_at: HashMap<RoomId, Position>,
}

impl MemoryWindows {
    /// Empty windows.
    pub fn new(limits: WindowLimits) -> Self {
        let slots = Slot::all().map(|_| Mutex::default()).collect();
        Self {
            shared: Arc::new(Shared {
                limits,
                slots,
                live: Mutex::default(),
            }),
        }
    }

    /// Says up to where the history has a slot complete, so that older chunks may leave.
    pub fn set_watermark(&self, slot: Slot, watermark: Position) {
        let mut held = self.slot(slot);
        held.watermark = held.watermark.max(Some(watermark));
    }

    /// Loses a slot, as if its memory were gone.
    pub fn wipe(&self, slot: Slot) {
        let mut held = self.slot(slot);
        held.position = None;
        held.refill = None;
        self.clear(&mut held);
        held.tell_watches();
    }

    fn append(&self, step: WindowStep) -> Result<Appended, StoreError> {
        let additions = step.changes.into_iter().map(|change| {
            let (room, state) = (change.room, change.state);
            let additions = Additions::of_change(state, change.chunks, change.blanked)?;
            Ok((room, additions))
        });
        let additions: Vec<(RoomId, Additions)> = additions.collect::<Result<_, StoreError>>()?;
        let mut held = self.slot(step.slot);
        let position = match &held.position {
            Some((position, log)) if *log == step.log => *position,
            _ => return Ok(Appended::Other(None)),
        };
        #[cfg(feature = "shortcuts")]
        if takes(Shortcut::ComparedPerRoom) {
            let (expected, at) = (step.expected, (step.to, step.log));
            return Ok(self.append_by_room(&mut held, expected, at, additions));
        }
        #[cfg(feature = "shortcuts")]
        if takes(Shortcut::OverlapIsRepeat) && position > step.expected {
            held.position = Some((position.max(step.to), step.log));
            return Ok(Appended::Already);
        }
        if position == step.to && step.to > step.expected {
            return Ok(Appended::Already);
        }
        if position != step.expected {
            return Ok(Appended::Other(Some(position)));
        }
        let mut blanks = additions.iter();
        if !blanks.all(|(room, additions)| held.has_blanked(room, additions)) {
            return Ok(Appended::Other(Some(position)));
        }
        for (room, additions) in additions {
            self.add(&mut held, room, additions);
        }
        held.position = Some((step.to, step.log));
        Ok(Appended::Stored)
    }

    /// Adds to a room, and has the index of live rooms follow.
    fn add(&self, held: &mut SlotWindow, room: RoomId, additions: Additions) {
        let was_live = held.rooms.get(&room).is_some_and(Room::is_live);
        let is_live = held.add(&room, additions, &self.shared.limits);
        if is_live && !was_live {
            self.live_rooms().insert(room);
        } else if was_live && !is_live {
            self.live_rooms().remove(&room);
        }
    }

    fn clear(&self, held: &mut SlotWindow) {
        let mut live = self.live_rooms();
        for (room, _) in held.rooms.drain() {
            live.remove(&room);
        }
    }

    fn live_rooms(&self) -> MutexGuard<'_, BTreeSet<RoomId>> {
        self.shared
            .live
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, slot: Slot) -> MutexGuard<'_, SlotWindow> {
        self.shared.slots[usize::from(slot.number())]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl WindowStore for MemoryWindows {
    async fn position(&self, slot: Slot) -> Result<Option<(Position, LogIdentity)>, StoreError> {
        Ok(self.slot(slot).position.clone())
    }

    async fn load(&self, slot: Slot, rooms: &[RoomId]) -> Result<Loaded, StoreError> {
        let held = self.slot(slot);
        let position = held.position.as_ref().map(|(position, _)| *position);
        let states = rooms
            .iter()
            .map(|room| held.rooms.get(room).map(Room::stored))
            .collect();
        Ok(Loaded { position, states })
    }

    async fn append_all(&self, steps: Vec<WindowStep>) -> Vec<Result<Appended, StoreError>> {
        steps.into_iter().map(|step| self.append(step)).collect()
    }

    async fn begin(&self, slot: Slot, token: RefillToken) -> Result<bool, StoreError> {
        let mut held = self.slot(slot);
        if held.position.is_some() {
            return Ok(false);
        }
        self.clear(&mut held);
        held.refill = Some((token, 0));
        Ok(true)
    }

    async fn put(
        &self,
        slot: Slot,
        token: RefillToken,
        n: u64,
        copy: RoomCopy,
    ) -> Result<bool, StoreError> {
        let additions = Additions::of_copy(copy.state, copy.chunks)?;
        let mut held = self.slot(slot);
        if held.refill == Some((token, n + 1)) {
            return Ok(true);
        }
        if !held.is_refilled_by(token, n) {
            return Ok(false);
        }
        self.add(&mut held, copy.room, additions);
        held.refill = Some((token, n + 1));
        Ok(true)
    }

    async fn end(
        &self,
        slot: Slot,
        token: RefillToken,
        n: u64,
        at: (Position, LogIdentity),
    ) -> Result<bool, StoreError> {
        let mut held = self.slot(slot);
        if !held.is_refilled_by(token, n) {
            return Ok(false);
        }
        held.refill = None;
        held.position = Some(at);
        held.version += 1;
        held.filled_version = held.version;
        held.tell_watches();
        Ok(true)
    }
}

/// Hears of a room of [`MemoryWindows`].
#[derive(Debug)]
pub struct MemoryWatch {
    version: watch::Receiver<u64>,
}

impl RoomWatch for MemoryWatch {
    async fn changed(&mut self, seen: u64) -> Result<(), StoreError> {
        let told = self.version.wait_for(|version| *version != seen).await;
        told.map(drop).map_err(|gone| StoreError::Unavailable {
            what: "watching a room",
            source: Box::new(gone),
        })
    }
}

/// A slot that is being refilled shows nothing: its rooms are not yet what they were.
impl WindowRead for MemoryWindows {
    type Watch = MemoryWatch;

    async fn watch(&self, room: &RoomId) -> Result<MemoryWatch, StoreError> {
        let mut held = self.slot(room.slot());
        let version = held.version_of(room);
        Ok(MemoryWatch {
            version: held.watches.begin(room, version),
        })
    }

    async fn since(&self, room: &RoomId, after: Position) -> Result<RoomWindow, StoreError> {
        let held = self.slot(room.slot());
        let Some((position, _)) = &held.position else {
            return Ok(RoomWindow::default());
        };
        let shown = held.rooms.get(room);
        Ok(RoomWindow {
            slot_position: Some(*position),
            state: shown.map(|room| Arc::clone(room.state())),
            chunks: shown.map_or_else(Vec::new, |room| room.chunks_since(after)),
            version: held.version_of(room),
        })
    }

    async fn live(
        &self,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<Vec<(RoomId, Arc<StoredState>)>, StoreError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let range = (from, Bound::Unbounded);
        let names: Vec<RoomId> = self
            .live_rooms()
            .range::<RoomId, _>(range)
            .take(limit)
            .cloned()
            .collect();
        let shown = names.into_iter().filter_map(|room| {
            let held = self.slot(room.slot());
            let known = held.rooms.get(&room).filter(|_| held.position.is_some())?;
            let state = Arc::clone(known.state());
            Some((room, state))
        });
        Ok(shown.collect())
    }
}

impl SlotWindow {
    /// Whether the refill of that token is under way and exactly that far.
    fn is_refilled_by(&self, token: RefillToken, n: u64) -> bool {
        #[cfg(feature = "shortcuts")]
        if takes(Shortcut::RefillUnfenced) {
            return true;
        }
        #[cfg(feature = "shortcuts")]
        if takes(Shortcut::RefillUncounted) {
            let is_ours = |(held_by, _)| held_by == token;
            return self.position.is_none() && self.refill.is_some_and(is_ours);
        }
        self.position.is_none() && self.refill == Some((token, n))
    }

    /// Whether a room has every chunk that is blanked.
    fn has_blanked(&self, room: &RoomId, additions: &Additions) -> bool {
        let known = self.rooms.get(room);
        known.map_or(additions.blanked.is_empty(), |room| {
            room.has_blanked(additions)
        })
    }

    /// Adds to a room; whether a broadcast is open in it then.
    fn add(&mut self, room: &RoomId, additions: Additions, limits: &WindowLimits) -> bool {
        self.version += 1;
        let known = self.rooms.entry(room.clone()).or_default();
        known.add(additions, self.version);
        known.trim(limits, self.watermark);
        let is_live = known.is_live();
        self.watches.tell(room, self.version_of(room));
        is_live
    }

    /// 0 while the slot has no position.
    fn version_of(&self, room: &RoomId) -> u64 {
        match (&self.position, self.rooms.get(room)) {
            (None, _) => 0,
            (Some(_), None) => self.filled_version,
            (Some(_), Some(room)) => room.version(),
        }
    }

    /// Tells every watch of the slot which version its room has now.
    fn tell_watches(&self) {
        for room in self.watches.rooms() {
            self.watches.tell(room, self.version_of(room));
        }
    }
}

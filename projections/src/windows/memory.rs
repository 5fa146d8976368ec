//! The windows in this process's memory: gone at its end, refilled at its start.
//!
//! A mutex a slot makes every call one moment. Chunks leave a room's front when it has too many
//! events or bytes, or when they are too old, but only those at or below the history's watermark,
//! which the wiring tells ([`MemoryWindows::set_watermark`]); beyond a hard cap they leave anyhow.
//! States stay. What a room is made of is in [`room`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use danmu_schemas::{LogIdentity, Position, RoomId, Slot};

use super::store::{RefillToken, RoomCopy, RoomWindow, WindowRead, WindowStep, WindowStore};
use crate::projection::{Appended, Loaded, StoreError};

mod room;

use room::{Additions, Room};

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
}

impl MemoryWindows {
    /// Empty windows.
    pub fn new(limits: WindowLimits) -> Self {
        let slots = Slot::all().map(|_| Mutex::default()).collect();
        Self {
            shared: Arc::new(Shared { limits, slots }),
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
        held.rooms.clear();
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

    async fn append(&self, step: WindowStep) -> Result<Appended, StoreError> {
        let additions = step.changes.into_iter().map(|change| {
            let additions = Additions::of_change(change.state, change.chunks)?;
            Ok((change.room, additions))
        });
        let additions: Vec<(RoomId, Additions)> = additions.collect::<Result<_, StoreError>>()?;
        let mut held = self.slot(step.slot);
        let position = match &held.position {
            Some((position, log)) if *log == step.log => *position,
            _ => return Ok(Appended::Other(None)),
        };
        if position == step.to && step.to > step.expected {
            return Ok(Appended::Already);
        }
        if position != step.expected {
            return Ok(Appended::Other(Some(position)));
        }
        for (room, additions) in additions {
            held.add(room, additions, &self.shared.limits);
        }
        held.position = Some((step.to, step.log));
        Ok(Appended::Stored)
    }

    async fn begin(&self, slot: Slot, token: RefillToken) -> Result<bool, StoreError> {
        let mut held = self.slot(slot);
        if held.position.is_some() {
            return Ok(false);
        }
        held.rooms.clear();
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
        if held.position.is_some() || held.refill != Some((token, n)) {
            return Ok(false);
        }
        held.add(copy.room, additions, &self.shared.limits);
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
        if held.position.is_some() || held.refill != Some((token, n)) {
            return Ok(false);
        }
        held.refill = None;
        held.position = Some(at);
        Ok(true)
    }
}

impl WindowRead for MemoryWindows {
    /// A slot that is being refilled shows nothing: its rooms are not yet what they were.
    async fn room(&self, room: &RoomId) -> Result<RoomWindow, StoreError> {
        let held = self.slot(room.slot());
        let Some((position, _)) = &held.position else {
            return Ok(RoomWindow::default());
        };
        let shown = held.rooms.get(room).map(Room::window);
        Ok(RoomWindow {
            slot_position: Some(*position),
            ..shown.unwrap_or_default()
        })
    }
}

impl SlotWindow {
    fn add(&mut self, room: RoomId, additions: Additions, limits: &WindowLimits) {
        self.version += 1;
        let room = self.rooms.entry(room).or_default();
        room.add(additions, self.version);
        room.trim(limits, self.watermark);
    }
}

//! The history as a projection: buffers what settle decided, writes it, moves watermarks.
//!
//! A chunk is written when it is full, a room's state and memory at a checkpoint, and the watermark
//! after all of them. So what stands above a watermark may be there twice or not at all, and what is
//! at or below it is complete. Two writers of a slot write the same facts; the one that is behind is
//! told so when it loads a room. Only rows that this writer wrote or read are ever removed
//! ([`kept`]), one checkpoint after the watermark that made them needless. Where the store acknowledges
//! rows that a crash may still take, watermarks and removals wait ([`horizon`]).

use std::collections::BTreeMap;

use danmu_schemas::chunk::Packer;
use danmu_schemas::codec;
use danmu_schemas::state::{EventMemoryBlock, GiftMemoryBlock};
use danmu_schemas::{LogIdentity, Position, RoomId, Slot};
use tokio::time::Instant;

use super::lasting::Waiting;
use super::layout::{self, MemoryKind};
use super::reader::{HistoryReader, damaged};
use super::store::{Durability, HistoryStore, Row};
use crate::projection::{
    Appended, Loaded, Projection, RoomChange, SlotStep, StateChange, StoreError, StoredState,
    together,
};

mod blocks;
mod chunks;
mod horizon;
mod kept;
#[cfg(feature = "shortcuts")]
mod shortcuts;

use blocks::{Cut, join_events, join_gifts};
use chunks::OpenChunk;
use kept::Kept;

/// Closed chunks and facts of a slot are written when they reach this many bytes.
const PENDING_BYTES_MAX: usize = 1_024 * 1_024;
/// How many slots are opened or loaded at once.
const READ_AT_ONCE: usize = 32;
/// How many slots are written at once: each has at most its rows since the last checkpoint under way.
const WRITTEN_AT_ONCE: usize = 16;
/// How often a load begins again because the watermark moved meanwhile.
const LOAD_TRIES_MAX: usize = 8;

/// Writes the history of the slots that it has opened.
pub struct HistoryWriter<S> {
    store: S,
    reader: HistoryReader<S>,
    log: LogIdentity,
    packer: Packer,
    slots: BTreeMap<Slot, Lane>,
    /// The store's, as it was before anything that is held was written.
    durability: Option<Durability>,
    /// When to look at what waits; `None` while nothing does.
    look_at: Option<Instant>,
}

/// What is held of an open slot.
struct Lane {
    watermark: Position,
    /// The last checkpoint, with all rows up to it: the watermark, or what it waits for.
    written: Position,
    at: Position,
    /// Checkpoints that the watermark will move to.
    marks: Waiting<Position>,
    /// Watermarks with rows below them that will be removed.
    removals: Waiting<Position>,
    rooms: BTreeMap<RoomId, RoomBuffer>,
    /// Closed chunks and facts.
    pending: Vec<Row>,
    pending_bytes: usize,
}

/// What is held of a room.
#[derive(Default)]
struct RoomBuffer {
    chunk: Option<OpenChunk>,
    /// The state after the last change since the watermark.
    state: Option<StateChange>,
    event_memory: Vec<EventMemoryBlock>,
    gift_memory: Vec<GiftMemoryBlock>,
    kept: Kept,
}

impl<S: HistoryStore> HistoryWriter<S> {
    /// A writer of what the log holds.
    pub fn new(store: S, log: LogIdentity) -> Self {
        Self {
            reader: HistoryReader::new(store.clone(), log.clone()),
            store,
            log,
            packer: Packer::new(),
            slots: BTreeMap::new(),
            durability: None,
            look_at: None,
        }
    }

    /// A reader of the same store.
    pub fn reader(&self) -> HistoryReader<S> {
        self.reader.clone()
    }

    /// The slots' lanes, taken out for a call: what fails does not come back and is opened again.
    fn take_lanes(&mut self, slots: impl IntoIterator<Item = Slot>) -> Vec<Option<Lane>> {
        let slots = slots.into_iter();
        slots.map(|slot| self.slots.remove(&slot)).collect()
    }
}

impl<S: HistoryStore> Projection for HistoryWriter<S> {
    async fn open_all(&mut self, slots: &[Slot]) -> Vec<Result<Position, StoreError>> {
        self.take_lanes(slots.iter().copied());
        if let Err(error) = self.learn_durability().await {
            return failed_for_all(error, slots.len());
        }
        let reads = slots.iter().map(|slot| self.reader.watermark(*slot));
        let watermarks = together(READ_AT_ONCE, reads.collect()).await;
        let mut opened = Vec::with_capacity(slots.len());
        for (slot, watermark) in slots.iter().zip(watermarks) {
            opened.push(watermark.map(|stored| {
                let watermark = stored.unwrap_or(Position::BEGIN);
                self.slots.insert(*slot, Lane::at(watermark));
                watermark
            }));
        }
        opened
    }

    async fn load_all(
        &mut self,
        wanted: &[(Slot, Vec<RoomId>)],
    ) -> Vec<Result<Loaded, StoreError>> {
        let lanes = self.take_lanes(wanted.iter().map(|(slot, _)| *slot));
        let reader = &self.reader;
        let mut loads = Vec::with_capacity(wanted.len());
        for (mut lane, (slot, rooms)) in lanes.into_iter().zip(wanted) {
            loads.push(async move {
                let loaded = match &mut lane {
                    Some(lane) => lane.load_all(reader, *slot, rooms).await,
                    None => Ok(Loaded::lost(rooms.len())),
                };
                (lane, loaded)
            });
        }
        let loads = together(READ_AT_ONCE, loads).await;
        let mut outcomes = Vec::with_capacity(wanted.len());
        let mut is_past_watermark = false;
        for ((slot, _), (lane, loaded)) in wanted.iter().zip(loads) {
            is_past_watermark |= lane.as_ref().is_some_and(Lane::is_past_watermark);
            self.slots.extend(lane.map(|lane| (*slot, lane)));
            outcomes.push(loaded);
        }
        if !is_past_watermark {
            return outcomes;
        }
        // What is not durable yet may have gone before it was read.
        match self.is_unbroken().await {
            Ok(true) => outcomes,
            Ok(false) => {
                let lost = wanted
                    .iter()
                    .map(|(_, rooms)| Ok(Loaded::lost(rooms.len())));
                lost.collect()
            }
            Err(error) => failed_for_all(error, wanted.len()),
        }
    }

    async fn append_all(&mut self, steps: Vec<SlotStep>) -> Vec<Result<Appended, StoreError>> {
        if let Err(error) = self.look().await {
            return failed_for_all(error, steps.len());
        }
        let slots: Vec<Slot> = steps.iter().map(|step| step.slot).collect();
        let steps = steps.into_iter();
        let mut appended: Vec<_> = steps.map(|step| self.append(step)).collect();
        let is_full = |slot: &Slot| {
            let lane = self.slots.get(slot);
            lane.is_some_and(|lane| lane.pending_bytes >= PENDING_BYTES_MAX)
        };
        let full: Vec<usize> = (0..slots.len()).filter(|n| is_full(&slots[*n])).collect();
        if full.is_empty() {
            return appended;
        }
        let lanes = self.take_lanes(full.iter().map(|n| slots[*n]));
        let store = &self.store;
        let write = |mut lane: Lane| async move {
            lane.flush(store).await?;
            Ok(lane)
        };
        let writes = lanes.into_iter().flatten().map(write).collect();
        let written = together(WRITTEN_AT_ONCE, writes).await;
        for (n, written) in full.into_iter().zip(written) {
            match written {
                Ok(lane) => drop(self.slots.insert(slots[n], lane)),
                Err(error) => appended[n] = Err(error),
            }
        }
        appended
    }

    async fn checkpoint_all(
        &mut self,
        reached: &[(Slot, Position)],
    ) -> Vec<Result<(), StoreError>> {
        let mut checkpointed = Vec::with_capacity(reached.len());
        let is_lazy = self.horizon().is_some();
        if is_lazy {
            self.look_at.get_or_insert_with(Instant::now);
        }
        // Not all that is held is packed at once.
        for reached in reached.chunks(WRITTEN_AT_ONCE) {
            let mut lanes = self.take_lanes(reached.iter().map(|(slot, _)| *slot));
            for (lane, (_, to)) in lanes.iter_mut().zip(reached) {
                let lane = lane.as_mut().filter(|lane| lane.written != *to);
                if let Some(lane) = lane {
                    assert_eq!(*to, lane.at, "a checkpoint is at the last append");
                    lane.close(&mut self.packer);
                }
            }
            let (store, log) = (&self.store, &self.log);
            let mut writes = Vec::with_capacity(lanes.len());
            for (lane, (slot, _)) in lanes.into_iter().zip(reached) {
                writes.push(async move {
                    let mut lane = lane.ok_or_else(not_open)?;
                    lane.checkpoint(store, *slot, log, is_lazy).await?;
                    Ok(lane)
                });
            }
            let written = together(WRITTEN_AT_ONCE, writes).await;
            for ((slot, _), written) in reached.iter().zip(written) {
                checkpointed.push(written.map(|lane| drop(self.slots.insert(*slot, lane))));
            }
        }
        checkpointed
    }
}

/// One error as the outcome of every slot of a call.
fn failed_for_all<T>(error: StoreError, slots: usize) -> Vec<Result<T, StoreError>> {
    let others = std::iter::repeat_with(|| {
        Err(StoreError::Unavailable {
            what: "the history",
            source: "it has failed for all slots of a call".into(),
        })
    });
    std::iter::once(Err(error))
        .chain(others)
        .take(slots)
        .collect()
}

fn not_open() -> StoreError {
    StoreError::Unavailable {
        what: "a checkpoint",
        source: "the slot is not open".into(),
    }
}

impl<S> HistoryWriter<S> {
    /// Takes a step; what it fills is not written yet.
    fn append(&mut self, step: SlotStep) -> Result<Appended, StoreError> {
        let Some(lane) = self.slots.get_mut(&step.slot) else {
            return Ok(Appended::Other(None));
        };
        if step.to == lane.at && step.to > step.expected {
            return Ok(Appended::Already);
        }
        if step.expected != lane.at {
            return Ok(Appended::Other(Some(lane.at)));
        }
        for change in step.changes {
            lane.take(change, &mut self.packer)?;
        }
        lane.at = step.to;
        Ok(Appended::Stored)
    }
}

impl Lane {
    fn at(watermark: Position) -> Self {
        Self {
            watermark,
            written: watermark,
            at: watermark,
            marks: Waiting::default(),
            removals: Waiting::default(),
            rooms: BTreeMap::new(),
            pending: Vec::new(),
            pending_bytes: 0,
        }
    }

    fn push(&mut self, row: Row) {
        self.pending_bytes += row.key.len() + row.body.len();
        self.pending.push(row);
    }

    fn take(&mut self, change: RoomChange, packer: &mut Packer) -> Result<(), StoreError> {
        let buffer = self.rooms.entry(change.room.clone()).or_default();
        let closed = buffer.take_runs(&change, packer);
        buffer.take_state(change.state, &change.room)?;
        for row in closed {
            self.push(row);
        }
        for fact in &change.facts {
            self.push(layout::fact_row(&change.room, fact));
            if let Some(row) = layout::erasure_row(&change.room, fact) {
                self.push(row);
            }
        }
        Ok(())
    }

    async fn flush<S: HistoryStore>(&mut self, store: &S) -> Result<(), StoreError> {
        self.pending_bytes = 0;
        store.write(std::mem::take(&mut self.pending)).await
    }

    /// Whether rows are written that the watermark does not cover yet.
    fn is_past_watermark(&self) -> bool {
        self.written > self.watermark
    }

    /// Writes what is closed, then the watermark at the lane's position, then removes what that makes
    /// needless; where the store is lazy, the last two wait.
    async fn checkpoint<S: HistoryStore>(
        &mut self,
        store: &S,
        slot: Slot,
        log: &LogIdentity,
        is_lazy: bool,
    ) -> Result<(), StoreError> {
        let to = self.at;
        if to == self.written {
            return Ok(());
        }
        self.flush(store).await?;
        self.written = to;
        if is_lazy {
            self.marks.push(to, Instant::now());
            return Ok(());
        }
        store
            .write(vec![layout::watermark_row(slot, to, log)])
            .await?;
        let previous = std::mem::replace(&mut self.watermark, to);
        let needless = self.needless(previous);
        #[cfg(feature = "shortcuts")]
        let needless = self.needless_by_shortcut(store, needless).await?;
        if needless.is_empty() {
            return Ok(());
        }
        store.remove(needless).await
    }

    /// Makes rows of everything held, as of the lane's position.
    fn close(&mut self, packer: &mut Packer) {
        let mut rows = Vec::new();
        for (room, buffer) in &mut self.rooms {
            if let Some(chunk) = buffer.chunk.take() {
                rows.push(chunk.close(room, packer));
            }
            let Some(state) = buffer.state.take() else {
                continue;
            };
            rows.extend(buffer.close_memory(room));
            rows.push(layout::state_row(room, self.at, &state.core, &state.fields));
            buffer
                .kept
                .wrote_state(self.at, state.event_memory_since, state.gift_memory_since);
        }
        for row in rows {
            self.push(row);
        }
    }

    fn needless(&mut self, written: Position) -> Vec<layout::Key> {
        let mut keys = Vec::new();
        for (room, buffer) in &mut self.rooms {
            buffer.kept.take_needless(room, written, &mut keys);
        }
        keys
    }

    /// Rooms' states as of the lane's position, or as of the watermark where another has moved it.
    async fn load_all<S: HistoryStore>(
        &mut self,
        reader: &HistoryReader<S>,
        slot: Slot,
        rooms: &[RoomId],
    ) -> Result<Loaded, StoreError> {
        for _ in 0..LOAD_TRIES_MAX {
            let before = reader.watermark(slot).await?;
            let at = before.unwrap_or(Position::BEGIN);
            let is_ours = at == self.watermark;
            let mut states = Vec::with_capacity(rooms.len());
            for room in rooms {
                states.push(match is_ours {
                    true => self.load(reader, room).await?,
                    false => reader.state(room, at).await?.map(|(_, state)| state),
                });
            }
            if reader.watermark(slot).await? != before {
                continue;
            }
            return Ok(Loaded {
                position: Some(if is_ours { self.at } else { at }),
                states,
            });
        }
        Err(StoreError::Unavailable {
            what: "loading states",
            source: "the watermark moves whenever it is read".into(),
        })
    }

    /// A room's state as of the lane's position, where the watermark is the lane's own.
    async fn load<S: HistoryStore>(
        &mut self,
        reader: &HistoryReader<S>,
        room: &RoomId,
    ) -> Result<Option<StoredState>, StoreError> {
        let at = self.written;
        let stored = reader.state(room, at).await?;
        let buffer = self.rooms.entry(room.clone()).or_default();
        let position = stored.as_ref().map(|(position, _)| *position);
        buffer.kept.read(
            position,
            &reader.memory(room, MemoryKind::Events, at).await?,
            &reader.memory(room, MemoryKind::Gifts, at).await?,
        )?;
        let mut state = stored.map(|(_, state)| state);
        if let Some(change) = &buffer.state {
            let state = state.get_or_insert_default();
            state.core = change.core.clone();
            state.fields = change.fields.clone();
            let events = buffer.event_memory.iter().map(codec::to_stored);
            state.event_memory.extend(events);
            let gifts = buffer.gift_memory.iter().map(codec::to_stored);
            state.gift_memory.extend(gifts);
        }
        Ok(state)
    }
}

impl RoomBuffer {
    /// Adds events to the open chunk; gives the chunks that became full.
    fn take_runs(&mut self, change: &RoomChange, packer: &mut Packer) -> Vec<Row> {
        let borders = chunks::segment_borders(&change.facts);
        let epoch = change.position.epoch;
        let mut closed = Vec::new();
        for run in &change.runs {
            for event in &run.settled {
                let is_border = borders.contains(&(run.generation, event.seq));
                let takes =
                    |chunk: &OpenChunk| !is_border && chunk.takes(run.generation, epoch, event);
                if !self.chunk.as_ref().is_some_and(takes)
                    && let Some(full) = self.chunk.take()
                {
                    closed.push(full.close(&change.room, packer));
                }
                self.chunk
                    .get_or_insert_with(|| OpenChunk::new(run.generation, epoch))
                    .push(event.clone());
            }
        }
        closed
    }

    fn take_state(&mut self, mut state: StateChange, room: &RoomId) -> Result<(), StoreError> {
        let wrong = |source| damaged(room.as_str().as_bytes(), source);
        for bytes in std::mem::take(&mut state.event_memory) {
            let block: EventMemoryBlock = codec::from_stored(&bytes).map_err(wrong)?;
            join_events(&mut self.event_memory, block);
        }
        if let Some(bytes) = state.gift_memory.take() {
            let block: GiftMemoryBlock = codec::from_stored(&bytes).map_err(wrong)?;
            join_gifts(&mut self.gift_memory, block);
        }
        self.state = Some(state);
        Ok(())
    }

    /// Rows of the memory since the last checkpoint: of one generation and epoch each.
    fn close_memory(&mut self, room: &RoomId) -> Vec<Row> {
        let events = std::mem::take(&mut self.event_memory);
        let gifts = std::mem::take(&mut self.gift_memory);
        let mut rows = Vec::new();
        for cut in events.iter().flat_map(blocks::cut_events) {
            rows.push(self.close_block(room, MemoryKind::Events, cut));
        }
        for cut in gifts.iter().flat_map(blocks::cut_gifts) {
            rows.push(self.close_block(room, MemoryKind::Gifts, cut));
        }
        rows
    }

    fn close_block(&mut self, room: &RoomId, kind: MemoryKind, cut: Cut) -> Row {
        let row = layout::memory_row(room, kind, cut.first, cut.last_offset, cut.body);
        self.kept.wrote_block(kind, row.key.clone(), cut.last_clock);
        row
    }
}

#[cfg(test)]
mod tests;

//! A projection in memory, the smallest that keeps the rule: it compares and appends like the
//! windows, keeps every event like the history, and can be made unavailable or put back in time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use danmu_projections::projection::{
    Appended, Loaded, Projection, RoomChange, SlotStep, StoreError, StoredState,
};
use danmu_schemas::{Generation, Position, RoomId, Seq, Settled, Slot};

#[derive(Debug, Clone, Default)]
pub struct Ledger(Arc<Mutex<Content>>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    pub positions: BTreeMap<Slot, Position>,
    pub rooms: BTreeMap<RoomId, Stored>,
    /// So many of the next calls find the store unavailable.
    pub failing: u32,
    /// Whether no checkpoint succeeds.
    pub refuses_checkpoints: bool,
    pub opened: u32,
    pub checkpoints: BTreeMap<Slot, Position>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    pub state: StoredState,
    pub events: BTreeMap<(Generation, Seq), Settled>,
}

impl Ledger {
    pub fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().expect("not poisoned")
    }

    /// What does not depend on how often anything was tried.
    pub fn rooms(&self) -> BTreeMap<RoomId, (bytes::Bytes, Vec<Settled>)> {
        let stored = |(room, stored): (&RoomId, &Stored)| {
            let events = stored.events.values().cloned().collect();
            (room.clone(), (stored.state.core.clone(), events))
        };
        self.content().rooms.iter().map(stored).collect()
    }

    fn call(&self) -> Result<MutexGuard<'_, Content>, StoreError> {
        let mut content = self.content();
        if content.failing > 0 {
            content.failing -= 1;
            return Err(unavailable());
        }
        Ok(content)
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable {
        what: "anything",
        source: "told to fail".into(),
    }
}

impl Content {
    fn position(&self, slot: Slot) -> Position {
        self.positions
            .get(&slot)
            .copied()
            .unwrap_or(Position::BEGIN)
    }

    fn store(&mut self, change: RoomChange) {
        let stored = self.rooms.entry(change.room).or_default();
        stored.state.core = change.state.core;
        stored.state.fields = change.state.fields;
        stored.state.event_memory.extend(change.state.event_memory);
        stored.state.gift_memory.extend(change.state.gift_memory);
        for run in change.runs {
            for settled in run.settled {
                stored.events.insert((run.generation, settled.seq), settled);
            }
        }
    }
}

impl Ledger {
    fn open(&self, slot: Slot) -> Result<Position, StoreError> {
        let mut content = self.call()?;
        content.opened += 1;
        Ok(content.position(slot))
    }

    fn load(&self, slot: Slot, rooms: &[RoomId]) -> Result<Loaded, StoreError> {
        let content = self.call()?;
        let state = |room| content.rooms.get(room).map(|stored| stored.state.clone());
        Ok(Loaded {
            position: Some(content.position(slot)),
            states: rooms.iter().map(state).collect(),
        })
    }

    fn append(&self, step: SlotStep) -> Result<Appended, StoreError> {
        let mut content = self.call()?;
        let position = content.position(step.slot);
        if position == step.to {
            return Ok(Appended::Already);
        }
        if position != step.expected {
            return Ok(Appended::Other(Some(position)));
        }
        for change in step.changes {
            content.store(change);
        }
        content.positions.insert(step.slot, step.to);
        Ok(Appended::Stored)
    }

    fn checkpoint(&self, slot: Slot, to: Position) -> Result<(), StoreError> {
        let mut content = self.call()?;
        if content.refuses_checkpoints {
            return Err(unavailable());
        }
        content.checkpoints.insert(slot, to);
        Ok(())
    }
}

impl Projection for Ledger {
    async fn open_all(&mut self, slots: &[Slot]) -> Vec<Result<Position, StoreError>> {
        slots.iter().map(|slot| self.open(*slot)).collect()
    }

    async fn load_all(
        &mut self,
        wanted: &[(Slot, Vec<RoomId>)],
    ) -> Vec<Result<Loaded, StoreError>> {
        let wanted = wanted.iter();
        wanted
            .map(|(slot, rooms)| self.load(*slot, rooms))
            .collect()
    }

    async fn append_all(&mut self, steps: Vec<SlotStep>) -> Vec<Result<Appended, StoreError>> {
        steps.into_iter().map(|step| self.append(step)).collect()
    }

    async fn checkpoint_all(
        &mut self,
        reached: &[(Slot, Position)],
    ) -> Vec<Result<(), StoreError>> {
        let reached = reached.iter();
        reached
            .map(|(slot, to)| self.checkpoint(*slot, *to))
            .collect()
    }
}

//! The loop's own shortcuts: where it starts, what it takes for a room's memory, what it keeps.
//!
//! Exists only with the feature `shortcuts`; see [`danmu_projections::shortcuts`].

use std::cell::RefCell;
use std::collections::BTreeMap;

use bytes::Bytes;
use danmu_log::{LogReader, RecordBatch};
use danmu_projections::projection::{Projection, StoredState};
use danmu_projections::shortcuts::{Shortcut, takes};
use danmu_schemas::codec;
use danmu_schemas::state::{EventMemory, EventMemoryBlock, StateCore};
use danmu_schemas::{Body, Partition, Position, RoomId, Seq, Slot, UserHash};

use super::Projector;
use super::held::HeldSlot;

thread_local! {
    static COMMITTED: RefCell<BTreeMap<Partition, i64>> = const { RefCell::new(BTreeMap::new()) };
}

/// The loops of this thread's group have never committed anything.
pub fn forget_committed() {
    COMMITTED.take();
}

/// The group has read everything before `offset`; committed offsets never go back.
pub fn commit(partition: Partition, offset: i64) {
    COMMITTED.with_borrow_mut(|committed| {
        let held = committed.entry(partition).or_default();
        *held = offset.max(*held);
    });
}

/// Where reading starts in a partition that begins at `first`; `next` follows its slots' positions.
pub(super) fn start(partition: Partition, first: i64, next: i64) -> i64 {
    if takes(Shortcut::IdsReadAgain) {
        return first;
    }
    if takes(Shortcut::StartAtCommitted) {
        let committed = COMMITTED.with_borrow(|committed| committed.get(&partition).copied());
        return committed.unwrap_or(next).max(next);
    }
    next
}

/// The ids of records that were read, whatever became of them.
#[derive(Debug, Default)]
pub(super) struct Reread {
    rooms: BTreeMap<RoomId, BTreeMap<i64, EventMemory>>,
}

impl Reread {
    pub fn note(&mut self, batch: &RecordBatch) {
        if !takes(Shortcut::IdsReadAgain) {
            return;
        }
        for record in &batch.records {
            let Ok((event, _)) = codec::decode_event(&record.value) else {
                continue;
            };
            let Ok(room) = RoomId::parse(&event.room) else {
                continue;
            };
            let user = match (&event.body, &event.user) {
                (Body::Comment(_), Some(user)) => UserHash::of(&user.id),
                _ => UserHash::NOBODY,
            };
            let entry = EventMemory {
                offset: record.offset,
                id: event.id,
                clock: record.logged_at,
                user,
            };
            self.rooms
                .entry(room)
                .or_default()
                .insert(record.offset, entry);
        }
    }

    /// The state with the memory that the shortcut gives it.
    pub fn instead_of(&self, mut state: StoredState, room: &RoomId, at: Position) -> StoredState {
        if takes(Shortcut::CommentersNotStored) {
            state.event_memory = state.event_memory.iter().map(without_users).collect();
        }
        if takes(Shortcut::IdsReadAgain)
            && let Ok(core) = codec::from_stored(&state.core)
        {
            state.event_memory = self.block(&core, room, at).into_iter().collect();
        }
        state
    }

    fn block(&self, core: &StateCore, room: &RoomId, at: Position) -> Option<Bytes> {
        let read = self.rooms.get(room)?.range(..=at.offset);
        let len = read.clone().count().min(core.last_seq.0 as usize);
        let mut entries: Vec<EventMemory> = read.rev().take(len).map(|(_, entry)| *entry).collect();
        entries.reverse();
        let first = core.last_seq.0 + 1 - len as u64;
        (len > 0).then(|| {
            codec::to_stored(&EventMemoryBlock {
                generation: core.generation,
                epoch: at.epoch,
                first_seq: Seq(first),
                entries,
            })
        })
    }
}

fn without_users(block: &Bytes) -> Bytes {
    match codec::from_stored::<EventMemoryBlock>(block) {
        Ok(mut block) => {
            for entry in &mut block.entries {
                entry.user = UserHash::NOBODY;
            }
            codec::to_stored(&block)
        }
        Err(_) => block.clone(),
    }
}

impl<P: Projection, R: LogReader> Projector<P, R> {
    /// With the shortcut, the slot with its rooms as they were, where the store is.
    pub(super) async fn kept_rooms(&mut self, slot: Slot) -> Option<(Slot, HeldSlot)> {
        if !takes(Shortcut::MemoryKept) {
            return None;
        }
        let held = self.slots.remove(&slot)?;
        let at = self.projection.open_all(&[slot]).await.remove(0).ok()?;
        let kept = HeldSlot {
            at,
            checkpointed: at,
            ..held
        };
        Some((slot, kept))
    }
}

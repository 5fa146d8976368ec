//! From records to appends: for each slot of a batch, load what was not met yet, settle in the order
//! of the log, append what changed. A slot moves as far as the batch, records of its own or none.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use danmu_log::{LogReader, RecordBatch};
use danmu_projections::projection::{Appended, Projection, RoomChange, SlotStep};
use danmu_schemas::fact::FactBody;
use danmu_schemas::{Position, RoomId, Slot};

use super::held::{Followed, HeldRoom, HeldSlot};
use super::meter::Meter;
use super::placing::Lost;
use super::sorting::{self, Decoded};
use super::{Projector, ProjectorError};
use crate::settle::{self, Input, Room};

/// What became of a slot's records.
#[derive(Debug)]
pub(super) enum Stepped {
    /// They are settled and appended.
    Appended,
    /// Those before the one at this offset are: this build does not know its room's rules version.
    Halted { before: i64, why: String },
    /// Nothing is known: the slot must be opened again.
    Lost(Lost),
}

impl<P: Projection, R: LogReader> Projector<P, R> {
    pub(super) async fn settle_batch(
        &mut self,
        batch: &RecordBatch,
        now_ms: u64,
    ) -> Result<(), ProjectorError> {
        let partition = batch.partition;
        match self.partitions.get(&partition) {
            Some(owned) if owned.followed == Followed::Following => {}
            _ => return Ok(()),
        }
        #[cfg(feature = "shortcuts")]
        self.reread.note(batch);
        let sorted = sorting::sort(batch, |slot| {
            let is_here = self.routes.route(slot).partition == partition.0;
            self.slots
                .get(&slot)
                .filter(|_| is_here)
                .map(|held| held.at)
        });
        if let Some(letters) = &mut self.dead_letters {
            letters.write(partition, &sorted.undecodable)?;
            let undecodable = sorted.undecodable.len();
            self.meter.dead_letters.increment(undecodable as u64);
        }
        let mut halt = sorted.halt;
        let mut read_to = sorted.read_to;
        let mut lost = Vec::new();
        for (slot, records) in sorted.slots {
            match self.step(slot, records, sorted.read_to, now_ms).await? {
                Stepped::Appended => {}
                Stepped::Halted { before, why } => {
                    read_to = read_to.min(before - 1);
                    halt = halt.or(Some(why));
                }
                Stepped::Lost(why) => lost.push((slot, why)),
            }
        }
        self.meter.end_batch();
        if let Some(owned) = self.partitions.get_mut(&partition) {
            owned.read_to = read_to;
            if lost.is_empty() {
                owned.failures = 0;
            }
        }
        for (slot, why) in lost {
            self.lose(slot, why, now_ms).await?;
        }
        match halt {
            Some(why) => self.halt(partition, why).await,
            None => Ok(()),
        }
    }

    /// Settles and appends a slot's `records`, moving it to `read_to`.
    async fn step(
        &mut self,
        slot: Slot,
        records: Vec<Decoded<'_>>,
        read_to: i64,
        now_ms: u64,
    ) -> Result<Stepped, ProjectorError> {
        if let Some(lost) = self.load_unmet(slot, &records, now_ms).await? {
            return Ok(Stepped::Lost(lost));
        }
        let Some(held) = self.slots.get_mut(&slot) else {
            return Ok(Stepped::Lost(Lost::Elsewhere));
        };
        let began = Instant::now();
        let settled = settle_records(held, records, read_to, now_ms, &self.meter);
        self.meter.settled_since(began);
        let due_after = if ends_broadcast(&settled.changes) {
            Duration::ZERO
        } else {
            self.options.checkpoint_every
        };
        let step = SlotStep {
            slot,
            expected: held.at,
            to: settled.to,
            changes: settled.changes,
        };
        let began = Instant::now();
        let appended = self.projection.append(step).await;
        self.meter.appended_since(began);
        match appended {
            Ok(Appended::Stored | Appended::Already) => {
                held.was_appended(settled.to, now_ms, Some(due_after));
                Ok(match settled.halt {
                    None => Stepped::Appended,
                    Some(why) => Stepped::Halted {
                        before: settled.to.offset + 1,
                        why,
                    },
                })
            }
            Ok(Appended::Other(_)) => Ok(Stepped::Lost(Lost::Elsewhere)),
            Err(error) => Ok(Stepped::Lost(Lost::from_error(error)?)),
        }
    }

    /// Loads the rooms of `records` that are not held.
    async fn load_unmet(
        &mut self,
        slot: Slot,
        records: &[Decoded<'_>],
        now_ms: u64,
    ) -> Result<Option<Lost>, ProjectorError> {
        let Some(held) = self.slots.get_mut(&slot) else {
            return Ok(Some(Lost::Elsewhere));
        };
        let names = records.iter().map(|record| &record.room);
        let unmet: BTreeSet<_> = names
            .filter(|room| !held.rooms.contains_key(*room))
            .collect();
        let unmet: Vec<RoomId> = unmet.into_iter().cloned().collect();
        if unmet.is_empty() {
            return Ok(None);
        }
        let loaded = match self.projection.load(slot, &unmet).await {
            Ok(loaded) => loaded,
            Err(error) => return Lost::from_error(error).map(Some),
        };
        if loaded.position != Some(held.at) {
            return Ok(Some(Lost::Elsewhere));
        }
        for (name, state) in unmet.into_iter().zip(loaded.states) {
            #[cfg(feature = "shortcuts")]
            let state = state.map(|state| self.reread.instead_of(state, &name, held.at));
            let room = match state {
                None => Room::new(),
                Some(state) => Room::from_stored(&state, held.at).map_err(|source| {
                    ProjectorError::Damaged {
                        room: name.clone(),
                        source,
                    }
                })?,
            };
            let room = HeldRoom {
                room,
                changed_at: Position::BEGIN,
                used_at_ms: now_ms,
            };
            held.rooms.insert(name, room);
        }
        Ok(None)
    }
}

/// What settling a slot's records gave.
struct SettledRecords {
    to: Position,
    changes: Vec<RoomChange>,
    halt: Option<String>,
}

fn settle_records(
    held: &mut HeldSlot,
    records: Vec<Decoded<'_>>,
    read_to: i64,
    now_ms: u64,
    meter: &Meter,
) -> SettledRecords {
    let mut to = Position::new(held.at.epoch, read_to);
    let mut halt = None;
    let mut touched = BTreeMap::new();
    for record in records {
        let Some(room) = held.rooms.get_mut(&record.room) else {
            unreachable!("every room of the records was loaded");
        };
        let input = Input {
            position: record.position,
            logged_at: record.logged_at,
            event: &record.event,
            datum: record.datum,
        };
        match settle::settle(&mut room.room, input) {
            Ok(verdict) => meter.settled(&record.event.body, verdict),
            Err(why) => {
                to.offset = record.position.offset - 1;
                halt = Some(format!(
                    "record {} of {}: {why}",
                    record.position, record.room
                ));
                break;
            }
        }
        room.used_at_ms = now_ms;
        room.changed_at = record.position;
        touched.insert(record.room, record.position);
    }
    let mut changes = Vec::with_capacity(touched.len());
    for (name, position) in touched {
        if let Some(room) = held.rooms.get_mut(&name) {
            changes.push(room.room.take_change(&name, position));
        }
    }
    SettledRecords { to, changes, halt }
}

fn ends_broadcast(changes: &[RoomChange]) -> bool {
    let mut facts = changes.iter().flat_map(|change| &change.facts);
    facts.any(|fact| matches!(fact.body, FactBody::BroadcastEnded { .. }))
}

//! From records to appends: for the slots of a batch, load what was not met yet, settle in the order of
//! the log, append what changed, each for all of them together. A slot of the batch moves as far as the
//! batch; what becomes of one is independent of the others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use danmu_log::{DeadLetterError, LogReader, RecordBatch, Undecodable};
use danmu_projections::projection::{Appended, Projection, RoomChange, SlotStep, StoredState};
use danmu_schemas::fact::FactBody;
use danmu_schemas::{Partition, Position, RoomId, Slot};

use super::held::{Followed, HeldRoom, HeldSlot};
use super::meter::Meter;
use super::placing::Lost;
use super::sorting::{self, Decoded, Sorted};
use super::{Options, Projector, ProjectorError};
use crate::settle::{self, Input, Room};

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
        // Nothing of the batch is passed before they are kept: it is read again.
        match self.keep(partition, &sorted.undecodable) {
            Ok(()) => {}
            Err(DeadLetterError::Unavailable(source)) => {
                tracing::warn!(%partition, %source, "dead letters are not kept yet");
                return self.put_off(partition, now_ms).await;
            }
            Err(error @ DeadLetterError::Refused { .. }) => return Err(error.into()),
        }
        let Sorted {
            mut slots,
            mut read_to,
            mut halt,
            ..
        } = sorted;
        let mut lost = self.load_unmet(&mut slots, now_ms).await?;
        let (steps, halts) = self.settle_slots(slots, read_to, now_ms);
        let began = Instant::now();
        lost.extend(self.append(steps, now_ms).await?);
        self.meter.append_seconds.record(began.elapsed());
        // A halt in a slot that was lost is met again when the slot is.
        let is_lost = |slot: Slot| lost.iter().any(|(lost, _)| *lost == slot);
        for Halted { slot, before, why } in halts {
            if !is_lost(slot) {
                read_to = read_to.min(before - 1);
                halt = halt.or(Some(why));
            }
        }
        if let Some(owned) = self.partitions.get_mut(&partition) {
            owned.read_to = read_to;
            let mut settled = batch.records.iter().rev();
            if let Some(last) = settled.find(|record| record.offset <= read_to) {
                owned.read_to_logged_at = Some(last.logged_at);
            }
            if lost.is_empty() {
                owned.failures = 0;
            }
        }
        self.lose(lost, now_ms).await?;
        match halt {
            Some(why) => self.halt(partition, why).await,
            None => Ok(()),
        }
    }

    /// Keeps what nobody could decode, where that is this loop's to do.
    fn keep(
        &mut self,
        partition: Partition,
        undecodable: &[Undecodable<'_>],
    ) -> Result<(), DeadLetterError> {
        let letters = self.dead_letters.as_mut();
        let Some(letters) = letters.filter(|_| !undecodable.is_empty()) else {
            return Ok(());
        };
        letters.keep(partition, undecodable)?;
        self.meter.dead_letters.increment(undecodable.len() as u64);
        for Undecodable { record, why } in undecodable {
            tracing::error!(%partition, offset = record.offset, why, "dead letter");
        }
        Ok(())
    }

    /// Settles the records of each slot, whose rooms are held. Each slot's step moves it to `read_to`, or to
    /// before the first record that this build cannot settle.
    fn settle_slots(
        &mut self,
        slots: BTreeMap<Slot, Vec<Decoded<'_>>>,
        read_to: i64,
        now_ms: u64,
    ) -> (Vec<SlotStep>, Vec<Halted>) {
        let (mut steps, mut halts) = (Vec::with_capacity(slots.len()), Vec::new());
        let began = Instant::now();
        for (slot, records) in slots {
            let Some(held) = self.slots.get_mut(&slot) else {
                unreachable!("records of slots that are not open are not sorted");
            };
            let settled = settle_records(held, records, read_to, now_ms, &self.meter);
            halts.extend(settled.halt.map(|why| Halted {
                slot,
                before: settled.to.offset + 1,
                why,
            }));
            steps.push(SlotStep {
                slot,
                expected: held.at,
                to: settled.to,
                changes: settled.changes,
            });
        }
        self.meter.settle_seconds.record(began.elapsed());
        (steps, halts)
    }

    /// Has the projection take steps, and moves the slots that it took. Gives those of which nothing is
    /// known any more.
    pub(super) async fn append(
        &mut self,
        steps: Vec<SlotStep>,
        now_ms: u64,
    ) -> Result<Vec<(Slot, Lost)>, ProjectorError> {
        let moves = steps.iter();
        let moves = moves.map(|step| (step.slot, step.to, self.options.due_after(&step.changes)));
        let moves: Vec<_> = moves.collect();
        self.meter.steps.increment(moves.len() as u64);
        let appended = self.projection.append_all(steps).await;
        let mut lost = Vec::new();
        for ((slot, to, due_after), appended) in moves.into_iter().zip(appended) {
            match appended {
                Ok(Appended::Stored | Appended::Already) => {
                    if let Some(held) = self.slots.get_mut(&slot) {
                        held.was_appended(to, now_ms, due_after);
                    }
                }
                Ok(Appended::Other(_)) => lost.push((slot, Lost::Elsewhere)),
                Err(error) => lost.push((slot, Lost::from_error(error)?)),
            }
        }
        Ok(lost)
    }

    /// Loads the rooms of `slots`' records that are not held. Takes out the slots where that failed.
    async fn load_unmet(
        &mut self,
        slots: &mut BTreeMap<Slot, Vec<Decoded<'_>>>,
        now_ms: u64,
    ) -> Result<Vec<(Slot, Lost)>, ProjectorError> {
        let mut unmet: Vec<(Slot, Vec<RoomId>)> = Vec::new();
        for (slot, records) in &*slots {
            let Some(held) = self.slots.get(slot) else {
                unreachable!("records of slots that are not open are not sorted");
            };
            let names = records.iter().map(|record| &record.room);
            let rooms: BTreeSet<_> = names
                .filter(|room| !held.rooms.contains_key(*room))
                .collect();
            if !rooms.is_empty() {
                unmet.push((*slot, rooms.into_iter().cloned().collect()));
            }
        }
        if unmet.is_empty() {
            return Ok(Vec::new());
        }
        let loads = self.projection.load_all(&unmet).await;
        let mut lost = Vec::new();
        for ((slot, rooms), loaded) in unmet.into_iter().zip(loads) {
            let at = self.slots.get(&slot).map(|held| held.at);
            match loaded {
                Ok(loaded) if loaded.position == at => {
                    self.hold(slot, rooms, loaded.states, now_ms)?;
                }
                Ok(_) => lost.push((slot, Lost::Elsewhere)),
                Err(error) => lost.push((slot, Lost::from_error(error)?)),
            }
        }
        for (slot, _) in &lost {
            slots.remove(slot);
        }
        Ok(lost)
    }

    /// Holds rooms of an open slot that were loaded as of where it stands.
    fn hold(
        &mut self,
        slot: Slot,
        rooms: Vec<RoomId>,
        states: Vec<Option<StoredState>>,
        now_ms: u64,
    ) -> Result<(), ProjectorError> {
        let Some(held) = self.slots.get_mut(&slot) else {
            return Ok(());
        };
        for (name, state) in rooms.into_iter().zip(states) {
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
        Ok(())
    }
}

impl Options {
    /// How soon what a step changed must be checkpointed; `None` where it only moves its slot.
    fn due_after(&self, changes: &[RoomChange]) -> Option<Duration> {
        if changes.is_empty() {
            return None;
        }
        Some(match ends_broadcast(changes) {
            true => Duration::ZERO,
            false => self.checkpoint_every,
        })
    }
}

/// A slot whose room's rules version this build does not know, from the record at `before` on.
struct Halted {
    slot: Slot,
    before: i64,
    why: String,
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

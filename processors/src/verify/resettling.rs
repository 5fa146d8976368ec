//! Settling the log again from its first record, for comparing: no store, only rooms in memory.
//!
//! Each slot is settled up to a position of its own, so that the rooms end as of exactly what a read
//! model says of itself. Output is handed on every [`RECORDS_PENDING_MAX`] records, so memory holds
//! the rooms' states and that much output, however long the log is.

use std::collections::BTreeMap;
use std::time::Duration;

use danmu_log::{LogReader, ReadEvent, RecordBatch, Routes};
use danmu_projections::projection::RoomChange;
use danmu_schemas::{Partition, Position, RoomId, Slot};

use super::VerifyError;
use crate::projector::sorting::{self, Decoded};
use crate::settle::{self, Input, Room};

/// Settled output is compared at the latest after this many records.
const RECORDS_PENDING_MAX: usize = 16_384;
/// The most rooms that are settled in one verification.
const ROOMS_MAX: usize = 1_048_576;
/// How long to wait for records that the log says it has.
const WAIT: Duration = Duration::from_secs(10);

/// What is compared with the output of settling.
pub(super) trait Check {
    /// The records of a room since the last call, up to `change.position`, settled to this.
    async fn changed(&mut self, change: &RoomChange) -> Result<(), VerifyError>;

    /// A room is complete: `change` holds its state and nothing else.
    async fn ended(&mut self, change: &RoomChange) -> Result<(), VerifyError>;
}

/// A room that is being settled again.
struct Resettled {
    room: Room,
    /// Its last record.
    position: Position,
    /// Whether there is output since the last comparison.
    is_pending: bool,
}

/// The rooms so far.
pub(super) struct Resettling<'a> {
    targets: &'a BTreeMap<Slot, Position>,
    rooms: BTreeMap<RoomId, Resettled>,
    records: u64,
    pending: usize,
}

impl<'a> Resettling<'a> {
    /// Each slot is settled up to its position in `targets`.
    pub fn to(targets: &'a BTreeMap<Slot, Position>) -> Self {
        Self {
            targets,
            rooms: BTreeMap::new(),
            records: 0,
            pending: 0,
        }
    }

    /// Settles everything and has `check` compare it; gives the number of records settled. `reader`
    /// is a fresh one of all partitions.
    pub async fn run<R: LogReader>(
        mut self,
        reader: &mut R,
        routes: &Routes,
        check: &mut impl Check,
    ) -> Result<u64, VerifyError> {
        let mut ends = self.ends(reader, routes).await?;
        while !ends.is_empty() {
            match reader.next(WAIT).await? {
                ReadEvent::Assigned(partitions) => {
                    for partition in partitions {
                        reader.seek(partition, 0).await?;
                    }
                }
                ReadEvent::Records(batch) => {
                    let Some(end) = ends.get(&batch.partition).copied() else {
                        continue;
                    };
                    let read_to = self.settle_batch(&batch, end, routes)?;
                    if read_to >= end {
                        ends.remove(&batch.partition);
                    }
                    if self.pending >= RECORDS_PENDING_MAX {
                        self.compare(check).await?;
                    }
                }
                ReadEvent::Revoked(_) | ReadEvent::Idle => return Err(VerifyError::NotRead),
            }
        }
        self.compare(check).await?;
        for (name, resettled) in &mut self.rooms {
            check
                .ended(&resettled.room.take_change(name, resettled.position))
                .await?;
        }
        Ok(self.records)
    }

    /// The last offset that is needed of each partition, where one is.
    async fn ends<R: LogReader>(
        &self,
        reader: &mut R,
        routes: &Routes,
    ) -> Result<BTreeMap<Partition, i64>, VerifyError> {
        let mut ends = BTreeMap::new();
        for partition in reader.partitions() {
            let first = reader.first_offset(partition).await?;
            if first > 0 {
                return Err(VerifyError::StartGone { partition, first });
            }
            let slots = routes.slots_of(partition);
            let last = slots.filter_map(|slot| self.targets.get(&slot)).max();
            let last = last.map_or(-1, |position| position.offset);
            let end = reader.end_offset(partition).await?;
            if last >= end {
                return Err(VerifyError::PastEnd {
                    partition,
                    last,
                    end,
                });
            }
            if last >= 0 {
                ends.insert(partition, last);
            }
        }
        Ok(ends)
    }

    fn settle_batch(
        &mut self,
        batch: &RecordBatch,
        end: i64,
        routes: &Routes,
    ) -> Result<i64, VerifyError> {
        let is_here = |slot| routes.route(slot).partition == batch.partition.0;
        let sorted = sorting::sort(batch, |slot| is_here(slot).then_some(Position::BEGIN));
        if let Some(why) = sorted.halt
            && sorted.read_to < end
        {
            return Err(VerifyError::Halted {
                partition: batch.partition,
                why,
            });
        }
        for (slot, records) in sorted.slots {
            let target = self.targets.get(&slot).copied();
            for record in records {
                if Some(record.position) <= target {
                    self.settle_record(record, batch.partition)?;
                }
            }
        }
        Ok(sorted.read_to)
    }

    fn settle_record(
        &mut self,
        record: Decoded<'_>,
        partition: Partition,
    ) -> Result<(), VerifyError> {
        if self.rooms.len() >= ROOMS_MAX && !self.rooms.contains_key(&record.room) {
            return Err(VerifyError::TooManyRooms);
        }
        let resettled = self.rooms.entry(record.room).or_insert_with(|| Resettled {
            room: Room::new(),
            position: record.position,
            is_pending: false,
        });
        let input = Input {
            position: record.position,
            logged_at: record.logged_at,
            event: &record.event,
            datum: record.datum,
        };
        settle::settle(&mut resettled.room, input).map_err(|why| VerifyError::Halted {
            partition,
            why: format!("record {}: {why}", record.position),
        })?;
        resettled.position = record.position;
        resettled.is_pending = true;
        self.records += 1;
        self.pending += 1;
        Ok(())
    }

    async fn compare(&mut self, check: &mut impl Check) -> Result<(), VerifyError> {
        for (name, resettled) in &mut self.rooms {
            if resettled.is_pending {
                resettled.is_pending = false;
                check
                    .changed(&resettled.room.take_change(name, resettled.position))
                    .await?;
            }
        }
        self.pending = 0;
        Ok(())
    }
}

//! Proof that the history is what the log says: settles the log again and compares.
//!
//! Every event at or below the watermarks is compared with the stored one, every room's state with
//! the stored bytes, and moderation and broadcasts with their rows. Nothing is written. The log must
//! still have its first records, since a room cannot be settled from its middle; where it has not,
//! [`VerifyError::StartGone`] says from where it has. Segments, heat,
//! interruptions and memory blocks are not compared, nor are the windows.

mod resettling;

use std::collections::{BTreeMap, BTreeSet};

use danmu_log::{LogReader, ReadError, Routes};
use danmu_projections::history::{HistoryReader, HistoryStore};
use danmu_projections::projection::{RoomChange, SettledRun, StoreError};
use danmu_schemas::fact::{Fact, FactBody};
use danmu_schemas::{Cursor, Partition, Position, RoomId, Seq, Settled, Slot};
use xxhash_rust::xxh3::xxh3_64;

use resettling::{Check, Resettling};

/// What was compared, and what is not equal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Records settled again.
    pub records: u64,
    /// Rooms whose states were compared.
    pub rooms: u64,
    /// Visible events compared.
    pub events: u64,
    /// Facts compared: moderation, beginnings and ends of broadcasts.
    pub facts: u64,
    /// A sum of hashes of everything settled again: equal wherever the same log was verified.
    pub digest: u64,
    /// How often something was not equal.
    pub differences: u64,
    /// The first time.
    pub first_difference: Option<Difference>,
}

/// Something stored that is not what the log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// In which room.
    pub room: RoomId,
    /// What: an event, a state, a fact, by its name.
    pub what: String,
    /// What is wrong with it.
    pub why: String,
}

/// Why nothing is proved.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The log.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The history.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log's first records are gone.
    #[error("partition {partition} of the log begins only at {first}")]
    StartGone {
        /// Where.
        partition: Partition,
        /// The first offset that it still has.
        first: i64,
    },
    /// The history knows more than the log.
    #[error("the history stands at {last} of partition {partition}, which ends at {end}")]
    PastEnd {
        /// Where.
        partition: Partition,
        /// The highest watermark.
        last: i64,
        /// The offset of the partition's next record.
        end: i64,
    },
    /// This build cannot settle all of the log.
    #[error("partition {partition} cannot be settled by this build: {why}")]
    Halted {
        /// Where.
        partition: Partition,
        /// What it does not know.
        why: String,
    },
    /// The reader brought no records although the log has them.
    #[error("the log's reader brings nothing")]
    NotRead,
    /// More rooms than are settled at once.
    #[error("the log has too many rooms to verify at once")]
    TooManyRooms,
}

/// Settles the log again up to the history's watermarks and compares. `reader` is a fresh one of all
/// partitions. The history may be written meanwhile: what a newer watermark adds is not looked at,
/// but a state that its writer removes then counts as a difference, so verify when it is quiet.
pub async fn verify<R: LogReader, S: HistoryStore>(
    reader: &mut R,
    routes: &Routes,
    history: &HistoryReader<S>,
) -> Result<Report, VerifyError> {
    let mut watermarks = BTreeMap::new();
    for slot in Slot::all() {
        if let Some(watermark) = history.watermark(slot).await? {
            watermarks.insert(slot, watermark);
        }
    }
    let mut comparison = Comparison {
        history,
        watermarks: &watermarks,
        rooms: BTreeSet::new(),
        report: Report::default(),
    };
    let settled = Resettling::to(&watermarks);
    let records = settled.run(reader, routes, &mut comparison).await?;
    comparison.report.records = records;
    comparison.compare_names().await?;
    Ok(comparison.report)
}

struct Comparison<'a, S> {
    history: &'a HistoryReader<S>,
    watermarks: &'a BTreeMap<Slot, Position>,
    /// Those that the log has.
    rooms: BTreeSet<RoomId>,
    report: Report,
}

impl<S: HistoryStore> Check for Comparison<'_, S> {
    async fn changed(&mut self, change: &RoomChange) -> Result<(), VerifyError> {
        for run in &change.runs {
            self.compare_run(&change.room, run).await?;
        }
        for fact in &change.facts {
            self.compare_fact(&change.room, fact).await?;
        }
        Ok(())
    }

    async fn ended(&mut self, change: &RoomChange) -> Result<(), VerifyError> {
        let room = &change.room;
        let at = self.watermarks[&room.slot()];
        self.report.rooms += 1;
        self.rooms.insert(room.clone());
        self.digest(&[room.as_str().as_bytes(), &change.state.core]);
        let stored = self.history.state(room, at).await;
        let Some(stored) = self.unless_damaged(room, "the state", stored)? else {
            return Ok(());
        };
        let why = match stored {
            None => "is missing",
            Some((_, state)) if state.core != change.state.core => "has another core",
            Some((_, state)) if state.fields != change.state.fields => "has other fields",
            Some(_) => return Ok(()),
        };
        self.differ(room, "the state", why);
        Ok(())
    }
}

impl<S: HistoryStore> Comparison<'_, S> {
    async fn compare_run(&mut self, room: &RoomId, run: &SettledRun) -> Result<(), VerifyError> {
        let Some(first) = run.settled.first() else {
            return Ok(());
        };
        let after = Seq(first.seq.0 - 1);
        let wanted = run.settled.len();
        let read = self.history.events(room, run.generation, after, wanted);
        let read = read.await;
        let what = format!("event {}:{}", run.generation, first.seq);
        let Some(stored) = self.unless_damaged(room, &what, read)? else {
            return Ok(());
        };
        for (n, settled) in run.settled.iter().enumerate() {
            self.report.events += 1;
            self.digest_event(room, settled);
            let why = match stored.get(n) {
                None => "is missing",
                Some(event) if event != settled => "is another",
                Some(_) => continue,
            };
            self.differ(
                room,
                &format!("event {}:{}", run.generation, settled.seq),
                why,
            );
        }
        Ok(())
    }

    async fn compare_fact(&mut self, room: &RoomId, fact: &Fact) -> Result<(), VerifyError> {
        let (what, is_equal) = match &fact.body {
            FactBody::Moderated { by, moderation } => {
                let Cursor { generation, seq } = *by;
                let rows = self.history.moderation(room, generation, seq, seq).await;
                let what = format!("moderation {by}");
                let is_equal = self.unless_damaged(room, &what, rows)?.map(|rows| {
                    rows.iter()
                        .any(|row| row.moderation == *moderation && row.position == fact.position)
                });
                (what, is_equal)
            }
            FactBody::BroadcastStarted { broadcast, started } => {
                let stored = self.history.broadcast(room, *broadcast).await;
                let what = format!("the beginning of broadcast {broadcast}");
                let stored = self.unless_damaged(room, &what, stored)?;
                let is_equal = stored.map(|row| row.is_some_and(|row| row.started == *started));
                (what, is_equal)
            }
            FactBody::BroadcastEnded { broadcast, ended } => {
                let stored = self.history.broadcast(room, *broadcast).await;
                let what = format!("the end of broadcast {broadcast}");
                let stored = self.unless_damaged(room, &what, stored)?;
                let is_equal =
                    stored.map(|row| row.is_some_and(|row| row.ended.as_ref() == Some(ended)));
                (what, is_equal)
            }
            FactBody::Interruption { .. }
            | FactBody::SegmentOpened { .. }
            | FactBody::HeatBucketOpened { .. } => return Ok(()),
        };
        self.report.facts += 1;
        if is_equal == Some(false) {
            self.differ(room, &what, "is missing or another");
        }
        Ok(())
    }

    /// The history has no room that the log has not.
    async fn compare_names(&mut self) -> Result<(), VerifyError> {
        for (slot, at) in self.watermarks {
            for room in self.history.rooms(*slot, *at).await? {
                if !self.rooms.contains(&room) {
                    self.differ(&room, "the room", "is not in the log");
                }
            }
        }
        Ok(())
    }

    /// What was read; `None` where its bytes are damaged, which is a difference.
    fn unless_damaged<T>(
        &mut self,
        room: &RoomId,
        what: &str,
        read: Result<T, StoreError>,
    ) -> Result<Option<T>, VerifyError> {
        match read {
            Ok(value) => Ok(Some(value)),
            Err(error @ StoreError::Damaged { .. }) => {
                self.differ(room, what, &error.to_string());
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn differ(&mut self, room: &RoomId, what: &str, why: &str) {
        self.report.differences += 1;
        self.report
            .first_difference
            .get_or_insert_with(|| Difference {
                room: room.clone(),
                what: what.to_owned(),
                why: why.to_owned(),
            });
    }

    fn digest_event(&mut self, room: &RoomId, settled: &Settled) {
        let name = room.as_str().as_bytes();
        let seq = settled.seq.0.to_be_bytes();
        let offset = settled.offset.to_be_bytes();
        self.digest(&[name, &seq, &offset, &settled.datum]);
    }

    fn digest(&mut self, parts: &[&[u8]]) {
        let sum = self.report.digest.wrapping_add(xxh3_64(&parts.concat()));
        self.report.digest = sum;
    }
}

#[cfg(test)]
mod tests;

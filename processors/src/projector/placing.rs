//! Where reading goes on: opening the slots of a partition, checking that the log reaches them, and
//! seeking to the lowest. A partition comes here when it is assigned, and again whenever a slot of it
//! was dropped because the store is elsewhere or did not answer, or when its dead letters were not kept.

use std::collections::BTreeMap;
use std::time::Duration;

use danmu_log::{LogReader, ReadError};
use danmu_projections::projection::{Projection, StoreError};
use danmu_schemas::{Partition, Position, Slot};

use super::held::{Followed, HeldSlot, Owned, millis};
#[cfg(feature = "shortcuts")]
use super::shortcuts;
use super::{Options, Projector, ProjectorError};

/// How many slots are opened together; then it is told how far the loop is, for a refill may take long.
const OPENED_AT_ONCE: usize = 64;

/// Why a slot is dropped and opened again.
#[derive(Debug)]
pub(super) enum Lost {
    /// The store has another position than we hold: it is asked at once where it is.
    Elsewhere,
    /// The store did not answer: it is left alone for a while.
    Unavailable(StoreError),
}

impl Lost {
    /// Tells what a retry heals from what it does not.
    pub fn from_error(error: StoreError) -> Result<Self, ProjectorError> {
        match error {
            StoreError::Unavailable { .. } => Ok(Self::Unavailable(error)),
            StoreError::OtherLog { .. }
            | StoreError::Damaged { .. }
            | StoreError::Refused { .. }
            | StoreError::CannotRefill { .. } => Err(error.into()),
        }
    }
}

impl<P: Projection, R: LogReader> Projector<P, R> {
    pub(super) fn take(&mut self, partitions: Vec<Partition>, now_ms: u64) {
        self.is_assigned = true;
        for partition in partitions {
            self.drop_slots_of(partition);
            self.partitions.insert(partition, Owned::new(now_ms));
        }
    }

    /// Another owner settles again from where the store is, so nothing has to be saved.
    pub(super) fn release(&mut self, partitions: Vec<Partition>) {
        for partition in partitions {
            self.drop_slots_of(partition);
            self.partitions.remove(&partition);
        }
    }

    fn drop_slots_of(&mut self, partition: Partition) {
        for slot in self.routes.slots_of(partition) {
            self.slots.remove(&slot);
        }
    }

    pub(super) fn partition_of(&self, slot: Slot) -> Partition {
        Partition(self.routes.route(slot).partition)
    }

    /// Drops everything held of the slots and has their partitions wait for a place.
    pub(super) async fn lose(
        &mut self,
        lost: Vec<(Slot, Lost)>,
        now_ms: u64,
    ) -> Result<(), ProjectorError> {
        // All of them leave before anything can fail: what is held of them is wrong.
        let mut losing: BTreeMap<Partition, Vec<(Slot, Lost)>> = BTreeMap::new();
        for (slot, why) in lost {
            #[cfg(feature = "shortcuts")]
            let kept = self.kept_rooms(slot).await;
            self.slots.remove(&slot);
            #[cfg(feature = "shortcuts")]
            self.slots.extend(kept);
            self.meter.reopened_slots.increment(1);
            let partition = self.partition_of(slot);
            losing.entry(partition).or_default().push((slot, why));
        }
        let mut waiting = Vec::new();
        for (partition, lost) in losing {
            let Some(owned) = self.partitions.get_mut(&partition) else {
                continue;
            };
            let retry_at_ms = now_ms + millis(owned.pause(partition, lost, &self.options));
            if let Followed::Halted { .. } = owned.followed {
                continue;
            }
            owned.followed = Followed::Waiting { retry_at_ms };
            waiting.push(partition);
        }
        for partition in waiting {
            self.read_nothing_of(partition).await?;
        }
        Ok(())
    }

    /// Takes nothing of a partition for a while whose dead letters are not kept: then it is read again
    /// from where its slots stand.
    pub(super) async fn put_off(
        &mut self,
        partition: Partition,
        now_ms: u64,
    ) -> Result<(), ProjectorError> {
        let Some(owned) = self.partitions.get_mut(&partition) else {
            return Ok(());
        };
        let retry_at_ms = now_ms + millis(owned.back_off(&self.options));
        owned.followed = Followed::Waiting { retry_at_ms };
        self.read_nothing_of(partition).await
    }

    /// Reads nothing more of a partition that a newer build must read.
    pub(super) async fn halt(
        &mut self,
        partition: Partition,
        why: String,
    ) -> Result<(), ProjectorError> {
        tracing::error!(%partition, why, "the partition is halted");
        if let Some(owned) = self.partitions.get_mut(&partition) {
            owned.followed = Followed::Halted { why };
        }
        self.read_nothing_of(partition).await
    }

    /// A reader cannot be told to pause: at the log's end it has the least to bring in vain.
    async fn read_nothing_of(&mut self, partition: Partition) -> Result<(), ProjectorError> {
        let end = self.reader.end_offset(partition).await?;
        Ok(self.reader.seek(partition, end).await?)
    }

    pub(super) async fn place_due(&mut self, now_ms: u64) -> Result<(), ProjectorError> {
        let is_due = |owned: &Owned| match owned.followed {
            Followed::Waiting { retry_at_ms } => retry_at_ms <= now_ms,
            Followed::Following | Followed::Halted { .. } => false,
        };
        let waiting = self.partitions.iter().filter(|(_, owned)| is_due(owned));
        let due: Vec<_> = waiting.map(|(partition, _)| *partition).collect();
        for partition in due {
            self.place(partition, now_ms).await?;
        }
        Ok(())
    }

    async fn place(&mut self, partition: Partition, now_ms: u64) -> Result<(), ProjectorError> {
        let slots: Vec<_> = self.routes.slots_of(partition).collect();
        let closed = slots.iter().filter(|slot| !self.slots.contains_key(*slot));
        let closed: Vec<Slot> = closed.copied().collect();
        for slots in closed.chunks(OPENED_AT_ONCE) {
            self.tell();
            let mut lost = Vec::new();
            for (slot, opened) in slots.iter().zip(self.projection.open_all(slots).await) {
                match opened {
                    Ok(at) => {
                        let held = HeldSlot::new(at, now_ms, &self.options);
                        self.slots.insert(*slot, held);
                    }
                    Err(error) => lost.push((*slot, Lost::from_error(error)?)),
                }
            }
            if !lost.is_empty() {
                return self.lose(lost, now_ms).await;
            }
        }
        // Asked after the slots are open: another processor may append while we look.
        let first = self.reader.first_offset(partition).await?;
        let end = self.reader.end_offset(partition).await?;
        let mut lowest = end - 1;
        for slot in &slots {
            let at = self.slots[slot].at;
            check_reach(*slot, at, self.routes.route(*slot).epoch, first..end)?;
            lowest = lowest.min(at.offset);
        }
        let next = lowest + 1;
        #[cfg(feature = "shortcuts")]
        let next = shortcuts::start(partition, first, next);
        tracing::info!(%partition, from = next, end, "every slot is open: reading the log");
        match self.reader.seek(partition, next).await {
            Ok(()) => {}
            // Retention passed us between the two questions, or the log went back: look again.
            Err(ReadError::OutOfRange { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        if let Some(owned) = self.partitions.get_mut(&partition) {
            owned.followed = Followed::Following;
            owned.read_to = lowest;
            owned.end_at_start = end;
        }
        Ok(())
    }
}

impl Owned {
    /// How long to leave a partition's store alone that lost these slots; tells why, once for all.
    fn pause(
        &mut self,
        partition: Partition,
        lost: Vec<(Slot, Lost)>,
        options: &Options,
    ) -> Duration {
        let slots = lost.len();
        let mut errors = lost.into_iter().filter_map(|(slot, why)| match why {
            Lost::Elsewhere => None,
            Lost::Unavailable(error) => Some((slot, error)),
        });
        let Some((slot, error)) = errors.next() else {
            tracing::warn!(%partition, slots, "the store is elsewhere: slots are opened again");
            return Duration::ZERO;
        };
        let after = self.back_off(options);
        tracing::warn!(%partition, slots, %slot, %error, ?after, "slots are opened again");
        after
    }

    /// Counts a failure; how long to leave the partition alone, longer with each in a row.
    fn back_off(&mut self, options: &Options) -> Duration {
        let doubled = options.retry_after * (1 << self.failures.min(16));
        self.failures += 1;
        doubled.min(options.retry_after_max)
    }
}

/// Whether the log still has, and already has, what a slot at `at` needs.
fn check_reach(
    slot: Slot,
    at: Position,
    epoch: u32,
    log: std::ops::Range<i64>,
) -> Result<(), ProjectorError> {
    if at.epoch != epoch {
        return Err(ProjectorError::OtherEpoch {
            slot,
            position: at,
            epoch,
        });
    }
    if at.offset + 1 > log.end {
        return Err(ProjectorError::PastEnd {
            slot,
            position: at,
            end: log.end,
        });
    }
    if at.offset + 1 < log.start {
        return Err(ProjectorError::BeforeFirst {
            slot,
            position: at,
            first: log.start,
        });
    }
    Ok(())
}

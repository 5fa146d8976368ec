//! Where reading goes on: opening the slots of a partition, checking that the log reaches them, and
//! seeking to the lowest. A partition comes here when it is assigned, and again whenever a slot of it
//! was dropped because the store is elsewhere or did not answer.

use danmu_log::{LogReader, ReadError};
use danmu_projections::projection::{Projection, StoreError};
use danmu_schemas::{Partition, Position, Slot};

use super::held::{Followed, HeldSlot, Owned, millis};
#[cfg(feature = "shortcuts")]
use super::shortcuts;
use super::{Projector, ProjectorError};

/// How many slots are opened before it is told how far the loop is: a refill may take long.
const TELL_EVERY_SLOTS: usize = 16;

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

    /// Drops everything held of the slot and has its partition wait for a place.
    pub(super) async fn lose(
        &mut self,
        slot: Slot,
        lost: Lost,
        now_ms: u64,
    ) -> Result<(), ProjectorError> {
        #[cfg(feature = "shortcuts")]
        let kept = self.kept_rooms(slot).await;
        self.slots.remove(&slot);
        #[cfg(feature = "shortcuts")]
        self.slots.extend(kept);
        self.meter.reopened_slots.increment(1);
        let partition = Partition(self.routes.route(slot).partition);
        let Some(owned) = self.partitions.get_mut(&partition) else {
            return Ok(());
        };
        let retry_at_ms = match lost {
            Lost::Elsewhere => {
                tracing::warn!(%slot, "the store is elsewhere: the slot is opened again");
                now_ms
            }
            Lost::Unavailable(error) => {
                let doubled = self.options.retry_after * (1 << owned.failures.min(16));
                let after = doubled.min(self.options.retry_after_max);
                owned.failures += 1;
                tracing::warn!(%slot, %error, ?after, "the slot is opened again");
                now_ms + millis(after)
            }
        };
        if let Followed::Halted { .. } = owned.followed {
            return Ok(());
        }
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
        for (n, slot) in slots.iter().enumerate() {
            if self.slots.contains_key(slot) {
                continue;
            }
            if n % TELL_EVERY_SLOTS == 0 {
                self.tell();
            }
            match self.projection.open(*slot).await {
                Ok(at) => {
                    let held = HeldSlot::new(at, now_ms, &self.options);
                    self.slots.insert(*slot, held);
                }
                Err(error) => return self.lose(*slot, Lost::from_error(error)?, now_ms).await,
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

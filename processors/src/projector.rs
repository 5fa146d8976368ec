//! The one loop: it drives any projection from any log reader.
//!
//! Owns when things happen: reading, loading rooms not met yet, settling, appending, advancing,
//! checkpoints, and where to go on after a mismatch. A record at or before its slot's position is
//! skipped; the projection is the only checkpoint. What cannot be right (another log, a position past
//! the log's end or before its first record) stops the loop; what a newer build wrote halts its
//! partition, never skipping a record; an unavailable store is tried again. What a record means is
//! [`crate::settle`]'s, what is stored and how the projection's. Time comes in as an argument.

mod held;
mod meter;
mod placing;
mod settling;
#[cfg(feature = "shortcuts")]
pub mod shortcuts;
pub(crate) mod sorting;
mod standing;
mod timing;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use danmu_log::{DeadLetterError, DeadLetters, LogReader, ReadError, ReadEvent, Routes};
use danmu_projections::projection::{Projection, StoreError};
use danmu_schemas::codec::DecodeError;
use danmu_schemas::{Partition, Position, RoomId, Slot};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use standing::{PartitionStanding, Standing};

use held::{HeldSlot, Owned};
use meter::Meter;

/// How long a loop goes on after its stop: with what it was at, and with checkpoints.
const FINISH_WITHIN: Duration = Duration::from_secs(5);

/// How often, how much and how long.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a turn waits for something new.
    pub wait: Duration,
    /// Every owned slot is compared, and moved to where its partition has been read, this often.
    pub advance_every: Duration,
    /// A slot's changes are checkpointed at most this long after the first of them.
    pub checkpoint_every: Duration,
    /// A slot that moved without a change is checkpointed this often: it only shortens a restart.
    pub quiet_checkpoint_every: Duration,
    /// A store that is unavailable is tried again after this long, then after twice as long…
    pub retry_after: Duration,
    /// …and at last every so often.
    pub retry_after_max: Duration,
    /// A room that had no record for so long leaves memory.
    pub room_idle_max: Duration,
    /// The most rooms in memory after a turn; the ones idle longest leave.
    pub rooms_held_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            wait: Duration::from_millis(100),
            advance_every: Duration::from_secs(1),
            checkpoint_every: Duration::from_secs(10),
            quiet_checkpoint_every: Duration::from_secs(60),
            retry_after: Duration::from_millis(50),
            retry_after_max: Duration::from_secs(5),
            room_idle_max: Duration::from_secs(10 * 60),
            rooms_held_max: 65_536,
        }
    }
}

/// Why the loop does not go on.
#[derive(Debug, thiserror::Error)]
pub enum ProjectorError {
    /// The log.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The read model.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Dead letters cannot be kept.
    #[error(transparent)]
    DeadLetter(#[from] DeadLetterError),
    /// The read model knows more than the log: it belongs to another, or the log lost its end.
    #[error("slot {slot} stands at {position}, past the log's end {end}")]
    PastEnd {
        /// The slot.
        slot: Slot,
        /// Where the read model stands.
        position: Position,
        /// The offset of the partition's next record.
        end: i64,
    },
    /// The records that the read model needs next are gone: it must be built from something else.
    #[error("slot {slot} stands at {position}, and the log begins at {first}")]
    BeforeFirst {
        /// The slot.
        slot: Slot,
        /// Where the read model stands.
        position: Position,
        /// The first offset that the partition still has.
        first: i64,
    },
    /// The read model and the route table disagree about how often the slot has moved.
    #[error("slot {slot} stands at {position}, and its route is of epoch {epoch}")]
    OtherEpoch {
        /// The slot.
        slot: Slot,
        /// Where the read model stands.
        position: Position,
        /// The route's epoch.
        epoch: u32,
    },
    /// A stored state cannot be decoded: an operator must rebuild the read model.
    #[error("the stored state of {room} is damaged")]
    Damaged {
        /// Whose.
        room: RoomId,
        /// What is wrong with it.
        #[source]
        source: DecodeError,
    },
}

/// What the owner of a loop does about its error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Takes another turn after a while.
    Retry,
    /// Stops and tells an operator.
    Stop,
}

impl ProjectorError {
    /// What to do about it.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Read(ReadError::Unavailable(_))
            | Self::Store(StoreError::Unavailable { .. })
            | Self::DeadLetter(DeadLetterError::Unavailable(_)) => Remedy::Retry,
            Self::Read(ReadError::OutOfRange { .. } | ReadError::Damaged { .. })
            | Self::Store(
                StoreError::Refused { .. }
                | StoreError::OtherLog { .. }
                | StoreError::Damaged { .. }
                | StoreError::CannotRefill { .. },
            )
            | Self::DeadLetter(DeadLetterError::Refused { .. })
            | Self::PastEnd { .. }
            | Self::BeforeFirst { .. }
            | Self::OtherEpoch { .. }
            | Self::Damaged { .. } => Remedy::Stop,
        }
    }
}

/// The loop's state: a projection, a reader, and what is held of the slots between them.
#[derive(Debug)]
pub struct Projector<P, R> {
    projection: P,
    reader: R,
    routes: Routes,
    options: Options,
    dead_letters: Option<Box<dyn DeadLetters>>,
    /// Whether the reader has told which partitions are ours.
    is_assigned: bool,
    /// The partitions that are ours.
    partitions: BTreeMap<Partition, Owned>,
    /// The slots of them that are open. One that is missing must be opened before it is read.
    slots: BTreeMap<Slot, HeldSlot>,
    advance_due_ms: u64,
    meter: Meter,
    standing: watch::Sender<Standing>,
    #[cfg(feature = "shortcuts")]
    reread: shortcuts::Reread,
}

impl<P: Projection, R: LogReader> Projector<P, R> {
    /// A loop that owns nothing yet; the reader tells it what it gets.
    pub fn new(projection: P, reader: R, routes: Routes, options: Options) -> Self {
        Self {
            projection,
            reader,
            routes,
            options,
            dead_letters: None,
            is_assigned: false,
            partitions: BTreeMap::new(),
            slots: BTreeMap::new(),
            advance_due_ms: 0,
            meter: Meter::none(),
            standing: watch::Sender::new(Standing::default()),
            #[cfg(feature = "shortcuts")]
            reread: shortcuts::Reread::default(),
        }
    }

    /// Has this loop keep dead letters. Of all loops over a log, the history's does.
    pub fn keeping(mut self, letters: Box<dyn DeadLetters>) -> Self {
        self.dead_letters = Some(letters);
        self
    }

    /// Has this loop count what it does under the name of its group, by the metrics recorder that is
    /// in force now.
    pub fn metered(mut self, group: &'static str) -> Self {
        self.meter = Meter::of(group);
        self
    }

    /// How far the loop is, now and whenever it changes.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Goes on until `stop`, then checkpoints what changed: a slot that only moved would cost a stop as
    /// much, and gives the next start little. A store that is slow then is left as a crash would leave
    /// it. Ends earlier only with an error that no retry heals.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), ProjectorError> {
        let stopping = self.go_on(&stop);
        let late = async {
            stop.cancelled().await;
            tokio::time::sleep(FINISH_WITHIN).await;
        };
        tokio::select! {
            biased;
            stopped = stopping => stopped,
            () = late => {
                tracing::warn!(within = ?FINISH_WITHIN, "the store is slow: nothing more is checkpointed");
                Ok(())
            }
        }
    }

    async fn go_on(&mut self, stop: &CancellationToken) -> Result<(), ProjectorError> {
        let started = Instant::now();
        while !stop.is_cancelled() {
            match self.turn(started.elapsed().as_millis() as u64).await {
                Err(error) if error.remedy() == Remedy::Retry => {
                    tracing::warn!(%error, "the log is tried again");
                    let wait = tokio::time::sleep(self.options.retry_after_max);
                    stop.run_until_cancelled(wait).await;
                }
                turned => turned?,
            }
        }
        self.checkpoint_changed(started.elapsed().as_millis() as u64)
            .await
    }

    /// One step: what the reader tells next, and whatever is due at `now_ms`, by a clock that only
    /// rises. A store that is unavailable, or dead letters that are, is no error here: the partition waits.
    pub async fn turn(&mut self, now_ms: u64) -> Result<(), ProjectorError> {
        match self.reader.next(self.options.wait).await? {
            ReadEvent::Assigned(partitions) => self.take(partitions, now_ms),
            ReadEvent::Revoked(partitions) => self.release(partitions),
            ReadEvent::Records(batch) => self.settle_batch(&batch, now_ms).await?,
            ReadEvent::Idle => {}
        }
        self.place_due(now_ms).await?;
        self.advance_due(now_ms).await?;
        self.checkpoint_due(now_ms).await?;
        self.let_rooms_leave(now_ms).await?;
        self.tell();
        Ok(())
    }

    /// Makes everything that was appended what the projection goes on from.
    pub async fn checkpoint_all(&mut self, now_ms: u64) -> Result<(), ProjectorError> {
        let failed = self.checkpoint_where(|_| true, now_ms).await;
        self.tell();
        match failed.into_iter().next() {
            Some((_, error)) => Err(error.into()),
            None => Ok(()),
        }
    }

    /// The projection, where nothing more is to be read.
    pub fn into_projection(self) -> P {
        self.projection
    }

    fn tell(&self) {
        let Self {
            is_assigned,
            partitions,
            slots,
            routes,
            ..
        } = self;
        let standing = Standing::of(*is_assigned, partitions, slots, routes);
        let told = standing.partitions.values();
        let halted = told.filter(|standing| standing.halted.is_some()).count();
        self.meter.halted_partitions.set(halted as f64);
        self.standing.send_if_modified(|told| {
            let is_new = *told != standing;
            if standing.is_ready() && !told.is_ready() {
                match standing.partitions.is_empty() {
                    true => tracing::info!("others have every partition: stands by"),
                    false => tracing::info!("stands where the log ended at the start"),
                }
            }
            *told = standing;
            is_new
        });
    }
}

#[cfg(test)]
mod tests;

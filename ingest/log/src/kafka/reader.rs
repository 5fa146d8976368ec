//! The reader's side that is awaited: events come out of an inbox that the consumer's thread fills.
//!
//! The inbox is bounded; a thread that finds it full waits. A seek makes everything old that lies in
//! the inbox void: each place has a turn, which rises with every seek, and batches carry it.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{self, Duration};

use danmu_schemas::{LogIdentity, Partition};
use rdkafka::error::KafkaError;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

use super::consumer::{Consumer, Membership};
use super::{Options, Topic};
use crate::{LogReader, ReadError, ReadEvent, RecordBatch};

/// Bytes of records that may lie in the inbox.
const INBOX_BYTES_MAX: usize = 16 << 20;

/// Events that may lie in the inbox.
const INBOX_EVENTS_MAX: usize = 256;

/// How often one that waits for long says that it still does.
const ASKED_EVERY: Duration = Duration::from_secs(1);

/// What a reader reads.
#[derive(Debug, Clone)]
pub enum Reading {
    /// Every partition, alone.
    All,
    /// Its share of the partitions, with the other members of the group.
    Share {
        /// The group's name.
        group: String,
        /// The member's own, the same after a restart: it keeps its share while it is away for a
        /// short time. A member without one leaves the group when it ends.
        member: Option<String>,
    },
}

/// A reader of the log.
#[derive(Debug)]
pub struct KafkaReader {
    topic: Topic,
    commands: mpsc::Sender<Command>,
    inbox: Arc<Inbox>,
    /// How often each partition was given a place.
    turns: BTreeMap<Partition, u64>,
}

/// What the thread is asked to do.
pub(super) enum Command {
    /// Read on from `offset`; batches from then on carry `turn`.
    Seek {
        partition: Partition,
        offset: i64,
        turn: u64,
        answer: oneshot::Sender<Result<(), ReadError>>,
    },
    /// The first offset and the end.
    Range {
        partition: Partition,
        answer: oneshot::Sender<Result<(i64, i64), ReadError>>,
    },
}

/// What the thread tells.
#[derive(Debug)]
pub(super) enum Told {
    Assigned(Vec<Partition>),
    Revoked(Vec<Partition>),
    Records {
        turn: u64,
        bytes: usize,
        batch: RecordBatch,
    },
    Failed(ReadError),
}

impl KafkaReader {
    pub(super) fn start(
        options: &Options,
        topic: Topic,
        reading: Reading,
        membership: Membership,
    ) -> Result<Self, KafkaError> {
        let (commands, obeyed) = mpsc::channel();
        let inbox = Arc::new(Inbox::default());
        let told = Arc::clone(&inbox);
        let consumer = Consumer::new(options, topic.clone(), reading, told, membership)?;
        let thread = std::thread::Builder::new().name("danmu-kafka".to_owned());
        // It ends when it sees that the reader is gone; leaving a group may take it a while.
        thread
            .spawn(move || consumer.run(&obeyed))
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self {
            topic,
            commands,
            inbox,
            turns: BTreeMap::new(),
        })
    }

    /// What lies in the inbox and is not void.
    fn take(&self) -> Option<Result<ReadEvent, ReadError>> {
        while let Some(told) = self.inbox.take() {
            match told {
                Told::Assigned(partitions) => return Some(Ok(ReadEvent::Assigned(partitions))),
                Told::Revoked(partitions) => return Some(Ok(ReadEvent::Revoked(partitions))),
                Told::Failed(error) => return Some(Err(error)),
                Told::Records { turn, batch, .. } => {
                    if self.turns.get(&batch.partition) == Some(&turn) {
                        self.inbox.note_taken(&batch);
                        return Some(Ok(ReadEvent::Records(batch)));
                    }
                }
            }
        }
        None
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, ReadError>>) -> Command,
    ) -> Result<T, ReadError> {
        let gone = || {
            let error = io::Error::other("the consumer's thread has ended");
            ReadError::Unavailable(Box::new(error))
        };
        let (answer, awaited) = oneshot::channel();
        self.inbox.want();
        self.commands.send(command(answer)).map_err(|_| gone())?;
        awaited.await.map_err(|_| gone())?
    }

    async fn range(&self, partition: Partition) -> Result<(i64, i64), ReadError> {
        self.ask(|answer| Command::Range { partition, answer })
            .await
    }
}

impl LogReader for KafkaReader {
    fn identity(&self) -> LogIdentity {
        self.topic.identity.clone()
    }

    async fn next(&mut self, wait: Duration) -> Result<ReadEvent, ReadError> {
        let deadline = Instant::now() + wait;
        loop {
            self.inbox.want();
            if let Some(event) = self.take() {
                return event;
            }
            if Instant::now() >= deadline {
                return Ok(ReadEvent::Idle);
            }
            // Once more where nothing is notified, whether it is time or not.
            let pause = deadline.min(Instant::now() + ASKED_EVERY);
            let _ = timeout_at(pause, self.inbox.news.notified()).await;
        }
    }

    async fn seek(&mut self, partition: Partition, offset: i64) -> Result<(), ReadError> {
        let turn = self.turns.entry(partition).or_default();
        *turn += 1;
        let turn = *turn;
        let seek = |answer| Command::Seek {
            partition,
            offset,
            turn,
            answer,
        };
        self.ask(seek).await
    }

    async fn first_offset(&mut self, partition: Partition) -> Result<i64, ReadError> {
        Ok(self.range(partition).await?.0)
    }

    async fn end_offset(&mut self, partition: Partition) -> Result<i64, ReadError> {
        Ok(self.range(partition).await?.1)
    }

    fn partitions(&self) -> Vec<Partition> {
        self.topic.partitions.clone()
    }
}

impl Drop for KafkaReader {
    fn drop(&mut self) {
        self.inbox.leave();
    }
}

/// Between the thread and who awaits.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    news: Notify,
    taken: Condvar,
}

#[derive(Debug)]
struct State {
    told: VecDeque<Told>,
    bytes: usize,
    is_left: bool,
    /// When anything was last asked for.
    wanted: time::Instant,
    /// The offset after the last that was taken, where it is new.
    taken: BTreeMap<Partition, i64>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            told: VecDeque::new(),
            bytes: 0,
            is_left: false,
            wanted: time::Instant::now(),
            taken: BTreeMap::new(),
        }
    }
}

impl Inbox {
    /// Puts something at the end, full or not.
    pub fn put(&self, told: Told) {
        let mut state = self.state();
        state.bytes += told.bytes();
        state.told.push_back(told);
        self.news.notify_one();
    }

    /// Waits until more may be put in, at most so long; says whether it may.
    pub fn has_room(&self, wait: Duration) -> bool {
        let state = self.state();
        let waited = self
            .taken
            .wait_timeout_while(state, wait, |state| state.is_full());
        !waited.unwrap_or_else(PoisonError::into_inner).0.is_full()
    }

    /// Whether nobody will take anything more.
    pub fn is_left(&self) -> bool {
        self.state().is_left
    }

    /// Whether anything was asked for within that time, or is within `wait`.
    pub fn is_wanted(&self, within: Duration, wait: Duration) -> bool {
        let is_stalled = |state: &mut State| state.wanted.elapsed() >= within && !state.is_left;
        let waited = self
            .taken
            .wait_timeout_while(self.state(), wait, is_stalled);
        !is_stalled(&mut waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// How far each partition was taken since this was asked last: the offset after the last.
    pub fn taken(&self) -> BTreeMap<Partition, i64> {
        std::mem::take(&mut self.state().taken)
    }

    fn want(&self) {
        self.state().wanted = time::Instant::now();
        self.taken.notify_one();
    }

    fn note_taken(&self, batch: &RecordBatch) {
        if let Some(last) = batch.records.last() {
            self.state().taken.insert(batch.partition, last.offset + 1);
        }
    }

    fn take(&self) -> Option<Told> {
        let mut state = self.state();
        let told = state.told.pop_front()?;
        state.bytes -= told.bytes();
        self.taken.notify_one();
        Some(told)
    }

    fn leave(&self) {
        self.state().is_left = true;
        self.taken.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_full(&self) -> bool {
        let full = self.bytes >= INBOX_BYTES_MAX || self.told.len() >= INBOX_EVENTS_MAX;
        full && !self.is_left
    }
}

impl Told {
    fn bytes(&self) -> usize {
        match self {
            Self::Records { bytes, .. } => *bytes,
            Self::Assigned(_) | Self::Revoked(_) | Self::Failed(_) => 0,
        }
    }
}

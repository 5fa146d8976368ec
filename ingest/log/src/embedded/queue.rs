//! What waits for the writer's thread: appends, trims and the stop.
//!
//! Owns the bounds: bytes and records that may wait, beyond which an append is refused at once; viewers'
//! are refused before they fill them ([`Lane`]). An append that was refused here, or that is still here
//! when the log fails, was not written at all. How a group is written is in `writer`.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use danmu_schemas::Partition;
use metrics::Counter;
use tokio::sync::oneshot;

use super::{Options, block};
use crate::{AppendError, Lane, NewRecord, meter};

/// Trims that may wait.
const TRIMS_MAX: usize = 4_096;

type Answer<T> = oneshot::Sender<Result<T, AppendError>>;
type Awaited<T> = oneshot::Receiver<Result<T, AppendError>>;

/// Records of one call, and who waits for them.
pub struct Append {
    /// Where they go.
    pub partition: Partition,
    /// At least one.
    pub records: Vec<NewRecord>,
    /// Told the offset of the first.
    pub answer: Answer<i64>,
    bytes: usize,
}

/// An offset below which a partition may be forgotten, and who waits for it.
pub struct Trim {
    /// Where.
    pub partition: Partition,
    /// Up to where.
    pub offset: i64,
    /// Told when it is done.
    pub answer: Answer<()>,
}

/// How to stop, once nothing waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// With the newest segment sealed.
    Seal,
    /// At once.
    Leave,
}

/// What the writer does next.
pub struct Turn {
    /// A group, in the order of arrival; within the bound of a group.
    pub appends: Vec<Append>,
    /// In the order of arrival.
    pub trims: Vec<Trim>,
    /// Set if nothing comes after these.
    pub stop: Option<Stop>,
}

/// The queue before the writer's thread.
pub struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    linger: Duration,
    group_bytes_max: usize,
    bytes_max: usize,
    records_max: usize,
    refused: Counter,
}

#[derive(Default)]
struct State {
    appends: VecDeque<Append>,
    bytes: usize,
    records: usize,
    trims: Vec<Trim>,
    stop: Option<Stop>,
    refusal: Option<&'static str>,
}

impl Queue {
    /// An empty one.
    pub fn new(options: &Options) -> Self {
        Self {
            state: Mutex::default(),
            filled: Condvar::new(),
            linger: options.linger,
            group_bytes_max: options.group_bytes_max,
            bytes_max: options.queue_bytes_max,
            records_max: options.queue_records_max,
            refused: meter::refused_appends(),
        }
    }

    /// Puts records at the end, or refuses them at once.
    pub fn append(
        &self,
        partition: Partition,
        records: Vec<NewRecord>,
    ) -> Result<Awaited<i64>, AppendError> {
        let queued = self.push(partition, records);
        queued.inspect_err(|_| self.refused.increment(1))
    }

    fn push(
        &self,
        partition: Partition,
        records: Vec<NewRecord>,
    ) -> Result<Awaited<i64>, AppendError> {
        let bytes = block::records_bytes(&records);
        if bytes > self.group_bytes_max {
            return Err(AppendError::Overloaded(
                "an append is larger than a group may be",
            ));
        }
        let lane = Lane::of(&records);
        let mut state = self.open()?;
        let fits = state.bytes + bytes <= lane.share_of(self.bytes_max)
            && state.records + records.len() <= lane.share_of(self.records_max);
        if !fits {
            return Err(AppendError::Overloaded("the log's queue is full"));
        }
        let (answer, awaited) = oneshot::channel();
        let was_idle = state.is_idle();
        state.bytes += bytes;
        state.records += records.len();
        state.appends.push_back(Append {
            partition,
            records,
            answer,
            bytes,
        });
        drop(state);
        self.wake_from(was_idle);
        Ok(awaited)
    }

    /// Records and bytes that wait.
    pub fn waiting(&self) -> (usize, usize) {
        let state = self.lock();
        (state.records, state.bytes)
    }

    /// How much of the queue so much takes, of its records or its bytes, whichever is more.
    pub fn percent(&self, records: usize, bytes: usize) -> u64 {
        let of = |taken: usize, max: usize| (taken * 100 / max.max(1)) as u64;
        of(records, self.records_max).max(of(bytes, self.bytes_max))
    }

    /// Asks for a trim.
    pub fn trim(&self, partition: Partition, offset: i64) -> Result<Awaited<()>, AppendError> {
        let mut state = self.open()?;
        if state.trims.len() >= TRIMS_MAX {
            return Err(AppendError::Overloaded("too many trims wait"));
        }
        let (answer, awaited) = oneshot::channel();
        let was_idle = state.is_idle();
        state.trims.push(Trim {
            partition,
            offset,
            answer,
        });
        drop(state);
        self.wake_from(was_idle);
        Ok(awaited)
    }

    /// Takes no more and ends the writer once nothing waits. The first call decides how.
    pub fn stop(&self, stop: Stop) {
        let mut state = self.lock();
        state.refusal.get_or_insert("the log is closed");
        state.stop.get_or_insert(stop);
        self.filled.notify_one();
    }

    /// Why it takes no more; nothing while it does.
    pub fn refusal(&self) -> Option<&'static str> {
        self.lock().refusal
    }

    /// Takes no more, and refuses all that waits.
    pub fn refuse(&self, why: &'static str) {
        let mut state = self.lock();
        state.refusal.get_or_insert(why);
        let appends = std::mem::take(&mut state.appends);
        let trims = std::mem::take(&mut state.trims);
        (state.bytes, state.records) = (0, 0);
        drop(state);
        self.refused.increment(appends.len() as u64);
        // Whoever does not wait any more need not be told.
        for append in appends {
            let _ = append.answer.send(Err(AppendError::Overloaded(why)));
        }
        for trim in trims {
            let _ = trim.answer.send(Err(AppendError::Overloaded(why)));
        }
    }

    /// Waits for something to do. A group that is not full yet lingers for others to join it.
    pub fn take(&self) -> Turn {
        let mut state = self
            .filled
            .wait_while(self.lock(), |state| state.is_idle())
            .expect(NOBODY_PANICS);
        let may_grow = state.bytes < self.group_bytes_max && state.stop.is_none();
        if may_grow && !state.appends.is_empty() {
            drop(state);
            std::thread::sleep(self.linger);
            state = self.lock();
        }
        let appends = state.group(self.group_bytes_max);
        let stop = state.stop.filter(|_| state.appends.is_empty());
        Turn {
            appends,
            trims: std::mem::take(&mut state.trims),
            stop,
        }
    }

    /// Wakes the writer, which waits only while nothing is there: who comes later need not call the
    /// system.
    fn wake_from(&self, was_idle: bool) {
        if was_idle {
            self.filled.notify_one();
        }
    }

    fn open(&self) -> Result<MutexGuard<'_, State>, AppendError> {
        let state = self.lock();
        match state.refusal {
            Some(why) => Err(AppendError::Overloaded(why)),
            None => Ok(state),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(NOBODY_PANICS)
    }
}

const NOBODY_PANICS: &str = "nobody panics while holding the queue";

impl State {
    fn is_idle(&self) -> bool {
        self.appends.is_empty() && self.trims.is_empty() && self.stop.is_none()
    }

    fn group(&mut self, bytes_max: usize) -> Vec<Append> {
        let mut group = Vec::new();
        let mut bytes = 0;
        while let Some(append) = self
            .appends
            .pop_front_if(|next| bytes + next.bytes <= bytes_max)
        {
            bytes += append.bytes;
            self.bytes -= append.bytes;
            self.records -= append.records.len();
            group.push(append);
        }
        group
    }
}

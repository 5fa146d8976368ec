//! Likes: summed for a moment, so that many viewers' likes become one event a room and flush.
//!
//! A like is answered only after the log acknowledged the event that holds it. A batch is a task of
//! its own, begun by its room's first like and ended by its answers, so an idle room costs nothing.
//! A batch closes early when one more like would not fit into an event. A like that fails is not
//! retried here: its sender is told, and whoever sends it again may count twice.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use danmu_log::LogWriter;
use danmu_schemas::event::{Body, Likes as LikesEvent};
use danmu_schemas::{EventId, Role, RoomEvent, RoomId};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use crate::admission::COUNT_MAX;
use crate::append::{Appender, NotAppended};

/// How many likes one request may hold.
pub const REQUEST_COUNTS: RangeInclusive<u32> = 1..=100;
/// How long likes may be summed.
pub const FLUSH_AFTER: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_millis(500);
/// The most rooms with likes that wait; beyond it, likes are refused as overloaded.
const ROOMS_MAX: usize = 16_384;
/// The most batches that the log has not answered yet.
const BATCHES_MAX: usize = 32_768;

/// How to sum likes.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a room's likes are summed; brought within [`FLUSH_AFTER`].
    pub flush_after: Duration,
    /// This process's name in its events, 1–64 bytes.
    pub source: String,
    /// The clock, milliseconds since 1970 UTC.
    pub now_ms: fn() -> i64,
    /// Gives each event its id.
    pub new_id: fn() -> EventId,
}

/// Sums likes by room. Clones share the sums.
#[derive(Debug, Clone)]
pub struct Likes<W> {
    shared: Arc<Shared<W>>,
}

#[derive(Debug)]
struct Shared<W> {
    appender: Appender<W>,
    options: Options,
    open: Mutex<HashMap<RoomId, Batch>>,
    batches: TaskTracker,
}

/// Likes that wait for one event. Each waiter brought at least one, so that an event's largest count
/// bounds the waiters too.
#[derive(Debug)]
struct Batch {
    /// Tells a batch from the one that came after it.
    id: EventId,
    count: u32,
    waiters: Vec<oneshot::Sender<Result<(), NotAppended>>>,
}

impl<W: LogWriter + 'static> Likes<W> {
    /// Nothing summed yet.
    pub fn new(appender: Appender<W>, options: Options) -> Self {
        let open = Mutex::new(HashMap::new());
        let batches = TaskTracker::new();
        Self {
            shared: Arc::new(Shared {
                appender,
                options,
                open,
                batches,
            }),
        }
    }

    /// Adds `count` of [`REQUEST_COUNTS`] to the room's likes; `Ok` once the event that holds them is
    /// durable. Dropping the answer takes nothing back.
    pub async fn add(&self, room: &RoomId, count: u32) -> Result<(), NotAppended> {
        let answer = self.join(room, count)?;
        answer.await.unwrap_or(Err(NotAppended::Unknown))
    }

    /// Ends when every batch has been answered. No likes are taken from now on.
    pub async fn close(&self) {
        self.shared.batches.close();
        self.shared.batches.wait().await;
    }

    fn join(
        &self,
        room: &RoomId,
        count: u32,
    ) -> Result<oneshot::Receiver<Result<(), NotAppended>>, NotAppended> {
        let shared = &self.shared;
        let (answer, waiter) = oneshot::channel();
        let mut open = shared.open();
        if shared.batches.is_closed() {
            return Err(NotAppended::Overloaded);
        }
        if let Some(batch) = open.get_mut(room)
            && batch.count + count <= COUNT_MAX
        {
            batch.count += count;
            batch.waiters.push(answer);
            return Ok(waiter);
        }
        if open.len() >= ROOMS_MAX || shared.batches.len() >= BATCHES_MAX {
            return Err(NotAppended::Overloaded);
        }
        let batch = Batch {
            id: (shared.options.new_id)(),
            count,
            waiters: vec![answer],
        };
        let id = batch.id;
        if let Some(full) = open.insert(room.clone(), batch) {
            let (shared, room) = (Arc::clone(shared), room.clone());
            self.shared
                .batches
                .spawn(async move { shared.flush(&room, full).await });
        }
        let (shared, room) = (Arc::clone(shared), room.clone());
        self.shared.batches.spawn(async move {
            tokio::time::sleep(shared.flush_after()).await;
            if let Some(batch) = shared.take(&room, id) {
                shared.flush(&room, batch).await;
            }
        });
        Ok(waiter)
    }
}

impl<W: LogWriter> Shared<W> {
    fn flush_after(&self) -> Duration {
        let (least, most) = FLUSH_AFTER.into_inner();
        self.options.flush_after.clamp(least, most)
    }

    fn open(&self) -> MutexGuard<'_, HashMap<RoomId, Batch>> {
        // A panic cannot leave a batch half changed.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The room's batch, unless it was full and another took its place.
    fn take(&self, room: &RoomId, id: EventId) -> Option<Batch> {
        let mut open = self.open();
        open.get(room)
            .is_some_and(|batch| batch.id == id)
            .then(|| open.remove(room))
            .flatten()
    }

    async fn flush(&self, room: &RoomId, batch: Batch) {
        let event = RoomEvent {
            id: batch.id,
            room: room.as_str().into(),
            accepted_at: (self.options.now_ms)(),
            recorded_at: None,
            user: None,
            role: Role::Viewer,
            device: None,
            body: Body::Likes(LikesEvent {
                count: batch.count,
                source: self.options.source.as_str().into(),
            }),
        };
        // A sum of many requests goes on with the trace of none.
        let outcome = self.appender.append(room, &[event], None).await;
        for waiter in batch.waiters {
            // Who went away needs no answer.
            let _ = waiter.send(outcome);
        }
    }
}

#[cfg(test)]
mod tests;

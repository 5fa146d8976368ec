//! The room feed: every room that viewers of this process watch, read once for all of them.
//!
//! A room's first reader begins to follow it; everybody else shares what is held: rendered events,
//! ready pages, verdicts. Polls, long polls, streams and sockets are ways of reading it by cursor. In
//! the steady state no request makes a call of its own to the windows or the history. Rooms and the
//! bytes of each are bounded, and a room that nobody reads is let go.

mod content;
mod follow;
mod rendered;
mod room;
mod verdicts;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;

use danmu_projections::WindowRead;
use danmu_schemas::chunk::Unpacker;
use danmu_schemas::{RoomId, Slot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::answer::Refused;
use crate::pace::Level;
pub(crate) use content::Content;
#[cfg(test)]
pub(crate) use content::tests::holds;
pub(crate) use room::{Reply, RoomFeed};

/// How many maps the rooms are spread over, so that readers do not wait for one another.
const SHARDS: usize = 64;
/// How long the first readers of a room wait for the windows.
const FIRST_READ_WITHIN: Duration = Duration::from_secs(5);

/// How much is watched.
#[derive(Debug, Clone, Copy)]
pub struct FeedLimits {
    /// Rooms at once; beyond, readers of another are told to come back.
    pub rooms_max: usize,
    /// Bytes of rendered events of a room; older ones are the history's.
    pub room_bytes_max: usize,
    /// A room that nobody has read for so long is let go.
    pub idle_after: Duration,
}

impl Default for FeedLimits {
    fn default() -> Self {
        Self {
            rooms_max: 16_384,
            room_bytes_max: 4 * 1_024 * 1_024,
            idle_after: Duration::from_secs(30),
        }
    }
}

/// The watched rooms. Clones share them.
pub(crate) struct Feeds<W> {
    shared: Arc<Shared<W>>,
}

struct Shared<W> {
    windows: W,
    limits: FeedLimits,
    shards: Vec<Shard>,
    watched: AtomicUsize,
    level: AtomicU8,
    /// Those that nobody has at the moment.
    unpackers: Mutex<Vec<Unpacker>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

type Shard = RwLock<HashMap<RoomId, Arc<RoomFeed>>>;

impl<W> Clone for Feeds<W> {
    fn clone(&self) -> Self {
        let shared = Arc::clone(&self.shared);
        Self { shared }
    }
}

impl<W: WindowRead> Feeds<W> {
    /// Nobody watches yet. After `stop` no room is begun to be followed and nobody waits.
    pub(crate) fn new(windows: W, limits: FeedLimits, stop: CancellationToken) -> Self {
        Self {
            shared: Arc::new(Shared {
                windows,
                limits,
                shards: (0..SHARDS).map(|_| Shard::default()).collect(),
                watched: AtomicUsize::new(0),
                level: AtomicU8::new(Level::Rest as u8),
                unpackers: Mutex::default(),
                tasks: TaskTracker::new(),
                stop,
            }),
        }
    }

    /// Where the rooms are read.
    pub(crate) fn windows(&self) -> &W {
        &self.shared.windows
    }

    pub(crate) fn limits(&self) -> FeedLimits {
        self.shared.limits
    }

    /// The level at which rooms are served.
    pub(crate) fn level(&self) -> Level {
        Level::ALL[usize::from(self.shared.level.load(Ordering::Relaxed))]
    }

    pub(crate) fn set_level(&self, level: Level) {
        self.shared.level.store(level as u8, Ordering::Relaxed);
    }

    /// Lends what unpacks chunks. One holds tens of KB, so there are as many as are used at once and not
    /// one for each room.
    fn with_unpacker<T>(&self, unpack: impl FnOnce(&mut Unpacker) -> T) -> T {
        let mut unpacker = self.unpackers().pop().unwrap_or_default();
        let unpacked = unpack(&mut unpacker);
        self.unpackers().push(unpacker);
        unpacked
    }

    fn unpackers(&self) -> MutexGuard<'_, Vec<Unpacker>> {
        let unpackers = self.shared.unpackers.lock();
        unpackers.unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends when the process stops.
    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.shared.stop
    }

    /// What runs for readers.
    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.shared.tasks
    }

    /// Waits until nothing is followed any more, and nothing else runs for readers, which is after the
    /// stop.
    pub(crate) async fn closed(&self) {
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    /// Looks at a room that is already watched.
    pub(crate) fn peek<T>(&self, room: &str, look: impl FnOnce(&RoomFeed) -> T) -> Option<T> {
        let shard = self.shard(room);
        let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
        shard.get(room).map(|feed| look(feed))
    }

    /// The room's feed, which this may begin; the windows have been read, or did not answer in time.
    pub(crate) async fn open(&self, room: &RoomId) -> Result<Arc<RoomFeed>, Refused> {
        let shard = self.shard(room.as_str());
        let known = {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            shard.get(room).map(Arc::clone)
        };
        let feed = match known {
            Some(feed) => feed,
            None => self.begin(room)?,
        };
        feed.wait_until_read(FIRST_READ_WITHIN).await;
        Ok(feed)
    }

    /// Many may want to begin at once: the first one does.
    fn begin(&self, room: &RoomId) -> Result<Arc<RoomFeed>, Refused> {
        let shared = &self.shared;
        let mut shard = self.locked(room.as_str());
        if let Some(feed) = shard.get(room) {
            return Ok(Arc::clone(feed));
        }
        let is_full = shared.watched.load(Ordering::Relaxed) >= shared.limits.rooms_max;
        if is_full || shared.stop.is_cancelled() {
            return Err(Refused::overloaded());
        }
        shared.watched.fetch_add(1, Ordering::Relaxed);
        let feed = Arc::new(RoomFeed::new(room.clone()));
        shard.insert(room.clone(), Arc::clone(&feed));
        let (feeds, stop) = (self.clone(), shared.stop.clone());
        let followed = Arc::clone(&feed);
        shared.tasks.spawn(async move {
            stop.run_until_cancelled(follow::follow(feeds, followed))
                .await;
        });
        Ok(feed)
    }

    /// Lets the room go, unless somebody came meanwhile; whether it did.
    fn let_go(&self, feed: &RoomFeed) -> bool {
        let mut shard = self.locked(feed.room.as_str());
        if !feed.is_quiet() {
            return false;
        }
        self.remove_from(&mut shard, feed);
        true
    }

    /// Lets the room go.
    fn remove(&self, feed: &RoomFeed) {
        self.remove_from(&mut self.locked(feed.room.as_str()), feed);
    }

    /// Whoever still holds the feed finds that it has ended, and begins another.
    fn remove_from(&self, shard: &mut HashMap<RoomId, Arc<RoomFeed>>, feed: &RoomFeed) {
        shard.remove(&feed.room);
        self.shared.watched.fetch_sub(1, Ordering::Relaxed);
        feed.replace(room::Held::LetGo);
    }

    fn locked(&self, room: &str) -> RwLockWriteGuard<'_, HashMap<RoomId, Arc<RoomFeed>>> {
        let shard = self.shard(room).write();
        shard.unwrap_or_else(PoisonError::into_inner)
    }

    fn shard(&self, room: &str) -> &Shard {
        &self.shared.shards[usize::from(Slot::of(room).number()) % SHARDS]
    }
}

#[cfg(test)]
mod tests;

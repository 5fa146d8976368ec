//! What all readers of a simulation share: the server, the rooms, the tally, and the signals that cut
//! their connections, tell them the end and end their time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::link::Target;
use super::record::Record;
use super::tally::Tally;

/// All that readers share.
pub struct Audience {
    /// The server.
    pub target: Target,
    /// The rooms, by number.
    pub rooms: Vec<Room>,
    /// Has a permit for each reader that has connected once, or never will.
    pub joined: Semaphore,
    /// Changes when all connections are to be cut.
    pub resets: watch::Sender<u64>,
    /// Nothing is sent any more, and every room's head is known: who has read up to there is done.
    pub ending: CancellationToken,
    /// Who is not done by now is too late.
    pub over: CancellationToken,
    began: OnceLock<Instant>,
    tally: Mutex<Tally>,
}

/// A room.
pub struct Room {
    /// Its name.
    pub name: String,
    record: Mutex<Record>,
    head: AtomicU64,
}

impl Audience {
    /// Of these rooms of a server.
    pub fn new(target: Target, rooms: impl Iterator<Item = String>) -> Self {
        Self {
            target,
            rooms: rooms.map(Room::new).collect(),
            joined: Semaphore::new(0),
            resets: watch::Sender::new(0),
            ending: CancellationToken::new(),
            over: CancellationToken::new(),
            began: OnceLock::new(),
            tally: Mutex::default(),
        }
    }

    /// Everything that is to be sent is due from now on.
    pub fn begin(&self) {
        self.began.get_or_init(Instant::now);
    }

    /// How long ago that was.
    pub fn elapsed(&self) -> Duration {
        self.began.get().map_or(Duration::ZERO, Instant::elapsed)
    }

    /// What is measured.
    pub fn tally(&self) -> MutexGuard<'_, Tally> {
        // A panic of one reader is told; the counts of the others stay good.
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    fn new(name: String) -> Self {
        Self {
            record: Mutex::new(Record::new(&name)),
            name,
            head: AtomicU64::new(0),
        }
    }

    /// What is known of it.
    pub fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its last seq, once nothing more comes.
    pub fn head(&self) -> u64 {
        self.head.load(Ordering::Acquire)
    }

    /// Nothing comes after this seq.
    pub fn ends_at(&self, head: u64) {
        self.head.store(head, Ordering::Release);
    }
}

//! One watched room: what is held of it, and who waits for more.
//!
//! Readers look under a lock that is held for as long as a page takes to copy; the one follower
//! ([`super::follow`]) writes. Nothing here waits for a store.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use bytes::Bytes;
use danmu_schemas::chunk::Unpacker;
use danmu_schemas::problem::{Problem, ProblemType};
use danmu_schemas::{EventId, Position, RoomId};
use tokio::sync::watch;

use super::content::{Content, Found, News};
use crate::answer::Refused;
use crate::older::Older;
use crate::page::{Page, Question};

/// A room and everything that its readers share.
#[derive(Debug)]
pub(crate) struct RoomFeed {
    pub(crate) room: RoomId,
    held: RwLock<Held>,
    /// Counts changes of what is held; 0 until it is known whether there is anything.
    version: watch::Sender<u64>,
    /// Whether anybody read since the follower asked last.
    is_read: AtomicBool,
}

/// What is held.
#[derive(Debug)]
pub(super) enum Held {
    /// Nothing yet: the windows were not read, or do not know the room's slot.
    Nothing,
    /// What is stored cannot be read.
    Damaged,
    /// The room.
    Room(Box<Content>),
    /// This feed has ended: another one may be begun.
    LetGo,
}

/// What becomes of a question.
pub(crate) enum Reply {
    /// An answer.
    Page(Page),
    /// It begins before what is held.
    Older(Box<Older>),
    /// This feed has ended.
    LetGo,
}

/// What is known of some events.
pub(crate) struct KnownVerdicts {
    /// The answer.
    pub(crate) body: Bytes,
    /// Whether there is none of which nothing is known.
    pub(crate) is_complete: bool,
}

impl RoomFeed {
    pub(super) fn new(room: RoomId) -> Self {
        Self {
            room,
            held: RwLock::new(Held::Nothing),
            version: watch::Sender::new(0),
            is_read: AtomicBool::new(true),
        }
    }

    /// Hears of changes: subscribe, look, wait.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Waits until the windows have answered, at most so long.
    pub(super) async fn wait_until_read(&self, within: Duration) {
        if *self.version.borrow() > 0 {
            return;
        }
        let mut version = self.subscribe();
        let read = version.wait_for(|version| *version > 0);
        // What is held then says what is known, in time or not.
        let _ = tokio::time::timeout(within, read).await;
    }

    /// The answer, if it was given before and nothing has changed: one look, one count.
    pub(crate) fn ready(&self, question: &Question) -> Option<Page> {
        self.mark_read();
        match &*self.read() {
            Held::Room(content) => content.ready(question).cloned(),
            _ => None,
        }
    }

    /// The answer, as far as what is held can give it.
    pub(crate) fn ask(&self, question: &Question) -> Result<Reply, Refused> {
        if let Some(page) = self.ready(question) {
            return Ok(Reply::Page(page));
        }
        match &mut *self.write() {
            Held::Room(content) => Ok(match content.find(&self.room, question)? {
                Found::Page(page) => Reply::Page(page),
                Found::Older(span) => Reply::Older(Box::new(Older::of(
                    content,
                    self.room.clone(),
                    *question,
                    span,
                ))),
            }),
            Held::LetGo => Ok(Reply::LetGo),
            other => Err(other.refusal()),
        }
    }

    /// What is known of these events; `None` where this feed has ended.
    pub(crate) fn verdicts(&self, ids: &[EventId]) -> Result<Option<KnownVerdicts>, Refused> {
        self.look(|content| {
            let mut out = b"{\"verdicts\":".to_vec();
            for (n, id) in ids.iter().enumerate() {
                out.push(if n == 0 { b'[' } else { b',' });
                content.verdicts.write(*id, &mut out);
            }
            out.extend_from_slice(b"]}");
            KnownVerdicts {
                body: out.into(),
                is_complete: ids.iter().all(|id| content.verdicts.knows(*id)),
            }
        })
    }

    /// Reads what is held, with the number of changes so far; `None` where this feed has ended.
    pub(crate) fn look<T>(&self, read: impl FnOnce(&Content) -> T) -> Result<Option<T>, Refused> {
        self.mark_read();
        match &*self.read() {
            Held::Room(content) => Ok(Some(read(content))),
            Held::LetGo => Ok(None),
            other => Err(other.refusal()),
        }
    }

    /// Keeps an overview that was made while `totals` were the room's.
    pub(crate) fn keep_overview(&self, version: u64, overview: Bytes) {
        if let Held::Room(content) = &mut *self.write()
            && *self.version.borrow() == version
        {
            content.overview = Some(overview);
        }
    }

    /// How often what is held has changed.
    pub(crate) fn version(&self) -> u64 {
        *self.version.borrow()
    }

    pub(super) fn read_to(&self) -> Position {
        match &*self.read() {
            Held::Room(content) => content.read_to(),
            _ => Position::BEGIN,
        }
    }

    /// Takes in what the windows say of the room, `None` for a room that its slot does not have; how
    /// many events it brought.
    pub(super) fn take(
        &self,
        news: Option<News>,
        unpacker: &mut Unpacker,
        bytes_max: usize,
    ) -> Result<u64, Refused> {
        let mut held = self.write();
        if !matches!(&*held, Held::Room(_)) {
            *held = Held::Room(Box::new(Content::empty(bytes_max)));
        }
        let events = match (&mut *held, news) {
            (Held::Room(content), Some(news)) => content.take(news, unpacker)?,
            _ => 0,
        };
        self.changed(held);
        Ok(events)
    }

    /// Tells those who wait that the windows do not know the room's slot; what is held stays.
    pub(super) fn is_unknown(&self) {
        self.changed(self.write());
    }

    pub(super) fn replace(&self, by: Held) {
        let mut held = self.write();
        *held = by;
        self.changed(held);
    }

    /// Whether nobody read since the last call, and nobody waits.
    pub(super) fn is_quiet(&self) -> bool {
        !self.is_read.swap(false, Ordering::Relaxed) && self.version.receiver_count() == 0
    }

    /// The version changes while the lock is held, so that whoever sees the one sees the other.
    fn changed(&self, held: RwLockWriteGuard<'_, Held>) {
        self.version.send_modify(|version| *version += 1);
        drop(held);
    }

    fn mark_read(&self) {
        if !self.is_read.load(Ordering::Relaxed) {
            self.is_read.store(true, Ordering::Relaxed);
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Held> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Why there is no room to look at.
    fn refusal(&self) -> Refused {
        match self {
            Self::Damaged => Problem::new(ProblemType::Internal).into(),
            Self::Nothing | Self::Room(_) | Self::LetGo => Refused::history_behind(),
        }
    }
}

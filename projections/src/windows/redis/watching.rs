//! Hearing of changes: one connection for messages, and a comparison now and then.
//!
//! Each change is told on its slot's channel, with the position by which the versions of its rooms are
//! known. A message may be lost, with the connection or without: so after every connecting, and every
//! [`super::RedisOptions::compare_every`], the versions of all watched rooms are read, with one call a slot,
//! and told again. A slot is subscribed to before its watch is handed out, so a reader that looks afterwards
//! misses nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use danmu_schemas::{RoomId, Slot};
use futures_util::{Stream, StreamExt, stream};
use redis::aio::PubSubSink;
use redis::{Msg, RedisResult};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::task::AbortOnDropHandle;

use super::link::Link;
use super::{calls, layout, replies};
use crate::projection::StoreError;
use crate::windows::store::RoomWatch;
use crate::windows::watches::Watches;

/// How many watches may wait for their slot's subscription.
const ASKED_MAX: usize = 1_024;
/// How many slots are compared at once.
const COMPARED_AT_ONCE: usize = 32;
/// How long after a lost connection the next one is tried.
const RECONNECT_AFTER: Duration = Duration::from_millis(200);

/// Hears of a room of [`super::RedisWindows`].
#[derive(Debug)]
pub struct RedisWatch {
    told: watch::Receiver<u64>,
}

/// What is watched, and the task that hears of it, which ends with this.
pub(super) struct Watching {
    watched: Arc<Watched>,
    asks: mpsc::Sender<Ask>,
    _task: AbortOnDropHandle<()>,
}

/// A slot to subscribe to, answered once that is done.
struct Ask {
    slot: Slot,
    done: oneshot::Sender<()>,
}

#[derive(Default)]
struct Watched {
    slots: Mutex<BTreeMap<Slot, Watches>>,
}

impl Watching {
    pub(super) fn over(link: Arc<Link>) -> Self {
        let watched: Arc<Watched> = Arc::default();
        let (asks, asked) = mpsc::channel(ASKED_MAX);
        let listener = Listener {
            link,
            watched: watched.clone(),
            asked,
            subscribed: BTreeSet::new(),
        };
        Self {
            watched,
            asks,
            _task: AbortOnDropHandle::new(tokio::spawn(listener.run())),
        }
    }

    pub(super) async fn begin(&self, room: &RoomId) -> Result<RedisWatch, StoreError> {
        let slot = room.slot();
        let told = self.watched.slots().entry(slot).or_default().begin(room, 0);
        let (done, is_done) = oneshot::channel();
        // Either fails only where the listener let the ask go, for want of a connection.
        let _ = self.asks.send(Ask { slot, done }).await;
        let subscribed = is_done.await;
        subscribed.map_err(|gone| StoreError::Unavailable {
            what: "subscribing to a slot",
            source: Box::new(gone),
        })?;
        Ok(RedisWatch { told })
    }
}

impl RoomWatch for RedisWatch {
    /// Each telling wakes once: one that is older than what was read does not wake again and again.
    async fn changed(&mut self, seen: u64) -> Result<(), StoreError> {
        loop {
            let told = self.told.changed().await;
            told.map_err(|gone| StoreError::Unavailable {
                what: "watching a room",
                source: Box::new(gone),
            })?;
            if *self.told.borrow_and_update() != seen {
                return Ok(());
            }
        }
    }
}

impl Watched {
    fn slots(&self) -> MutexGuard<'_, BTreeMap<Slot, Watches>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, slot: Slot, room: &RoomId, version: u64) {
        if let Some(watches) = self.slots().get(&slot) {
            watches.tell(room, version);
        }
    }

    /// The watched rooms by slot, without those that nobody watches any more.
    fn rooms(&self) -> Vec<(Slot, Vec<RoomId>)> {
        let mut slots = self.slots();
        slots.retain(|_, watches| !watches.forget());
        let rooms = |watches: &Watches| watches.rooms().cloned().collect();
        slots
            .iter()
            .map(|(slot, watches)| (*slot, rooms(watches)))
            .collect()
    }
}

/// What hears.
struct Listener {
    link: Arc<Link>,
    watched: Arc<Watched>,
    asked: mpsc::Receiver<Ask>,
    subscribed: BTreeSet<Slot>,
}

impl Listener {
    async fn run(mut self) {
        let mut is_told = false;
        loop {
            match self.link.subscriber().await {
                Ok(connection) => {
                    is_told = false;
                    let (sink, messages) = connection.split();
                    let lost = self.follow(sink, pin!(messages)).await;
                    tracing::warn!(?lost, "the connection that tells of changes was lost");
                }
                Err(error) if !is_told => {
                    is_told = true;
                    tracing::warn!(%error, "nobody tells of changes: redis is not reachable");
                }
                Err(_) => {}
            }
            self.subscribed.clear();
            self.let_wait().await;
        }
    }

    /// Waits a while; whoever asks meanwhile is let go.
    async fn let_wait(&mut self) {
        let mut wait = pin!(sleep(RECONNECT_AFTER));
        loop {
            tokio::select! {
                () = &mut wait => return,
                Some(ask) = self.asked.recv() => drop(ask),
            }
        }
    }

    /// Until the connection is lost.
    async fn follow(
        &mut self,
        mut sink: PubSubSink,
        mut messages: impl Stream<Item = Msg> + Unpin,
    ) -> RedisResult<()> {
        let mut compare = interval(self.link.options().compare_every);
        compare.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = messages.next() => match message {
                    Some(message) => self.hear(&message).await,
                    None => return Ok(()),
                },
                Some(ask) = self.asked.recv() => {
                    self.subscribe(&mut sink, ask.slot).await?;
                    let _ = ask.done.send(());
                }
                _ = compare.tick() => self.compare_all(&mut sink).await?,
            }
        }
    }

    async fn subscribe(&mut self, sink: &mut PubSubSink, slot: Slot) -> RedisResult<()> {
        if !self.subscribed.contains(&slot) {
            sink.subscribe(self.base(slot)).await?;
            self.subscribed.insert(slot);
        }
        Ok(())
    }

    /// Subscribes to exactly what is watched, then reads the versions of all of it.
    async fn compare_all(&mut self, sink: &mut PubSubSink) -> RedisResult<()> {
        let watched = self.watched.rooms();
        let slots: BTreeSet<Slot> = watched.iter().map(|(slot, _)| *slot).collect();
        for left in self.subscribed.clone().difference(&slots) {
            sink.unsubscribe(self.base(*left)).await?;
            self.subscribed.remove(left);
        }
        for slot in slots {
            self.subscribe(sink, slot).await?;
        }
        let this = &*self;
        stream::iter(watched)
            .for_each_concurrent(COMPARED_AT_ONCE, |(slot, rooms)| this.compare(slot, rooms))
            .await;
        Ok(())
    }

    /// Tells the versions that rooms have now. Where that fails, the next comparison will do.
    async fn compare(&self, slot: Slot, rooms: Vec<RoomId>) {
        let mut call = calls::reading("versions", &self.base(slot));
        for room in &rooms {
            call.arg(room.as_str());
        }
        match self.link.call("comparing versions", &call).await {
            Ok(reply) => match replies::versions(reply, rooms.len()) {
                Ok(versions) => {
                    for (room, version) in rooms.iter().zip(versions) {
                        self.watched.tell(slot, room, version);
                    }
                }
                Err(error) => tracing::warn!(%slot, %error, "versions cannot be compared"),
            },
            Err(error) => tracing::debug!(%slot, %error, "versions cannot be compared now"),
        }
    }

    /// What an append tells is taken as it is; anything else is looked up.
    async fn hear(&self, message: &Msg) {
        let prefix = &self.link.options().prefix;
        let Some(slot) = layout::slot_of(prefix, message.get_channel_name()) else {
            return;
        };
        let text = String::from_utf8_lossy(message.get_payload_bytes());
        let mut words = text.split(' ');
        match (words.next(), words.next()) {
            (Some(fill), Some(changed_at)) => {
                let version = layout::version(fill, changed_at);
                for room in words.filter_map(|name| RoomId::parse(name).ok()) {
                    self.watched.tell(slot, &room, version);
                }
            }
            _ => {
                let rooms = match self.watched.slots().get(&slot) {
                    Some(watches) => watches.rooms().cloned().collect(),
                    None => return,
                };
                self.compare(slot, rooms).await;
            }
        }
    }

    fn base(&self, slot: Slot) -> String {
        layout::base(&self.link.options().prefix, slot)
    }
}

//! The windows in Redis, shared by every process of a deployment.
//!
//! Each call is one function of the library in `redis/windows.lua`, and so one moment: there is what makes
//! an append fenced and what a slot's keys are. Here is what goes to it and comes from it
//! (`calls`, `replies`, `layout`), over which connection (`link`, `connection`), and how a process hears of changes
//! (`watching`). A slot that Redis has lost, in part or whole, or that went back, has another position
//! than its processor expects, or none: the projection rule does the rest. What is tried may have
//! happened although it failed; nothing is tried again here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use danmu_schemas::{LogIdentity, Position, RoomId, Slot};
use futures_util::{StreamExt, TryStreamExt, stream};
use redis::{ErrorKind, RedisError, ServerErrorKind};
use secrecy::SecretString;

use super::memory::WindowLimits;
use super::store::{RefillToken, RoomCopy, RoomWindow, WindowRead, WindowStep, WindowStore};
use crate::projection::{Appended, Loaded, StoreError, StoredState, outcomes};

mod address;
mod calls;
mod connection;
mod layout;
mod library;
mod link;
mod replies;
mod watching;

pub use address::{AddressError, RedisAddress, Topology};
use calls::Trimming;
pub use library::LibraryRole;
use link::Link;
pub use watching::RedisWatch;
use watching::Watching;

/// How many slots are asked at once for their live rooms.
const ASKED_AT_ONCE: usize = 128;

/// Where Redis is, and how it is used.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// The server.
    pub address: RedisAddress,
    /// What it wants to hear from us.
    pub password: Option<SecretString>,
    /// With what every key begins: so that several deployments can share a server.
    pub prefix: String,
    /// How much of a room is kept.
    pub limits: WindowLimits,
    /// What is done about the functions.
    pub library: LibraryRole,
    /// How long connecting takes at most.
    pub connect_timeout: Duration,
    /// How long a call takes at most; then its outcome is unknown.
    pub response_timeout: Duration,
    /// The longest wait between two tries to connect again.
    pub reconnect_delay_max: Duration,
    /// How often the versions of watched rooms are compared, because a message may be lost.
    pub compare_every: Duration,
}

impl RedisOptions {
    /// A server without a password, with everything else as it usually is.
    pub fn at(address: RedisAddress) -> Self {
        Self {
            address,
            password: None,
            prefix: "danmu".to_owned(),
            limits: WindowLimits::default(),
            library: LibraryRole::Loads,
            connect_timeout: Duration::from_secs(3),
            response_timeout: Duration::from_secs(5),
            reconnect_delay_max: Duration::from_secs(2),
            compare_every: Duration::from_secs(2),
        }
    }
}

/// Why there are no windows in a Redis.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answers there, it still reads its files, or sentinels know no server: later it may.
    #[error("redis at {address} is not reachable: {source}")]
    Unreachable {
        /// Where.
        address: RedisAddress,
        /// The client's own error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It answers and refuses: the password, what we may do there, or its version (7 or newer).
    #[error("redis at {address} refuses us: {source}")]
    Refused {
        /// Where.
        address: RedisAddress,
        /// The client's own error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The functions are not there, and another process must load them.
    #[error(
        "redis at {address} does not have the library {} but {found}: start a role that loads it",
        library::NAME
    )]
    Library {
        /// Where.
        address: RedisAddress,
        /// What is there.
        found: &'static str,
    },
}

impl ConnectError {
    fn of(options: &RedisOptions, source: RedisError) -> Self {
        let address = options.address.clone();
        let is_unreachable = source.is_io_error()
            || matches!(
                source.kind(),
                ErrorKind::ClusterConnectionNotFound
                    | ErrorKind::MasterNameNotFoundBySentinel
                    | ErrorKind::Server(ServerErrorKind::BusyLoading)
            );
        let source = Box::new(source);
        match is_unreachable {
            true => Self::Unreachable { address, source },
            false => Self::Refused { address, source },
        }
    }
}

/// Windows in Redis. Clones share one connection for calls and one for messages.
#[derive(Clone)]
pub struct RedisWindows {
    shared: Arc<Shared>,
}

struct Shared {
    link: Arc<Link>,
    watching: Watching,
    /// Up to where the history has each slot, as the wiring tells this process.
    watermarks: Mutex<Vec<Option<Position>>>,
}

impl RedisWindows {
    /// Connects to a server and sees to its functions.
    pub async fn connect(options: RedisOptions) -> Result<Self, ConnectError> {
        let link = Arc::new(Link::connect(options).await?);
        let shared = Shared {
            watching: Watching::over(link.clone()),
            link,
            watermarks: Mutex::new(vec![None; usize::from(Slot::COUNT)]),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Says up to where the history has a slot complete, so that appends of this process may let older
    /// chunks leave.
    pub fn set_watermark(&self, slot: Slot, watermark: Position) {
        let mut watermarks = self.watermarks();
        let known = &mut watermarks[usize::from(slot.number())];
        *known = (*known).max(Some(watermark));
    }

    /// Loses a slot with all that is in it: its processor fills it again.
    pub async fn wipe(&self, slot: Slot) -> Result<(), StoreError> {
        let call = calls::writing("wipe", &self.base(slot));
        self.link().call("wiping a slot", &call).await.map(drop)
    }

    fn watermarks(&self) -> MutexGuard<'_, Vec<Option<Position>>> {
        let watermarks = self.shared.watermarks.lock();
        watermarks.unwrap_or_else(PoisonError::into_inner)
    }

    fn trimming(&self, slot: Slot) -> Trimming {
        Trimming {
            limits: self.link().options().limits,
            watermark: self.watermarks()[usize::from(slot.number())],
        }
    }

    fn link(&self) -> &Link {
        &self.shared.link
    }

    fn base(&self, slot: Slot) -> String {
        layout::base(&self.link().options().prefix, slot)
    }

    /// The names of a slot's live rooms after `after`, at most `limit`.
    async fn live_in(
        &self,
        slot: Slot,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<Vec<RoomId>, StoreError> {
        let mut call = calls::reading("live", &self.base(slot));
        call.arg(after.map_or("", RoomId::as_str)).arg(limit);
        let reply = self.link().call("listing live rooms", &call).await?;
        let names = replies::names(reply)?.into_iter();
        Ok(names.filter_map(|name| RoomId::parse(&name).ok()).collect())
    }
}

impl WindowStore for RedisWindows {
    async fn position(&self, slot: Slot) -> Result<Option<(Position, LogIdentity)>, StoreError> {
        let call = calls::writing("position", &self.base(slot));
        let reply = self.link().call("reading a position", &call).await?;
        Ok(replies::position(reply)?)
    }

    async fn load(&self, slot: Slot, rooms: &[RoomId]) -> Result<Loaded, StoreError> {
        let mut call = calls::writing("load", &self.base(slot));
        for room in rooms {
            call.arg(room.as_str());
        }
        let reply = self.link().call("loading rooms", &call).await?;
        Ok(replies::loaded(reply, rooms.len())?)
    }

    async fn append_all(&self, steps: Vec<WindowStep>) -> Vec<Result<Appended, StoreError>> {
        let mut known = Vec::with_capacity(steps.len());
        let mut calls = Vec::with_capacity(steps.len());
        for step in steps {
            let (base, trimming) = (self.base(step.slot), self.trimming(step.slot));
            known.push(match calls::append(&base, step, trimming) {
                Ok(call) => {
                    calls.push(call);
                    None
                }
                Err(error) => Some(Err(error)),
            });
        }
        let replies = self.link().call_all("appending to a slot", calls).await;
        let replies = replies.into_iter();
        let appended = replies.map(|reply| Ok(replies::appended(reply?)?));
        outcomes(known, appended.collect())
    }

    async fn begin(&self, slot: Slot, token: RefillToken) -> Result<bool, StoreError> {
        let call = calls::begin(&self.base(slot), token);
        let reply = self.link().call("beginning a refill", &call).await?;
        Ok(replies::is_done(reply)?)
    }

    async fn put(
        &self,
        slot: Slot,
        token: RefillToken,
        n: u64,
        copy: RoomCopy,
    ) -> Result<bool, StoreError> {
        let call = calls::put(&self.base(slot), (token, n), copy, self.trimming(slot))?;
        let reply = self.link().call("putting a room", &call).await?;
        Ok(replies::is_done(reply)?)
    }

    async fn end(
        &self,
        slot: Slot,
        token: RefillToken,
        n: u64,
        at: (Position, LogIdentity),
    ) -> Result<bool, StoreError> {
        let call = calls::end(&self.base(slot), (token, n), at);
        let reply = self.link().call("ending a refill", &call).await?;
        Ok(replies::is_done(reply)?)
    }
}

impl WindowRead for RedisWindows {
    type Watch = RedisWatch;

    async fn watch(&self, room: &RoomId) -> Result<RedisWatch, StoreError> {
        self.shared.watching.begin(room).await
    }

    async fn since(&self, room: &RoomId, after: Position) -> Result<RoomWindow, StoreError> {
        let mut call = calls::reading("since", &self.base(room.slot()));
        call.arg(room.as_str()).arg(after.epoch).arg(after.offset);
        let reply = self.link().call("reading a room", &call).await?;
        if replies::is_torn(&reply) {
            // Loading finds it too, and takes the slot's position away.
            self.load(room.slot(), std::slice::from_ref(room)).await?;
            return Ok(RoomWindow::default());
        }
        replies::window(reply)
    }

    /// Asks every slot, since an index over all of them could not change together with a slot: about a
    /// thousand small calls, so an answer should be kept for a while.
    async fn live(
        &self,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<Vec<(RoomId, Arc<StoredState>)>, StoreError> {
        let names: Vec<Vec<RoomId>> = stream::iter(Slot::all())
            .map(|slot| self.live_in(slot, after, limit))
            .buffer_unordered(ASKED_AT_ONCE)
            .try_collect()
            .await?;
        let mut names: Vec<RoomId> = names.into_iter().flatten().collect();
        names.sort_unstable();
        names.truncate(limit);
        let no_chunks = Position::new(u32::MAX, Position::OFFSET_MAX);
        let windows: Vec<(RoomId, RoomWindow)> = stream::iter(names)
            .map(|room| async move {
                let window = self.since(&room, no_chunks).await?;
                Ok::<_, StoreError>((room, window))
            })
            .buffered(ASKED_AT_ONCE)
            .try_collect()
            .await?;
        let shown = windows.into_iter();
        Ok(shown
            .filter_map(|(room, window)| Some((room, window.state?)))
            .collect())
    }
}

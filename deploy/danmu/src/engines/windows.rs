//! The windows behind their ports.

use std::sync::Arc;
#[cfg(feature = "cluster")]
use std::time::{Duration, Instant};

use danmu_projections::windows::memory::MemoryWatch;
#[cfg(feature = "cluster")]
use danmu_projections::windows::redis::{
    ConnectError, LibraryRole, RedisOptions, RedisWatch, RedisWindows,
};
use danmu_projections::windows::{RefillToken, RoomCopy, WindowLimits, WindowStep};
use danmu_projections::{
    Appended, Loaded, MemoryWindows, RoomWatch, RoomWindow, StoreError, StoredState, WindowRead,
    WindowStore,
};
use danmu_schemas::{LogIdentity, Position, RoomId, Slot};

use crate::config::WindowsUrl;

/// How long a process that only reads waits for another to load the functions.
#[cfg(feature = "cluster")]
const FUNCTIONS_WITHIN: Duration = Duration::from_secs(30);

/// How often it looks.
#[cfg(feature = "cluster")]
const FUNCTIONS_ASKED_EVERY: Duration = Duration::from_millis(500);

/// Windows that are open. Clones are the same.
#[derive(Clone)]
pub enum Windows {
    /// In this process's memory.
    Memory(MemoryWindows),
    /// In a Redis that processes share.
    #[cfg(feature = "cluster")]
    Redis(RedisWindows),
}

impl Windows {
    /// Opens them; those in memory begin empty. Who writes windows also sees to what the engine needs
    /// for it, who only reads them looks whether that was done.
    #[cfg_attr(not(feature = "cluster"), expect(unused_variables))]
    pub async fn open(url: &WindowsUrl, writes: bool) -> anyhow::Result<Self> {
        match url {
            WindowsUrl::Memory => Ok(Self::Memory(MemoryWindows::new(WindowLimits::default()))),
            #[cfg(feature = "cluster")]
            WindowsUrl::Redis { address, password } => {
                let options = RedisOptions {
                    password: password.clone(),
                    library: match writes {
                        true => LibraryRole::Loads,
                        false => LibraryRole::Checks,
                    },
                    ..RedisOptions::at(address.clone())
                };
                Ok(Self::Redis(connect(options).await?))
            }
        }
    }

    /// Loses a slot, which its processor then fills again.
    pub async fn wipe(&self, slot: Slot) -> Result<(), StoreError> {
        match self {
            Self::Memory(windows) => {
                windows.wipe(slot);
                Ok(())
            }
            #[cfg(feature = "cluster")]
            Self::Redis(windows) => windows.wipe(slot).await,
        }
    }

    /// Says up to where the history has a slot complete, so that older chunks may leave.
    pub fn set_watermark(&self, slot: Slot, watermark: Position) {
        match self {
            Self::Memory(windows) => windows.set_watermark(slot, watermark),
            #[cfg(feature = "cluster")]
            Self::Redis(windows) => windows.set_watermark(slot, watermark),
        }
    }
}

/// Connects; waits for the process that loads the functions where that is another.
#[cfg(feature = "cluster")]
async fn connect(options: RedisOptions) -> Result<RedisWindows, ConnectError> {
    let deadline = Instant::now() + FUNCTIONS_WITHIN;
    let mut is_told = false;
    loop {
        match RedisWindows::connect(options.clone()).await {
            Err(error @ ConnectError::Library { .. }) if Instant::now() < deadline => {
                if !is_told {
                    tracing::warn!(%error, within = ?FUNCTIONS_WITHIN, "waiting for it");
                    is_told = true;
                }
                tokio::time::sleep(FUNCTIONS_ASKED_EVERY).await;
            }
            connected => return connected,
        }
    }
}

impl WindowStore for Windows {
    async fn position(&self, slot: Slot) -> Result<Option<(Position, LogIdentity)>, StoreError> {
        match self {
            Self::Memory(windows) => windows.position(slot).await,
            #[cfg(feature = "cluster")]
            Self::Redis(windows) => windows.position(slot).await,
        }
    }

    async fn load(&self, slot: Slot, rooms: &[RoomId]) -> Result<Loaded, StoreError> {
        match self {
            Self::Memory(windows) => windows.load(slot, rooms).await,
            #[cfg(feature = "cluster")]
            Self::Redis(windows) => windows.load(slot, rooms).await,
        }
    }

    async fn append_all(&self, steps: Vec<WindowStep>) -> Vec<Result<Appended, StoreError>> {
        match self {
            Self::Memory(windows) => windows.append_all(steps).await,
            #[cfg(feature = "cluster")]
            Self::Redis(windows) => windows.append_all(steps).await,
        }
    }

    async fn begin(&self, slot: Slot, token: RefillToken) -> Result<bool, StoreError> {
        match self {
            Self::Memory(windows) => windows.begin(slot, token).await,
            #[cfg(feature = "cluster")]
            Self::Redis(windows) => windows.begin(slot, token).await,
        }
    }

    async fn put(
        &self,
        slot: Slot,
        token: RefillToken,
        n: u64,
        copy: RoomCopy,
    ) -> Result<bool, StoreError> {
        match self {
            Self::Memory(windows) => windows.put(slot, token, n, copy).await,
            #[cfg(feature = "cluster")]
            Self::Redis(windows) => windows.put(slot, token, n, copy).await,
        }
    }

    async fn end(
        &self,
        slot: Slot,
        token: RefillToken,
        n: u64,
        at: (Position, LogIdentity),
    ) -> Result<bool, StoreError> {
        match self {
            Self::Memory(windows) => windows.end(slot, token, n, at).await,
            #[cfg(feature = "cluster")]
            Self::Redis(windows) => windows.end(slot, token, n, at).await,
        }
    }
}

impl WindowRead for Windows {
    type Watch = Watch;

    async fn watch(&self, room: &RoomId) -> Result<Watch, StoreError> {
        match self {
            Self::Memory(windows) => Ok(Watch::Memory(windows.watch(room).await?)),
            #[cfg(feature = "cluster")]
            Self::Redis(windows) => Ok(Watch::Redis(windows.watch(room).await?)),
        }
    }

    async fn since(&self, room: &RoomId, after: Position) -> Result<RoomWindow, StoreError> {
        match self {
            Self::Memory(windows) => windows.since(room, after).await,
            #[cfg(feature = "cluster")]
            Self::Redis(windows) => windows.since(room, after).await,
        }
    }

    async fn live(
        &self,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<Vec<(RoomId, Arc<StoredState>)>, StoreError> {
        match self {
            Self::Memory(windows) => windows.live(after, limit).await,
            #[cfg(feature = "cluster")]
            Self::Redis(windows) => windows.live(after, limit).await,
        }
    }
}

/// Hears of one room's changes in [`Windows`].
pub enum Watch {
    /// In this process's memory.
    Memory(MemoryWatch),
    /// In Redis.
    #[cfg(feature = "cluster")]
    Redis(RedisWatch),
}

impl RoomWatch for Watch {
    async fn changed(&mut self, seen: u64) -> Result<(), StoreError> {
        match self {
            Self::Memory(watch) => watch.changed(seen).await,
            #[cfg(feature = "cluster")]
            Self::Redis(watch) => watch.changed(seen).await,
        }
    }
}

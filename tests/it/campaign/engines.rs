//! The engines of a world: the embedded ones, or real servers that stand on this machine.
//!
//! What is stored and how is the adapter's alone; here is only which one a plan asks for. On a server each
//! world has a place of its own, a prefix of keys or a keyspace that was empty.

use std::sync::{Arc, OnceLock};

use danmu_projections::EmbeddedHistory;
#[cfg(feature = "cluster")]
use danmu_projections::history::CqlHistory;
use danmu_projections::history::layout::{Key, KeyRange, Table};
use danmu_projections::history::store::{Durability, HistoryStore, Order, Purged, Row};
use danmu_projections::projection::{Appended, Loaded, StoreError, StoredState};
use danmu_projections::windows::memory::MemoryWatch;
#[cfg(feature = "cluster")]
use danmu_projections::windows::redis::{RedisWatch, RedisWindows};
use danmu_projections::windows::store::{
    RefillToken, RoomCopy, RoomWatch, RoomWindow, WindowRead, WindowStep, WindowStore,
};
use danmu_projections::windows::{MemoryWindows, WindowLimits};
use danmu_schemas::{LogIdentity, Position, RoomId, Slot};
use tempfile::TempDir;
use tokio::runtime::{self, Runtime};

#[cfg(feature = "cluster")]
use super::super::cql::keyspace::Keyspace;
use super::Plan;
#[cfg(feature = "cluster")]
use super::script::SLOTS;

/// What every world's windows keep at most: little, so that a world has windows that were trimmed.
const LIMITS: WindowLimits = WindowLimits {
    events_max: 6,
    bytes_max: usize::MAX,
    age_ms_max: i64::MAX,
    hard_bytes_max: usize::MAX,
};

/// Where the clients of servers do their work, and what a world waits on.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let built = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        built.unwrap()
    })
}

/// Calls the store, whichever it is.
macro_rules! each {
    ($any:expr, $store:ident => $call:expr) => {
        match $any {
            Self::Embedded($store) => $call,
            #[cfg(feature = "cluster")]
            Self::Server($store) => $call,
        }
    };
}

/// Windows of one world. Clones share them.
#[derive(Clone)]
pub enum AnyWindows {
    Embedded(MemoryWindows),
    #[cfg(feature = "cluster")]
    Server(RedisWindows),
}

impl AnyWindows {
    /// Windows without any slot, in a place where none were.
    pub async fn begin(plan: Plan) -> AnyWindows {
        #[cfg(feature = "cluster")]
        if plan.is_on_redis {
            return AnyWindows::Server(super::super::redis::anew(LIMITS).await);
        }
        assert!(!plan.is_on_redis, "these tests are built without servers");
        AnyWindows::Embedded(MemoryWindows::new(LIMITS))
    }

    /// Leaves nothing on a server.
    pub async fn end(&self) {
        #[cfg(feature = "cluster")]
        if let AnyWindows::Server(_) = self {
            for slot in *SLOTS {
                self.wipe(slot).await;
            }
        }
    }

    pub async fn wipe(&self, slot: Slot) {
        match self {
            Self::Embedded(windows) => windows.wipe(slot),
            #[cfg(feature = "cluster")]
            Self::Server(windows) => windows.wipe(slot).await.unwrap(),
        }
    }

    pub fn set_watermark(&self, slot: Slot, watermark: Position) {
        each!(self, windows => windows.set_watermark(slot, watermark));
    }
}

impl WindowStore for AnyWindows {
    async fn position(&self, slot: Slot) -> Result<Option<(Position, LogIdentity)>, StoreError> {
        each!(self, windows => windows.position(slot).await)
    }

    async fn load(&self, slot: Slot, rooms: &[RoomId]) -> Result<Loaded, StoreError> {
        each!(self, windows => windows.load(slot, rooms).await)
    }

    async fn append_all(&self, steps: Vec<WindowStep>) -> Vec<Result<Appended, StoreError>> {
        each!(self, windows => windows.append_all(steps).await)
    }

    async fn begin(&self, slot: Slot, token: RefillToken) -> Result<bool, StoreError> {
        each!(self, windows => windows.begin(slot, token).await)
    }

    async fn put(
        &self,
        slot: Slot,
        token: RefillToken,
        n: u64,
        copy: RoomCopy,
    ) -> Result<bool, StoreError> {
        each!(self, windows => windows.put(slot, token, n, copy).await)
    }

    async fn end(
        &self,
        slot: Slot,
        token: RefillToken,
        n: u64,
        at: (Position, LogIdentity),
    ) -> Result<bool, StoreError> {
        each!(self, windows => WindowStore::end(windows, slot, token, n, at).await)
    }
}

impl WindowRead for AnyWindows {
    type Watch = AnyWatch;

    async fn watch(&self, room: &RoomId) -> Result<AnyWatch, StoreError> {
        Ok(match self {
            Self::Embedded(windows) => AnyWatch::Embedded(windows.watch(room).await?),
            #[cfg(feature = "cluster")]
            Self::Server(windows) => AnyWatch::Server(windows.watch(room).await?),
        })
    }

    async fn since(&self, room: &RoomId, after: Position) -> Result<RoomWindow, StoreError> {
        each!(self, windows => windows.since(room, after).await)
    }

    async fn live(
        &self,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<Vec<(RoomId, Arc<StoredState>)>, StoreError> {
        each!(self, windows => windows.live(after, limit).await)
    }
}

pub enum AnyWatch {
    Embedded(MemoryWatch),
    #[cfg(feature = "cluster")]
    Server(RedisWatch),
}

impl RoomWatch for AnyWatch {
    async fn changed(&mut self, seen: u64) -> Result<(), StoreError> {
        each!(self, watch => watch.changed(seen).await)
    }
}

/// Where a world's log and history are kept, however often it is opened.
pub struct Place {
    pub directory: TempDir,
    #[cfg(feature = "cluster")]
    keyspace: Option<Keyspace>,
}

impl Place {
    pub fn new(plan: Plan) -> Place {
        let has_servers = cfg!(feature = "cluster");
        assert!(
            has_servers || !plan.is_on_cassandra,
            "these tests are built without servers"
        );
        Place {
            directory: directory(),
            #[cfg(feature = "cluster")]
            keyspace: plan.is_on_cassandra.then(Keyspace::new),
        }
    }

    /// The history that is there.
    pub async fn history(&self) -> AnyHistory {
        #[cfg(feature = "cluster")]
        if let Some(keyspace) = &self.keyspace {
            use danmu_tests::conformance::projection::history::HistoryEnvironment;
            return AnyHistory::Server(keyspace.history().await.unwrap());
        }
        let history = EmbeddedHistory::open(&self.directory.path().join("history"));
        AnyHistory::Embedded(history.unwrap())
    }
}

/// A directory in memory, where the machine has one: a campaign opens thousands of stores.
fn directory() -> TempDir {
    let shared_memory = std::path::Path::new("/dev/shm");
    let made = match shared_memory.is_dir() {
        true => tempfile::tempdir_in(shared_memory),
        false => tempfile::tempdir(),
    };
    made.unwrap()
}

/// A history of one world. Clones share it.
#[derive(Clone)]
pub enum AnyHistory {
    Embedded(EmbeddedHistory),
    #[cfg(feature = "cluster")]
    Server(CqlHistory),
}

impl HistoryStore for AnyHistory {
    async fn write(&self, rows: Vec<Row>) -> Result<(), StoreError> {
        each!(self, history => history.write(rows).await)
    }

    async fn rewrite(&self, rows: Vec<Row>, erased_to: Position) -> Result<(), StoreError> {
        each!(self, history => history.rewrite(rows, erased_to).await)
    }

    async fn remove(&self, keys: Vec<Key>) -> Result<(), StoreError> {
        each!(self, history => history.remove(keys).await)
    }

    async fn durability(&self) -> Result<Durability, StoreError> {
        each!(self, history => history.durability().await)
    }

    async fn get(&self, key: Key) -> Result<Option<Row>, StoreError> {
        each!(self, history => history.get(key).await)
    }

    async fn purge(&self) -> Result<Purged, StoreError> {
        each!(self, history => history.purge().await)
    }

    async fn room_past(
        &self,
        table: Table,
        past: Option<&RoomId>,
    ) -> Result<Option<RoomId>, StoreError> {
        each!(self, history => history.room_past(table, past).await)
    }

    async fn scan(
        &self,
        range: KeyRange,
        order: Order,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        each!(self, history => history.scan(range, order, limit).await)
    }
}

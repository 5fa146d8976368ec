//! A history at one of whose calls something else happens first: what a race would do, on purpose.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use danmu_projections::history::layout::{Key, KeyRange, Table};
use danmu_projections::history::store::{Durability, HistoryStore, Order, Purged, Row};
use danmu_projections::projection::StoreError;
use danmu_schemas::{Position, RoomId};

/// What happens.
pub type Act = Arc<dyn Fn() -> Acting + Send + Sync>;

type Acting = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// The history, with `act` before call number `at`.
#[derive(Clone)]
pub struct Meddled<H> {
    inner: H,
    calls: Arc<AtomicUsize>,
    at: usize,
    act: Act,
}

impl<H: HistoryStore> Meddled<H> {
    /// Over `inner`.
    pub fn new(inner: H, at: usize, act: Act) -> Self {
        Self {
            inner,
            calls: Arc::default(),
            at,
            act,
        }
    }

    /// Whether there was such a call.
    pub fn has_acted(&self) -> bool {
        self.calls.load(Ordering::Acquire) > self.at
    }

    async fn called(&self) {
        if self.calls.fetch_add(1, Ordering::AcqRel) == self.at {
            (self.act)()
                .await
                .expect("what happens meanwhile goes well by itself");
        }
    }
}

impl<H: HistoryStore> HistoryStore for Meddled<H> {
    async fn write(&self, rows: Vec<Row>) -> Result<(), StoreError> {
        self.called().await;
        self.inner.write(rows).await
    }

    async fn rewrite(&self, rows: Vec<Row>, erased_to: Position) -> Result<(), StoreError> {
        self.called().await;
        self.inner.rewrite(rows, erased_to).await
    }

    async fn remove(&self, keys: Vec<Key>) -> Result<(), StoreError> {
        self.called().await;
        self.inner.remove(keys).await
    }

    async fn durability(&self) -> Result<Durability, StoreError> {
        self.called().await;
        self.inner.durability().await
    }

    async fn get(&self, key: Key) -> Result<Option<Row>, StoreError> {
        self.called().await;
        self.inner.get(key).await
    }

    async fn purge(&self) -> Result<Purged, StoreError> {
        self.inner.purge().await
    }

    async fn room_past(
        &self,
        table: Table,
        past: Option<&RoomId>,
    ) -> Result<Option<RoomId>, StoreError> {
        self.called().await;
        self.inner.room_past(table, past).await
    }

    async fn scan(
        &self,
        range: KeyRange,
        order: Order,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.called().await;
        self.inner.scan(range, order, limit).await
    }
}

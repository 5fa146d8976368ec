//! The history's rows behind their port.

use anyhow::Context;
#[cfg(feature = "cluster")]
use danmu_projections::history::cql::{self, CqlHistory, CqlOptions};
use danmu_projections::history::layout::{Key, KeyRange, Table};
use danmu_projections::history::store::{Durability, Order, Purged, Row};
use danmu_projections::{EmbeddedHistory, HistoryStore, StoreError};
use danmu_schemas::{Position, RoomId};

use crate::config::HistoryUrl;

/// A history that is open. Clones are the same.
#[derive(Clone)]
pub enum History {
    /// On this machine's disk, for this process alone.
    Embedded(EmbeddedHistory),
    /// On ScyllaDB or Cassandra.
    #[cfg(feature = "cluster")]
    Cql(CqlHistory),
}

impl History {
    /// Opens the history, making an embedded one where there is none. Who writes it wants servers that
    /// keep what they acknowledge, or as lazy as it was told to accept.
    #[cfg_attr(not(feature = "cluster"), expect(unused_variables))]
    pub async fn open(url: &HistoryUrl, writes: bool) -> anyhow::Result<Self> {
        match url {
            HistoryUrl::Embedded(dir) => {
                let history = EmbeddedHistory::open(dir)
                    .with_context(|| format!("history in {}", dir.display()))?;
                Ok(Self::Embedded(history))
            }
            #[cfg(feature = "cluster")]
            HistoryUrl::Cql(options) => {
                if writes {
                    check(options).await?;
                }
                let history = CqlHistory::connect(options).await;
                let history = history.with_context(|| format!("history in {}", options.address))?;
                Ok(Self::Cql(history))
            }
        }
    }

    /// Whether other processes may write it too.
    pub fn is_shared(&self) -> bool {
        match self {
            Self::Embedded(_) => false,
            #[cfg(feature = "cluster")]
            Self::Cql(_) => true,
        }
    }

    /// Bytes on the disk, where they are this process's.
    pub fn disk_bytes(&self) -> Result<Option<u64>, StoreError> {
        match self {
            Self::Embedded(history) => history.disk_bytes().map(Some),
            #[cfg(feature = "cluster")]
            Self::Cql(_) => Ok(None),
        }
    }
}

/// Refuses servers that `danmu history check` finds something wrong with.
#[cfg(feature = "cluster")]
async fn check(options: &CqlOptions) -> anyhow::Result<()> {
    let checked = cql::check(options).await;
    let wrong = checked
        .with_context(|| format!("history in {}", options.address))?
        .wrong;
    if !wrong.is_empty() {
        anyhow::bail!("history in {}: {}", options.address, wrong.join("; "));
    }
    Ok(())
}

impl HistoryStore for History {
    async fn write(&self, rows: Vec<Row>) -> Result<(), StoreError> {
        match self {
            Self::Embedded(history) => history.write(rows).await,
            #[cfg(feature = "cluster")]
            Self::Cql(history) => history.write(rows).await,
        }
    }

    async fn rewrite(&self, rows: Vec<Row>, erased_to: Position) -> Result<(), StoreError> {
        match self {
            Self::Embedded(history) => history.rewrite(rows, erased_to).await,
            #[cfg(feature = "cluster")]
            Self::Cql(history) => history.rewrite(rows, erased_to).await,
        }
    }

    async fn remove(&self, keys: Vec<Key>) -> Result<(), StoreError> {
        match self {
            Self::Embedded(history) => history.remove(keys).await,
            #[cfg(feature = "cluster")]
            Self::Cql(history) => history.remove(keys).await,
        }
    }

    async fn durability(&self) -> Result<Durability, StoreError> {
        match self {
            Self::Embedded(history) => history.durability().await,
            #[cfg(feature = "cluster")]
            Self::Cql(history) => history.durability().await,
        }
    }

    async fn get(&self, key: Key) -> Result<Option<Row>, StoreError> {
        match self {
            Self::Embedded(history) => history.get(key).await,
            #[cfg(feature = "cluster")]
            Self::Cql(history) => history.get(key).await,
        }
    }

    async fn purge(&self) -> Result<Purged, StoreError> {
        match self {
            Self::Embedded(history) => history.purge().await,
            #[cfg(feature = "cluster")]
            Self::Cql(history) => history.purge().await,
        }
    }

    async fn room_past(
        &self,
        table: Table,
        past: Option<&RoomId>,
    ) -> Result<Option<RoomId>, StoreError> {
        match self {
            Self::Embedded(history) => history.room_past(table, past).await,
            #[cfg(feature = "cluster")]
            Self::Cql(history) => history.room_past(table, past).await,
        }
    }

    async fn scan(
        &self,
        range: KeyRange,
        order: Order,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        match self {
            Self::Embedded(history) => history.scan(range, order, limit).await,
            #[cfg(feature = "cluster")]
            Self::Cql(history) => history.scan(range, order, limit).await,
        }
    }
}

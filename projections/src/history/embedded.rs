//! The history on the machine's own disk: fjall, one keyspace in a database of its own.
//!
//! A value is the row's write time, its body and a seal over both. fjall does its work on the
//! caller's thread, so whoever calls from an async task has a thread to spare; only a purge has one of
//! its own.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::{fs, io, thread};

use bytes::Bytes;
use danmu_schemas::codec::DecodeError;
use danmu_schemas::{Position, RoomId, sealed};
use fjall::{Database, Guard, Keyspace, KeyspaceCreateOptions, PersistMode};
use tokio::sync::oneshot;

use super::layout::{self, Key, KeyRange, Table};
use super::store::{Durability, HistoryStore, Order, Purged, Row};
use crate::projection::StoreError;

mod purge;

/// The history of one process, in a directory. Clones share it.
#[derive(Clone)]
pub struct EmbeddedHistory {
    shared: Arc<Shared>,
}

struct Shared {
    database: Database,
    rows: Keyspace,
    /// Held from comparing write times until the batch is in.
    writing: Mutex<()>,
    /// Held by a purge.
    purging: Mutex<()>,
}

impl EmbeddedHistory {
    /// Opens the history in a directory, or makes it.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        if !directory.exists() {
            Self::make(directory).map_err(|error| unavailable("making the history", error))?;
        }
        Self::open_at(directory).map_err(|error| match error {
            fjall::Error::Locked => unavailable("the history is open elsewhere", error),
            error => unavailable("opening the history", error),
        })
    }

    /// Bytes on the disk, its journals included.
    pub fn disk_bytes(&self) -> Result<u64, StoreError> {
        let bytes = self.shared.database.disk_space();
        bytes.map_err(|e| unavailable("measuring the history", e))
    }

    /// Makes it beside its place and moves it there when it is whole: fjall does not open what a crash
    /// left half made.
    fn make(directory: &Path) -> Result<(), fjall::Error> {
        let mut beside = directory.as_os_str().to_owned();
        beside.push(".making");
        match fs::remove_dir_all(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        drop(Self::open_at(Path::new(&beside))?);
        fs::rename(&beside, directory)?;
        let parent = directory.parent().filter(|parent| *parent != Path::new(""));
        Ok(fs::File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?)
    }

    fn open_at(directory: &Path) -> Result<Self, fjall::Error> {
        let database = Database::builder(directory).open()?;
        let rows = database.keyspace("rows", KeyspaceCreateOptions::default)?;
        Ok(Self {
            shared: Arc::new(Shared {
                database,
                rows,
                writing: Mutex::new(()),
                purging: Mutex::new(()),
            }),
        })
    }

    fn write_rows(&self, rows: Vec<Row>) -> Result<(), StoreError> {
        let shared = &*self.shared;
        let failed = |e| unavailable("writing to the history", e);
        let _writing = shared
            .writing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut batch = shared
            .database
            .batch()
            .durability(Some(PersistMode::SyncData));
        for row in rows {
            let stored = shared.rows.get(&row.key).map_err(failed)?;
            let newer = stored
                .as_deref()
                .and_then(|value| value.first_chunk())
                .is_some_and(|time| u64::from_be_bytes(*time) > row.timestamp);
            if !newer {
                batch.insert(&shared.rows, row.key, to_value(row.timestamp, &row.body));
            }
        }
        batch.commit().map_err(failed)
    }

    fn remove_rows(&self, keys: Vec<Key>) -> Result<(), StoreError> {
        let shared = &*self.shared;
        let _writing = shared
            .writing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut batch = shared.database.batch();
        for key in keys {
            batch.remove(&shared.rows, key);
        }
        batch
            .commit()
            .map_err(|e| unavailable("removing from the history", e))
    }

    fn get_row(&self, key: Key) -> Result<Option<Row>, StoreError> {
        let value = self
            .shared
            .rows
            .get(&key)
            .map_err(|e| unavailable("reading the history", e))?;
        value.map(|value| from_value(key, &value)).transpose()
    }

    fn scan_rows(
        &self,
        range: KeyRange,
        order: Order,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.shared.rows.range(range);
        match order {
            Order::Ascending => rows.take(limit).map(read_guard).collect(),
            Order::Descending => rows.rev().take(limit).map(read_guard).collect(),
        }
    }
}

impl HistoryStore for EmbeddedHistory {
    async fn write(&self, rows: Vec<Row>) -> Result<(), StoreError> {
        self.write_rows(rows)
    }

    /// One process has the history, and whoever sweeps it goes on from what was swept.
    async fn rewrite(&self, rows: Vec<Row>, _erased_to: Position) -> Result<(), StoreError> {
        self.write_rows(rows)
    }

    async fn remove(&self, keys: Vec<Key>) -> Result<(), StoreError> {
        self.remove_rows(keys)
    }

    async fn durability(&self) -> Result<Durability, StoreError> {
        Ok(Durability::Acknowledged)
    }

    async fn get(&self, key: Key) -> Result<Option<Row>, StoreError> {
        self.get_row(key)
    }

    /// Takes the whole history through the machine, which nobody can interrupt: a thread of its own does
    /// it. Who stops waiting leaves it to itself, and may end the process in its midst: a table that is
    /// half compacted counts for nothing when the history is opened again.
    async fn purge(&self) -> Result<Purged, StoreError> {
        let failed = |e| unavailable("purging the history", e);
        let shared = Arc::clone(&self.shared);
        let (sender, purged) = oneshot::channel();
        let work = move || {
            let _purging = shared
                .purging
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            // Nobody hears of it where nobody waits any more.
            let _ = sender.send(purge::purge(&shared.database, &shared.rows));
        };
        let thread = thread::Builder::new().name("danmu-purge".to_owned());
        thread.spawn(work).map_err(|e| failed(e.into()))?;
        let purged = purged.await;
        purged
            .map_err(|_| failed(io::Error::other("the purge panicked").into()))?
            .map_err(failed)?;
        Ok(Purged::Gone)
    }

    async fn room_past(
        &self,
        table: Table,
        past: Option<&RoomId>,
    ) -> Result<Option<RoomId>, StoreError> {
        let range = layout::rows_past(table, past);
        let Some(row) = self.scan_rows(range, Order::Ascending, 1)?.pop() else {
            return Ok(None);
        };
        layout::read_room(table, &row.key)
            .map(Some)
            .map_err(|source| StoreError::Damaged {
                what: layout::describe(&row.key),
                source,
            })
    }

    async fn scan(
        &self,
        range: KeyRange,
        order: Order,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.scan_rows(range, order, limit)
    }
}

fn read_guard(guard: Guard) -> Result<Row, StoreError> {
    let (key, value) = guard
        .into_inner()
        .map_err(|e| unavailable("reading the history", e))?;
    from_value(key.to_vec(), &value)
}

fn to_value(timestamp: u64, body: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(8 + body.len() + sealed::SEAL_BYTES);
    value.extend_from_slice(&timestamp.to_be_bytes());
    value.extend_from_slice(body);
    sealed::seal(&mut value);
    value
}

fn from_value(key: Key, value: &[u8]) -> Result<Row, StoreError> {
    let parts = sealed::open(value)
        .map_err(DecodeError::from)
        .and_then(|payload| {
            payload
                .split_first_chunk::<8>()
                .ok_or(DecodeError::Malformed("row without a write time"))
        });
    match parts {
        Ok((time, body)) => Ok(Row {
            timestamp: u64::from_be_bytes(*time),
            body: Bytes::copy_from_slice(body),
            key,
        }),
        Err(source) => Err(StoreError::Damaged {
            what: layout::describe(&key),
            source,
        }),
    }
}

fn unavailable(what: &'static str, source: fjall::Error) -> StoreError {
    StoreError::Unavailable {
        what,
        source: Box::new(source),
    }
}

#[cfg(test)]
mod tests;

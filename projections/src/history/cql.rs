//! The history on ScyllaDB or Cassandra: a table for each family of rows.
//!
//! A key stands whole beside the name of its shelf, which is the table's partition: every read is of one
//! partition, or of a few known ones in order. Which shelves there are is a table too, written before the
//! rows. A cell's timestamp is its row's write time, so the servers themselves keep the highest. Every
//! statement is prepared, may be repeated and is answered by a local quorum; what fails for a while is
//! tried again within a deadline ([`attempts`]).
//!
//! Nothing here makes tables: [`migrate`] does when an operator asks for it, and [`check`] tells what is
//! wrong with them. What the servers must do for a watermark to be durable is in docs/HISTORY_TABLES.md.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use danmu_schemas::{Position, RoomId, Slot};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use scylla::client::session::Session;
use scylla::serialize::row::SerializeRow;
use scylla::statement::prepared::PreparedStatement;

use super::layout::{self, Family, Key, KeyRange, Table};
use super::store::{Durability, HistoryStore, Order, Purged, Row};
use crate::projection::StoreError;

mod address;
mod attempts;
mod check;
mod durability;
mod migrate;
mod servers;
mod session;
mod statements;
mod swept;

pub use address::CqlAddress;
pub use check::{Checked, check};
pub use durability::CommitLog;
pub use migrate::migrate;
pub use session::{CqlCredentials, CqlOptions};

use statements::{FamilyStatements, Statements};

/// How many rows of one `write` are under way at once.
const WRITES_AT_ONCE: usize = 32;
/// The most rows of one answer: 4 MiB where they are full chunks.
const PAGE_ROWS: usize = 64;
/// The most names of shelves in one answer.
const PAGE_SHELVES: usize = 64;
/// The most shelves that are remembered as written; then all are forgotten, and written again.
const KNOWN_SHELVES_MAX: usize = 65_536;

/// The history of a keyspace. Clones share its connections.
#[derive(Clone)]
pub struct CqlHistory {
    shared: Arc<Shared>,
}

struct Shared {
    session: Session,
    statements: Statements,
    commit_log: CommitLog,
    /// Shelves that are in the table of shelves for certain.
    known_shelves: Mutex<HashSet<Key>>,
}

impl CqlHistory {
    /// Connects to the servers and prepares every statement; missing tables are an error.
    pub async fn connect(options: &CqlOptions) -> Result<Self, StoreError> {
        let session = session::open(options).await?;
        let statements = Statements::prepare(&session, &options.address.keyspace).await?;
        Ok(Self {
            shared: Arc::new(Shared {
                session,
                statements,
                commit_log: options.commit_log,
                known_shelves: Mutex::default(),
            }),
        })
    }

    fn family(&self, key: &[u8]) -> &FamilyStatements {
        let family = Family::of(key).expect("keys and ranges begin with their family's letter");
        self.shared.statements.of(family)
    }

    fn known_shelves(&self) -> MutexGuard<'_, HashSet<Key>> {
        self.shared
            .known_shelves
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the names of those rows' shelves that may not be there yet.
    async fn write_shelves(&self, rows: &[Row]) -> Result<(), StoreError> {
        let mut new: Vec<(&[u8], i64)> = rows
            .iter()
            .map(|row| (shelf_of(&row.key), row.timestamp as i64))
            .collect();
        new.sort_unstable();
        new.dedup_by_key(|(shelf, _)| *shelf);
        {
            let known = self.known_shelves();
            new.retain(|(shelf, _)| !known.contains(*shelf));
        }
        let write = &self.shared.statements.shelves.write;
        let writes = new.iter().map(|(shelf, timestamp)| {
            let family = self.family(shelf).table;
            let slot = slot_of(shelf).number() as i16;
            self.done(write, (family, slot, *shelf, *timestamp))
        });
        all_of(writes.collect()).await?;
        let mut known = self.known_shelves();
        if known.len() + new.len() > KNOWN_SHELVES_MAX {
            known.clear();
        }
        known.extend(new.into_iter().map(|(shelf, _)| shelf.to_vec()));
        Ok(())
    }

    async fn write_rows(&self, rows: &[Row]) -> Result<(), StoreError> {
        self.write_shelves(rows).await?;
        let writes = rows.iter().map(|row| {
            let shelf = shelf_of(&row.key);
            let values = (shelf, &row.key, &row.body, row.timestamp as i64);
            self.done(&self.family(shelf).write, values)
        });
        all_of(writes.collect()).await
    }

    /// Removes whatever stands under a key, even if it is swept of what was erased meanwhile.
    async fn remove_row(&self, key: Key) -> Result<(), StoreError> {
        let last = match layout::last_written(&key) {
            Some(last) => last,
            None => match self.get(key.clone()).await? {
                Some(row) => row.timestamp | 1,
                None => return Ok(()),
            },
        };
        let values = (last as i64, shelf_of(&key), &key);
        self.done(&self.family(&key).remove, values).await
    }

    /// The rows of one shelf that are in a range.
    async fn scan_shelf(
        &self,
        shelf: &[u8],
        range: &KeyRange,
        order: Order,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let family = self.family(shelf);
        let statement = match order {
            Order::Ascending => &family.ascending,
            Order::Descending => &family.descending,
        };
        let mut rest = range.clone();
        let mut rows: Vec<Row> = Vec::new();
        while rows.len() < limit && !rest.is_empty() {
            let asked = PAGE_ROWS.min(limit - rows.len());
            let page = self.page(statement, shelf, &rest, asked).await?;
            let is_last = page.len() < asked;
            rows.extend(page);
            match (rows.last(), order) {
                (Some(last), Order::Ascending) if !is_last => {
                    rest.start = layout::just_after(last.key.clone());
                }
                (Some(last), Order::Descending) if !is_last => rest.end = last.key.clone(),
                _ => break,
            }
        }
        Ok(rows)
    }

    async fn page(
        &self,
        statement: &PreparedStatement,
        shelf: &[u8],
        range: &KeyRange,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let values = (shelf, &range.start, &range.end, limit as i32);
        let rows: Vec<(Key, Bytes, i64)> = self.answers(statement, values).await?;
        let rows = rows.into_iter();
        rows.map(|(key, body, timestamp)| swept::from_cell(key, body, timestamp))
            .collect()
    }

    /// The names of shelves of a family and slot that are in a range.
    async fn shelves(
        &self,
        slot: Slot,
        range: &KeyRange,
        order: Order,
        limit: usize,
    ) -> Result<Vec<Key>, StoreError> {
        let shelves = &self.shared.statements.shelves;
        let statement = match order {
            Order::Ascending => &shelves.ascending,
            Order::Descending => &shelves.descending,
        };
        let (family, slot) = (self.family(&range.start).table, slot.number() as i16);
        let values = (family, slot, &range.start, &range.end, limit as i32);
        let names: Vec<(Key,)> = self.answers(statement, values).await?;
        Ok(names.into_iter().map(|(shelf,)| shelf).collect())
    }

    /// The first room of a slot with rows in a range of a table.
    async fn room_in(
        &self,
        table: Table,
        slot: Slot,
        rows: KeyRange,
    ) -> Result<Option<RoomId>, StoreError> {
        let first = shelf_in(&rows.start).to_vec();
        let mut shelves = first..rows.end.clone();
        while let Some(shelf) = self
            .shelves(slot, &shelves, Order::Ascending, 1)
            .await?
            .pop()
        {
            let row = self.scan_shelf(&shelf, &rows, Order::Ascending, 1).await?;
            if let Some(row) = row.first() {
                let room = layout::read_room(table, &row.key);
                return room
                    .map(Some)
                    .map_err(|e| super::reader::damaged(&row.key, e));
            }
            shelves.start = layout::after_shelf(&shelf);
        }
        Ok(None)
    }

    async fn done(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<(), StoreError> {
        attempts::execute(&self.shared.session, statement, &values).await?;
        Ok(())
    }

    async fn answers<R>(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<Vec<R>, StoreError>
    where
        R: for<'a> scylla::deserialize::row::DeserializeRow<'a, 'a>,
    {
        let result = attempts::execute(&self.shared.session, statement, &values).await?;
        attempts::rows_of(result)
    }
}

impl HistoryStore for CqlHistory {
    async fn write(&self, rows: Vec<Row>) -> Result<(), StoreError> {
        let is_rewritten = |row: &Row| swept::is_swept(row.timestamp);
        assert!(!rows.iter().any(is_rewritten), "no record has such a time");
        self.write_rows(&rows).await
    }

    async fn rewrite(&self, rows: Vec<Row>, erased_to: Position) -> Result<(), StoreError> {
        let rows = rows.into_iter().map(|row| swept::to_cell(row, erased_to));
        self.write_rows(&rows.collect::<Vec<_>>()).await
    }

    async fn remove(&self, keys: Vec<Key>) -> Result<(), StoreError> {
        let removals = keys.into_iter().map(|key| self.remove_row(key));
        all_of(removals.collect()).await
    }

    async fn durability(&self) -> Result<Durability, StoreError> {
        match self.shared.commit_log {
            CommitLog::Synced => Ok(Durability::Acknowledged),
            CommitLog::Periodic => durability::of_servers(&self.shared.session).await,
        }
    }

    async fn get(&self, key: Key) -> Result<Option<Row>, StoreError> {
        let statement = &self.family(&key).get;
        let rows: Vec<(Bytes, i64)> = self.answers(statement, (shelf_of(&key), &key)).await?;
        let row = rows.into_iter().next();
        row.map(|(body, timestamp)| swept::from_cell(key, body, timestamp))
            .transpose()
    }

    /// Values that were written over are gone when an operator has compacted the tables.
    async fn purge(&self) -> Result<Purged, StoreError> {
        Ok(Purged::LeftToOperator)
    }

    /// By slot, then by name.
    async fn room_past(
        &self,
        table: Table,
        past: Option<&RoomId>,
    ) -> Result<Option<RoomId>, StoreError> {
        let first = past.map_or(0, |room| room.slot().number());
        for slot in Slot::all().skip(usize::from(first)) {
            let past = past.filter(|room| room.slot() == slot);
            let room = self.room_in(table, slot, layout::rows_past(table, past));
            if let Some(room) = room.await? {
                return Ok(Some(room));
            }
        }
        Ok(None)
    }

    async fn scan(
        &self,
        range: KeyRange,
        order: Order,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let mut rows = Vec::new();
        let mut shelves = shelf_in(&range.start).to_vec()..range.end.clone();
        if let Some(shelf) = layout::shelf_of(&range.start)
            && (order == Order::Ascending || range.end <= layout::after_shelf(shelf))
        {
            rows = self.scan_shelf(shelf, &range, order, limit).await?;
            shelves.start = layout::after_shelf(shelf);
        }
        let slot = slot_of(&range.start);
        while rows.len() < limit && !shelves.is_empty() {
            let names = self.shelves(slot, &shelves, order, PAGE_SHELVES).await?;
            for shelf in &names {
                let wanted = limit - rows.len();
                rows.extend(self.scan_shelf(shelf, &range, order, wanted).await?);
            }
            match (names.last(), order) {
                (None, _) => break,
                (Some(last), Order::Ascending) => shelves.start = layout::after_shelf(last),
                (Some(last), Order::Descending) => shelves.end = last.clone(),
            }
        }
        Ok(rows)
    }
}

/// Does all of it, a few at a time, and stops at the first error.
async fn all_of<F>(calls: Vec<F>) -> Result<(), StoreError>
where
    F: Future<Output = Result<(), StoreError>>,
{
    stream::iter(calls)
        .buffer_unordered(WRITES_AT_ONCE)
        .try_collect()
        .await
}

fn shelf_of(key: &[u8]) -> &[u8] {
    layout::shelf_of(key).expect("a key stands on a shelf")
}

/// The shelf that a range begins on, or the end that it begins at.
fn shelf_in(start: &[u8]) -> &[u8] {
    layout::shelf_of(start).unwrap_or(start)
}

fn slot_of(key: &[u8]) -> Slot {
    layout::slot_of(key).expect("keys and ranges are of one slot")
}

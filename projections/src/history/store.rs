//! The port of whatever keeps the history's rows.
//!
//! A row is a key, a write time and a body. The store compares write times, keeps bytes and finds
//! altered ones; what keys and bodies mean is in [`super::layout`].

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use danmu_schemas::{Position, RoomId};

use super::layout::{Key, KeyRange, Table};
use crate::projection::StoreError;

/// A stored cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Where it stands.
    pub key: Key,
    /// Its write time ([`danmu_schemas::Position::timestamp`]).
    pub timestamp: u64,
    /// Its content.
    pub body: Bytes,
}

/// From which end a range is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Lowest key first.
    Ascending,
    /// Highest key first.
    Descending,
}

/// What a purge did about values that were written over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Purged {
    /// None is kept anywhere any more.
    Gone,
    /// The engine lets go of them at a compaction, which only its operator can begin.
    LeftToOperator,
}

/// What has to pass until rows that were acknowledged survive a crash of all that keep them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Durability {
    /// Nothing.
    Acknowledged,
    /// Time, in which no server starts anew.
    Lazy {
        /// How long what was acknowledged may take to be durable.
        horizon: Duration,
        /// Since when the servers run.
        starts: Starts,
    },
}

/// A number for each server by its id, another after each of its starts; `None` for one that cannot be
/// asked. Two that are equal: no server has started between them.
pub type Starts = BTreeMap<u128, Option<i32>>;

/// Keeps rows in the order of their keys.
///
/// - `write` returns when the rows are acknowledged, which is durable if [`Durability`] says nothing
///   else; a lower write time never replaces a higher one.
/// - what is read is what was written, or [`StoreError::Damaged`].
pub trait HistoryStore: Clone + Send + Sync + 'static {
    /// Writes rows, all or none where the engine can.
    fn write(&self, rows: Vec<Row>) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Writes rows again, less what was erased up to a position; their write times are odd, and no others
    /// are. Of two that are written so with one write time, the one less more stays, also where several
    /// processes do it and their writes arrive in any order.
    fn rewrite(
        &self,
        rows: Vec<Row>,
        erased_to: Position,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes rows of states or of memory that nobody needs any more; may be lost. What is written
    /// again under such a key may stay away.
    fn remove(&self, keys: Vec<Key>) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// When rows are durable, and whether servers have started since it was asked last.
    fn durability(&self) -> impl Future<Output = Result<Durability, StoreError>> + Send;

    /// The row of that key.
    fn get(&self, key: Key) -> impl Future<Output = Result<Option<Row>, StoreError>> + Send;

    /// Lets go of values that were written over or removed before this call, as far as the engine can.
    /// May take long; reads and writes go on.
    fn purge(&self) -> impl Future<Output = Result<Purged, StoreError>> + Send;

    /// The room after `past` that has rows in a table, or the first, in an order of the store's own.
    fn room_past(
        &self,
        table: Table,
        past: Option<&RoomId>,
    ) -> impl Future<Output = Result<Option<RoomId>, StoreError>> + Send;

    /// At most `limit` rows of a range: of one family, and of one room or of rooms of one slot.
    fn scan(
        &self,
        range: KeyRange,
        order: Order,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;
}

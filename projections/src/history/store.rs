//! The port of whatever keeps the history's rows.
//!
//! A row is a key, a write time and a body. The store compares write times, keeps bytes and finds
//! altered ones; what keys and bodies mean is in [`super::layout`].

use std::future::Future;

use bytes::Bytes;

use super::layout::{Key, KeyRange};
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

/// Keeps rows in the order of their keys.
///
/// - `write` returns when the rows are durable; a lower write time never replaces a higher one.
/// - what is read is what was written, or [`StoreError::Damaged`].
pub trait HistoryStore: Clone + Send + Sync + 'static {
    /// Writes rows, all or none where the engine can, durably.
    fn write(&self, rows: Vec<Row>) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes rows that nobody needs any more; may be lost.
    fn remove(&self, keys: Vec<Key>) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The row of that key.
    fn get(&self, key: Key) -> impl Future<Output = Result<Option<Row>, StoreError>> + Send;

    /// Returns when no value that was written over or removed before this call is kept anywhere any
    /// more. May take long; reads and writes go on.
    fn purge(&self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// At most `limit` rows of a range.
    fn scan(
        &self,
        range: KeyRange,
        order: Order,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;
}

//! Cells of rows that were swept of what was erased.
//!
//! A row may be swept again because of a later erasure, and has the same write time then. Of two cells with
//! one write time the servers keep the one whose bytes are greater, whichever came last. So a swept cell
//! begins with the position up to which erasures were applied, big-endian: the greater is the one that is
//! less more, whoever wrote it and in whatever order. Two of one position are the same.

use bytes::{Buf, Bytes};
use danmu_schemas::Position;
use danmu_schemas::codec::DecodeError;

use crate::history::layout::Key;
use crate::history::reader::damaged;
use crate::history::store::Row;
use crate::projection::StoreError;

/// An epoch and an offset.
const POSITION_BYTES: usize = 12;

/// Whether a row of that write time was swept.
pub(super) fn is_swept(timestamp: u64) -> bool {
    timestamp & 1 == 1
}

/// A swept row with the body that its cell has.
pub(super) fn to_cell(row: Row, erased_to: Position) -> Row {
    assert!(is_swept(row.timestamp), "only swept rows are written again");
    let mut body = Vec::with_capacity(POSITION_BYTES + row.body.len());
    body.extend_from_slice(&erased_to.epoch.to_be_bytes());
    body.extend_from_slice(&erased_to.offset.to_be_bytes());
    body.extend_from_slice(&row.body);
    Row {
        body: body.into(),
        ..row
    }
}

/// The row that a cell holds.
pub(super) fn from_cell(key: Key, mut body: Bytes, timestamp: i64) -> Result<Row, StoreError> {
    let timestamp = timestamp as u64;
    if is_swept(timestamp) {
        if body.len() < POSITION_BYTES {
            let cut = DecodeError::Malformed("a swept row without how far it is swept");
            return Err(damaged(&key, cut));
        }
        body.advance(POSITION_BYTES);
    }
    Ok(Row {
        key,
        timestamp,
        body,
    })
}

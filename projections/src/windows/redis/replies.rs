//! What the functions in `windows.lua` answer.

use std::sync::Arc;

use bytes::Bytes;
use danmu_schemas::state::Field;
use danmu_schemas::{LogIdentity, Position, chunk};
use redis::Value;

use super::layout::{self, unclocked, unmarked, version};
use crate::projection::{Appended, Loaded, StoreError, StoredState};
use crate::windows::store::{PackedChunk, RoomWindow};

/// An answer that no function of ours gives.
#[derive(Debug, thiserror::Error)]
#[error("the answer is not what the function promises")]
pub(super) struct Garbled;

impl From<Garbled> for StoreError {
    fn from(garbled: Garbled) -> Self {
        StoreError::Unavailable {
            what: "reading windows in redis",
            source: Box::new(garbled),
        }
    }
}

/// The parts of an answer, one after the other; nothing once there is none left.
struct Parts(std::vec::IntoIter<Value>);

impl Parts {
    fn of(reply: Value) -> Result<Self, Garbled> {
        match reply {
            Value::Array(parts) => Ok(Self(parts.into_iter())),
            _ => Err(Garbled),
        }
    }

    fn next(&mut self) -> Value {
        self.0.next().unwrap_or_default()
    }

    fn text(&mut self) -> Result<Option<String>, Garbled> {
        let text = bytes(self.next())?.map(|bytes| String::from_utf8(bytes.into()));
        text.transpose().map_err(|_| Garbled)
    }

    fn position(&mut self) -> Result<Option<Position>, Garbled> {
        let text = self.text()?;
        text.map(|text| layout::position(&text).ok_or(Garbled))
            .transpose()
    }
}

fn bytes(value: Value) -> Result<Option<Bytes>, Garbled> {
    match value {
        Value::Nil => Ok(None),
        Value::BulkString(bytes) => Ok(Some(bytes.into())),
        _ => Err(Garbled),
    }
}

/// Every element of a list, after what stands before it is taken off.
fn list(value: Value, open: impl Fn(Bytes) -> Option<Bytes>) -> Result<Vec<Bytes>, Garbled> {
    let element = |value| bytes(value)?.and_then(&open).ok_or(Garbled);
    Parts::of(value)?.0.map(element).collect()
}

pub(super) fn is_done(reply: Value) -> Result<bool, Garbled> {
    match reply {
        Value::Int(done @ (0 | 1)) => Ok(done == 1),
        _ => Err(Garbled),
    }
}

pub(super) fn names(reply: Value) -> Result<Vec<String>, Garbled> {
    let mut parts = Parts::of(reply)?;
    let len = parts.0.len();
    (0..len).map(|_| parts.text()?.ok_or(Garbled)).collect()
}

pub(super) fn position(reply: Value) -> Result<Option<(Position, LogIdentity)>, Garbled> {
    let mut parts = Parts::of(reply)?;
    let Some(position) = parts.position()? else {
        return Ok(None);
    };
    let log = parts.text()?.ok_or(Garbled)?;
    Ok(Some((position, LogIdentity(log))))
}

pub(super) fn appended(reply: Value) -> Result<Appended, Garbled> {
    let mut parts = Parts::of(reply)?;
    match parts.text()?.as_deref() {
        Some("stored") => Ok(Appended::Stored),
        Some("already") => Ok(Appended::Already),
        Some("other") => Ok(Appended::Other(parts.position()?)),
        _ => Err(Garbled),
    }
}

pub(super) fn loaded(reply: Value, len: usize) -> Result<Loaded, Garbled> {
    let mut parts = Parts::of(reply)?;
    let position = parts.position()?;
    let mut states = Vec::with_capacity(len);
    for _ in 0..len {
        states.push(match parts.next() {
            Value::Nil => None,
            room => Some(loaded_room(room)?),
        });
    }
    Ok(Loaded { position, states })
}

fn loaded_room(room: Value) -> Result<StoredState, Garbled> {
    let mut parts = Parts::of(room)?;
    let state = state(parts.next())?;
    Ok(StoredState {
        event_memory: list(parts.next(), unclocked)?,
        gift_memory: list(parts.next(), unclocked)?,
        ..state
    })
}

/// A state without its memory.
fn state(value: Value) -> Result<StoredState, Garbled> {
    let mut parts = Parts::of(value)?;
    let core = bytes(parts.next())?.ok_or(Garbled)?;
    let mut fields: [Bytes; Field::COUNT] = Default::default();
    for field in &mut fields {
        *field = bytes(parts.next())?.unwrap_or_default();
    }
    Ok(StoredState {
        core,
        fields,
        ..StoredState::default()
    })
}

/// Whether a room was found torn.
pub(super) fn is_torn(reply: &Value) -> bool {
    *reply == Value::Array(vec![Value::BulkString(b"torn".to_vec())])
}

pub(super) fn window(reply: Value) -> Result<RoomWindow, StoreError> {
    let mut parts = Parts::of(reply)?;
    let Some(position) = parts.position()? else {
        return Ok(RoomWindow::default());
    };
    let fill = parts.text()?.ok_or(Garbled)?;
    let filled = parts.text()?.ok_or(Garbled)?;
    let changed_at = parts.text()?.unwrap_or(filled);
    let state = match parts.next() {
        Value::Nil => None,
        value => Some(Arc::new(state(value)?)),
    };
    let chunks = match parts.next() {
        Value::Nil => Vec::new(),
        value => list(value, unmarked)?,
    };
    let chunks = chunks.into_iter().map(packed).collect::<Result<_, _>>()?;
    Ok(RoomWindow {
        slot_position: Some(position),
        state,
        chunks,
        version: version(&fill, &changed_at),
    })
}

fn packed(bytes: Bytes) -> Result<Arc<PackedChunk>, StoreError> {
    let header = chunk::header(&bytes).map_err(|source| StoreError::Damaged {
        what: "a chunk in redis".to_owned(),
        source,
    })?;
    Ok(Arc::new(PackedChunk { header, bytes }))
}

/// The versions of `len` rooms.
pub(super) fn versions(reply: Value, len: usize) -> Result<Vec<u64>, Garbled> {
    let mut parts = Parts::of(reply)?;
    let Some(fill) = parts.text()? else {
        return Ok(vec![0; len]);
    };
    let filled = parts.text()?.ok_or(Garbled)?;
    let of_room = |parts: &mut Parts| {
        let changed_at = parts.text()?;
        Ok::<_, Garbled>(version(&fill, changed_at.as_ref().unwrap_or(&filled)))
    };
    (0..len).map(|_| of_room(&mut parts)).collect()
}

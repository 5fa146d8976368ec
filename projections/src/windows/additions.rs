//! What a step or a refill adds to a room, as every adapter takes it.
//!
//! Owns what must be decoded of stored bytes to keep windows: whether a broadcast is open, and how old
//! a block of memory is. It is decoded before anything is stored, so that damaged bytes change nothing.

use bytes::Bytes;
use danmu_schemas::codec::{self, Datum};
use danmu_schemas::state::{EventMemoryBlock, GiftMemoryBlock, StateCore};

use super::store::PackedChunk;
use crate::projection::{StateChange, StoreError, StoredState};

/// What a step or a refill adds to a room, already decoded as far as needed: adding cannot fail.
pub(super) struct Additions {
    /// As it is afterwards, without memory.
    pub(super) state: StoredState,
    /// Whether a broadcast is open then.
    pub(super) is_live: bool,
    pub(super) event_memory: Vec<Block>,
    pub(super) gift_memory: Vec<Block>,
    /// Blocks whose last entry is older may leave.
    pub(super) event_memory_since: i64,
    pub(super) gift_memory_since: i64,
    pub(super) chunks: Vec<PackedChunk>,
    pub(super) blanked: Vec<PackedChunk>,
}

/// A block of memory and the log clock of its last entry.
pub(super) struct Block {
    pub(super) bytes: Bytes,
    pub(super) last_clock: i64,
}

impl Additions {
    pub(super) fn of_change(
        change: StateChange,
        chunks: Vec<PackedChunk>,
        blanked: Vec<PackedChunk>,
    ) -> Result<Self, StoreError> {
        let state = StoredState {
            core: change.core,
            fields: change.fields,
            event_memory: change.event_memory,
            gift_memory: change.gift_memory.into_iter().collect(),
        };
        Ok(Self {
            event_memory_since: change.event_memory_since,
            gift_memory_since: change.gift_memory_since,
            blanked,
            ..Self::of_copy(state, chunks)?
        })
    }

    pub(super) fn of_copy(
        mut state: StoredState,
        chunks: Vec<PackedChunk>,
    ) -> Result<Self, StoreError> {
        let events = std::mem::take(&mut state.event_memory).into_iter();
        let gifts = std::mem::take(&mut state.gift_memory).into_iter();
        let core: StateCore = decode("a state", &state.core)?;
        Ok(Self {
            state,
            is_live: core.broadcast.is_some(),
            event_memory: events.map(event_block).collect::<Result<_, _>>()?,
            gift_memory: gifts.map(gift_block).collect::<Result<_, _>>()?,
            event_memory_since: i64::MIN,
            gift_memory_since: i64::MIN,
            chunks,
            blanked: Vec::new(),
        })
    }
}

fn event_block(bytes: Bytes) -> Result<Block, StoreError> {
    let block: EventMemoryBlock = decode("event memory", &bytes)?;
    let last_clock = block.entries.last().map_or(i64::MIN, |last| last.clock);
    Ok(Block { bytes, last_clock })
}

fn gift_block(bytes: Bytes) -> Result<Block, StoreError> {
    let block: GiftMemoryBlock = decode("gift memory", &bytes)?;
    let last_clock = block.entries.last().map_or(i64::MIN, |last| last.clock);
    Ok(Block { bytes, last_clock })
}

fn decode<T: for<'a> Datum<'a>>(what: &str, bytes: &Bytes) -> Result<T, StoreError> {
    codec::from_stored(bytes).map_err(|source| StoreError::Damaged {
        what: what.to_owned(),
        source,
    })
}

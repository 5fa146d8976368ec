//! Which rows of a room this writer wrote or read, and which of them nobody needs any more.
//!
//! A state is needless once a newer one, written by this writer, stands at or below a watermark that
//! was written one checkpoint ago; a block of memory once that newer state remembers nothing of it.
//! Who wrote the older one does not matter: watermarks never go down, so every later look at the room
//! finds the newer state, and a look that began before that watermark begins again when it sees it.
//! Without this a restart would leave one state of every room behind for good.

use danmu_schemas::codec;
use danmu_schemas::state::{EventMemoryBlock, GiftMemoryBlock};
use danmu_schemas::{Position, RoomId};

use crate::history::layout::{self, Key, MemoryKind};
use crate::history::reader::damaged;
use crate::history::store::Row;
use crate::projection::StoreError;

/// Rows of one room that may be removed one day.
#[derive(Default)]
pub(super) struct Kept {
    /// The state that was read.
    read_state: Option<Position>,
    /// Ascending.
    states: Vec<OwnState>,
    event_blocks: Vec<Block>,
    gift_blocks: Vec<Block>,
}

#[derive(Clone, Copy)]
struct OwnState {
    at: Position,
    event_memory_since: i64,
    gift_memory_since: i64,
}

struct Block {
    key: Key,
    last_clock: i64,
}

impl Kept {
    pub(super) fn wrote_state(&mut self, at: Position, events_since: i64, gifts_since: i64) {
        self.states.push(OwnState {
            at,
            event_memory_since: events_since,
            gift_memory_since: gifts_since,
        });
    }

    pub(super) fn wrote_block(&mut self, kind: MemoryKind, key: Key, last_clock: i64) {
        self.blocks(kind).push(Block { key, last_clock });
    }

    /// Remembers what a load found, where nothing was written since.
    pub(super) fn read(
        &mut self,
        state: Option<Position>,
        events: &[Row],
        gifts: &[Row],
    ) -> Result<(), StoreError> {
        if !self.states.is_empty() {
            return Ok(());
        }
        self.read_state = state;
        self.event_blocks.clear();
        self.gift_blocks.clear();
        for row in events {
            let block: EventMemoryBlock =
                codec::from_stored(&row.body).map_err(|e| damaged(&row.key, e))?;
            let clock = block.entries.last().map_or(i64::MIN, |last| last.clock);
            self.wrote_block(MemoryKind::Events, row.key.clone(), clock);
        }
        for row in gifts {
            let block: GiftMemoryBlock =
                codec::from_stored(&row.body).map_err(|e| damaged(&row.key, e))?;
            let clock = block.entries.last().map_or(i64::MIN, |last| last.clock);
            self.wrote_block(MemoryKind::Gifts, row.key.clone(), clock);
        }
        Ok(())
    }

    /// Takes out the keys that are needless once the watermark `written` was written a while ago.
    pub(super) fn take_needless(&mut self, room: &RoomId, written: Position, keys: &mut Vec<Key>) {
        let newer = self.states.partition_point(|state| state.at <= written);
        let Some(index) = newer.checked_sub(1) else {
            return;
        };
        let newest = self.states[index];
        let older = self.read_state.take().into_iter();
        let older = older.chain(self.states.drain(..index).map(|state| state.at));
        keys.extend(older.map(|at| layout::state_key(room, at)));
        take_older(&mut self.event_blocks, newest.event_memory_since, keys);
        take_older(&mut self.gift_blocks, newest.gift_memory_since, keys);
    }

    fn blocks(&mut self, kind: MemoryKind) -> &mut Vec<Block> {
        match kind {
            MemoryKind::Events => &mut self.event_blocks,
            MemoryKind::Gifts => &mut self.gift_blocks,
        }
    }
}

/// Blocks stand in the order of their clocks, so those that are needless stand first.
fn take_older(blocks: &mut Vec<Block>, since: i64, keys: &mut Vec<Key>) {
    let needless = blocks.iter().take_while(|block| block.last_clock < since);
    let count = needless.count();
    keys.extend(blocks.drain(..count).map(|block| block.key));
}

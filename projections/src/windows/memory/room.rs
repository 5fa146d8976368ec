//! One room in memory: its state, its memory of recent events and gifts, its newest chunks.

use std::collections::VecDeque;
use std::sync::Arc;

use danmu_schemas::Position;
use danmu_schemas::chunk::ChunkHeader;

use super::WindowLimits;
use crate::projection::StoredState;
use crate::windows::additions::{Additions, Block};
use crate::windows::store::PackedChunk;

/// A room of the windows.
#[derive(Default)]
pub(super) struct Room {
    /// Without memory, which is beside it.
    state: Arc<StoredState>,
    event_memory: VecDeque<Block>,
    gift_memory: VecDeque<Block>,
    chunks: VecDeque<Arc<PackedChunk>>,
    events: usize,
    bytes: usize,
    version: u64,
    is_live: bool,
}

impl Room {
    pub(super) fn add(&mut self, additions: Additions, version: u64) {
        self.version = version;
        self.is_live = additions.is_live;
        self.state = Arc::new(additions.state);
        self.event_memory.extend(additions.event_memory);
        self.gift_memory.extend(additions.gift_memory);
        forget(&mut self.event_memory, additions.event_memory_since);
        forget(&mut self.gift_memory, additions.gift_memory_since);
        for chunk in additions.blanked {
            self.replace(chunk);
        }
        for chunk in additions.chunks {
            self.events += chunk.header.count as usize;
            self.bytes += chunk.bytes.len();
            self.chunks.push_back(Arc::new(chunk));
        }
    }

    /// Whether every chunk that is blanked is there.
    pub(super) fn has_blanked(&self, additions: &Additions) -> bool {
        let mut blanked = additions.blanked.iter();
        blanked.all(|chunk| self.place_of(&chunk.header).is_some())
    }

    fn replace(&mut self, chunk: PackedChunk) {
        let place = self.place_of(&chunk.header);
        let place = place.expect("an append looks first whether it is there");
        self.bytes -= self.chunks[place].bytes.len();
        self.bytes += chunk.bytes.len();
        self.chunks[place] = Arc::new(chunk);
    }

    /// Where the chunk with that header is.
    fn place_of(&self, header: &ChunkHeader) -> Option<usize> {
        let place = self.place_after(Position::new(header.epoch, header.last_offset - 1));
        let chunk = self.chunks.get(place)?;
        (chunk.header == *header).then_some(place)
    }

    /// The place of the first chunk whose last record stands after `after`.
    fn place_after(&self, after: Position) -> usize {
        self.chunks.partition_point(|chunk| {
            Position::new(chunk.header.epoch, chunk.header.last_offset) <= after
        })
    }

    /// The state with its memory.
    pub(super) fn stored(&self) -> StoredState {
        let bytes = |blocks: &VecDeque<Block>| blocks.iter().map(|b| b.bytes.clone()).collect();
        StoredState {
            event_memory: bytes(&self.event_memory),
            gift_memory: bytes(&self.gift_memory),
            ..StoredState::clone(&self.state)
        }
    }

    /// The state without its memory.
    pub(super) fn state(&self) -> &Arc<StoredState> {
        &self.state
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Whether a broadcast is open.
    pub(super) fn is_live(&self) -> bool {
        self.is_live
    }

    /// The chunks whose last record stands after `after`.
    pub(super) fn chunks_since(&self, after: Position) -> Vec<Arc<PackedChunk>> {
        let news = self.place_after(after);
        self.chunks.range(news..).cloned().collect()
    }

    /// Lets chunks go from the front; the newest stays.
    pub(super) fn trim(&mut self, limits: &WindowLimits, watermark: Option<Position>) {
        let now = self.chunks.back().map_or(0, |c| c.header.last_logged_at);
        while self.chunks.len() > 1 {
            let oldest = self.chunks[0].header;
            let last = Position::new(oldest.epoch, oldest.last_offset);
            let is_too_much = self.events > limits.events_max
                || self.bytes > limits.bytes_max
                || now - oldest.last_logged_at > limits.age_ms_max;
            let may_leave = is_too_much && Some(last) <= watermark;
            if !may_leave && self.bytes <= limits.hard_bytes_max {
                return;
            }
            if let Some(chunk) = self.chunks.pop_front() {
                self.events -= chunk.header.count as usize;
                self.bytes -= chunk.bytes.len();
            }
        }
    }
}

fn forget(blocks: &mut VecDeque<Block>, since: i64) {
    while blocks.front().is_some_and(|block| block.last_clock < since) {
        blocks.pop_front();
    }
}

//! A chunk while it fills, and when it is full.

use std::collections::BTreeSet;

use danmu_schemas::chunk::{
    CHUNK_BYTES_MAX, CHUNK_LEN_MAX, ChunkBody, ChunkHeader, Packer, SEQ_RUN,
};
use danmu_schemas::fact::{Fact, FactBody};
use danmu_schemas::{Generation, Position, RoomId, Seq, Settled};

use crate::history::layout;
use crate::history::store::Row;

/// Events of one room that are not written yet.
pub(super) struct OpenChunk {
    generation: Generation,
    epoch: u32,
    events: Vec<Settled>,
    datum_bytes: usize,
}

impl OpenChunk {
    pub(super) fn new(generation: Generation, epoch: u32) -> Self {
        Self {
            generation,
            epoch,
            events: Vec::new(),
            datum_bytes: 0,
        }
    }

    /// Whether the event may stand in the same chunk, after the events that are in it.
    pub(super) fn takes(&self, generation: Generation, epoch: u32, event: &Settled) -> bool {
        self.generation == generation
            && self.epoch == epoch
            && self.events.len() < CHUNK_LEN_MAX
            && self.datum_bytes < CHUNK_BYTES_MAX
            && !event.seq.0.is_multiple_of(SEQ_RUN)
    }

    pub(super) fn push(&mut self, event: Settled) {
        self.datum_bytes += event.datum.len();
        self.events.push(event);
    }

    /// The chunk's row.
    pub(super) fn close(self, room: &RoomId, packer: &mut Packer) -> Row {
        let (Some(first), Some(last)) = (self.events.first(), self.events.last()) else {
            unreachable!("a chunk is opened for an event");
        };
        let header = ChunkHeader {
            generation: self.generation,
            epoch: self.epoch,
            first_seq: first.seq,
            count: self.events.len() as u32,
            first_offset: first.offset,
            last_offset: last.offset,
            last_at: last.at,
            last_logged_at: last.logged_at,
        };
        let first = Position::new(self.epoch, first.offset);
        let body = ChunkBody {
            settled: self.events,
            unsettled: Vec::new(),
        };
        Row {
            key: layout::chunk_key(room, self.generation, header.first_seq, first),
            timestamp: Position::new(self.epoch, header.last_offset).timestamp(),
            body: packer.pack(&header, &body),
        }
    }
}

/// The first events of segments: a chunk ends before each.
pub(super) fn segment_borders(facts: &[Fact]) -> BTreeSet<(Generation, Seq)> {
    facts
        .iter()
        .filter_map(|fact| match &fact.body {
            FactBody::SegmentOpened {
                broadcast, segment, ..
            } => Some((broadcast.generation, segment.first_seq)),
            _ => None,
        })
        .collect()
}

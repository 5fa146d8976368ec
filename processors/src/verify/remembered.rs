//! The memory of a room as a store had it: blocks of events or of gifts, against what settling again
//! remembers.
//!
//! Blocks may overlap and may hold what is forgotten by now; whatever they hold must be what the log
//! says, without a hole from a block's first entry to its last. What is still remembered must be in
//! one of them.

use std::collections::VecDeque;

use bytes::Bytes;
use danmu_schemas::codec::{self, DecodeError};
use danmu_schemas::state::{EventMemory, EventMemoryBlock, GiftMemory, GiftMemoryBlock};
use danmu_schemas::{Cursor, Position, RoomId, Seq};

use super::report::Report;

/// An entry with its record's position.
pub(super) type Placed<E> = (Position, E);

/// An event that is remembered, with its cursor.
pub(super) type EventEntry = (Cursor, EventMemory);

/// What is remembered, and by which log clock.
pub(super) trait Entry: PartialEq {
    fn clock(&self) -> i64;
}

impl Entry for EventEntry {
    fn clock(&self) -> i64 {
        self.1.clock
    }
}

impl Entry for GiftMemory {
    fn clock(&self) -> i64 {
        self.clock
    }
}

/// The blocks of one memory that are not yet compared to their ends.
pub(super) struct Remembered<E> {
    /// Of what, in which store.
    what: &'static str,
    /// By their first entries' positions.
    blocks: VecDeque<Block<E>>,
    /// The log clock at the last entry that no block had.
    uncovered_clock: Option<i64>,
}

struct Block<E> {
    first: Position,
    entries: VecDeque<Placed<E>>,
    has_begun: bool,
}

impl<E: Entry> Remembered<E> {
    /// The memory that a store's blocks hold; each block's entries ascend.
    pub fn new(what: &'static str, blocks: impl IntoIterator<Item = Vec<Placed<E>>>) -> Self {
        let blocks = blocks.into_iter().filter_map(|entries| {
            Some(Block {
                first: entries.first()?.0,
                entries: entries.into(),
                has_begun: false,
            })
        });
        let mut blocks: Vec<Block<E>> = blocks.collect();
        blocks.sort_by_key(|block| block.first);
        Self {
            what,
            blocks: blocks.into(),
            uncovered_clock: None,
        }
    }

    /// What settling again remembers next, in the order of the log.
    pub fn expect(&mut self, (at, entry): &Placed<E>, room: &RoomId, report: &mut Report) {
        let mut is_covered = false;
        let mut n = 0;
        while self.blocks.get(n).is_some_and(|block| block.first <= *at) {
            let what = self.what;
            let block = &mut self.blocks[n];
            while let Some((surplus, _)) = block.entries.pop_front_if(|(stored, _)| *stored < *at) {
                report.differ(room, format!("{what} of {surplus}"), "is not in the log");
            }
            match block.entries.pop_front_if(|(stored, _)| stored == at) {
                Some((_, stored)) => {
                    report.remembered += 1;
                    is_covered = true;
                    block.has_begun = true;
                    if stored != *entry {
                        report.differ(room, format!("{what} of {at}"), "is another");
                    }
                }
                None if block.has_begun && !block.entries.is_empty() => {
                    report.differ(room, format!("{what} of {at}"), "is missing in a block");
                }
                None => {}
            }
            if block.entries.is_empty() {
                self.blocks.remove(n);
            } else {
                n += 1;
            }
        }
        if !is_covered {
            self.uncovered_clock = Some(entry.clock());
        }
    }

    /// Everything up to `at` was expected; what is remembered since the log clock `since` must have
    /// been there.
    pub fn end(&mut self, at: Position, since: i64, room: &RoomId, report: &mut Report) {
        let what = self.what;
        if self.uncovered_clock.is_some_and(|clock| clock >= since) {
            report.differ(room, what, "lacks what is still remembered");
        }
        for block in std::mem::take(&mut self.blocks) {
            if let Some((surplus, _)) = block.entries.front().filter(|(stored, _)| *stored <= at) {
                report.differ(room, format!("{what} of {surplus}"), "is not in the log");
            }
        }
    }

    pub fn held_bytes(&self) -> usize {
        let entries: usize = self.blocks.iter().map(|block| block.entries.len()).sum();
        entries * size_of::<Placed<E>>()
    }
}

/// The entries of a stored block of events.
pub(super) fn read_events(bytes: &Bytes) -> Result<Vec<Placed<EventEntry>>, DecodeError> {
    let block: EventMemoryBlock = codec::from_stored(bytes)?;
    let seqs = block.first_seq.0..;
    let placed = seqs.zip(block.entries).map(|(seq, entry)| {
        let cursor = Cursor {
            generation: block.generation,
            seq: Seq(seq),
        };
        (Position::new(block.epoch, entry.offset), (cursor, entry))
    });
    Ok(placed.collect())
}

/// The entries of a stored block of gifts.
pub(super) fn read_gifts(bytes: &Bytes) -> Result<Vec<Placed<GiftMemory>>, DecodeError> {
    let block: GiftMemoryBlock = codec::from_stored(bytes)?;
    let placed = |entry: GiftMemory| (Position::new(block.epoch, entry.offset), entry);
    Ok(block.entries.into_iter().map(placed).collect())
}

//! Blocks of a room's memory: joined while they wait for a checkpoint, cut when they become rows.
//!
//! A room may have as many events between two checkpoints as one core settles, and a server refuses a
//! row that is too long for good. So no row has more than [`ENTRIES_MAX`] entries; a reader joins any
//! number of them.

use bytes::Bytes;
use danmu_schemas::state::{EventMemoryBlock, GiftMemoryBlock};
use danmu_schemas::{Position, Seq, codec};

/// The most entries of a row: 300 KiB at their longest, an eighth of a MiB as they are.
pub(super) const ENTRIES_MAX: usize = 4_096;

/// What a row of memory has.
pub(super) struct Cut {
    pub(super) first: Position,
    pub(super) last_offset: i64,
    pub(super) last_clock: i64,
    pub(super) body: Bytes,
}

/// Adds a block to those that wait.
pub(super) fn join_events(blocks: &mut Vec<EventMemoryBlock>, block: EventMemoryBlock) {
    match blocks.last_mut() {
        Some(last)
            if last.generation == block.generation
                && last.epoch == block.epoch
                && last.first_seq.0 + last.entries.len() as u64 == block.first_seq.0 =>
        {
            last.entries.extend(block.entries);
        }
        _ => blocks.push(block),
    }
}

/// The same for gifts.
pub(super) fn join_gifts(blocks: &mut Vec<GiftMemoryBlock>, block: GiftMemoryBlock) {
    match blocks.last_mut() {
        Some(last) if last.epoch == block.epoch => last.entries.extend(block.entries),
        _ => blocks.push(block),
    }
}

/// A block in parts that are short enough.
pub(super) fn cut_events(block: &EventMemoryBlock) -> impl Iterator<Item = Cut> {
    let parts = block.entries.chunks(ENTRIES_MAX).enumerate();
    parts.filter_map(|(n, entries)| {
        let (first, last) = entries.first().zip(entries.last())?;
        let body = codec::to_stored(&EventMemoryBlock {
            generation: block.generation,
            epoch: block.epoch,
            first_seq: Seq(block.first_seq.0 + (n * ENTRIES_MAX) as u64),
            entries: entries.to_vec(),
        });
        Some(Cut {
            first: Position::new(block.epoch, first.offset),
            last_offset: last.offset,
            last_clock: last.clock,
            body,
        })
    })
}

/// The same for gifts.
pub(super) fn cut_gifts(block: &GiftMemoryBlock) -> impl Iterator<Item = Cut> {
    let parts = block.entries.chunks(ENTRIES_MAX);
    parts.filter_map(|entries| {
        let (first, last) = entries.first().zip(entries.last())?;
        let body = codec::to_stored(&GiftMemoryBlock {
            epoch: block.epoch,
            entries: entries.to_vec(),
        });
        Some(Cut {
            first: Position::new(block.epoch, first.offset),
            last_offset: last.offset,
            last_clock: last.clock,
            body,
        })
    })
}

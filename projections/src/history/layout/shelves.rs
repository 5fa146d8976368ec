//! How rows share out where an engine spreads them over machines.
//!
//! A row's *shelf* is named by the first bytes of its key: rows of one shelf are kept together, in the
//! order of their keys, and one shelf is as much as one machine should hold of a busy room. The order of
//! shelves is the order of the keys on them, and no shelf's name is the beginning of another's. So a
//! range of keys is a range of shelves, and on each of them the same range of keys again.

use danmu_schemas::{Position, RoomId, Slot};

use super::{
    BROADCAST, CHUNK, ERASURE, EVENT_MEMORY, GIFT_MEMORY, HEAT, INTERRUPTION, Key, MODERATION,
    SEGMENT, STATE, SWEPT, WATERMARK, after, read_state_key,
};

const LETTER_BYTES: usize = 1;
const SLOT_BYTES: usize = 2;
const GENERATION_BYTES: usize = 4;
/// The first bytes of a seq: 65,536 of them are one run.
const SEQ_RUN_BYTES: usize = 6;
const CURSOR_BYTES: usize = 12;
/// The first bytes of a segment's number: 256 of them are two hours of a show.
const SEGMENT_RUN_BYTES: usize = 7;

/// Rows whose keys begin with the same letter: they have a table of their own in engines with tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// How far slots are complete.
    Watermarks,
    /// States of rooms without their memory.
    States,
    /// Blocks of what rooms remember of visible events.
    EventMemory,
    /// Blocks of what rooms remember of gifts.
    GiftMemory,
    /// Chunks of events.
    Chunks,
    /// Beginnings and ends of broadcasts.
    Broadcasts,
    /// Openings of segments.
    Segments,
    /// Openings of heat buckets.
    Heat,
    /// Interruptions of broadcasts.
    Interruptions,
    /// Moderation and erasure.
    Moderation,
    /// Where a slot's erasures are.
    Erasures,
    /// How far slots are swept.
    Sweeps,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 12] = [
        Self::Watermarks,
        Self::States,
        Self::EventMemory,
        Self::GiftMemory,
        Self::Chunks,
        Self::Broadcasts,
        Self::Segments,
        Self::Heat,
        Self::Interruptions,
        Self::Moderation,
        Self::Erasures,
        Self::Sweeps,
    ];

    /// The family of a key, or of a range that begins at it.
    pub fn of(key: &[u8]) -> Option<Self> {
        let letter = key.first()?;
        Self::ALL
            .into_iter()
            .find(|family| family.letter() == *letter)
    }

    fn letter(self) -> u8 {
        match self {
            Self::Watermarks => WATERMARK,
            Self::States => STATE,
            Self::EventMemory => EVENT_MEMORY,
            Self::GiftMemory => GIFT_MEMORY,
            Self::Chunks => CHUNK,
            Self::Broadcasts => BROADCAST,
            Self::Segments => SEGMENT,
            Self::Heat => HEAT,
            Self::Interruptions => INTERRUPTION,
            Self::Moderation => MODERATION,
            Self::Erasures => ERASURE,
            Self::Sweeps => SWEPT,
        }
    }

    /// Whether the slot follows the letter. Where not, the room's name does.
    fn has_slot(self) -> bool {
        match self {
            Self::Watermarks
            | Self::States
            | Self::EventMemory
            | Self::GiftMemory
            | Self::Erasures
            | Self::Sweeps => true,
            Self::Chunks
            | Self::Broadcasts
            | Self::Segments
            | Self::Heat
            | Self::Interruptions
            | Self::Moderation => false,
        }
    }

    /// How long a shelf's name is after the room's; `None` where a shelf is a whole slot.
    fn bytes_after_room(self) -> Option<usize> {
        match self {
            Self::Watermarks | Self::States | Self::Erasures | Self::Sweeps => None,
            Self::EventMemory | Self::GiftMemory | Self::Broadcasts | Self::Moderation => Some(0),
            Self::Heat | Self::Interruptions => Some(CURSOR_BYTES),
            Self::Segments => Some(CURSOR_BYTES + SEGMENT_RUN_BYTES),
            Self::Chunks => Some(GENERATION_BYTES + SEQ_RUN_BYTES),
        }
    }

    fn before_room(self) -> usize {
        LETTER_BYTES + if self.has_slot() { SLOT_BYTES } else { 0 }
    }
}

/// The shelf that a key stands on; `None` for a range's end that is no key of one shelf.
pub fn shelf_of(key: &[u8]) -> Option<&[u8]> {
    let family = Family::of(key)?;
    let before_room = family.before_room();
    let len = match family.bytes_after_room() {
        None => before_room,
        Some(after_room) => before_room + room_of(key, family)?.len() + 1 + after_room,
    };
    key.get(..len)
}

/// The first name that no key of a shelf, and no shelf before it, reaches.
pub fn after_shelf(shelf: &[u8]) -> Key {
    after(shelf)
}

/// The slot of a key's room, or of a range that begins at it; `None` where it names neither.
pub fn slot_of(key: &[u8]) -> Option<Slot> {
    let family = Family::of(key)?;
    if family.has_slot() {
        let slot = key.get(LETTER_BYTES..)?.first_chunk()?;
        return Slot::new(u16::from_be_bytes(*slot));
    }
    let room = std::str::from_utf8(room_of(key, family)?).ok()?;
    RoomId::parse(room).ok().map(|room| room.slot())
}

/// The highest write time that the row of a state or of a block of memory has under its key: the
/// record's that it covers last, plus one where it was swept of what was erased. `None` for the rows
/// whose keys do not tell, which nobody removes in the course of things.
pub fn last_written(key: &[u8]) -> Option<u64> {
    let last = match Family::of(key)? {
        Family::States => read_state_key(key).ok()?.1,
        Family::EventMemory | Family::GiftMemory => {
            let (rest, last) = key.split_last_chunk::<8>()?;
            let (rest, _first) = rest.split_last_chunk::<8>()?;
            let (_, epoch) = rest.split_last_chunk::<4>()?;
            let offset = u64::from_be_bytes(*last) ^ (1 << 63);
            Position::new(u32::from_be_bytes(*epoch), offset as i64)
        }
        _ => return None,
    };
    Some(last.timestamp() | 1)
}

fn room_of(key: &[u8], family: Family) -> Option<&[u8]> {
    let rest = key.get(family.before_room()..)?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    Some(&rest[..end])
}

#[cfg(test)]
mod tests;

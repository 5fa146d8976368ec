//! The rows of rooms by what they hold: for whoever goes through all of them.

use danmu_schemas::RoomId;
use danmu_schemas::codec::DecodeError;

use super::{
    BROADCAST, CHUNK, EVENT_MEMORY, FactKind, GIFT_MEMORY, HEAT, INTERRUPTION, KeyBuilder,
    KeyRange, MODERATION, MemoryKind, SEGMENT, STATE, after, below,
};

/// Rows of one kind. A room's rows stand together, those of a state or a memory under its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// Chunks of events.
    Chunks,
    /// Facts of a kind.
    Facts(FactKind),
    /// States without their memory.
    States,
    /// Blocks of a memory.
    Memory(MemoryKind),
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 9] = [
        Self::Chunks,
        Self::Facts(FactKind::Broadcast),
        Self::Facts(FactKind::Segment),
        Self::Facts(FactKind::Heat),
        Self::Facts(FactKind::Interruption),
        Self::Facts(FactKind::Moderation),
        Self::States,
        Self::Memory(MemoryKind::Events),
        Self::Memory(MemoryKind::Gifts),
    ];

    fn family(self) -> u8 {
        match self {
            Self::Chunks => CHUNK,
            Self::Facts(FactKind::Broadcast) => BROADCAST,
            Self::Facts(FactKind::Segment) => SEGMENT,
            Self::Facts(FactKind::Heat) => HEAT,
            Self::Facts(FactKind::Interruption) => INTERRUPTION,
            Self::Facts(FactKind::Moderation) => MODERATION,
            Self::States => STATE,
            Self::Memory(MemoryKind::Events) => EVENT_MEMORY,
            Self::Memory(MemoryKind::Gifts) => GIFT_MEMORY,
        }
    }

    fn is_by_slot(self) -> bool {
        matches!(self, Self::States | Self::Memory(_))
    }

    fn room_prefix(self, room: &RoomId) -> KeyBuilder {
        let table = KeyBuilder::new(self.family());
        if self.is_by_slot() {
            table.slot(room.slot()).room(room)
        } else {
            table.room(room)
        }
    }
}

/// All rows of a room in a table.
pub fn rows_of(table: Table, room: &RoomId) -> KeyRange {
    below(table.room_prefix(room).0)
}

/// The rows of all rooms that come after `past`, or of all.
pub fn rows_past(table: Table, past: Option<&RoomId>) -> KeyRange {
    let whole = below(vec![table.family()]);
    match past {
        None => whole,
        Some(room) => after(&table.room_prefix(room).0)..whole.end,
    }
}

/// The room in a key of a table.
pub fn read_room(table: Table, key: &[u8]) -> Result<RoomId, DecodeError> {
    let skipped = if table.is_by_slot() { 3 } else { 1 };
    let rest = key.get(skipped..).unwrap_or_default();
    let name = rest.split(|byte| *byte == 0).next().unwrap_or_default();
    let name = std::str::from_utf8(name).unwrap_or_default();
    RoomId::parse(name).map_err(|_| DecodeError::Malformed("no key of a room's row"))
}

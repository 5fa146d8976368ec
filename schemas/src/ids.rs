//! Identities: room, event, seq, generation, cursor, slot.
//!
//! Each is a newtype, so that a seq cannot be taken for an offset. A [`RoomId`] can only be made by
//! [`RoomId::parse`], which is why it may be used in keys, paths and statements without escaping.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::hash;

/// A live channel, the unit of order: 1–64 of `a-z A-Z 0-9 . _ -`, starting with a letter or digit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomId(Arc<str>);

/// The text is not a room's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a room is 1 to 64 of a-z A-Z 0-9 . _ - and starts with a letter or digit")]
pub struct InvalidRoom;

impl RoomId {
    /// The longest name, in bytes.
    pub const LEN_MAX: usize = 64;

    /// Checks a name and keeps it.
    pub fn parse(name: &str) -> Result<Self, InvalidRoom> {
        if Self::is_valid(name) {
            Ok(Self(name.into()))
        } else {
            Err(InvalidRoom)
        }
    }

    /// Whether `name` could be a room's name.
    pub fn is_valid(name: &str) -> bool {
        let bytes = name.as_bytes();
        matches!(bytes.first(), Some(first) if first.is_ascii_alphanumeric())
            && bytes.len() <= Self::LEN_MAX
            && bytes
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The slot that the room belongs to, for ever.
    pub fn slot(&self) -> Slot {
        Slot::of(&self.0)
    }
}

impl Borrow<str> for RoomId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "room {}", self.0)
    }
}

impl FromStr for RoomId {
    type Err = InvalidRoom;
    fn from_str(name: &str) -> Result<Self, InvalidRoom> {
        Self::parse(name)
    }
}

/// One of [`Slot::COUNT`] fixed shares of the rooms: the unit of storing, moving and recovering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    /// How many slots there are. Never changes: keys on disk depend on it.
    pub const COUNT: u16 = 1_024;

    /// The slot of a room's name: Kafka's murmur2, without its sign bit, modulo [`Slot::COUNT`].
    pub fn of(room: &str) -> Self {
        let share = (hash::murmur2(room.as_bytes()) & 0x7fff_ffff) % u32::from(Self::COUNT);
        Self(share as u16)
    }

    /// The slot of that number, if there is one.
    pub fn new(number: u16) -> Option<Self> {
        (number < Self::COUNT).then_some(Self(number))
    }

    /// Every slot, ascending.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }

    /// The slot's number, below [`Slot::COUNT`].
    pub fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An event's identity, a UUID: given by the client, or a v7 made by the server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(pub [u8; 16]);

impl EventId {
    /// The id as a UUID.
    pub fn uuid(self) -> uuid::Uuid {
        uuid::Uuid::from_bytes(self.0)
    }
}

impl From<uuid::Uuid> for EventId {
    fn from(uuid: uuid::Uuid) -> Self {
        Self(uuid.into_bytes())
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uuid().as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Who commented, as the memory of a room keeps it: xxh3-64 of the user's id, never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserHash(pub u64);

impl UserHash {
    /// Stands where an event is not a comment, or has no author.
    pub const NOBODY: Self = Self(0);

    /// The hash of a user's id.
    pub fn of(user_id: &str) -> Self {
        Self(hash::user(user_id).max(1))
    }
}

/// A visible event's dense number in its room: 1, 2, 3… with no holes. 0 is before the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl Seq {
    /// Before the first event.
    pub const ZERO: Self = Self(0);

    /// The seq after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Counts how often a room's numbering began anew, from 1. Opaque to clients, ordered for servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u32);

impl Generation {
    /// A room's first numbering.
    pub const FIRST: Self = Self(1);

    /// The numbering after a reset.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The last event that a client has: `generation:seq`. The same in every transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    /// The numbering that `seq` belongs to.
    pub generation: Generation,
    /// The last seq that the client has.
    pub seq: Seq,
}

/// The text is not a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a cursor is what the server gave: generation:seq, or 0 for the beginning")]
pub struct InvalidCursor;

impl Cursor {
    /// Before the first event of whatever generation the room is in; written `0`.
    pub const START: Self = Self {
        generation: Generation(0),
        seq: Seq::ZERO,
    };
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::START {
            return f.write_str("0");
        }
        write!(f, "{}:{}", self.generation, self.seq)
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        if text == "0" {
            return Ok(Self::START);
        }
        let (generation, seq) = text.split_once(':').ok_or(InvalidCursor)?;
        let generation: u32 = decimal(generation)?;
        let seq: u64 = decimal(seq)?;
        if generation == 0 || seq > i64::MAX as u64 {
            return Err(InvalidCursor);
        }
        Ok(Self {
            generation: Generation(generation),
            seq: Seq(seq),
        })
    }
}

/// A number in its one canonical form, so that a cursor has one spelling (`+1` and `01` are none).
fn decimal<T: FromStr>(text: &str) -> Result<T, InvalidCursor> {
    let canonical = text == "0" || matches!(text.as_bytes().first(), Some(b'1'..=b'9'));
    if !canonical {
        return Err(InvalidCursor);
    }
    text.parse().map_err(|_| InvalidCursor)
}

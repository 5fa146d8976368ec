//! Facts as rows and back.
//!
//! A fact's key says its kind, its room and what it is about, its write time the record that made it
//! true, its body the rest. Of one kind, a room's facts stand in the order of the log, but those that
//! one record made true.

use bytes::Buf;
use danmu_schemas::codec::{self, DecodeError};
use danmu_schemas::fact::{Fact, FactBody, Moderation};
use danmu_schemas::{Cursor, Generation, Position, RoomId, Seq};

use super::{BroadcastPart, Key, KeyBuilder, MODERATION, STARTED};
use super::{ended_key, part_key, read_part_key, started_key};
use crate::history::store::Row;

/// The kinds of facts: each has rows of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FactKind {
    /// Beginnings and ends of broadcasts.
    Broadcast,
    /// Openings of segments, with the room's state.
    Segment,
    /// Openings of heat buckets.
    Heat,
    /// Interruptions of broadcasts.
    Interruption,
    /// Moderation and erasure.
    Moderation,
}

impl FactKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::Broadcast,
        Self::Segment,
        Self::Heat,
        Self::Interruption,
        Self::Moderation,
    ];

    /// The kind of a fact.
    pub fn of(body: &FactBody) -> Self {
        match body {
            FactBody::BroadcastStarted { .. } | FactBody::BroadcastEnded { .. } => Self::Broadcast,
            FactBody::SegmentOpened { .. } => Self::Segment,
            FactBody::HeatBucketOpened { .. } => Self::Heat,
            FactBody::Interruption { .. } => Self::Interruption,
            FactBody::Moderated { .. } => Self::Moderation,
        }
    }
}

/// A fact.
pub fn fact_row(room: &RoomId, fact: &Fact) -> Row {
    let body = match &fact.body {
        FactBody::BroadcastStarted { started, .. } => codec::to_stored(started),
        FactBody::BroadcastEnded { ended, .. } => codec::to_stored(ended),
        FactBody::Interruption { interruption, .. } => codec::to_stored(interruption),
        FactBody::SegmentOpened { segment, .. } => codec::to_stored(segment),
        FactBody::HeatBucketOpened { before, .. } => codec::to_stored(before),
        FactBody::Moderated { moderation, .. } => codec::to_stored(moderation),
    };
    Row {
        key: fact_key(room, &fact.body),
        timestamp: fact.position.timestamp(),
        body,
    }
}

/// What [`fact_row`] wrote of a room and a kind; refused where the key says another thing than the
/// body.
pub fn read_fact(room: &RoomId, kind: FactKind, row: &Row) -> Result<Fact, DecodeError> {
    const MALFORMED: DecodeError = DecodeError::Malformed("no key of a fact");
    let skipped = 1 + room.as_str().len() + 1;
    let (mut cursor, tail) = row
        .key
        .get(skipped..)
        .and_then(|rest| rest.split_at_checked(12))
        .ok_or(MALFORMED)?;
    let cursor = Cursor {
        generation: Generation(cursor.get_u32()),
        seq: Seq(cursor.get_u64()),
    };
    let body = read_fact_body(cursor, kind, tail, &row.body)?;
    if fact_key(room, &body) != row.key {
        return Err(DecodeError::Malformed("a fact under the key of another"));
    }
    let position = fact_position(row);
    Ok(Fact { position, body })
}

/// `cursor` is what every fact's key has after the room; `tail` is what follows it.
fn read_fact_body(
    cursor: Cursor,
    kind: FactKind,
    tail: &[u8],
    body: &[u8],
) -> Result<FactBody, DecodeError> {
    let broadcast = cursor;
    Ok(match kind {
        FactKind::Broadcast if tail == [STARTED] => FactBody::BroadcastStarted {
            broadcast,
            started: codec::from_stored(body)?,
        },
        FactKind::Broadcast => FactBody::BroadcastEnded {
            broadcast,
            ended: codec::from_stored(body)?,
        },
        FactKind::Segment => FactBody::SegmentOpened {
            broadcast,
            n: read_part_key(tail)?,
            segment: codec::from_stored(body)?,
        },
        FactKind::Heat => FactBody::HeatBucketOpened {
            broadcast,
            n: read_part_key(tail)?,
            before: codec::from_stored(body)?,
        },
        FactKind::Interruption => FactBody::Interruption {
            broadcast,
            by_seq: Seq(read_part_key(tail)? as u64),
            interruption: codec::from_stored(body)?,
        },
        FactKind::Moderation => FactBody::Moderated {
            by: cursor,
            moderation: codec::from_stored(body)?,
        },
    })
}

fn fact_key(room: &RoomId, body: &FactBody) -> Key {
    let part = |broadcast: &Cursor, part, n| part_key(room, *broadcast, part, n);
    match body {
        FactBody::BroadcastStarted { broadcast, .. } => started_key(room, *broadcast),
        FactBody::BroadcastEnded { broadcast, .. } => ended_key(room, *broadcast),
        FactBody::Interruption {
            broadcast, by_seq, ..
        } => part(broadcast, BroadcastPart::Interruptions, by_seq.0 as i64),
        FactBody::SegmentOpened { broadcast, n, .. } => {
            part(broadcast, BroadcastPart::Segments, *n)
        }
        FactBody::HeatBucketOpened { broadcast, n, .. } => part(broadcast, BroadcastPart::Heat, *n),
        FactBody::Moderated { by, moderation } => moderation_key(room, *by, moderation),
    }
}

fn moderation_key(room: &RoomId, by: Cursor, moderation: &Moderation) -> Key {
    let key = KeyBuilder::new(MODERATION).room(room).cursor(by);
    match moderation {
        Moderation::Deleted { target } => key.bytes(b"d").seq(*target).0,
        Moderation::Hidden { user, .. } => key.bytes(b"h").bytes(user.as_bytes()).0,
        Moderation::Erased { target } => key.bytes(b"e").seq(*target).0,
        Moderation::UserErased { user } => key.bytes(b"u").bytes(user.as_bytes()).0,
    }
}

/// The position of the record that a fact's row came from.
pub fn fact_position(row: &Row) -> Position {
    let record = row.timestamp / 2;
    Position::new(
        (record >> 40) as u32,
        (record & Position::OFFSET_MAX as u64) as i64,
    )
}

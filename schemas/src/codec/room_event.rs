//! `RoomEvent` as `avro/room-event.avsc` lays it out.
//!
//! The envelope comes first, then one nullable record for each kind that has fields; exactly the
//! record of the event's kind is set. A word that this build does not know is told apart from bytes
//! that nobody could decode: the one halts a partition, the other goes to the dead letters.

use bytes::Bytes;

use super::primitives::{Part, datum, read_branch, read_word, record, unknown_word};
use super::{DecodeError, split_header};
use crate::caller::Role;
use crate::codec::Datum;
use crate::event::{
    AdoptRules, Audience, Body, BroadcastStart, Comment, Custom, Delete, Device, Erase, Gift,
    GiftReversal, Likes, Mode, Mute, Pin, Reason, RoomEvent, Rules, Size, Style, Target, Unmute,
    User,
};
use crate::ids::{EventId, RoomId};

datum! { RoomEvent<'a> = 1 }

/// The event that a log record holds, and its datum in the current schema: a slice of `value`, which
/// whoever settles it keeps as it is.
pub fn decode_event(value: &Bytes) -> Result<(RoomEvent<'_>, Bytes), DecodeError> {
    let (id, datum) = split_header(value)?;
    if id != RoomEvent::SCHEMA_ID {
        return Err(DecodeError::UnknownSchema(id));
    }
    Ok((decode_datum(datum)?, value.slice_ref(datum)))
}

/// The event of a [`crate::Settled`]'s datum.
pub fn decode_datum(mut datum: &[u8]) -> Result<RoomEvent<'_>, DecodeError> {
    let event = RoomEvent::decode(&mut datum)?;
    if datum.is_empty() {
        Ok(event)
    } else {
        Err(DecodeError::Malformed("trailing bytes"))
    }
}

impl<'a> Part<'a> for RoomEvent<'a> {
    fn write(&self, out: &mut Vec<u8>) {
        self.id.write(out);
        write_after_id(self, out);
    }

    fn read(input: &mut &'a [u8]) -> Result<Self, DecodeError> {
        let id = Part::read(input)?;
        read_after_id(id, input)
    }
}

/// What follows the id, which the settled topic writes in another way.
pub(super) fn write_after_id(event: &RoomEvent<'_>, out: &mut Vec<u8>) {
    event.room.write(out);
    event.body.kind().write(out);
    event.accepted_at.write(out);
    event.recorded_at.write(out);
    event.user.write(out);
    event.role.write(out);
    event.device.write(out);
    write_body(&event.body, out);
}

/// Reads what follows the id.
pub(super) fn read_after_id<'a>(
    id: EventId,
    input: &mut &'a [u8],
) -> Result<RoomEvent<'a>, DecodeError> {
    let room = <&str>::read(input)?;
    if !RoomId::is_valid(room) {
        return Err(DecodeError::Malformed("not a room's name"));
    }
    let kind = <&str>::read(input)?;
    Ok(RoomEvent {
        id,
        room: room.into(),
        accepted_at: Part::read(input)?,
        recorded_at: Part::read(input)?,
        user: Part::read(input)?,
        role: Part::read(input)?,
        device: Part::read(input)?,
        body: read_body(kind, input)?,
    })
}

/// Writes and reads the nullable records, from one table of them in the schema's order.
macro_rules! bodies {
    (without: $($bare:ident $bare_kind:literal),+; with: $($variant:ident $kind:literal),+ $(,)?) => {
        /// Every kind's name.
        const KINDS: &[&str] = &[$($bare_kind,)+ $($kind),+];

        fn write_body(body: &Body<'_>, out: &mut Vec<u8>) {
            $(match body {
                Body::$variant(fields) => {
                    1_i64.write(out);
                    fields.write(out);
                }
                _ => 0_i64.write(out),
            })+
        }

        fn read_body<'a>(kind: &str, input: &mut &'a [u8]) -> Result<Body<'a>, DecodeError> {
            let mut body = match kind {
                $($bare_kind => Some(Body::$bare),)+
                _ => None,
            };
            $(if read_branch(input)? {
                if kind != $kind {
                    return Err(unfit(kind));
                }
                body = Some(Body::$variant(Part::read(input)?));
            })+
            body.ok_or_else(|| unfit(kind))
        }
    };
}

bodies! {
    without: Enter "enter", Leave "leave", Reset "reset";
    with:
        Comment "comment",
        Gift "gift",
        GiftReversal "gift_reversal",
        Likes "likes",
        Audience "audience",
        BroadcastStart "broadcast_start",
        BroadcastEnd "broadcast_end",
        BroadcastInterrupt "broadcast_interrupt",
        BroadcastResume "broadcast_resume",
        Delete "delete",
        Mute "mute",
        Unmute "unmute",
        Rules "rules",
        Pin "pin",
        Unpin "unpin",
        Custom "custom",
        Erase "erase",
        AdoptRules "adopt_rules",
}

/// Why the records that are set do not fit the kind.
fn unfit(kind: &str) -> DecodeError {
    if KINDS.contains(&kind) {
        DecodeError::Malformed("the records do not fit the kind")
    } else {
        unknown_word("kind", kind)
    }
}

record! { User<'a> { id, name, ext } }
record! { Device<'a> { id, kind, version } }
record! { Style { mode, color, size } }
record! { Comment<'a> { text, style, reply_to, ext } }
record! { Gift<'a> { gift, name, count, unit_value, currency, text, combo, issued_at, ext } }
record! { GiftReversal<'a> { target_id, reason } }
record! { Likes<'a> { count, source } }
record! { Audience<'a> { source, viewers } }
record! { BroadcastStart<'a> { title, recorded, zero_at, ext } }
record! { Reason<'a> { reason } }
record! { Delete<'a> { target, reason } }
record! { Mute<'a> { target_user, until_at, hide_since_at, reason } }
record! { Unmute<'a> { target_user, reason } }
record! { Pin { target_seq } }
record! { Custom<'a> { name, ext } }
record! { Erase<'a> { target_seqs, target_user } }
record! { AdoptRules { version } }

/// Implements [`Part`] for closed vocabularies, as their words.
macro_rules! words {
    ($($type:ident $vocabulary:literal),+) => {
        $(impl<'a> Part<'a> for $type {
            fn write(&self, out: &mut Vec<u8>) {
                self.as_str().write(out);
            }

            fn read(input: &mut &'a [u8]) -> Result<Self, DecodeError> {
                read_word($vocabulary, Self::parse, input)
            }
        })+
    };
}

words! { Role "role", Mode "mode", Size "size" }

/// The two fields `target_seq` and `target_id`, one of them null.
impl<'a> Part<'a> for Target {
    fn write(&self, out: &mut Vec<u8>) {
        let (seq, id) = match *self {
            Self::Seq(seq) => (Some(seq), None),
            Self::Id(id) => (None, Some(id)),
        };
        seq.write(out);
        id.write(out);
    }

    fn read(input: &mut &'a [u8]) -> Result<Self, DecodeError> {
        match (Part::read(input)?, Part::read(input)?) {
            (Some(seq), None) => Ok(Self::Seq(seq)),
            (None, Some(id)) => Ok(Self::Id(id)),
            _ => Err(DecodeError::Malformed("not exactly one target")),
        }
    }
}

/// `comments` is `open` or `closed`.
impl<'a> Part<'a> for Rules {
    fn write(&self, out: &mut Vec<u8>) {
        let word = |open| if open { "open" } else { "closed" };
        self.slow_ms.write(out);
        self.comments_open.map(word).write(out);
    }

    fn read(input: &mut &'a [u8]) -> Result<Self, DecodeError> {
        let slow_ms = Part::read(input)?;
        let comments_open = match Option::<&str>::read(input)? {
            None => None,
            Some("open") => Some(true),
            Some("closed") => Some(false),
            Some(word) => return Err(unknown_word("comments", word)),
        };
        Ok(Self {
            slow_ms,
            comments_open,
        })
    }
}

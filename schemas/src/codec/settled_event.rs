//! `SettledEvent` as `avro/settled-event.avsc` lays it out, for readers that know nothing of us.
//!
//! What settle added stands first, then the id as text, then the rest of the `RoomEvent`, byte for byte:
//! so whoever publishes copies the log's datum and never encodes an event again. What a later schema adds
//! to the event goes to its end, and the order stays. A test compares both ways of writing, and another
//! holds the two schema files together.

use super::primitives::{Part, datum, record};
use super::room_event::{read_after_id, write_after_id};
use super::{Datum, DecodeError, write_header};
use crate::ids::{EventId, Generation};
use crate::settled::{Seat, Settled, SettledEvent};

/// A UUID in its usual form.
const UUID_LEN: usize = 36;

datum! { SettledEvent<'a> = 5 }

record! { Seat { generation, seq, at, logged_at, crowd, combo_total, target_seq } }

/// Appends a settled event in the wire format, its datum copied as it is.
pub fn settled_to_wire(generation: Generation, settled: &Settled, out: &mut Vec<u8>) {
    let (id, rest) = settled
        .datum
        .split_first_chunk()
        .expect("an event's datum begins with its id");
    write_header(SettledEvent::SCHEMA_ID, out);
    Seat::of(generation, settled).write(out);
    write_id(EventId(*id), out);
    out.extend_from_slice(rest);
}

impl<'a> Part<'a> for SettledEvent<'a> {
    fn write(&self, out: &mut Vec<u8>) {
        self.seat.write(out);
        write_id(self.event.id, out);
        write_after_id(&self.event, out);
    }

    fn read(input: &mut &'a [u8]) -> Result<Self, DecodeError> {
        let seat = Part::read(input)?;
        let id = read_id(input)?;
        let event = read_after_id(id, input)?;
        Ok(Self { seat, event })
    }
}

fn write_id(id: EventId, out: &mut Vec<u8>) {
    let mut text = [0; UUID_LEN];
    let text: &str = id.uuid().as_hyphenated().encode_lower(&mut text);
    text.as_bytes().write(out);
}

/// Only the form that is written is read.
fn read_id(input: &mut &[u8]) -> Result<EventId, DecodeError> {
    let text = <&str>::read(input)?;
    let uuid = uuid::Uuid::try_parse(text).ok();
    let is_usual =
        |uuid: &uuid::Uuid| *text == *uuid.as_hyphenated().encode_lower(&mut [0; UUID_LEN]);
    let uuid = uuid.filter(is_usual);
    uuid.map(EventId::from)
        .ok_or(DecodeError::Malformed("not a UUID in its usual form"))
}

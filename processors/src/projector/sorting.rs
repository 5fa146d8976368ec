//! Sorting a batch: which slot each record belongs to, which are already done, what nobody can decode
//! and where a newer build would have to go on. Pure; nothing is lost here: a record is settled, kept
//! as a letter, at or before its slot's position, or at or past the halt.

use std::collections::BTreeMap;

use bytes::Bytes;
use danmu_log::{Record, RecordBatch, Undecodable};
use danmu_schemas::codec::{self, DecodeError};
use danmu_schemas::{Position, RoomEvent, RoomId, Slot};

/// A batch, sorted.
#[derive(Debug, Default)]
pub(crate) struct Sorted<'a> {
    /// What is to be settled, in the order of the log.
    pub slots: BTreeMap<Slot, Vec<Decoded<'a>>>,
    pub undecodable: Vec<Undecodable<'a>>,
    /// Everything up to and with this offset is in here.
    pub read_to: i64,
    /// Why nothing after `read_to` is.
    pub halt: Option<String>,
}

/// A record with its event.
#[derive(Debug)]
pub(crate) struct Decoded<'a> {
    pub room: RoomId,
    pub position: Position,
    pub logged_at: i64,
    pub event: RoomEvent<'a>,
    pub datum: Bytes,
}

/// Why a record is not settled.
enum Unsorted {
    /// It is, at or before its slot's position.
    Done,
    /// Nobody can decode it.
    Undecodable(String),
    /// A newer build can.
    Halt(String),
}

/// Sorts a batch of a partition whose slots stand where `position_of` says; it has no other slot.
pub(crate) fn sort<'a>(
    batch: &'a RecordBatch,
    position_of: impl Fn(Slot) -> Option<Position>,
) -> Sorted<'a> {
    let mut sorted = Sorted::default();
    for record in &batch.records {
        match sort_record(record, &position_of) {
            Ok((slot, decoded)) => sorted.slots.entry(slot).or_default().push(decoded),
            Err(Unsorted::Done) => {}
            Err(Unsorted::Undecodable(why)) => sorted.undecodable.push(Undecodable { record, why }),
            Err(Unsorted::Halt(why)) => {
                sorted.read_to = record.offset - 1;
                sorted.halt = Some(format!("record {}: {why}", record.offset));
                return sorted;
            }
        }
    }
    sorted.read_to = batch.records.last().map_or(-1, |record| record.offset);
    sorted
}

fn sort_record<'a>(
    record: &'a Record,
    position_of: impl Fn(Slot) -> Option<Position>,
) -> Result<(Slot, Decoded<'a>), Unsorted> {
    let name = std::str::from_utf8(&record.key).unwrap_or_default();
    let Ok(room) = RoomId::parse(name) else {
        return Err(Unsorted::Undecodable("the key is no room's name".into()));
    };
    let slot = room.slot();
    let position = Position::new(record.epoch, record.offset);
    let Some(at) = position_of(slot) else {
        return Err(Unsorted::Halt(format!(
            "{room} does not belong to this partition"
        )));
    };
    // A record of an epoch before the slot's is void: its slot had left when it came.
    if position <= at {
        return Err(Unsorted::Done);
    }
    if record.epoch > at.epoch {
        return Err(Unsorted::Halt(format!(
            "epoch {} of slot {slot} is not known",
            record.epoch
        )));
    }
    match codec::decode_event(&record.value) {
        Ok((event, _)) if event.room != name => Err(Unsorted::Undecodable(
            "the key is not the event's room".into(),
        )),
        Ok((event, datum)) => {
            let logged_at = record.logged_at;
            let decoded = Decoded {
                room,
                position,
                logged_at,
                event,
                datum,
            };
            Ok((slot, decoded))
        }
        Err(error @ (DecodeError::Malformed(_) | DecodeError::BrokenSeal(_))) => {
            Err(Unsorted::Undecodable(error.to_string()))
        }
        Err(error @ (DecodeError::UnknownSchema(_) | DecodeError::UnknownWord { .. })) => {
            Err(Unsorted::Halt(error.to_string()))
        }
    }
}

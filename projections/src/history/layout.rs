//! Keys and bodies of the history's rows: pure functions.
//!
//! A key is a family's letter and big-endian parts, so that the order of bytes is the order of
//! meaning; a room's name ends with a zero byte, which no name contains. Signed numbers have their
//! sign bit flipped. A state's body is its parts, each preceded by its length.

use std::ops::Range;

use bytes::{Buf, Bytes};
use danmu_schemas::codec::DecodeError;
use danmu_schemas::fact::{Fact, FactBody, Moderation};
use danmu_schemas::state::Field;
use danmu_schemas::{Cursor, Generation, LogIdentity, Position, RoomId, Seq, Slot, sealed};

use super::store::Row;
use crate::projection::StoredState;

mod facts;
mod shelves;
mod tables;

pub use facts::{FactKind, fact_position, fact_row, read_fact};
pub use shelves::{Family, after_shelf, last_written, shelf_of, slot_of};
pub use tables::{Table, read_room, rows_of, rows_past};

/// A row's key.
pub type Key = Vec<u8>;

/// Half-open: from the first key, before the second.
pub type KeyRange = Range<Key>;

/// What a room remembers, by the kind of its blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryKind {
    /// Blocks of visible events.
    Events,
    /// Blocks of gifts.
    Gifts,
}

/// What a broadcast has several rows of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BroadcastPart {
    /// By segment.
    Segments,
    /// By heat bucket.
    Heat,
    /// By seq.
    Interruptions,
}

const WATERMARK: u8 = b'w';
const STATE: u8 = b's';
const EVENT_MEMORY: u8 = b'e';
const GIFT_MEMORY: u8 = b'g';
const CHUNK: u8 = b'c';
const BROADCAST: u8 = b'b';
const SEGMENT: u8 = b'n';
const HEAT: u8 = b'h';
const INTERRUPTION: u8 = b'i';
const MODERATION: u8 = b'm';
const ERASURE: u8 = b'x';
const SWEPT: u8 = b'y';

const STARTED: u8 = 0;
const ENDED: u8 = 1;

/// Builds keys from their parts.
struct KeyBuilder(Key);

impl KeyBuilder {
    fn new(family: u8) -> Self {
        let mut key = Vec::with_capacity(96);
        key.push(family);
        Self(key)
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn slot(self, slot: Slot) -> Self {
        self.bytes(&slot.number().to_be_bytes())
    }

    fn room(self, room: &RoomId) -> Self {
        self.bytes(room.as_str().as_bytes()).bytes(&[0])
    }

    fn signed(self, number: i64) -> Self {
        self.bytes(&((number as u64) ^ (1 << 63)).to_be_bytes())
    }

    fn position(self, position: Position) -> Self {
        self.bytes(&position.epoch.to_be_bytes())
            .signed(position.offset)
    }

    fn generation(self, generation: Generation) -> Self {
        self.bytes(&generation.0.to_be_bytes())
    }

    fn seq(self, seq: Seq) -> Self {
        self.bytes(&seq.0.to_be_bytes())
    }

    fn cursor(self, cursor: Cursor) -> Self {
        self.generation(cursor.generation).seq(cursor.seq)
    }
}

/// Every key that begins with `prefix`.
fn below(prefix: Key) -> KeyRange {
    let end = after(&prefix);
    prefix..end
}

/// The first key after all that begin with `prefix`, whose first byte is a letter.
fn after(prefix: &[u8]) -> Key {
    let mut end = prefix.to_vec();
    while end.last() == Some(&u8::MAX) {
        end.pop();
    }
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

/// The least key that is greater.
pub fn just_after(mut key: Key) -> Key {
    key.push(0);
    key
}

/// Where a slot's watermark is.
pub fn watermark_key(slot: Slot) -> Key {
    KeyBuilder::new(WATERMARK).slot(slot).0
}

/// A slot's watermark.
pub fn watermark_row(slot: Slot, position: Position, log: &LogIdentity) -> Row {
    let mut body = position.epoch.to_be_bytes().to_vec();
    body.extend_from_slice(&position.offset.to_be_bytes());
    body.extend_from_slice(log.0.as_bytes());
    sealed::seal(&mut body);
    Row {
        key: watermark_key(slot),
        timestamp: position.timestamp(),
        body: body.into(),
    }
}

/// What [`watermark_row`] wrote.
pub fn read_watermark(body: &[u8]) -> Result<(Position, LogIdentity), DecodeError> {
    let mut rest = sealed::open(body)?;
    if rest.len() < 12 {
        return Err(DecodeError::Malformed("watermark cut off"));
    }
    let position = Position::new(rest.get_u32(), rest.get_i64());
    let log = std::str::from_utf8(rest)
        .map_err(|_| DecodeError::Malformed("log identity is not UTF-8"))?;
    Ok((position, LogIdentity(log.to_owned())))
}

/// Where a room's state at a checkpoint is.
pub fn state_key(room: &RoomId, at: Position) -> Key {
    KeyBuilder::new(STATE)
        .slot(room.slot())
        .room(room)
        .position(at)
        .0
}

/// A room's states at or below a position.
pub fn states_until(room: &RoomId, at: Position) -> KeyRange {
    let first = KeyBuilder::new(STATE).slot(room.slot()).room(room).0;
    first..after(&state_key(room, at))
}

/// All states of a slot's rooms whose names are greater than `past`.
pub fn states_past(slot: Slot, past: Option<&RoomId>) -> KeyRange {
    let whole = below(KeyBuilder::new(STATE).slot(slot).0);
    match past {
        None => whole,
        Some(room) => after(&KeyBuilder::new(STATE).slot(slot).room(room).0)..whole.end,
    }
}

/// The room and the position of a state's key.
pub fn read_state_key(key: &[u8]) -> Result<(RoomId, Position), DecodeError> {
    const MALFORMED: DecodeError = DecodeError::Malformed("no key of a state");
    let (name, position) = key
        .get(3..)
        .and_then(|rest| rest.split_last_chunk::<12>())
        .ok_or(MALFORMED)?;
    let name = name.strip_suffix(&[0]).ok_or(MALFORMED)?;
    let room = std::str::from_utf8(name).map_err(|_| MALFORMED)?;
    let mut position = &position[..];
    let epoch = position.get_u32();
    let offset = (position.get_u64() ^ (1 << 63)) as i64;
    let room = RoomId::parse(room).map_err(|_| MALFORMED)?;
    Ok((room, Position::new(epoch, offset)))
}

/// A room's state without its memory.
pub fn state_row(room: &RoomId, at: Position, core: &Bytes, fields: &[Bytes]) -> Row {
    let mut body = Vec::new();
    for part in std::iter::once(core).chain(fields) {
        body.extend_from_slice(&(part.len() as u32).to_be_bytes());
        body.extend_from_slice(part);
    }
    Row {
        key: state_key(room, at),
        timestamp: at.timestamp(),
        body: body.into(),
    }
}

/// What [`state_row`] wrote: a state whose memory is still empty. Every part's seal is checked.
pub fn read_state(body: &Bytes) -> Result<StoredState, DecodeError> {
    let mut rest = body.clone();
    let mut state = StoredState {
        core: take_part(&mut rest)?,
        ..StoredState::default()
    };
    sealed::open(&state.core)?;
    for field in Field::ALL {
        let part = take_part(&mut rest)?;
        if !part.is_empty() {
            sealed::open(&part)?;
        }
        state.fields[field.index()] = part;
    }
    if rest.is_empty() {
        Ok(state)
    } else {
        Err(DecodeError::Malformed("trailing bytes"))
    }
}

fn take_part(rest: &mut Bytes) -> Result<Bytes, DecodeError> {
    let len = rest
        .try_get_u32()
        .map_err(|_| DecodeError::Malformed("state cut off"))? as usize;
    if len > rest.len() {
        return Err(DecodeError::Malformed("state cut off"));
    }
    Ok(rest.split_to(len))
}

/// A block of a room's memory. Two writers' blocks may overlap, never replace each other.
pub fn memory_row(room: &RoomId, kind: MemoryKind, first: Position, last: i64, body: Bytes) -> Row {
    Row {
        key: memory_prefix(room, kind).position(first).signed(last).0,
        timestamp: Position::new(first.epoch, last).timestamp(),
        body,
    }
}

/// A room's blocks that begin at or below a position.
pub fn memory_until(room: &RoomId, kind: MemoryKind, at: Position) -> KeyRange {
    let end = memory_prefix(room, kind).position(at).0;
    memory_prefix(room, kind).0..after(&end)
}

fn memory_prefix(room: &RoomId, kind: MemoryKind) -> KeyBuilder {
    let family = match kind {
        MemoryKind::Events => EVENT_MEMORY,
        MemoryKind::Gifts => GIFT_MEMORY,
    };
    KeyBuilder::new(family).slot(room.slot()).room(room)
}

/// Where a chunk is: two writers' chunks with other borders stand beside each other.
pub fn chunk_key(room: &RoomId, generation: Generation, first_seq: Seq, first: Position) -> Key {
    chunk_prefix(room, generation)
        .seq(first_seq)
        .position(first)
        .0
}

/// A generation's chunks whose first seq is at least `from`.
pub fn chunks_from(room: &RoomId, generation: Generation, from: Seq) -> KeyRange {
    chunk_prefix(room, generation).seq(from).0..after(&chunk_prefix(room, generation).0)
}

fn chunk_prefix(room: &RoomId, generation: Generation) -> KeyBuilder {
    KeyBuilder::new(CHUNK).room(room).generation(generation)
}

/// Where a broadcast's beginning is.
pub fn started_key(room: &RoomId, broadcast: Cursor) -> Key {
    broadcast_prefix(room, broadcast).bytes(&[STARTED]).0
}

/// Where a broadcast's end is.
pub fn ended_key(room: &RoomId, broadcast: Cursor) -> Key {
    broadcast_prefix(room, broadcast).bytes(&[ENDED]).0
}

/// Rows of the room's broadcasts that began before a cursor, or of all.
pub fn broadcasts_before(room: &RoomId, before: Option<Cursor>) -> KeyRange {
    let whole = below(KeyBuilder::new(BROADCAST).room(room).0);
    match before {
        None => whole,
        Some(before) => whole.start..broadcast_prefix(room, before).0,
    }
}

/// The cursor in a broadcast's key, and whether the key is that of its beginning.
pub fn read_broadcast_key(key: &[u8]) -> Result<(Cursor, bool), DecodeError> {
    let (_, tail) = key
        .split_last_chunk::<13>()
        .ok_or(DecodeError::Malformed("no key of a broadcast"))?;
    let mut tail = &tail[..];
    let generation = Generation(tail.get_u32());
    let seq = Seq(tail.get_u64());
    Ok((Cursor { generation, seq }, tail.get_u8() == STARTED))
}

fn broadcast_prefix(room: &RoomId, broadcast: Cursor) -> KeyBuilder {
    KeyBuilder::new(BROADCAST).room(room).cursor(broadcast)
}

/// Rows of a part of a broadcast whose number is in a range.
pub fn part_range(
    room: &RoomId,
    broadcast: Cursor,
    part: BroadcastPart,
    numbers: Range<i64>,
) -> KeyRange {
    let key = |n| part_key(room, broadcast, part, n);
    key(numbers.start)..key(numbers.end)
}

/// The number in the key of a part's row.
pub fn read_part_key(key: &[u8]) -> Result<i64, DecodeError> {
    let (_, number) = key
        .split_last_chunk::<8>()
        .ok_or(DecodeError::Malformed("no key of a part"))?;
    Ok((u64::from_be_bytes(*number) ^ (1 << 63)) as i64)
}

fn part_key(room: &RoomId, broadcast: Cursor, part: BroadcastPart, number: i64) -> Key {
    let family = match part {
        BroadcastPart::Segments => SEGMENT,
        BroadcastPart::Heat => HEAT,
        BroadcastPart::Interruptions => INTERRUPTION,
    };
    KeyBuilder::new(family)
        .room(room)
        .cursor(broadcast)
        .signed(number)
        .0
}

/// What was moderated by events of those seqs, both included.
pub fn moderation_range(room: &RoomId, generation: Generation, from: Seq, to: Seq) -> KeyRange {
    let prefix = |seq| {
        KeyBuilder::new(MODERATION)
            .room(room)
            .generation(generation)
            .seq(seq)
            .0
    };
    prefix(from)..after(&prefix(to))
}

/// What was moderated in the generations after one.
pub fn moderation_after(room: &RoomId, generation: Generation) -> KeyRange {
    let whole = below(KeyBuilder::new(MODERATION).room(room).0);
    let last = KeyBuilder::new(MODERATION)
        .room(room)
        .generation(generation);
    after(&last.0)..whole.end
}

/// The cursor of the moderating event in a moderation's key.
pub fn read_moderation_key(room: &RoomId, key: &[u8]) -> Result<Cursor, DecodeError> {
    let skipped = 1 + room.as_str().len() + 1;
    let mut cursor = key
        .get(skipped..)
        .and_then(|rest| rest.first_chunk::<12>())
        .map(|cursor| &cursor[..])
        .ok_or(DecodeError::Malformed("no key of a moderation"))?;
    Ok(Cursor {
        generation: Generation(cursor.get_u32()),
        seq: Seq(cursor.get_u64()),
    })
}

/// Says that a record of a room erased something: where the sweep finds it. `None` for other facts.
pub fn erasure_row(room: &RoomId, fact: &Fact) -> Option<Row> {
    let FactBody::Moderated { moderation, .. } = &fact.body else {
        return None;
    };
    let erases = matches!(
        moderation,
        Moderation::Erased { .. } | Moderation::UserErased { .. }
    );
    let mut body = Vec::new();
    sealed::seal(&mut body);
    let key = KeyBuilder::new(ERASURE).slot(room.slot());
    erases.then(|| Row {
        key: key.position(fact.position).room(room).0,
        timestamp: fact.position.timestamp(),
        body: body.into(),
    })
}

/// A slot's erasures after a position, in the order of the log.
pub fn erasures_after(slot: Slot, position: Position) -> KeyRange {
    let whole = below(KeyBuilder::new(ERASURE).slot(slot).0);
    let last = KeyBuilder::new(ERASURE).slot(slot).position(position);
    after(&last.0)..whole.end
}

/// The position and the room of an [`erasure_row`], whose body says nothing.
pub fn read_erasure(row: &Row) -> Result<(Position, RoomId), DecodeError> {
    const MALFORMED: DecodeError = DecodeError::Malformed("no key of an erasure");
    if !sealed::open(&row.body)?.is_empty() {
        return Err(DecodeError::Malformed("an erasure that says something"));
    }
    let (mut position, name) = row
        .key
        .get(3..)
        .and_then(|rest| rest.split_at_checked(12))
        .ok_or(MALFORMED)?;
    let epoch = position.get_u32();
    let offset = (position.get_u64() ^ (1 << 63)) as i64;
    let name = name.strip_suffix(&[0]).ok_or(MALFORMED)?;
    let room = std::str::from_utf8(name).map_err(|_| MALFORMED)?;
    let room = RoomId::parse(room).map_err(|_| MALFORMED)?;
    Ok((Position::new(epoch, offset), room))
}

/// Where it stands how far a slot is swept of what was erased.
pub fn swept_key(slot: Slot) -> Key {
    KeyBuilder::new(SWEPT).slot(slot).0
}

/// How far a slot is swept.
pub fn swept_row(slot: Slot, position: Position) -> Row {
    let mut body = position.epoch.to_be_bytes().to_vec();
    body.extend_from_slice(&position.offset.to_be_bytes());
    sealed::seal(&mut body);
    Row {
        key: swept_key(slot),
        timestamp: position.timestamp(),
        body: body.into(),
    }
}

/// What [`swept_row`] wrote.
pub fn read_swept(body: &[u8]) -> Result<Position, DecodeError> {
    let mut rest = sealed::open(body)?;
    if rest.len() != 12 {
        return Err(DecodeError::Malformed("not how far a slot is swept"));
    }
    Ok(Position::new(rest.get_u32(), rest.get_i64()))
}

/// A key as an error names it: its family and its printable part.
pub fn describe(key: &[u8]) -> String {
    let family = match key.first() {
        Some(&WATERMARK) => "watermark",
        Some(&STATE) => "state",
        Some(&EVENT_MEMORY) => "event memory",
        Some(&GIFT_MEMORY) => "gift memory",
        Some(&CHUNK) => "chunk",
        Some(&BROADCAST) => "broadcast",
        Some(&SEGMENT) => "segment",
        Some(&HEAT) => "heat",
        Some(&INTERRUPTION) => "interruption",
        Some(&MODERATION) => "moderation",
        Some(&ERASURE) => "erasure",
        Some(&SWEPT) => "sweep",
        _ => "row",
    };
    format!(
        "{family} {}",
        key.get(1..).unwrap_or_default().escape_ascii()
    )
}

//! A room between two appends: its state, its memory, and what settling brought forth since.
//!
//! [`Room::from_stored`] and [`Room::take_change`] are each other's inverse: a room restored from
//! what was stored settles on exactly as the one that stored it. Stored bytes are canonical: rooms
//! that settled the same records hold the same bytes. How events change a room is the rules' matter.

use bytes::Bytes;
use danmu_projections::projection::{RoomChange, SettledRun, StateChange, StoredState};
use danmu_schemas::codec::{self, Datum, DecodeError};
use danmu_schemas::state::{
    CrowdSecond, EventMemory, EventMemoryBlock, Field, GiftMemory, GiftMemoryBlock,
    SOURCE_EXPIRES_MS, StateCore, StateFields, Totals,
};
use danmu_schemas::{EventId, Generation, Position, Refusal, RoomId, Seq};

use super::RULES_VERSION_FIRST;
use super::memory::{RecentEvents, RecentGifts};
use super::pending::{Pending, Run};

/// A room's state with the indexes over its memory, and what is not yet taken.
#[derive(Debug, Clone)]
pub struct Room {
    pub(super) core: StateCore,
    pub(super) fields: StateFields,
    pub(super) events: RecentEvents,
    pub(super) gifts: RecentGifts,
    pub(super) deadlines: Deadlines,
    pub(super) pending: Pending,
    /// The fields as they were last encoded; empty where one was never set.
    encoded: [Bytes; Field::COUNT],
}

/// When time alone will change a field: derived, so that most records compare two numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadlines {
    /// The log clock at which the first mute ends.
    pub(super) mute_ends_at: i64,
    /// The log clock at which the first source of viewer counts expires.
    pub(super) source_expires_at: i64,
}

impl Deadlines {
    pub(super) fn of(fields: &StateFields) -> Self {
        let ends = fields.muted.users.iter().filter_map(|user| user.until_at);
        let counts = fields.sources.sources.iter();
        let expire = counts.map(|source| source.counted_at.saturating_add(SOURCE_EXPIRES_MS));
        Self {
            mute_ends_at: ends.min().unwrap_or(i64::MAX),
            source_expires_at: expire.min().unwrap_or(i64::MAX),
        }
    }
}

impl Room {
    /// A room that had no record yet.
    pub fn new() -> Self {
        let fields = StateFields::default();
        Self {
            core: first_core(),
            deadlines: Deadlines::of(&fields),
            fields,
            events: RecentEvents::default(),
            gifts: RecentGifts::default(),
            pending: Pending::default(),
            encoded: Default::default(),
        }
    }

    /// The room whose state was stored as of `at`, exactly as it was.
    ///
    /// Blocks of the memory may overlap, and may hold entries that are forgotten, of an earlier
    /// generation, or of records after `at`: those do not come back.
    pub fn from_stored(stored: &StoredState, at: Position) -> Result<Self, DecodeError> {
        let mut core: StateCore = codec::from_stored(&stored.core)?;
        // A build that knew fewer reasons wrote fewer counters.
        core.refused
            .resize(Refusal::ALL.len().max(core.refused.len()), 0);
        let fields = decode_fields(&stored.fields)?;
        Ok(Self {
            events: restore_events(&stored.event_memory, &core)?,
            gifts: restore_gifts(&stored.gift_memory, &core, at)?,
            deadlines: Deadlines::of(&fields),
            core,
            fields,
            pending: Pending::default(),
            encoded: stored.fields.clone(),
        })
    }

    /// The state's core.
    pub fn core(&self) -> &StateCore {
        &self.core
    }

    /// The state's fields.
    pub fn fields(&self) -> &StateFields {
        &self.fields
    }

    /// How many events and gifts the room remembers.
    pub fn remembered_len(&self) -> usize {
        self.events.len() + self.gifts.len()
    }

    /// Takes what settling changed since the last taking, all of it in the epoch of `position`, the
    /// room's last record.
    pub fn take_change(&mut self, room: &RoomId, position: Position) -> RoomChange {
        let mut pending = std::mem::take(&mut self.pending);
        self.encode_changed(&pending.changed);
        let state = StateChange {
            core: codec::to_stored(&self.core),
            fields: self.encoded.clone(),
            changed: pending.changed,
            event_memory: pending
                .runs
                .iter_mut()
                .filter_map(|run| event_block(run, position.epoch))
                .collect(),
            gift_memory: gift_block(pending.gifts, position.epoch),
            event_memory_since: self.events.since().unwrap_or(self.core.clock),
            gift_memory_since: self.gifts.since().unwrap_or(self.core.clock),
        };
        RoomChange {
            room: room.clone(),
            position,
            state,
            runs: pending.runs.into_iter().map(settled_run).collect(),
            facts: pending.facts,
        }
    }

    /// Where the id became visible, if the room still remembers that: `Some(None)` for a gift whose
    /// seq belongs to an earlier generation.
    pub(super) fn first_with(&self, id: EventId) -> Option<Option<Seq>> {
        if let Some(seq) = self.events.seq_of(id) {
            return Some(Some(seq));
        }
        let gift = self.gifts.get(id)?;
        Some((gift.generation == self.core.generation).then_some(gift.seq))
    }

    fn encode_changed(&mut self, changed: &[bool; Field::COUNT]) {
        for field in Field::ALL {
            if changed[field.index()] {
                self.encoded[field.index()] = encode_field(&self.fields, field);
            }
        }
    }
}

impl Default for Room {
    fn default() -> Self {
        Self::new()
    }
}

fn first_core() -> StateCore {
    StateCore {
        generation: Generation::FIRST,
        rules_version: RULES_VERSION_FIRST,
        last_seq: Seq::ZERO,
        clock: 0,
        at: 0,
        broadcast: None,
        opened_once: false,
        totals: Totals::default(),
        crowd: CrowdSecond::default(),
        slow_ms: 0,
        comments_open: true,
        pinned: None,
        duplicates: 0,
        refused: vec![0; Refusal::ALL.len()],
    }
}

fn encode_field(fields: &StateFields, field: Field) -> Bytes {
    match field {
        Field::Broadcast => codec::to_stored(&fields.broadcast),
        Field::Currencies => codec::to_stored(&fields.currencies),
        Field::Muted => codec::to_stored(&fields.muted),
        Field::Combos => codec::to_stored(&fields.combos),
        Field::Givers => codec::to_stored(&fields.givers),
        Field::Roster => codec::to_stored(&fields.roster),
        Field::Sources => codec::to_stored(&fields.sources),
    }
}

fn decode_fields(stored: &[Bytes; Field::COUNT]) -> Result<StateFields, DecodeError> {
    let bytes = |field: Field| stored[field.index()].as_ref();
    Ok(StateFields {
        broadcast: decode_field(bytes(Field::Broadcast))?,
        currencies: decode_field(bytes(Field::Currencies))?,
        muted: decode_field(bytes(Field::Muted))?,
        combos: decode_field(bytes(Field::Combos))?,
        givers: decode_field(bytes(Field::Givers))?,
        roster: decode_field(bytes(Field::Roster))?,
        sources: decode_field(bytes(Field::Sources))?,
    })
}

fn decode_field<'a, T: Datum<'a> + Default>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    if bytes.is_empty() {
        Ok(T::default())
    } else {
        codec::from_stored(bytes)
    }
}

fn restore_events(stored: &[Bytes], core: &StateCore) -> Result<RecentEvents, DecodeError> {
    let mut blocks = decode_blocks::<EventMemoryBlock>(stored)?;
    blocks.retain(|block| block.generation == core.generation);
    blocks.sort_by_key(|block| block.first_seq);
    let mut events = RecentEvents::default();
    for block in blocks {
        for (seq, entry) in (block.first_seq.0..).map(Seq).zip(block.entries) {
            restore_event(&mut events, seq, entry, core.last_seq);
        }
    }
    events.forget_before(core.clock);
    events.index_authors(core.slow_ms > 0);
    match events.last_seq() {
        Some(last) if last != core.last_seq => {
            Err(DecodeError::Malformed("memory ends before the last seq"))
        }
        _ => Ok(events),
    }
}

/// What comes before a hole was forgotten already, or the hole would have been stored.
fn restore_event(events: &mut RecentEvents, seq: Seq, entry: EventMemory, last_seq: Seq) {
    match events.last_seq() {
        _ if seq > last_seq => return,
        Some(last) if seq <= last => return,
        Some(last) if seq > last.next() => events.clear(),
        _ => {}
    }
    events.remember(seq, entry);
}

fn restore_gifts(
    stored: &[Bytes],
    core: &StateCore,
    at: Position,
) -> Result<RecentGifts, DecodeError> {
    let mut entries: Vec<(Position, GiftMemory)> = decode_blocks::<GiftMemoryBlock>(stored)?
        .into_iter()
        .flat_map(|block| {
            let placed = move |entry: GiftMemory| (Position::new(block.epoch, entry.offset), entry);
            block.entries.into_iter().map(placed)
        })
        .filter(|(position, _)| *position <= at)
        .collect();
    entries.sort_by_key(|(position, _)| *position);
    entries.dedup_by_key(|(position, _)| *position);
    let mut gifts = RecentGifts::default();
    for (_, entry) in entries {
        gifts.remember(entry);
    }
    gifts.forget_before(core.clock);
    Ok(gifts)
}

fn decode_blocks<T: for<'a> Datum<'a>>(stored: &[Bytes]) -> Result<Vec<T>, DecodeError> {
    stored
        .iter()
        .map(|bytes| codec::from_stored(bytes))
        .collect()
}

/// The block of what a run remembers, which leaves the run.
fn event_block(run: &mut Run, epoch: u32) -> Option<Bytes> {
    if run.remembered.is_empty() {
        return None;
    }
    Some(codec::to_stored(&EventMemoryBlock {
        generation: run.generation,
        epoch,
        first_seq: run.first_seq,
        entries: std::mem::take(&mut run.remembered),
    }))
}

fn gift_block(entries: Vec<GiftMemory>, epoch: u32) -> Option<Bytes> {
    if entries.is_empty() {
        return None;
    }
    Some(codec::to_stored(&GiftMemoryBlock { epoch, entries }))
}

fn settled_run(run: Run) -> SettledRun {
    SettledRun {
        generation: run.generation,
        first_seq: run.first_seq,
        settled: run.settled,
        unsettled: run.unsettled,
    }
}

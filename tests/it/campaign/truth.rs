//! What the log means: every record settled once, in order, by one room that is never stored.

use std::collections::BTreeMap;

use bytes::Bytes;
use danmu_log::Record;
use danmu_processors::settle::{Input, Room, settle};
use danmu_projections::erasures::Erasures;
use danmu_schemas::fact::Fact;
use danmu_schemas::state::Field;
use danmu_schemas::{Generation, Position, RoomId, Seq, Settled, Unsettled, codec};

use super::script::ROOMS;

/// A room's core and fields, as stored.
pub type Stored = (Bytes, [Bytes; Field::COUNT]);

/// A visible event and the generation of its seq.
pub type Numbered = (Generation, Settled);

/// The truth of each room, by its index.
pub struct Truth {
    rooms: Vec<RoomTruth>,
}

/// Everything that ever was true of a room, by position.
#[derive(Default)]
pub struct RoomTruth {
    room: Room,
    states: Vec<(Position, Stored)>,
    pub events: Vec<Numbered>,
    pub unsettled: BTreeMap<i64, Unsettled>,
    pub facts: Vec<Fact>,
}

impl Truth {
    pub fn new() -> Truth {
        let rooms = ROOMS.iter().map(|_| RoomTruth::default()).collect();
        Truth { rooms }
    }

    pub fn room(&self, room: usize) -> &RoomTruth {
        &self.rooms[room]
    }

    pub fn learn(&mut self, record: &Record) {
        let is_named = |room: &RoomId| room.as_str().as_bytes() == record.key;
        let room = ROOMS.iter().position(is_named).unwrap();
        self.rooms[room].learn(record, &ROOMS[room]);
    }
}

impl RoomTruth {
    fn learn(&mut self, record: &Record, name: &RoomId) {
        let position = Position::new(record.epoch, record.offset);
        let (event, datum) = codec::decode_event(&record.value).unwrap();
        let input = Input {
            position,
            logged_at: record.logged_at,
            event: &event,
            datum,
        };
        settle(&mut self.room, input).unwrap();
        let change = self.room.take_change(name, position);
        let stored = (change.state.core, change.state.fields);
        self.states.push((position, stored));
        for run in change.runs {
            let numbered = |event| (run.generation, event);
            self.events.extend(run.settled.into_iter().map(numbered));
            let by_offset = |unsettled: Unsettled| (unsettled.offset, unsettled);
            self.unsettled
                .extend(run.unsettled.into_iter().map(by_offset));
        }
        self.facts.extend(change.facts);
    }

    /// The room's state as of a position; `None` before its first record.
    pub fn state(&self, at: Position) -> Option<&Stored> {
        let known = self.states.partition_point(|(position, _)| *position <= at);
        known.checked_sub(1).map(|newest| &self.states[newest].1)
    }

    /// The visible events up to a position, of every generation.
    pub fn events_to(&self, at: Position) -> &[Numbered] {
        let is_in = |event: &Numbered| event.1.offset <= at.offset;
        &self.events[..self.events.partition_point(is_in)]
    }

    /// The same without what was erased up to there.
    pub fn events_left(&self, at: Position) -> Vec<Numbered> {
        let erasures = self.erasures(at);
        let mut left = self.events_to(at).to_vec();
        for (generation, event) in &mut left {
            erasures.blank_event(*generation, event).unwrap();
        }
        left
    }

    /// What was erased up to a position.
    pub fn erasures(&self, at: Position) -> Erasures {
        let known = self.facts.partition_point(|fact| fact.position <= at);
        Erasures::of_facts(&self.facts[..known])
    }

    /// Whether an event is the true one, or what an erasure in the log leaves of it.
    pub fn is_of(&self, shown: &Settled, (generation, event): &Numbered) -> bool {
        if shown == event {
            return true;
        }
        let mut left = event.clone();
        let erasures = Erasures::of_facts(&self.facts);
        erasures.blank_event(*generation, &mut left).unwrap();
        *shown == left
    }

    /// One generation's visible events after a seq.
    pub fn events_after(&self, generation: Generation, after: Seq) -> &[Numbered] {
        let before = |event: &Numbered| (event.0, event.1.seq) <= (generation, after);
        let rest = &self.events[self.events.partition_point(before)..];
        &rest[..rest.partition_point(|event| event.0 == generation)]
    }

    /// The generation and the seq of the last visible event.
    pub fn last(&self) -> (Generation, Seq) {
        let core = self.room.core();
        (core.generation, core.last_seq)
    }
}

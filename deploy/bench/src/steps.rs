//! What a busy loop gives to a projection: steps of slots whose rooms have new comments.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use bytes::Bytes;
use danmu_processors::settle::{self, Input, Room};
use danmu_projections::{Appended, Projection, SlotStep};
use danmu_schemas::codec::{self, to_wire};
use danmu_schemas::{Position, RoomId, Slot, Verdict};

use crate::sample;

/// Comments in a second of log time, in all rooms.
const PER_SECOND: i64 = 2_000;
/// When the log took the first, milliseconds since 1970 UTC.
const STARTED_AT: i64 = 1_700_000_000_000;

/// Rooms of which each has a slot of its own.
pub struct Rooms {
    rooms: Vec<Held>,
    random: fastrand::Rng,
    offset: i64,
}

struct Held {
    name: RoomId,
    room: Room,
    at: Position,
}

impl Rooms {
    /// So many rooms without an event.
    pub fn new(count: usize) -> Result<Self> {
        let mut slots = BTreeSet::new();
        let mut rooms = Vec::with_capacity(count);
        for n in 0.. {
            if rooms.len() == count {
                break;
            }
            let name = RoomId::parse(&format!("stage-{n}"))?;
            if slots.insert(name.slot()) {
                rooms.push(Held {
                    name,
                    room: Room::default(),
                    at: Position::BEGIN,
                });
            }
        }
        Ok(Self {
            rooms,
            random: fastrand::Rng::with_seed(7),
            offset: -1,
        })
    }

    /// The slots, and how far each of them is.
    pub fn reached(&self) -> Vec<(Slot, Position)> {
        let slots = self.rooms.iter();
        slots.map(|held| (held.name.slot(), held.at)).collect()
    }

    /// One step of each slot, with so many comments.
    pub fn steps(&mut self, comments: usize) -> Result<Vec<SlotStep>> {
        let mut steps = Vec::with_capacity(self.rooms.len());
        for held in &mut self.rooms {
            let expected = held.at;
            for _ in 0..comments {
                self.offset += 1;
                held.at = Position::new(0, self.offset);
                let logged_at = STARTED_AT + self.offset * 1_000 / PER_SECOND;
                let comment = sample::comment(&mut self.random, held.name.as_str(), logged_at);
                let value = Bytes::from(to_wire(&comment));
                let (event, datum) = codec::decode_event(&value)?;
                let input = Input {
                    position: held.at,
                    logged_at,
                    event: &event,
                    datum,
                };
                let verdict = settle::settle(&mut held.room, input)?;
                let is_visible = matches!(verdict, Verdict::Visible { .. });
                ensure!(is_visible, "a comment was not visible");
            }
            steps.push(SlotStep {
                slot: held.name.slot(),
                expected,
                to: held.at,
                changes: vec![held.room.take_change(&held.name, held.at)],
            });
        }
        Ok(steps)
    }
}

/// Opens the slots, which must be new, and loads their rooms.
pub async fn open(projection: &mut impl Projection, rooms: &Rooms) -> Result<()> {
    let slots: Vec<Slot> = rooms.rooms.iter().map(|held| held.name.slot()).collect();
    for opened in projection.open_all(&slots).await {
        ensure!(opened? == Position::BEGIN, "a slot is not new");
    }
    let named = rooms.rooms.iter();
    let wanted: Vec<_> = named
        .map(|held| (held.name.slot(), vec![held.name.clone()]))
        .collect();
    for loaded in projection.load_all(&wanted).await {
        loaded?;
    }
    Ok(())
}

/// Stores the steps, each of another slot.
pub async fn append(projection: &mut impl Projection, steps: Vec<SlotStep>) -> Result<()> {
    for appended in projection.append_all(steps).await {
        ensure!(appended? == Appended::Stored, "a slot is elsewhere");
    }
    Ok(())
}

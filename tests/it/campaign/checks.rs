//! What must hold of the windows and of the history at any moment, against the truth.
//!
//! Windows: a slot with a position has exactly its rooms' states as of there, and of each room the end of
//! its events, with all that the history does not have and nothing that was erased. History: at a slot's watermark all of its rooms,
//! states, events and facts; above it nothing that is not true.

use danmu_projections::RoomWindow;
use danmu_projections::history::HistoryReader;
use danmu_projections::projection::{StoreError, StoredState};
use danmu_projections::windows::store::WindowRead;
use danmu_schemas::chunk::Unpacker;
use danmu_schemas::{Generation, Position, RoomId, Seq, Slot};

use super::super::model::world::done;
use super::broadcasts;
use super::engines::AnyHistory;
use super::script::{ROOMS, SLOTS};
use super::truth::{Numbered, RoomTruth};
use super::world::World;

/// A finding: what is wrong, and with what.
pub type Wrong = (&'static str, String);

pub fn windows(world: &mut World) {
    let windows = world.stores().windows.now();
    for (index, room) in ROOMS.iter().enumerate() {
        let window = done(windows.room(room)).unwrap();
        let Some(position) = window.slot_position else {
            continue;
        };
        let watermark = world.watermark(room.slot()).unwrap_or(Position::BEGIN);
        let truth = world.truth.room(index);
        if let Err((what, why)) = window_is_true(&window, truth, position, watermark) {
            world.found(what, format!("{room} at {position}: {why}"));
        }
    }
}

fn window_is_true(
    window: &RoomWindow,
    truth: &RoomTruth,
    position: Position,
    watermark: Position,
) -> Result<(), Wrong> {
    let stored = window.state.as_deref();
    state_is_true(stored, truth, position, "a window has a wrong state")?;
    let mut unpacker = Unpacker::new();
    let (mut events, mut unsettled) = (Vec::new(), 0);
    for chunk in &window.chunks {
        let (header, body) = unpacker.unpack(&chunk.bytes).unwrap();
        events.extend(
            body.settled
                .into_iter()
                .map(|event| (header.generation, event)),
        );
        for entry in body.unsettled {
            if truth.unsettled.get(&entry.offset) != Some(&entry) {
                return Err(("a window has a wrong refusal", format!("{entry:?}")));
            }
            unsettled += usize::from(entry.offset > watermark.offset);
        }
    }
    let known = truth.events_left(position);
    let needed = known.len() - truth.events_to(watermark.min(position)).len();
    if !known.ends_with(&events) || events.len() < needed {
        return Err(("a window's events are not the truth's end", seqs(&events)));
    }
    let refused = truth
        .unsettled
        .range(watermark.offset + 1..)
        .map(|(offset, _)| *offset);
    if unsettled < refused.filter(|offset| *offset <= position.offset).count() {
        return Err(("a window lacks a refusal", unsettled.to_string()));
    }
    Ok(())
}

pub fn history(world: &mut World) {
    let reader = HistoryReader::new(world.stores().history.clone(), world.identity());
    for slot in *SLOTS {
        let mut watermark = world.watermark(slot);
        let mut wrong = slot_is_true(&reader, world, slot, watermark);
        // What a dropped processor had asked of a server may be done only now. A store that is a part of
        // this process moves for nobody meanwhile.
        while !wrong.is_empty() && world.watermark(slot) != watermark {
            watermark = world.watermark(slot);
            wrong = slot_is_true(&reader, world, slot, watermark);
        }
        for (what, why) in wrong {
            world.found(what, why);
        }
    }
}

fn slot_is_true(
    reader: &HistoryReader<AnyHistory>,
    world: &mut World,
    slot: Slot,
    watermark: Option<Position>,
) -> Vec<Wrong> {
    let Some(watermark) = watermark else {
        return Vec::new();
    };
    let listed = done(reader.rooms(slot, watermark)).unwrap();
    let mut wrong = Vec::new();
    let rooms = ROOMS.iter().enumerate();
    for (index, room) in rooms.filter(|(_, room)| room.slot() == slot) {
        let known = (room, world.truth.room(index), watermark);
        let is_true = room_is_true(reader, known, listed.contains(room))
            .and_then(|()| events_are_true(reader, known, &mut world.rng))
            .and_then(|()| broadcasts::are_true(reader, known));
        wrong.extend(
            is_true
                .err()
                .map(|(what, why)| (what, format!("{room} at {watermark}: {why}"))),
        );
    }
    wrong
}

/// A room, its truth, and the watermark up to which the history must have it.
pub type Known<'a> = (&'a RoomId, &'a RoomTruth, Position);

fn room_is_true(
    reader: &HistoryReader<AnyHistory>,
    (room, truth, watermark): Known<'_>,
    is_listed: bool,
) -> Result<(), Wrong> {
    if is_listed != truth.state(watermark).is_some() {
        return Err((
            "the history lists other rooms",
            format!("listed: {is_listed}"),
        ));
    }
    let read = readable(done(reader.state(room, watermark)))?;
    let stored = read.as_ref().map(|(_, state)| state);
    state_is_true(stored, truth, watermark, "the history has a wrong state")?;
    match read {
        Some((_, state)) => danmu_processors::settle::Room::from_stored(&state, watermark)
            .map(|_| ())
            .map_err(|error| ("a room cannot go on from the history", error.to_string())),
        None => Ok(()),
    }
}

fn events_are_true(
    reader: &HistoryReader<AnyHistory>,
    (room, truth, watermark): Known<'_>,
    rng: &mut fastrand::Rng,
) -> Result<(), Wrong> {
    let (last_generation, _) = truth.last();
    for generation in (Generation::FIRST.0..=last_generation.0).map(Generation) {
        let all = truth.events_after(generation, Seq::ZERO);
        let anywhere = [(); 4].map(|()| rng.usize(..=all.len()));
        for after in anywhere.into_iter().chain([0]) {
            let (after, wanted) = (Seq(after as u64), all.len() - after);
            let read = readable(done(reader.events(room, generation, after, wanted + 1)))?;
            let read: Vec<Numbered> = read.into_iter().map(|event| (generation, event)).collect();
            let events = truth.events_after(generation, after);
            let is_needed = |event: &&Numbered| event.1.offset <= watermark.offset;
            let mut pairs = read.iter().zip(events);
            let is_true = |(read, own): (&Numbered, &Numbered)| truth.is_of(&read.1, own);
            if read.len() > events.len() || !pairs.all(is_true) {
                return Err(("the history has other events", seqs(&read)));
            }
            if read.len() < events.iter().filter(is_needed).count() {
                let why = format!("after {generation}:{after} only {}", seqs(&read));
                return Err(("the history lacks events", why));
            }
        }
    }
    Ok(())
}

fn state_is_true(
    stored: Option<&StoredState>,
    truth: &RoomTruth,
    at: Position,
    what: &'static str,
) -> Result<(), Wrong> {
    let stored = stored.map(|state| (&state.core, &state.fields));
    let expected = truth.state(at).map(|(core, fields)| (core, fields));
    if stored == expected {
        return Ok(());
    }
    let why = match (stored, expected) {
        (None, _) => "it is missing",
        (_, None) => "there should be none",
        (Some(stored), Some(expected)) if stored.0 != expected.0 => "another core",
        _ => "other fields",
    };
    Err((what, why.to_owned()))
}

/// What was read; an error of the store itself is a finding.
pub fn readable<T>(read: Result<T, StoreError>) -> Result<T, Wrong> {
    read.map_err(|error| ("the history cannot be read", error.to_string()))
}

fn seqs(events: &[Numbered]) -> String {
    let seqs = events
        .iter()
        .map(|(generation, event)| format!("{generation}:{}", event.seq));
    seqs.collect::<Vec<_>>().join(" ")
}

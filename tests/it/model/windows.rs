//! Windows: compare-and-append, a slot at a time, against crashes, zombies, unknown outcomes and
//! roll-backs.
//!
//! A processor settles a batch in memory and stores each slot's changes only if the stored position
//! is the one it expects. On anything else it drops all it holds of the slot and goes on after the
//! stored position. A zombie is a copy of a processor that keeps running; a roll-back is a store
//! that lost what it had acknowledged. At the end, with the faults over, the windows must hold
//! exactly the events of the truth.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::world::{
    Event, Findings, Record, SLOTS, State, Truth, chance, fails, found, holds, id_memory_start,
    random_log, slot_of,
};

const ROOMS: usize = 5;
const RECORDS: usize = 300;
const FAULTY_STEPS: usize = 400;
const QUIET_STEPS: usize = 1200;
const SNAPSHOTS_MAX: usize = 400;

/// The rule, or one thing done otherwise.
#[derive(Clone, Copy, PartialEq)]
enum Rule {
    AsDesigned,
    ComparedPerRoom,
    OverlapIsRepeat,
    StartAtCommitted,
    IdsReadAgain,
    CommentsNotStored,
    MemoryKept,
    LoadUnchecked,
}

impl Rule {
    fn per_room(self) -> bool {
        matches!(self, Rule::ComparedPerRoom | Rule::OverlapIsRepeat)
    }
}

type Rooms = BTreeMap<usize, (State, Vec<Event>)>;

/// The stored windows, with the past that a roll-back returns to.
#[derive(Clone, Default)]
struct Kept {
    rooms: Rooms,
    positions: BTreeMap<usize, i64>,
}

#[derive(Default)]
struct Store {
    now: Kept,
    past: Vec<Kept>,
    /// The consumer group's committed offset; it lives with the log and is never rolled back.
    committed: i64,
}

enum Appended {
    Done,
    Other(i64),
}

impl Store {
    fn position(&self, slot: usize) -> i64 {
        self.now.positions.get(&slot).copied().unwrap_or(-1)
    }

    fn load(&self, room: usize) -> State {
        self.now
            .rooms
            .get(&room)
            .map(|(state, _)| state.clone())
            .unwrap_or_default()
    }

    /// Moves the slot from exactly `expected` to `to` together with its rooms' changes, or stores
    /// nothing.
    fn append(&mut self, slot: usize, expected: i64, to: i64, changes: &Rooms) -> Appended {
        let stored = self.position(slot);
        if stored == to && to > expected {
            return Appended::Done;
        }
        if stored != expected {
            return Appended::Other(stored);
        }
        for (room, (state, events)) in changes {
            self.put(*room, state, events);
        }
        if to > stored {
            self.now.positions.insert(slot, to);
            self.remember();
        }
        Appended::Done
    }

    /// Shortcut: compares one room's position.
    fn append_room(
        &mut self,
        room: usize,
        expected: i64,
        change: &(State, Vec<Event>),
        rule: Rule,
    ) -> Appended {
        let stored = self.load(room).position;
        let repeat =
            stored >= change.0.position || (stored > expected && rule == Rule::OverlapIsRepeat);
        if stored != expected {
            return if repeat {
                Appended::Done
            } else {
                Appended::Other(stored)
            };
        }
        self.put(room, &change.0, &change.1);
        self.remember();
        Appended::Done
    }

    fn put(&mut self, room: usize, state: &State, events: &[Event]) {
        let kept = self.now.rooms.entry(room).or_default();
        kept.0 = state.clone();
        kept.1.extend_from_slice(events);
    }

    fn remember(&mut self) {
        if self.past.len() == SNAPSHOTS_MAX {
            self.past.remove(0);
        }
        self.past.push(self.now.clone());
    }

    fn roll_back(&mut self, changes: usize) {
        let left = self.past.len().saturating_sub(changes);
        self.past.truncate(left);
        self.now = self.past.last().cloned().unwrap_or_default();
    }
}

/// How often what befalls a world.
struct Faults {
    crash: f64,
    zombie: f64,
    roll_back: f64,
    roll_back_max: usize,
}

#[derive(Clone)]
struct Processor {
    rule: Rule,
    memory: BTreeMap<usize, State>,
    positions: [i64; SLOTS],
    at: i64,
}

impl Processor {
    fn start(store: &Store, log: &[Record], rule: Rule) -> Processor {
        let positions = std::array::from_fn(|slot| store.position(slot));
        let after_lowest = positions.iter().min().map_or(0, |lowest| lowest + 1);
        let at = match rule {
            Rule::StartAtCommitted => store.committed,
            Rule::IdsReadAgain => id_memory_start(log, after_lowest),
            _ => after_lowest,
        };
        Processor {
            rule,
            memory: BTreeMap::new(),
            positions,
            at,
        }
    }

    /// Reads, settles and stores one batch.
    fn step(&mut self, store: &mut Store, log: &[Record], faults: &Faults, rng: &mut Rng) {
        let from = (self.at as usize).min(log.len());
        let to = (from + [1, 3, 9, 27][rng.usize(..4)]).min(log.len());
        let batch = &log[from..to];
        if self.met_another_position(store, batch) {
            return;
        }
        let mut expected = BTreeMap::new();
        let mut changes: [Rooms; SLOTS] = Default::default();
        for record in batch {
            self.settle(
                store,
                record,
                &mut expected,
                &mut changes[slot_of(record.room)],
            );
        }
        let mut next = to as i64;
        for (slot, changes) in changes.iter().enumerate() {
            if chance(rng, faults.roll_back) {
                store.roll_back(1 + rng.usize(..faults.roll_back_max));
            }
            let stored = if self.rule.per_room() {
                self.store_rooms(store, slot, to as i64 - 1, &expected, changes)
            } else {
                self.store_slot(store, slot, to as i64 - 1, changes, chance(rng, 0.02))
            };
            next = next.min(stored + 1);
        }
        self.at = next;
        store.committed = store.committed.max(next);
    }

    /// A load names the slot's position; another one than expected means that all held of the slot
    /// is stale.
    fn met_another_position(&mut self, store: &Store, batch: &[Record]) -> bool {
        if self.rule == Rule::LoadUnchecked || self.rule.per_room() {
            return false;
        }
        let stale = batch.iter().map(|record| record.room).find(|room| {
            let slot = slot_of(*room);
            !self.memory.contains_key(room) && store.position(slot) != self.positions[slot]
        });
        if let Some(room) = stale {
            let slot = slot_of(room);
            self.drop_slot(slot, store.position(slot));
            self.at = self.at.min(store.position(slot) + 1);
        }
        stale.is_some()
    }

    fn settle(
        &mut self,
        store: &Store,
        record: &Record,
        expected: &mut BTreeMap<usize, i64>,
        changes: &mut Rooms,
    ) {
        let done = record.offset <= self.positions[slot_of(record.room)];
        if done && self.rule != Rule::IdsReadAgain && !self.rule.per_room() {
            return;
        }
        let rule = self.rule;
        let state = self
            .memory
            .entry(record.room)
            .or_insert_with(|| load(store, record.room, rule));
        if done || record.offset <= state.position {
            if rule == Rule::IdsReadAgain {
                state.remember_unsettled(record);
            }
            return;
        }
        expected.entry(record.room).or_insert(state.position);
        let event = state.settle(record);
        let change = changes.entry(record.room).or_default();
        change.0 = state.clone();
        change.1.extend(event);
    }

    /// Stores one slot's changes and returns the position from which its log must be read on.
    fn store_slot(
        &mut self,
        store: &mut Store,
        slot: usize,
        to: i64,
        changes: &Rooms,
        twice: bool,
    ) -> i64 {
        let expected = self.positions[slot];
        let to = to.max(expected);
        if twice {
            let _outcome_unknown = store.append(slot, expected, to, changes);
        }
        match store.append(slot, expected, to, changes) {
            Appended::Done => {
                self.positions[slot] = to;
                to
            }
            Appended::Other(stored) => {
                self.drop_slot(slot, stored);
                stored
            }
        }
    }

    fn drop_slot(&mut self, slot: usize, stored: i64) {
        self.positions[slot] = stored;
        if self.rule != Rule::MemoryKept {
            self.memory.retain(|room, _| slot_of(*room) != slot);
        }
    }

    /// Shortcut: stores room by room and moves the slot's position afterwards.
    fn store_rooms(
        &mut self,
        store: &mut Store,
        slot: usize,
        to: i64,
        expected: &BTreeMap<usize, i64>,
        changes: &Rooms,
    ) -> i64 {
        let mut back = i64::MAX;
        for (room, change) in changes {
            if let Appended::Other(stored) =
                store.append_room(*room, expected[room], change, self.rule)
            {
                self.memory.remove(room);
                back = back.min(stored);
            }
        }
        if back < i64::MAX {
            return back.min(to);
        }
        let marked = store.position(slot);
        if marked < self.positions[slot] {
            self.drop_slot(slot, marked);
            return marked;
        }
        self.positions[slot] = self.positions[slot].max(to);
        if marked < to {
            store.now.positions.insert(slot, to);
            store.remember();
        }
        to
    }
}

fn load(store: &Store, room: usize, rule: Rule) -> State {
    let mut state = store.load(room);
    match rule {
        Rule::IdsReadAgain => state.forget_ids(),
        Rule::CommentsNotStored => state.forget_comments(),
        _ => {}
    }
    state
}

/// Each seed draws its own mix: gentle or many zombies, shallow or deep roll-backs.
fn faults(rng: &mut Rng) -> Faults {
    let (roll_back, roll_back_max) =
        [(0.004, 40), (0.004, 300), (0.01, 40), (0.0, 1)][rng.usize(..4)];
    let zombie = [0.03, 0.03, 0.2][rng.usize(..3)];
    Faults {
        crash: 0.02,
        zombie,
        roll_back,
        roll_back_max,
    }
}

fn run(seed: u64, rule: Rule) -> Findings {
    let mut rng = Rng::with_seed(seed);
    let log = random_log(&mut rng, RECORDS, ROOMS);
    let mut faults = faults(&mut rng);
    let mut store = Store::default();
    let mut owner = Processor::start(&store, &log, rule);
    let mut zombie: Option<Processor> = None;
    for step in 0..FAULTY_STEPS + QUIET_STEPS {
        if step == FAULTY_STEPS {
            faults.roll_back = 0.0;
        }
        let fate = rng.f64();
        if fate < faults.crash {
            owner = Processor::start(&store, &log, rule);
        } else if fate < faults.crash + faults.zombie {
            zombie = Some(owner.clone());
        }
        if let Some(zombie) = &mut zombie
            && chance(&mut rng, 0.3)
        {
            zombie.step(&mut store, &log, &faults, &mut rng);
        }
        owner.step(&mut store, &log, &faults, &mut rng);
    }
    let truth = Truth::of(&log, ROOMS);
    let mut findings = Findings::new();
    for (room, events) in truth.events.iter().enumerate() {
        let kept = store
            .now
            .rooms
            .get(&room)
            .map_or(&[][..], |(_, events)| events);
        if kept != events {
            found(&mut findings, "a window differs from the truth");
        }
    }
    findings
}

#[test]
fn windows_hold_exactly_the_truth() {
    holds("windows: compare-and-append by slot", 2000, |seed| {
        run(seed, Rule::AsDesigned)
    });
}

#[test]
fn windows_shortcuts_are_caught() {
    for (name, rule, runs) in [
        ("windows: compared per room", Rule::ComparedPerRoom, 2000),
        (
            "windows: an overlap is taken for a repeat",
            Rule::OverlapIsRepeat,
            1000,
        ),
        (
            "windows: reading starts at the committed offset",
            Rule::StartAtCommitted,
            300,
        ),
        (
            "windows: ids are read from the log again",
            Rule::IdsReadAgain,
            300,
        ),
        (
            "windows: who commented when is not stored",
            Rule::CommentsNotStored,
            300,
        ),
        (
            "windows: memory is kept across a mismatch",
            Rule::MemoryKept,
            300,
        ),
        (
            "windows: load does not check the position",
            Rule::LoadUnchecked,
            2000,
        ),
    ] {
        fails(name, runs, |seed| run(seed, rule));
    }
}

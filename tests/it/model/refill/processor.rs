//! The windows' processor: opens its slots, refills those without a position, settles and appends.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::super::world::{Event, Record, SLOTS, State, Walk, chance, pause, pick, slot_of};
use super::windows::Room;
use super::{Guard, Recheck, Shared};

/// A processor's walk; it never ends by itself.
pub struct Processor {
    walk: Walk<()>,
    idle: Rc<Cell<bool>>,
}

impl Processor {
    pub fn start(world: &Shared) -> Processor {
        let idle = Rc::new(Cell::new(false));
        let mut session = Session {
            world: world.clone(),
            idle: idle.clone(),
            memory: BTreeMap::new(),
            positions: [-1; SLOTS],
            watermarks: [-1; SLOTS],
        };
        Processor {
            walk: Walk::new(async move { session.run().await }),
            idle,
        }
    }

    pub fn step(&mut self) {
        let _never_ends = self.walk.step();
    }

    /// Whether its last batch was empty.
    pub fn idle(&self) -> bool {
        self.idle.get()
    }
}

struct Session {
    world: Shared,
    idle: Rc<Cell<bool>>,
    memory: BTreeMap<usize, State>,
    positions: [i64; SLOTS],
    /// The history's watermarks as last told to this processor.
    watermarks: [i64; SLOTS],
}

type Changes = [BTreeMap<usize, (State, Vec<Event>)>; SLOTS];

impl Session {
    async fn run(&mut self) {
        for slot in 0..SLOTS {
            self.open(slot).await;
        }
        loop {
            let at = self.positions.iter().min().map_or(0, |lowest| lowest + 1);
            let batch = self.read(at);
            self.idle.set(batch.is_empty());
            let mut changes = Changes::default();
            let mut stale = BTreeSet::new();
            for record in &batch {
                self.settle(record, &mut changes, &mut stale).await;
            }
            let last = at + batch.len() as i64 - 1;
            for (slot, changes) in changes.into_iter().enumerate() {
                if stale.contains(&slot) || !self.append(slot, last, changes).await {
                    self.open(slot).await;
                }
            }
            pause().await;
        }
    }

    fn read(&self, at: i64) -> Vec<Record> {
        let mut world = self.world.borrow_mut();
        let end = (at + pick(&mut world.rng, &[1, 2, 5])).min(world.head + 1);
        world.log[at as usize..end.max(at) as usize].to_vec()
    }

    async fn settle(
        &mut self,
        record: &Record,
        changes: &mut Changes,
        stale: &mut BTreeSet<usize>,
    ) {
        let (room, slot) = (record.room, slot_of(record.room));
        if record.offset <= self.positions[slot] || stale.contains(&slot) {
            return;
        }
        if !self.memory.contains_key(&room) {
            let (state, position) = {
                let windows = &self.world.borrow().windows;
                let state = windows.room(room).map(|(state, _)| (**state).clone());
                (state, windows.position(slot))
            };
            pause().await;
            if position != Some(self.positions[slot]) {
                stale.insert(slot);
                return;
            }
            self.memory.insert(room, state.unwrap_or_default());
        }
        let state = self.memory.entry(room).or_default();
        let event = state.settle(record);
        let change = changes[slot].entry(room).or_default();
        change.0 = state.clone();
        change.1.extend(event);
    }

    async fn append(
        &mut self,
        slot: usize,
        last: i64,
        changes: BTreeMap<usize, (State, Vec<Event>)>,
    ) -> bool {
        let (expected, to) = (self.positions[slot], self.positions[slot].max(last));
        let changes: BTreeMap<usize, Room> = changes
            .into_iter()
            .map(|(room, (state, events))| (room, (Rc::new(state), events)))
            .collect();
        let stored = {
            let world = &mut *self.world.borrow_mut();
            if chance(&mut world.rng, 0.1) {
                self.watermarks[slot] = world.history.watermark(slot);
            }
            let trimmed = (world.rule.trim, self.watermarks[slot]);
            if chance(&mut world.rng, 0.02) {
                let _outcome_unknown = world.windows.append(slot, expected, to, &changes, trimmed);
            }
            world.windows.append(slot, expected, to, &changes, trimmed)
        };
        pause().await;
        if stored {
            self.positions[slot] = to;
        }
        stored
    }

    /// Drops all that is held of the slot and goes on after its stored position.
    async fn open(&mut self, slot: usize) {
        loop {
            self.refill(slot).await;
            self.memory.retain(|room, _| slot_of(*room) != slot);
            let stored = self.world.borrow().windows.position(slot);
            pause().await;
            if let Some(position) = stored {
                self.positions[slot] = position;
                return;
            }
        }
    }

    async fn refill(&self, slot: usize) {
        while self.world.borrow().windows.position(slot).is_none() {
            self.try_refill(slot).await;
        }
    }

    /// One attempt; whoever else has touched the slot meanwhile makes it store nothing more.
    async fn try_refill(&self, slot: usize) {
        let (rule, token) = {
            let world = &mut *self.world.borrow_mut();
            (world.rule, world.rng.u64(..))
        };
        let mut listed = None;
        if rule.rooms_listed_first {
            listed = Some(self.world.borrow().history.rooms(slot));
            pause().await;
        }
        let watermark = self.world.borrow().history.watermark(slot);
        pause().await;
        if rule.guard != Guard::Nothing {
            let begun = self.world.borrow_mut().windows.begin(slot, token);
            if !begun {
                return;
            }
            pause().await;
        }
        let rooms = listed.unwrap_or_else(|| self.world.borrow().history.rooms(slot));
        let copied = self.copy(rooms, watermark).await;
        let Some(steps) = self.put(rule.guard, token, copied).await else {
            pause().await;
            return;
        };
        if rule.recheck == Recheck::BeforeTheLastCall {
            let moved = self.world.borrow().history.watermark(slot) != watermark;
            pause().await;
            if moved {
                return;
            }
        }
        self.world
            .borrow_mut()
            .windows
            .end(rule.guard, slot, token, steps, watermark);
        pause().await;
    }

    /// Reads the rooms' newest states at or below the watermark, and their newest events up to the
    /// state's last seq.
    async fn copy(&self, rooms: Vec<usize>, watermark: i64) -> Vec<(usize, Room)> {
        let mut copied = Vec::new();
        for room in rooms {
            let state = {
                let world = self.world.borrow();
                world.history.newest_state(&world.truth, room, watermark)
            };
            pause().await;
            let Some(state) = state else { continue };
            let events = self.newest_events(room, state.seq);
            pause().await;
            copied.push((room, (state, events)));
        }
        copied
    }

    fn newest_events(&self, room: usize, last_seq: usize) -> Vec<Event> {
        let world = self.world.borrow();
        let (cut, kept) = (world.rule.chunks_cut, world.rule.trim.kept);
        let events = world.history.events(&world.truth, room);
        let mut newest: Vec<Event> = events
            .filter(|event| !cut || event.seq <= last_seq)
            .collect();
        newest.drain(..newest.len().saturating_sub(kept));
        if cut {
            let total = newest.len();
            let dense = newest
                .iter()
                .rev()
                .enumerate()
                .take_while(|(back, event)| event.seq + back == last_seq);
            let dense = dense.count();
            newest.drain(..total - dense);
        }
        newest
    }

    async fn put(&self, guard: Guard, token: u64, copied: Vec<(usize, Room)>) -> Option<usize> {
        let mut steps = 0;
        for (room, content) in copied {
            let stored = {
                let world = &mut *self.world.borrow_mut();
                if chance(&mut world.rng, 0.03) {
                    let _outcome_unknown =
                        world
                            .windows
                            .put(guard, token, steps, room, content.clone());
                }
                world.windows.put(guard, token, steps, room, content)
            };
            pause().await;
            if !stored {
                return None;
            }
            steps += 1;
        }
        Some(steps)
    }
}

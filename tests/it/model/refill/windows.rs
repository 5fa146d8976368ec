//! The windows' store: compare-and-append, the refill's three calls, wipes and roll-backs.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::super::world::{Event, State, slot_of};
use super::Guard;

const SNAPSHOTS_MAX: usize = 60;

/// A room's state and the last part of its events.
pub type Room = (Rc<State>, Vec<Event>);

/// How much a window keeps.
#[derive(Clone, Copy)]
pub struct Trim {
    /// Kept in any case.
    pub kept: usize,
    /// Never more than this, even above the history's watermark.
    pub cap: usize,
}

#[derive(Clone, Default)]
struct Kept {
    positions: BTreeMap<usize, i64>,
    rooms: BTreeMap<usize, Room>,
    /// A slot's refill under way: its token and how many steps it has done.
    refills: BTreeMap<usize, (u64, usize)>,
}

/// The store, and the past that a roll-back returns to.
pub struct Windows {
    now: Kept,
    past: Vec<Kept>,
    /// Counts the changes.
    pub version: u64,
    /// What was published to the API processes and not yet fetched.
    pub published: Vec<(usize, Vec<Event>)>,
}

impl Default for Windows {
    fn default() -> Windows {
        Windows {
            now: Kept::default(),
            past: vec![Kept::default()],
            version: 0,
            published: Vec::new(),
        }
    }
}

impl Windows {
    pub fn position(&self, slot: usize) -> Option<i64> {
        self.now.positions.get(&slot).copied()
    }

    pub fn room(&self, room: usize) -> Option<&Room> {
        self.now.rooms.get(&room)
    }

    /// Moves the slot from exactly `expected` to `to` with its rooms' changes; false stores
    /// nothing.
    pub fn append(
        &mut self,
        slot: usize,
        expected: i64,
        to: i64,
        changes: &BTreeMap<usize, Room>,
        trimmed: (Trim, i64),
    ) -> bool {
        let stored = self.position(slot);
        if stored == Some(to) && to > expected {
            return true;
        }
        if stored != Some(expected) || to == expected {
            return stored == Some(expected);
        }
        let (trim, watermark) = trimmed;
        for (room, (state, new)) in changes {
            let mut events = self
                .now
                .rooms
                .remove(room)
                .map(|(_, events)| events)
                .unwrap_or_default();
            events.extend_from_slice(new);
            let old = |left: usize, event: &Event| {
                left > trim.cap || (left > trim.kept && event.offset <= watermark)
            };
            let total = events.len();
            let mut indexed = events.iter().enumerate();
            let cut = indexed
                .find(|(index, event)| !old(total - index, event))
                .map_or(total, |(index, _)| index);
            events.drain(..cut);
            self.now.rooms.insert(*room, (state.clone(), events));
            if !new.is_empty() {
                self.published.push((*room, new.clone()));
            }
        }
        self.now.positions.insert(slot, to);
        self.changed();
        true
    }

    /// Begins a refill, only while the slot has no position: clears its rooms and stores the token.
    pub fn begin(&mut self, slot: usize, token: u64) -> bool {
        if self.position(slot).is_some() {
            return false;
        }
        self.now.rooms.retain(|room, _| slot_of(*room) != slot);
        self.now.refills.insert(slot, (token, 0));
        self.changed();
        true
    }

    /// Stores one room of a refill as its step `step`.
    pub fn put(
        &mut self,
        guard: Guard,
        token: u64,
        step: usize,
        room: usize,
        content: Room,
    ) -> bool {
        let slot = slot_of(room);
        if guard != Guard::Nothing {
            let refill = self.now.refills.get(&slot).copied();
            let (Some((holder, done)), None) = (refill, self.position(slot)) else {
                return false;
            };
            if holder == token && guard == Guard::TokenAndCounter && done == step + 1 {
                return true;
            }
            if holder != token || (guard == Guard::TokenAndCounter && done != step) {
                return false;
            }
            self.now.refills.insert(slot, (token, step + 1));
        }
        self.now.rooms.insert(room, content);
        self.changed();
        true
    }

    /// Ends a refill of `steps` steps: sets the slot's position.
    pub fn end(&mut self, guard: Guard, slot: usize, token: u64, steps: usize, position: i64) {
        if guard != Guard::Nothing {
            let refill = self.now.refills.get(&slot).copied();
            let (Some((holder, done)), None) = (refill, self.position(slot)) else {
                return;
            };
            if holder != token || (guard == Guard::TokenAndCounter && done != steps) {
                return;
            }
            self.now.refills.remove(&slot);
        }
        self.now.positions.insert(slot, position);
        self.changed();
    }

    pub fn wipe(&mut self) {
        self.now = Kept::default();
        self.changed();
    }

    pub fn wipe_slot(&mut self, slot: usize) {
        self.now.positions.remove(&slot);
        self.now.refills.remove(&slot);
        self.now.rooms.retain(|room, _| slot_of(*room) != slot);
        self.changed();
    }

    pub fn roll_back(&mut self, changes: usize) {
        let left = self.past.len().saturating_sub(changes).max(1);
        self.past.truncate(left);
        self.now = self.past[left - 1].clone();
        self.version += 1;
    }

    fn changed(&mut self) {
        if self.past.len() == SNAPSHOTS_MAX {
            self.past.remove(0);
        }
        self.past.push(self.now.clone());
        self.version += 1;
    }
}

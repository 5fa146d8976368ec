//! The history as the refill and the readers see it: true facts, gaps above the watermark, and a
//! watermark that may go back by one checkpoint when its last write was lost.
//!
//! That the history's facts are true is proved by its own part of the model; so its rows are drawn
//! from the truth here.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use fastrand::Rng;

use super::super::world::{Event, SLOTS, State, Truth, chance, slot_of};

#[derive(Clone)]
struct SlotRows {
    /// All watermarks that may still be the stored one, oldest first.
    watermarks: Vec<i64>,
    /// How far a writer has settled.
    settled: i64,
    /// The highest watermark ever: everything below it is durable.
    durable: i64,
    /// States below this may have been removed; a watermark never goes back past it.
    removed: i64,
}

/// A history that moves on by itself.
pub struct History {
    slots: Vec<SlotRows>,
    states: BTreeMap<usize, Vec<i64>>,
    holes: BTreeSet<(usize, i64)>,
    /// For how many turns the history is still down.
    pub down: u32,
}

impl Default for History {
    fn default() -> History {
        let slot = SlotRows {
            watermarks: vec![-1],
            settled: -1,
            durable: -1,
            removed: -1,
        };
        History {
            slots: vec![slot; SLOTS],
            states: BTreeMap::new(),
            holes: BTreeSet::new(),
            down: 0,
        }
    }
}

impl History {
    pub fn watermark(&self, slot: usize) -> i64 {
        self.slots[slot].watermarks.last().copied().unwrap_or(-1)
    }

    pub fn rooms(&self, slot: usize) -> Vec<usize> {
        let rooms = self
            .states
            .iter()
            .filter(|(room, rows)| slot_of(**room) == slot && !rows.is_empty());
        rooms.map(|(room, _)| *room).collect()
    }

    pub fn newest_state(&self, truth: &Truth, room: usize, at: i64) -> Option<Rc<State>> {
        let rows = self.states.get(&room)?;
        let newest = rows.iter().rev().find(|position| **position <= at)?;
        truth.state(room, *newest)
    }

    /// The room's events that are there now; above the watermark some may be missing.
    pub fn events<'a>(&'a self, truth: &'a Truth, room: usize) -> impl Iterator<Item = Event> + 'a {
        truth.events[room]
            .iter()
            .copied()
            .filter(move |event| self.has(room, event.offset))
    }

    fn has(&self, room: usize, offset: i64) -> bool {
        let slot = slot_of(room);
        offset <= self.slots[slot].settled.max(self.watermark(slot))
            && !self.holes.contains(&(room, offset))
    }

    /// Lets the history do one thing, or be down.
    pub fn step(&mut self, truth: &Truth, head: i64, rng: &mut Rng) {
        if self.down > 0 {
            self.down -= 1;
            return;
        }
        if chance(rng, 0.01) {
            self.down = rng.u32(..150);
            return;
        }
        let slot = rng.usize(..SLOTS);
        let settled = self.slots[slot].settled;
        match rng.u32(..100) {
            0..50 => self.slots[slot].settled = head.min(settled + rng.i64(0..6)),
            50..80 if settled > self.watermark(slot) => self.checkpoint(truth, slot),
            80..85 => self.lose_watermark(slot),
            85..95 => self.remove_states(slot),
            _ => self.open_holes(truth, slot, rng),
        }
    }

    fn checkpoint(&mut self, truth: &Truth, slot: usize) {
        let position = self.slots[slot].settled;
        for room in (0..truth.events.len()).filter(|room| slot_of(*room) == slot) {
            let rows = self.states.entry(room).or_default();
            let Some(state) = truth.state(room, position) else {
                continue;
            };
            if rows.last().is_none_or(|last| state.position > *last) {
                rows.push(position);
            }
        }
        let rows = &mut self.slots[slot];
        rows.watermarks.push(position);
        rows.durable = rows.durable.max(position);
        self.holes
            .retain(|(room, offset)| slot_of(*room) != slot || *offset > position);
    }

    fn lose_watermark(&mut self, slot: usize) {
        let rows = &mut self.slots[slot];
        if let [.., previous, _] = rows.watermarks[..]
            && previous >= rows.removed
        {
            rows.watermarks.pop();
        }
    }

    fn remove_states(&mut self, slot: usize) {
        let rows = &mut self.slots[slot];
        let [.., previous, _] = rows.watermarks[..] else {
            return;
        };
        rows.removed = rows.removed.max(previous);
        for (_, states) in self
            .states
            .iter_mut()
            .filter(|(room, _)| slot_of(**room) == slot)
        {
            if let Some(newest) = states
                .iter()
                .rev()
                .find(|position| **position <= previous)
                .copied()
            {
                states.retain(|position| *position >= newest);
            }
        }
    }

    fn open_holes(&mut self, truth: &Truth, slot: usize, rng: &mut Rng) {
        let SlotRows {
            settled, durable, ..
        } = self.slots[slot];
        for room in (0..truth.events.len()).filter(|room| slot_of(*room) == slot) {
            for event in &truth.events[room] {
                if event.offset > durable && event.offset <= settled && chance(rng, 0.3) {
                    self.holes.insert((room, event.offset));
                }
            }
        }
    }
}

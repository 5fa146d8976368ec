//! The history's store as a list of written facts, in the order in which they arrived.
//!
//! Facts are upserts: for one key all writers write the same, so a list answers what a table would.
//! A removal hides the states of a room below a position. A crash loses an undurable part of the
//! list; what survives one is durable.

use std::collections::BTreeMap;
use std::rc::Rc;

use fastrand::Rng;

use super::super::world::{Event, State, chance, pick};
use super::CHUNK_EVENTS;

/// One write.
#[derive(Clone)]
pub enum Fact {
    Chunk {
        room: usize,
        first_seq: usize,
        first_position: i64,
        events: Rc<[Event]>,
    },
    State {
        room: usize,
        position: i64,
        state: Rc<State>,
    },
    Removal {
        room: usize,
        below: i64,
        as_of: i64,
    },
    Watermark {
        slot: usize,
        position: i64,
    },
}

struct Written {
    fact: Fact,
    at: u64,
    durable: bool,
}

/// The store, its clock, and the writes that are still under way.
#[derive(Default)]
pub struct Store {
    pub now: u64,
    pub generation: u64,
    pub late: Vec<Fact>,
    written: Vec<Written>,
}

impl Store {
    pub fn write(&mut self, fact: Fact) {
        self.written.push(Written {
            fact,
            at: self.now,
            durable: false,
        });
    }

    /// Restarts: each write younger than the horizon may be lost.
    pub fn crash(&mut self, rng: &mut Rng, horizon: u64) {
        let survives = pick(rng, &[0.0, 0.3, 0.5, 0.9]);
        let now = self.now;
        self.written.retain_mut(|write| {
            let kept = write.durable || write.at + horizon <= now || chance(rng, survives);
            write.durable = true;
            kept
        });
        self.generation += 1;
    }

    pub fn watermark(&self, slot: usize) -> i64 {
        let positions = self.facts().filter_map(|fact| match fact {
            Fact::Watermark { slot: of, position } if *of == slot => Some(*position),
            _ => None,
        });
        positions.max().unwrap_or(-1)
    }

    /// A room's newest state at or below a position that no removal hides.
    pub fn newest_state(&self, room: usize, at: i64) -> Option<Rc<State>> {
        let states = self.facts().filter_map(|fact| match fact {
            Fact::State {
                room: of,
                position,
                state,
            } if *of == room && *position <= at => Some((*position, state)),
            _ => None,
        });
        let alive = states.filter(|(position, _)| !self.removed(room, *position));
        alive
            .max_by_key(|(position, _)| *position)
            .map(|(_, state)| state.clone())
    }

    pub fn newest_position(&self, room: usize, at: i64) -> Option<i64> {
        let positions = self.facts().filter_map(|fact| match fact {
            Fact::State {
                room: of, position, ..
            } if *of == room && *position <= at => Some(*position),
            _ => None,
        });
        positions
            .filter(|position| !self.removed(room, *position))
            .max()
    }

    fn removed(&self, room: usize, position: i64) -> bool {
        self.facts().any(|fact| match fact {
            Fact::Removal {
                room: of,
                below,
                as_of,
            } => *of == room && position < *below && position <= *as_of,
            _ => false,
        })
    }

    /// A room's events as a reader sees them: seqs that it has are skipped, and a hole ends the
    /// answer.
    pub fn events(&self, room: usize) -> Vec<Event> {
        let mut events = Vec::new();
        for chunk in self.chunks(room).values() {
            for event in chunk.iter() {
                if event.seq == events.len() + 1 {
                    events.push(*event);
                } else if event.seq > events.len() {
                    return events;
                }
            }
        }
        events
    }

    /// Whether a reader whose next seq is `seq` finds it. One that seeks reads the last chunk at or
    /// below its cursor and the next; one that follows the rule reads every chunk that begins less
    /// than a chunk length before it.
    pub fn seek_finds(&self, room: usize, seq: usize, seek_to_last: bool) -> bool {
        let chunks = self.chunks(room);
        let at_or_below = chunks.range(..=(seq, i64::MAX));
        let read: Vec<_> = if seek_to_last {
            let next = chunks.range((seq, i64::MAX)..).next();
            at_or_below.last().into_iter().chain(next).collect()
        } else {
            at_or_below
                .filter(|((first, _), _)| first + CHUNK_EVENTS > seq)
                .collect()
        };
        read.iter()
            .any(|(_, events)| events.iter().any(|event| event.seq == seq))
    }

    fn chunks(&self, room: usize) -> BTreeMap<(usize, i64), &[Event]> {
        let chunks = self.facts().filter_map(|fact| match fact {
            Fact::Chunk {
                room: of,
                first_seq,
                first_position,
                events,
            } if *of == room => Some(((*first_seq, *first_position), &**events)),
            _ => None,
        });
        chunks.fold(BTreeMap::new(), |mut rows, (key, events)| {
            // The cell's timestamp is the last position that it covers: the longer run stays.
            let row = rows.entry(key).or_insert(events);
            if events.len() > row.len() {
                *row = events;
            }
            rows
        })
    }

    fn facts(&self) -> impl Iterator<Item = &Fact> {
        self.written.iter().map(|write| &write.fact)
    }
}

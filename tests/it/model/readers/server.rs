//! One API process: a ring of the newest events per watched room, and pages from it or from
//! history.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use fastrand::Rng;

use super::super::refill::{ROOMS, World};
use super::super::world::{Event, chance, slot_of};

const RING_MAX: usize = 4;

/// The rule of serving, or one thing done otherwise.
#[derive(Clone, Copy, PartialEq)]
pub enum Serving {
    AsDesigned,
    PositionNotRead,
    DensityNotChecked,
    DeletionsUnknown,
}

/// What a client is told.
pub enum Answer {
    /// 503: neither windows nor history have the range, or not all of its deletions are known.
    Unavailable,
    /// The room has no events.
    NoEvents { slot_known: bool },
    /// A page, and the seqs up to `head` that the process knows to be deleted.
    Page {
        events: Vec<Event>,
        next: usize,
        head: usize,
        deleted: BTreeSet<usize>,
    },
}

/// The seq that an event deletes, if it is a deletion; drawn from its offset.
pub fn deleted_seq(event: &Event) -> Option<usize> {
    let is_deletion = event.offset % 5 == 0 && event.seq > 1;
    let back = 1 + (event.offset as usize * 7) % 30;
    is_deletion.then(|| event.seq.saturating_sub(back).max(1))
}

enum Synced {
    SlotLost,
    RoomUnknown,
    Known,
}

pub struct Server {
    serving: Serving,
    /// How likely the next message is taken from the queue at once.
    pub promptness: f64,
    pub queue: VecDeque<(usize, Vec<Event>)>,
    rings: BTreeMap<usize, Vec<Event>>,
    deleted: BTreeMap<usize, BTreeSet<usize>>,
    /// The first seq since which the process has seen every event of a room.
    live_from: BTreeMap<usize, usize>,
}

impl Server {
    pub fn new(serving: Serving, promptness: f64) -> Server {
        Server {
            serving,
            promptness,
            queue: VecDeque::new(),
            rings: BTreeMap::new(),
            deleted: BTreeMap::new(),
            live_from: BTreeMap::new(),
        }
    }

    /// Takes messages, now and then compares heads, and drops a room that nobody watches.
    pub fn turn(&mut self, world: &World, rng: &mut Rng) {
        while !self.queue.is_empty() && chance(rng, self.promptness) {
            let Some((room, events)) = self.queue.pop_front() else {
                return;
            };
            if self.watches(room) && !self.add(room, &events) {
                self.sync(world, room);
            }
        }
        if chance(rng, 0.08) {
            for room in 0..ROOMS {
                if self.watches(room) || chance(rng, 0.3) {
                    self.sync(world, room);
                }
            }
        }
        if chance(rng, 0.01) {
            self.rings.remove(&rng.usize(..ROOMS));
        }
    }

    fn watches(&self, room: usize) -> bool {
        self.rings.contains_key(&room)
    }

    /// Appends what follows the ring's end; false if there is a gap between them.
    fn add(&mut self, room: usize, events: &[Event]) -> bool {
        let Some(first) = events.first() else {
            return true;
        };
        if !self.watches(room) {
            self.live_from.insert(room, first.seq);
        }
        let ring = self.rings.entry(room).or_default();
        for event in events {
            match ring.last() {
                Some(last) if event.seq > last.seq + 1 => return false,
                Some(last) if event.seq <= last.seq => {}
                _ => ring.push(*event),
            }
        }
        ring.drain(..ring.len().saturating_sub(RING_MAX));
        self.learn(room, events);
        true
    }

    fn learn(&mut self, room: usize, events: &[Event]) {
        self.deleted
            .entry(room)
            .or_default()
            .extend(events.iter().filter_map(deleted_seq));
    }

    /// Brings a room's ring up to its window.
    fn sync(&mut self, world: &World, room: usize) -> Synced {
        let slot_known = world.windows.position(slot_of(room)).is_some();
        if !slot_known && self.serving != Serving::PositionNotRead {
            return Synced::SlotLost;
        }
        let Some((_, window)) = world.windows.room(room) else {
            return Synced::RoomUnknown;
        };
        if !self.add(room, window) {
            let newest = window[window.len().saturating_sub(RING_MAX)..].to_vec();
            self.rings.insert(room, newest);
            self.live_from.insert(room, window[0].seq);
            self.learn(room, window);
        }
        Synced::Known
    }

    /// Answers with at most `limit` events after a cursor, or the newest without one.
    pub fn read(
        &mut self,
        world: &World,
        room: usize,
        after: Option<usize>,
        limit: usize,
    ) -> Answer {
        if !self.watches(room)
            && let Synced::RoomUnknown = self.sync(world, room)
        {
            let slot_known = world.windows.position(slot_of(room)).is_some();
            return Answer::NoEvents { slot_known };
        }
        let ring = self.rings.get(&room).map_or(&[][..], |ring| ring);
        let head = ring.last().map_or(0, |event| event.seq);
        let Some(after) = after else {
            let newest = &ring[ring.len().saturating_sub(limit)..];
            return self.page(world, room, newest.to_vec(), head);
        };
        let first = ring.first().map_or(usize::MAX, |event| event.seq);
        if !ring.is_empty() && after >= head {
            return Answer::Page {
                events: Vec::new(),
                next: after,
                head,
                deleted: BTreeSet::new(),
            };
        }
        if after + 1 >= first {
            let events = ring.iter().filter(|event| event.seq > after).take(limit);
            return self.page(world, room, events.copied().collect(), head);
        }
        if !ring.is_empty() && !self.deletions_covered(world, room) {
            return Answer::Unavailable;
        }
        let events = self.history_page(world, room, after, limit, first);
        self.page(world, room, events, head)
    }

    /// Whether every deletion between the watermark and the first seq seen live is known.
    fn deletions_covered(&self, world: &World, room: usize) -> bool {
        let live_from = self.live_from.get(&room).copied().unwrap_or(1);
        let watermark = world.history.watermark(slot_of(room));
        let covered = live_from <= 1 || world.truth.events[room][live_from - 2].offset <= watermark;
        covered || self.serving == Serving::DeletionsUnknown
    }

    fn history_page(
        &self,
        world: &World,
        room: usize,
        after: usize,
        limit: usize,
        below: usize,
    ) -> Vec<Event> {
        let rows = world.history.events(&world.truth, room);
        let wanted = rows
            .filter(|event| event.seq > after && event.seq < below)
            .take(limit);
        let checked = self.serving != Serving::DensityNotChecked;
        let dense = |(index, event): &(usize, Event)| !checked || event.seq == after + 1 + index;
        wanted
            .enumerate()
            .take_while(dense)
            .map(|(_, event)| event)
            .collect()
    }

    /// A page with what is deleted in it: known from the live events, and from history up to its
    /// watermark.
    fn page(&self, world: &World, room: usize, events: Vec<Event>, head: usize) -> Answer {
        let Some(last) = events.last() else {
            return Answer::Unavailable;
        };
        let next = last.seq;
        let mut deleted = self.deleted.get(&room).cloned().unwrap_or_default();
        let stored = world
            .truth
            .events_to(room, world.history.watermark(slot_of(room)));
        deleted.extend(stored.iter().filter_map(deleted_seq));
        Answer::Page {
            events,
            next,
            head,
            deleted,
        }
    }
}

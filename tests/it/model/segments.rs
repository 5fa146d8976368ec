//! Segments: one address `(segment, revision)` must never be served with two contents.
//!
//! A history writer stores events and moderation in any order, crashes, loses rows above the
//! watermark, and is doubled by a zombie; moderation goes on after the show. Two API processes
//! serve segments while rows appear. The revision is the seq of the last change at or below the
//! watermark, and whoever serves reads the watermark first.

mod show;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use fastrand::Rng;

use super::world::{Findings, Walk, chance, fails, found, holds, pause};
use show::{Moderation, Show};

const STEPS: usize = 900;
const REQUESTS_MAX: usize = 4;

/// How a segment's revision is found.
#[derive(Clone, Copy, PartialEq)]
enum Revision {
    /// The seq of the last change at or below the watermark, which is read first.
    LastChange,
    /// Shortcut: the same, but the watermark is read last.
    WatermarkReadLast,
    /// Shortcut: the seq of the last change that is there, watermark or not.
    RowsAboveWatermark,
    /// Shortcut: the number of moderation rows that are there.
    RowCount,
    /// Shortcut: a counter that the writer reads, adds one to, and writes.
    Counter,
}

#[derive(Clone, Copy)]
enum Row {
    Event(usize),
    Moderation(usize),
}

/// The history of one broadcast; rows are indexes into the show.
struct World {
    show: Show,
    rng: Rng,
    events: BTreeSet<usize>,
    moderation: BTreeSet<usize>,
    pending: Vec<Row>,
    counters: BTreeMap<i64, usize>,
    settled: i64,
    highest_settled: i64,
    watermark: i64,
    previous_watermark: i64,
    /// What was ever below a watermark is durable.
    durable: i64,
}

impl World {
    fn new(mut rng: Rng) -> World {
        World {
            show: Show::random(&mut rng),
            rng,
            events: BTreeSet::new(),
            moderation: BTreeSet::new(),
            pending: Vec::new(),
            counters: BTreeMap::new(),
            settled: -1,
            highest_settled: -1,
            watermark: -1,
            previous_watermark: -1,
            durable: -1,
        }
    }

    fn step(&mut self) {
        let fate = self.rng.u32(..1000);
        if fate < 600 && self.settled < self.show.end {
            self.settle();
        }
        if fate < 900 {
            for _ in 0..self.rng.usize(..4).min(self.pending.len()) {
                let row = self
                    .pending
                    .swap_remove(self.rng.usize(..self.pending.len()));
                self.put(row);
            }
        }
        match fate {
            900..950 => self.checkpoint(),
            950..970 => self.zombie_writes(),
            985..1000 => self.crash(),
            _ => {}
        }
    }

    fn settle(&mut self) {
        let to = (self.settled + self.rng.i64(1..6)).min(self.show.end);
        let new = |offset: i64| offset > self.settled && offset <= to;
        let moderation = self
            .show
            .moderation
            .iter()
            .enumerate()
            .filter(|(_, row)| new(row.offset));
        self.pending
            .extend(moderation.map(|(index, _)| Row::Moderation(index)));
        let events = self
            .show
            .events
            .iter()
            .enumerate()
            .filter(|(_, event)| new(event.offset));
        self.pending
            .extend(events.map(|(index, _)| Row::Event(index)));
        self.settled = to;
        self.highest_settled = self.highest_settled.max(to);
    }

    fn put(&mut self, row: Row) {
        match row {
            Row::Event(index) => {
                self.events.insert(index);
            }
            Row::Moderation(index) => {
                self.moderation.insert(index);
                let change = &self.show.moderation[index];
                for segment in self.show.closed_at.keys() {
                    if self.show.changes(change, *segment) {
                        *self.counters.entry(*segment).or_default() += 1;
                    }
                }
            }
        }
    }

    fn checkpoint(&mut self) {
        if self.settled <= self.watermark {
            return;
        }
        for row in std::mem::take(&mut self.pending) {
            self.put(row);
        }
        self.previous_watermark = self.watermark;
        self.watermark = self.settled;
    }

    fn zombie_writes(&mut self) {
        let rows = self.show.moderation.iter().enumerate();
        let known = rows.filter(|(_, row)| row.offset <= self.highest_settled);
        let known: Vec<usize> = known.map(|(index, _)| index).collect();
        if !known.is_empty() {
            self.moderation.insert(known[self.rng.usize(..known.len())]);
        }
    }

    /// Rows above the durable position may be lost; the writer resumes at the watermark.
    fn crash(&mut self) {
        self.durable = self.durable.max(self.watermark);
        if chance(&mut self.rng, 0.3) {
            self.watermark = self.previous_watermark;
        }
        let survives = self.rng.f64();
        let (show, rng, durable) = (&self.show, &mut self.rng, self.durable);
        self.events
            .retain(|index| show.events[*index].offset <= durable || chance(rng, survives));
        self.moderation
            .retain(|index| show.moderation[*index].offset <= durable || chance(rng, survives));
        self.settled = self.watermark;
        self.pending.clear();
    }
}

type Shared = Rc<RefCell<World>>;

/// A served segment: its revision, and which of its events are shown without content.
type Served = (usize, Vec<(usize, bool)>);

/// Serves a segment; `None` is a 503.
async fn serve(world: Shared, segment: i64, revision: Revision) -> Option<Served> {
    let mut watermark = world.borrow().watermark;
    pause().await;
    let mut events = BTreeSet::new();
    let mut rows = BTreeSet::new();
    let mut counter = 0;
    let events_first = world.borrow_mut().rng.bool();
    for read_events in [events_first, !events_first] {
        if read_events {
            events = world.borrow().events.clone();
        } else {
            rows = world.borrow().moderation.clone();
            counter = world.borrow().counters.get(&segment).copied().unwrap_or(0);
        }
        pause().await;
    }
    let world = world.borrow();
    match revision {
        Revision::WatermarkReadLast => watermark = world.watermark,
        Revision::Counter | Revision::RowCount | Revision::RowsAboveWatermark => {
            watermark = i64::MAX
        }
        Revision::LastChange => {}
    }
    let show = &world.show;
    let members: Vec<usize> = show.members(segment).collect();
    let complete = members
        .iter()
        .chain([&show.closer(segment)])
        .all(|index| events.contains(index));
    if show.closed_at[&segment] > watermark || !complete {
        return None;
    }
    let changes = rows.iter().map(|index| &show.moderation[*index]);
    let known: Vec<&Moderation> = changes
        .filter(|row| row.offset <= watermark && show.changes(row, segment))
        .collect();
    let number = match revision {
        Revision::Counter => counter,
        Revision::RowCount => known.len(),
        _ => known.iter().map(|row| row.seq).max().unwrap_or(0),
    };
    let events = members.iter().map(|index| &show.events[*index]);
    let content = events
        .map(|event| (event.seq, known.iter().any(|row| row.hides(event))))
        .collect();
    Some((number, content))
}

fn run(seed: u64, revision: Revision) -> Findings {
    let world = Rc::new(RefCell::new(World::new(Rng::with_seed(seed))));
    let segments: Vec<i64> = world.borrow().show.closed_at.keys().copied().collect();
    let mut requests: Vec<(i64, Walk<Option<Served>>)> = Vec::new();
    let mut addresses = BTreeMap::new();
    let mut findings = Findings::new();
    for _ in 0..STEPS {
        if world.borrow_mut().rng.bool() {
            world.borrow_mut().step();
        }
        if requests.len() < REQUESTS_MAX {
            let segment = segments[world.borrow_mut().rng.usize(..segments.len())];
            requests.push((segment, Walk::new(serve(world.clone(), segment, revision))));
        }
        let turn = world.borrow_mut().rng.usize(..requests.len());
        let (segment, request) = &mut requests[turn];
        let Some(answer) = request.step() else {
            continue;
        };
        let segment = *segment;
        requests.swap_remove(turn);
        let Some((revision, content)) = answer else {
            continue;
        };
        let first = addresses
            .entry((segment, revision))
            .or_insert_with(|| content.clone());
        if *first != content {
            found(&mut findings, "one address, two contents");
        }
    }
    if addresses.is_empty() {
        found(&mut findings, "nothing was ever served");
    }
    findings
}

#[test]
fn an_address_has_one_content() {
    holds(
        "segments: the last change below a watermark read first",
        2000,
        |seed| run(seed, Revision::LastChange),
    );
}

#[test]
fn segment_shortcuts_are_caught() {
    for (name, revision, runs) in [
        (
            "segments: a counter numbers the revisions",
            Revision::Counter,
            300,
        ),
        (
            "segments: the watermark is read last",
            Revision::WatermarkReadLast,
            1000,
        ),
        (
            "segments: rows above the watermark count",
            Revision::RowsAboveWatermark,
            300,
        ),
        (
            "segments: the number of rows is the revision",
            Revision::RowCount,
            300,
        ),
    ] {
        fails(name, runs, |seed| run(seed, revision));
    }
}

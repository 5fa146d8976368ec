//! Refill: a slot of the windows that lost its position is built again from the history, a guarded
//! step at a time.
//!
//! The store is wiped and rolled back at any time, most of all while a refill runs; processors
//! crash, double and come back. Whenever a slot has a position, the states of all its rooms must be
//! those of exactly that position, and its events a dense end of the truth. At the end the windows
//! must have caught up with the log.

pub mod history;
mod processor;
pub mod windows;

use std::cell::RefCell;
use std::rc::Rc;

use fastrand::Rng;

use super::world::{
    Findings, Record, SLOTS, Truth, chance, fails, found, holds, pick, random_log, slot_of,
};
use history::History;
use processor::Processor;
use windows::{Trim, Windows};

pub const ROOMS: usize = 6;
const QUIET_STEPS: usize = 1500;

/// What a refill's calls compare.
#[derive(Clone, Copy, PartialEq)]
pub enum Guard {
    TokenAndCounter,
    /// Shortcut: whose refill it is, but not how far it is.
    Token,
    /// Shortcut: nothing, so that the position is simply written last.
    Nothing,
}

/// Whether the history's watermark is read again.
#[derive(Clone, Copy, PartialEq)]
pub enum Recheck {
    BeforeTheLastCall,
    Never,
}

/// The rule, its shortcuts and how often the store is hit.
#[derive(Clone, Copy)]
pub struct Rule {
    pub guard: Guard,
    pub recheck: Recheck,
    /// The copied events end at the copied state's last seq.
    pub chunks_cut: bool,
    pub rooms_listed_first: bool,
    pub trim: Trim,
    pub records: usize,
}

pub const AS_DESIGNED: Rule = Rule {
    guard: Guard::TokenAndCounter,
    recheck: Recheck::BeforeTheLastCall,
    chunks_cut: true,
    rooms_listed_first: false,
    trim: Trim { kept: 4, cap: 14 },
    records: 100,
};

const WIPE: f64 = 0.008;
const WIPE_SLOT: f64 = 0.004;
const ROLL_BACK: f64 = 0.01;
const CRASH: f64 = 0.01;
/// While a slot has no position, this much more befalls the store.
const AIMED: f64 = 0.08;

pub struct World {
    pub rule: Rule,
    pub rng: Rng,
    pub log: Vec<Record>,
    /// The last offset that the log shows already.
    pub head: i64,
    pub truth: Truth,
    pub windows: Windows,
    pub history: History,
    pub findings: Findings,
}

pub type Shared = Rc<RefCell<World>>;

/// Whoever reads while the world goes on.
pub trait Watcher {
    /// Takes a turn; `live` is false once the faults are over.
    fn turn(&mut self, world: &mut World, live: bool);

    /// Whether it has seen all that it wants to see.
    fn done(&self, world: &World) -> bool;
}

struct Nobody;

impl Watcher for Nobody {
    fn turn(&mut self, _world: &mut World, _live: bool) {}

    fn done(&self, _world: &World) -> bool {
        true
    }
}

/// A slot with a position has exactly the states of that position, and each window is an end of the
/// truth.
fn check_windows(world: &mut World) {
    for room in 0..ROOMS {
        let Some(position) = world.windows.position(slot_of(room)) else {
            continue;
        };
        let kept = world.windows.room(room);
        let state = kept.map(|(state, _)| state.clone());
        if state != world.truth.state(room, position) {
            found(
                &mut world.findings,
                "a slot with a position has a wrong or missing room",
            );
        } else if let Some((state, events)) = kept
            && !world.truth.events[room][..state.seq].ends_with(events)
        {
            found(
                &mut world.findings,
                "a window's events are doubled, lost or out of order",
            );
        }
    }
}

fn befall(world: &Shared, owner: &mut Processor, zombies: &mut Vec<Processor>) {
    let mut guard = world.borrow_mut();
    let w = &mut *guard;
    let fate = w.rng.f64();
    let refilling = (0..SLOTS).any(|slot| w.windows.position(slot).is_none());
    if fate < WIPE {
        w.windows.wipe();
    } else if fate < WIPE + WIPE_SLOT {
        w.windows.wipe_slot(w.rng.usize(..SLOTS));
    } else if fate < WIPE + WIPE_SLOT + ROLL_BACK {
        let depth = pick(&mut w.rng, &[5, 60]);
        w.windows.roll_back(w.rng.usize(1..depth));
    } else if fate < WIPE + WIPE_SLOT + ROLL_BACK + CRASH {
        let doubled = chance(&mut w.rng, 0.7);
        let old = std::mem::replace(owner, Processor::start(world));
        if doubled {
            zombies.push(old);
        }
    } else if refilling && fate > 1.0 - AIMED {
        if chance(&mut w.rng, 0.4) {
            w.windows.wipe()
        } else {
            w.windows.roll_back(w.rng.usize(1..4))
        }
    }
    if zombies.len() > 2 || (!zombies.is_empty() && chance(&mut w.rng, 0.01)) {
        zombies.remove(0);
    }
}

/// Runs a world with a watcher and returns what went wrong.
pub fn run_watched(seed: u64, rule: Rule, watcher: &mut dyn Watcher) -> Findings {
    let mut rng = Rng::with_seed(seed);
    let log = random_log(&mut rng, rule.records, ROOMS);
    let truth = Truth::of(&log, ROOMS);
    let faulty_steps = rng.usize(500..1300);
    let (windows, history, findings) = Default::default();
    let world = Rc::new(RefCell::new(World {
        rule,
        rng,
        log,
        head: 5,
        truth,
        windows,
        history,
        findings,
    }));
    let mut owner = Processor::start(&world);
    let mut zombies = Vec::new();
    let turn = |p: f64| chance(&mut world.borrow_mut().rng, p);
    let mut checked = 0;
    for step in 0..faulty_steps + QUIET_STEPS {
        let live = step < faulty_steps;
        if live {
            befall(&world, &mut owner, &mut zombies);
        } else {
            zombies.clear();
        }
        for zombie in &mut zombies {
            if turn(0.4) {
                zombie.step();
            }
        }
        if turn(0.85) || !live {
            owner.step();
        }
        let w = &mut *world.borrow_mut();
        advance(w);
        if w.windows.version != checked {
            checked = w.windows.version;
            check_windows(w);
        }
        watcher.turn(w, live);
        if !live && owner.idle() && caught_up(w) && watcher.done(w) {
            return std::mem::take(&mut w.findings);
        }
    }
    let w = &mut *world.borrow_mut();
    found(&mut w.findings, "the world did not come to rest");
    std::mem::take(&mut w.findings)
}

/// The log grows and the history goes on.
fn advance(world: &mut World) {
    if chance(&mut world.rng, 0.3) {
        world.head = (world.head + world.rng.i64(0..3)).min(world.log.len() as i64 - 1);
    }
    world.history.step(&world.truth, world.head, &mut world.rng);
}

fn caught_up(world: &World) -> bool {
    let end = world.log.len() as i64 - 1;
    world.head == end && (0..SLOTS).all(|slot| world.windows.position(slot) == Some(end))
}

fn run(seed: u64, rule: Rule) -> Findings {
    run_watched(seed, rule, &mut Nobody)
}

#[test]
fn a_refilled_slot_is_exact() {
    holds(
        "refill: token and counter, the watermark read again",
        2000,
        |seed| run(seed, AS_DESIGNED),
    );
}

#[test]
fn refill_shortcuts_are_caught() {
    for (name, rule, runs) in [
        (
            "refill: no token, the position written last",
            Rule {
                guard: Guard::Nothing,
                ..AS_DESIGNED
            },
            300,
        ),
        (
            "refill: a token without a counter",
            Rule {
                guard: Guard::Token,
                ..AS_DESIGNED
            },
            300,
        ),
        (
            "refill: the watermark is not read again",
            Rule {
                recheck: Recheck::Never,
                ..AS_DESIGNED
            },
            2000,
        ),
        (
            "refill: rooms listed before the watermark",
            Rule {
                rooms_listed_first: true,
                ..AS_DESIGNED
            },
            500,
        ),
        (
            "refill: chunks not cut at the state's last seq",
            Rule {
                chunks_cut: false,
                ..AS_DESIGNED
            },
            300,
        ),
    ] {
        fails(name, runs, |seed| run(seed, rule));
    }
}

//! History: idempotent facts and a watermark, against zombies, late writes, and a store that loses
//! what it acknowledged.
//!
//! A processor settles from its slot's watermark, writes chunks as they fill, and at a checkpoint
//! the changed states and then the watermark. A store either syncs before it acknowledges, or may
//! lose the writes of the last horizon when it restarts; then watermarks and removals wait a
//! horizon and the store's generation is compared before each. After every store crash and at the
//! end, a watermark must have all the events and states below it.

mod session;
mod store;

use std::cell::RefCell;
use std::rc::Rc;

use fastrand::Rng;

use super::world::{
    Findings, Record, SLOTS, Truth, chance, fails, found, holds, random_log, slot_of,
};
use session::Processor;
use store::Store;

const ROOMS: usize = 5;
const CHUNK_EVENTS: usize = 4;

/// How states that nobody needs any more are removed.
#[derive(Clone, Copy, PartialEq)]
enum Removal {
    /// A while after a watermark, below the states that its writer wrote at that position.
    OwnAfterHorizon,
    /// Shortcut: the same, but at once after the watermark.
    RightAfterWatermark,
    /// Shortcut: whatever is older than the newest state at the watermark, at start.
    WhateverIsOlder,
    Never,
}

/// The rule, its shortcuts and what the store may do.
#[derive(Clone, Copy)]
struct Rule {
    removal: Removal,
    /// The watermark is read again after a load.
    load_checked: bool,
    /// The store's generation is compared before each watermark and removal.
    generation_compared: bool,
    /// How long a write may stay undurable; 0 means that the store syncs before it acknowledges.
    horizon: u64,
    store_crash: f64,
    /// How often a processor's session ends in an error when the store crashes.
    noticed: f64,
    /// A reader seeks to the last chunk at or below its cursor instead of starting one chunk length
    /// before it.
    seek_to_last: bool,
}

const SYNCED: Rule = Rule {
    removal: Removal::OwnAfterHorizon,
    load_checked: true,
    generation_compared: false,
    horizon: 0,
    store_crash: 0.0,
    noticed: 1.0,
    seek_to_last: false,
};

const LOSING: Rule = Rule {
    generation_compared: true,
    horizon: 12,
    store_crash: 0.02,
    noticed: 0.3,
    ..SYNCED
};

struct World {
    rule: Rule,
    rng: Rng,
    log: Vec<Record>,
    truth: Truth,
    store: Store,
    findings: Findings,
    /// The faults are over.
    quiet: bool,
}

type Shared = Rc<RefCell<World>>;

/// What a watermark claims must be there: the events and the states below it.
fn check_claims(world: &mut World) {
    for room in 0..ROOMS {
        let watermark = world.store.watermark(slot_of(room));
        let events = world.store.events(room);
        if !events.starts_with(world.truth.events_to(room, watermark)) {
            found(
                &mut world.findings,
                "a watermark claims events that are not there",
            );
        }
        if world.store.newest_state(room, watermark) != world.truth.state(room, watermark) {
            found(&mut world.findings, "a watermark stands without its states");
        }
    }
}

/// Everything must be there at the end, and a paging reader must find it from any cursor.
fn check_end(world: &mut World) {
    check_claims(world);
    for room in 0..ROOMS {
        let truth = world.truth.events[room].clone();
        if world.store.events(room) != truth {
            found(
                &mut world.findings,
                "the history differs from the truth at the end",
            );
        }
        let seek_to_last = world.rule.seek_to_last;
        let missed = truth
            .iter()
            .any(|event| !world.store.seek_finds(room, event.seq, seek_to_last));
        if missed {
            found(&mut world.findings, "a reader's seek misses a stored seq");
        }
    }
    let end = world.log.len() as i64 - 1;
    if (0..SLOTS).any(|slot| world.store.watermark(slot) < end) {
        found(&mut world.findings, "the processor did not finish");
    }
}

fn befall(world: &Shared, owner: &mut Processor, zombies: &mut Vec<Processor>) {
    let mut guard = world.borrow_mut();
    let w = &mut *guard;
    w.store.now += 1;
    let fate = w.rng.f64();
    if fate < w.rule.store_crash {
        w.store.crash(&mut w.rng, w.rule.horizon);
        for processor in zombies.iter_mut().chain([&mut *owner]) {
            processor.failed |= chance(&mut w.rng, w.rule.noticed);
        }
        check_claims(w);
    } else if fate < w.rule.store_crash + 0.012 {
        let doubled = chance(&mut w.rng, 0.7);
        drop(guard);
        let old = std::mem::replace(owner, Processor::start(world));
        if doubled {
            zombies.push(old);
        }
        guard = world.borrow_mut();
    }
    let w = &mut *guard;
    if !w.store.late.is_empty() && chance(&mut w.rng, 0.1) {
        let arrives = w.rng.usize(..w.store.late.len());
        let fact = w.store.late.swap_remove(arrives);
        w.store.write(fact);
    }
    if zombies.len() > 2 || (!zombies.is_empty() && chance(&mut w.rng, 0.01)) {
        zombies.remove(0);
    }
}

fn run(seed: u64, rule: Rule) -> Findings {
    let mut rng = Rng::with_seed(seed);
    let log = random_log(&mut rng, 110, ROOMS);
    let truth = Truth::of(&log, ROOMS);
    let faulty_steps = rng.usize(600..1500);
    let (store, findings) = (Store::default(), Findings::new());
    let world = Rc::new(RefCell::new(World {
        rule,
        rng,
        log,
        truth,
        store,
        findings,
        quiet: false,
    }));
    let mut owner = Processor::start(&world);
    let mut zombies = Vec::new();
    let turn = |p: f64| chance(&mut world.borrow_mut().rng, p);
    for _ in 0..faulty_steps {
        befall(&world, &mut owner, &mut zombies);
        for zombie in &mut zombies {
            if turn(0.35) {
                zombie.step();
            }
        }
        if turn(0.8) {
            owner.step();
        }
    }
    finish(&world);
    let mut world = world.borrow_mut();
    check_end(&mut world);
    std::mem::take(&mut world.findings)
}

/// Lets what is late arrive and a fresh processor catch up, undisturbed.
fn finish(world: &Shared) {
    {
        let w = &mut *world.borrow_mut();
        w.quiet = true;
        for fact in std::mem::take(&mut w.store.late) {
            w.store.write(fact);
        }
    }
    let mut owner = Processor::start(world);
    for _ in 0..3000 {
        world.borrow_mut().store.now += 1;
        owner.step();
        let w = world.borrow();
        let end = w.log.len() as i64 - 1;
        if (0..SLOTS).all(|slot| w.store.watermark(slot) >= end) {
            break;
        }
    }
}

#[test]
fn history_claims_only_what_it_has() {
    holds(
        "history: facts and a watermark, a store that syncs",
        2000,
        |seed| run(seed, SYNCED),
    );
    holds(
        "history: the same, a store that loses a horizon",
        2000,
        |seed| run(seed, LOSING),
    );
}

#[test]
fn history_shortcuts_are_caught() {
    let noticed = Rule {
        noticed: 1.0,
        generation_compared: false,
        ..LOSING
    };
    for (name, rule, runs) in [
        (
            "history: the watermark is not read again after a load",
            Rule {
                load_checked: false,
                ..SYNCED
            },
            500,
        ),
        (
            "history: whatever is older is removed",
            Rule {
                removal: Removal::WhateverIsOlder,
                ..LOSING
            },
            1000,
        ),
        (
            "history: removed right after the watermark",
            Rule {
                removal: Removal::RightAfterWatermark,
                ..noticed
            },
            500,
        ),
        (
            "history: silent reconnects",
            Rule {
                noticed: 0.0,
                removal: Removal::Never,
                ..noticed
            },
            300,
        ),
        (
            "history: seek to the last chunk at or below the cursor",
            Rule {
                seek_to_last: true,
                ..SYNCED
            },
            500,
        ),
    ] {
        fails(name, runs, |seed| run(seed, rule));
    }
}

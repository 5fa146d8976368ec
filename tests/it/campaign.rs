//! Campaigns: the real loop over the real adapters, driven by seeds through everything that may befall
//! them.
//!
//! The real parts are the loop, the windows with their refill, the history with its writer and reader, and
//! the embedded log: in memory and on fjall in thousands of worlds, on Redis and Cassandra in a few. Several processors own the same slots at once; they crash at
//! any call, come back late, get unknown outcomes; windows are wiped and roll back; the process dies and
//! its stores are closed and opened. What comes out must be the log, settled once. Then each shortcut
//! that the design names is taken in the adapter or the loop itself, and must come out wrong.
//!
//! `XTASK_SEED=17` runs that one world and prints its findings, `XTASK_SEEDS=20000` more worlds.

mod broadcasts;
mod checks;
mod engines;
mod faults;
mod processors;
mod readers;
mod script;
mod sweeping;
mod truth;
mod windows;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use danmu_projections::shortcuts::Shortcut;

use super::model::world::{Findings, fails, found, holds};
use processors::Kind;
use readers::Readers;
use world::World;

/// What a campaign has.
#[derive(Clone, Copy)]
pub struct Plan {
    has_windows: bool,
    has_history: bool,
    has_clients: bool,
    has_players: bool,
    has_sweep: bool,
    is_on_redis: bool,
    is_on_cassandra: bool,
    shortcut: Option<Shortcut>,
}

/// Windows alone, refilled from the log's beginning.
const WINDOWS: Plan = Plan {
    has_windows: true,
    has_history: false,
    has_clients: false,
    has_players: false,
    has_sweep: false,
    is_on_redis: false,
    is_on_cassandra: false,
    shortcut: None,
};

/// The history alone.
const HISTORY: Plan = Plan {
    has_windows: false,
    has_history: true,
    has_sweep: true,
    ..WINDOWS
};

/// Windows that are refilled from a history which moves.
const REFILL: Plan = Plan {
    has_history: true,
    has_sweep: true,
    ..WINDOWS
};

const READERS: Plan = Plan {
    has_clients: true,
    ..REFILL
};

const SEGMENTS: Plan = Plan {
    has_players: true,
    ..HISTORY
};

const SEEDS: u64 = 2_000;
/// On servers a call takes as long there as a whole step otherwise.
#[cfg(feature = "cluster")]
const REDIS_SEEDS: u64 = 12;
#[cfg(feature = "cluster")]
const CASSANDRA_SEEDS: u64 = 3;

impl Plan {
    fn kinds(self) -> impl Iterator<Item = Kind> {
        let windows = self.has_windows.then_some(Kind::Windows);
        windows
            .into_iter()
            .chain(self.has_history.then_some(Kind::History))
    }

    #[cfg(feature = "cluster")]
    fn on_redis(self) -> Plan {
        Plan {
            is_on_redis: true,
            ..self
        }
    }

    #[cfg(feature = "cluster")]
    fn on_cassandra(self) -> Plan {
        Plan {
            is_on_cassandra: true,
            ..self
        }
    }

    fn taking(self, shortcut: Shortcut) -> Plan {
        Plan {
            shortcut: Some(shortcut),
            ..self
        }
    }
}

fn run(seed: u64, plan: Plan) -> Findings {
    let _context = engines::runtime().enter();
    let run = || World::new(seed, plan).run();
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        let mut findings = Findings::new();
        found(&mut findings, "a panic");
        findings
    })
}

#[test]
fn windows_are_the_log() {
    holds("campaign: windows", SEEDS, |seed| run(seed, WINDOWS));
}

#[test]
fn history_is_the_log() {
    holds("campaign: history", SEEDS, |seed| run(seed, HISTORY));
}

#[test]
fn refilled_windows_are_the_log() {
    holds("campaign: refill", SEEDS, |seed| run(seed, REFILL));
}

#[test]
fn clients_see_every_event_once() {
    holds("campaign: readers", SEEDS, |seed| run(seed, READERS));
}

#[test]
fn an_address_has_one_content() {
    holds("campaign: segments", SEEDS, |seed| run(seed, SEGMENTS));
}

#[cfg(feature = "cluster")]
#[test]
fn windows_on_redis_are_the_log() {
    let plan = WINDOWS.on_redis();
    holds("campaign: windows on Redis", REDIS_SEEDS, |seed| {
        run(seed, plan)
    });
}

#[cfg(feature = "cluster")]
#[test]
fn refilled_windows_on_redis_are_the_log() {
    let plan = REFILL.on_redis();
    holds("campaign: refill on Redis", REDIS_SEEDS, |seed| {
        run(seed, plan)
    });
}

#[cfg(feature = "cluster")]
#[test]
fn clients_of_redis_see_every_event_once() {
    let plan = READERS.on_redis();
    holds("campaign: readers on Redis", REDIS_SEEDS, |seed| {
        run(seed, plan)
    });
}

#[cfg(feature = "cluster")]
#[test]
fn history_on_cassandra_is_the_log() {
    let plan = HISTORY.on_cassandra();
    holds("campaign: history on Cassandra", CASSANDRA_SEEDS, |seed| {
        run(seed, plan)
    });
}

#[cfg(feature = "cluster")]
#[test]
fn an_address_on_cassandra_has_one_content() {
    let plan = SEGMENTS.on_cassandra();
    holds("campaign: segments on Cassandra", CASSANDRA_SEEDS, |seed| {
        run(seed, plan)
    });
}

#[test]
fn shortcuts_are_caught() {
    for (plan, shortcut, runs) in [
        (WINDOWS, Shortcut::ComparedPerRoom, 100),
        (WINDOWS, Shortcut::OverlapIsRepeat, 100),
        (WINDOWS, Shortcut::StartAtCommitted, 100),
        (WINDOWS, Shortcut::IdsReadAgain, 100),
        (WINDOWS, Shortcut::CommentersNotStored, 100),
        (WINDOWS, Shortcut::MemoryKept, 100),
        (WINDOWS, Shortcut::WindowsNotBlanked, 100),
        (REFILL, Shortcut::RefillNotBlanked, 200),
        (REFILL, Shortcut::RefillUnfenced, 200),
        (REFILL, Shortcut::RefillUncounted, 200),
        (REFILL, Shortcut::RoomsListedFirst, 600),
        (HISTORY, Shortcut::WhateverIsOlderRemoved, 200),
        (HISTORY, Shortcut::SeekToLastChunk, 600),
        (SEGMENTS, Shortcut::RevisionsCounted, 200),
    ] {
        let name = format!("campaign: {shortcut:?}");
        fails(&name, runs, |seed| run(seed, plan.taking(shortcut)));
    }
}

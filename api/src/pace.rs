//! Pace and density: how often viewers ask, how much they get, and which events that is.
//!
//! Pure, so that every viewer and every re-read gets the same: how loaded the system is comes in as a
//! number, and whether an event is shown follows from its seq and its `crowd` alone. Thinned out are
//! likes first (totals carry their sum), then gifts that only extend a combo, then comments; never any
//! other event. How many were left out is the page's to count.

use danmu_schemas::event::Body;
use danmu_schemas::{Settled, hash};

/// How loaded the system is: 0 at rest to 3 at its limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// 0: everything is served as it is asked for.
    #[default]
    Rest,
    /// 1: large rooms are thinned out more.
    Busy,
    /// 2: nobody gets a room in full.
    Strained,
    /// 3: everybody gets little, seldom.
    Limit,
}

/// What the level is told from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// The age of the oldest record that is not settled yet.
    pub lag_ms: u64,
    /// How much of the log's queue is taken.
    pub queue_percent: u64,
    /// How late the process's own timers are.
    pub late_ms: u64,
}

/// The least load of each level above the first. A process that is late for a moment is not overloaded:
/// whoever measures gives the least of several measurements.
const LEVELS: [(Level, Load); 3] = [
    (
        Level::Limit,
        Load {
            lag_ms: 30_000,
            queue_percent: 80,
            late_ms: 5_000,
        },
    ),
    (
        Level::Strained,
        Load {
            lag_ms: 10_000,
            queue_percent: 50,
            late_ms: 2_000,
        },
    ),
    (
        Level::Busy,
        Load {
            lag_ms: 2_000,
            queue_percent: 25,
            late_ms: 500,
        },
    ),
];

impl Level {
    /// Every level, from rest to the limit.
    pub const ALL: [Self; 4] = [Self::Rest, Self::Busy, Self::Strained, Self::Limit];

    /// The level after another look: it rises at once and falls a step at a time.
    pub fn next(self, load: Load) -> Self {
        let of_load = Self::of(load);
        of_load.max(Self::ALL[(self as usize).saturating_sub(1)])
    }

    fn of(load: Load) -> Self {
        let reaches = |least: &Load| {
            load.lag_ms >= least.lag_ms
                || load.queue_percent >= least.queue_percent
                || load.late_ms >= least.late_ms
        };
        let found = LEVELS.iter().find(|(_, least)| reaches(least));
        found.map_or(Self::Rest, |(level, _)| *level)
    }
}

/// How much of a busy room is shown: at most so many comments of a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Density {
    /// [`LOW_PER_S`].
    Low,
    /// [`NORMAL_PER_S`].
    Normal,
    /// [`HIGH_PER_S`], and gifts that only extend a combo.
    High,
    /// Everything.
    Full,
}

/// Comments of a second at low density.
pub(crate) const LOW_PER_S: u32 = 5;
/// Comments of a second at normal density: about what can be read.
pub(crate) const NORMAL_PER_S: u32 = 20;
/// Comments of a second at high density: about what a screen has room for.
pub(crate) const HIGH_PER_S: u32 = 60;

/// The density that a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Wanted {
    /// Whatever suits the room and the level.
    Auto,
    /// This one.
    Exactly(Density),
}

impl Wanted {
    /// The names that clients use.
    pub(crate) const NAMES: [&str; 5] = ["auto", "full", "high", "normal", "low"];

    /// What a client means by a name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "auto" => Self::Auto,
            "full" => Self::Exactly(Density::Full),
            "high" => Self::Exactly(Density::High),
            "normal" => Self::Exactly(Density::Normal),
            "low" => Self::Exactly(Density::Low),
            _ => return None,
        })
    }

    /// Whether it can be had: in full only while the level is at most 1.
    pub(crate) fn is_served_at(self, level: Level) -> bool {
        self != Self::Exactly(Density::Full) || level <= Level::Busy
    }
}

/// The thinnest density at which an event is shown: at that one and all above it.
pub(crate) fn thinnest(settled: &Settled, body: &Body<'_>) -> Density {
    match body {
        Body::Likes(_) => Density::Full,
        Body::Gift(gift) => match settled.combo_total {
            Some(total) if total > u64::from(gift.count) => Density::High,
            _ => Density::Low,
        },
        Body::Comment(_) => thinnest_of_comment(settled.seq.0, settled.crowd),
        _ => Density::Low,
    }
}

fn thinnest_of_comment(seq: u64, crowd: u32) -> Density {
    let steps = [
        (Density::Low, LOW_PER_S),
        (Density::Normal, NORMAL_PER_S),
        (Density::High, HIGH_PER_S),
    ];
    // hash / 2^64 < per_s / crowd, in whole numbers.
    let scaled = u128::from(hash::density(seq)) * u128::from(crowd);
    let is_shown = |per_s: u32| scaled < u128::from(per_s) << 64;
    let found = steps.into_iter().find(|(_, per_s)| is_shown(*per_s));
    found.map_or(Density::Full, |(density, _)| density)
}

/// What viewers of a room get at a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    /// When a client that has everything asks again.
    pub(crate) poll_after_ms: u32,
    /// The most events of a page, whatever is asked for.
    pub(crate) limit_max: u16,
    /// What a client gets that leaves it to us.
    pub(crate) density: Density,
}

/// From so many viewers on a room is large.
const LARGE_VIEWERS: u64 = 1_000;
/// From so many viewers on a room is huge.
const HUGE_VIEWERS: u64 = 100_000;

/// The paces of small, large and huge rooms, by level.
const PACES: [[Pace; 4]; 3] = [
    [
        pace(2_000, 500, Density::Full),
        pace(2_000, 500, Density::Full),
        pace(3_000, 200, Density::Normal),
        pace(5_000, 100, Density::Low),
    ],
    [
        pace(2_000, 500, Density::High),
        pace(3_000, 500, Density::Normal),
        pace(5_000, 200, Density::Low),
        pace(10_000, 100, Density::Low),
    ],
    [
        pace(2_000, 500, Density::Normal),
        pace(4_000, 200, Density::Normal),
        pace(7_000, 100, Density::Low),
        pace(15_000, 50, Density::Low),
    ],
];

const fn pace(poll_after_ms: u32, limit_max: u16, density: Density) -> Pace {
    Pace {
        poll_after_ms,
        limit_max,
        density,
    }
}

impl Pace {
    /// The pace of a room with so many viewers.
    pub(crate) fn of(level: Level, viewers: u64) -> Self {
        let size = usize::from(viewers >= LARGE_VIEWERS) + usize::from(viewers >= HUGE_VIEWERS);
        PACES[size][level as usize]
    }
}

/// The shortest time between two flushes of a room.
const FLUSH_MS_MIN: u64 = 50;
/// The longest: busy rooms are flushed less often, with more in each.
const FLUSH_MS_MAX: u64 = 100;

/// How long a room whose last flush had so many events waits before the next. A room that was quiet for
/// longer is flushed at once.
pub(crate) fn flush_after_ms(events: u64) -> u64 {
    (FLUSH_MS_MIN + events).min(FLUSH_MS_MAX)
}

#[cfg(test)]
mod tests;

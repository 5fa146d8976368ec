//! How often a user, a room and an address may send.
//!
//! Each limit is a quota in a window, kept by the generic cell rate algorithm: one moment a cell, the one
//! at which its whole quota is there again. All limits of a request are asked together, and a refusal
//! takes nothing from any. Moderation has a lane of its own, so that a flood of comments cannot keep it
//! out; gifts come from backends, which are limited by the log's queues alone. The clock is an argument.
//!
//! This is our own and not governor's, because a limiter there takes as it asks and gives nothing back:
//! a request under several limits could not be refused by one of them without loss in the others.
//!
//! The table of cells is bounded. When it is full, cells that have their whole quota are forgotten, at
//! most once a second; whoever still finds no cell shares one with all others of the same scope who do not.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use danmu_schemas::problem::RateLimit;

/// The most cells, but for the few that one request adds when it finds room.
pub const CELLS_MAX: usize = 262_144;
/// The largest quota and the longest window, in seconds.
const RATE_MAX: u32 = 1_000_000;
/// How long cells are not swept after they were.
const SWEEP_EVERY_US: i64 = 1_000_000;
const US_PER_S: i64 = 1_000_000;
const US_PER_MS: i64 = 1_000;

/// How much in how long: `20/10s` is 20 in any 10 seconds, all at once if need be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    quota: u32,
    window_s: u32,
}

/// Whose limit it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// What a user sends, but for moderation.
    User,
    /// What a room's users send together, but for moderation.
    Room,
    /// Requests from one address.
    Address,
    /// A user's requests with likes.
    Likes,
    /// What a moderator or a host sends as such.
    Moderation,
}

/// The limits, by scope; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// [`Scope::User`], in events.
    pub user: Option<Rate>,
    /// [`Scope::Room`], in events.
    pub room: Option<Rate>,
    /// [`Scope::Address`], in requests.
    pub address: Option<Rate>,
    /// [`Scope::Likes`], in requests.
    pub likes: Option<Rate>,
    /// [`Scope::Moderation`], in events.
    pub moderation: Option<Rate>,
}

/// One limit that a request falls under.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Whose limit.
    pub scope: Scope,
    /// Which user, room or address.
    pub id: &'a [u8],
    /// How much of it.
    pub count: u32,
}

/// Why a request must wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limited {
    /// The limit that is met, and what is left of it.
    pub limit: RateLimit,
    /// When the request may come again, seconds from now; `None` where it asks for more than the whole
    /// quota, so that no wait helps.
    pub retry_after_s: Option<u32>,
}

/// Every limit's cells.
#[derive(Debug)]
pub struct Rates {
    limits: Limits,
    cells: Mutex<Cells>,
}

#[derive(Debug)]
struct Cells {
    /// When each cell has its whole quota again, microseconds since 1970.
    full_at_us: HashMap<u64, i64>,
    /// Keyed by chance, so that nobody can choose an id that shares another's cell.
    hasher: RandomState,
    cells_max: usize,
    swept_at_us: i64,
}

impl Default for Limits {
    fn default() -> Self {
        let rate = |quota, window_s| Some(Rate { quota, window_s });
        Self {
            user: rate(20, 10),
            room: rate(50_000, 10),
            address: rate(2_000, 10),
            likes: rate(20, 10),
            moderation: rate(200, 10),
        }
    }
}

impl Limits {
    /// No limit at all.
    pub const NONE: Self = Self {
        user: None,
        room: None,
        address: None,
        likes: None,
        moderation: None,
    };

    fn of(&self, scope: Scope) -> Option<Rate> {
        match scope {
            Scope::User => self.user,
            Scope::Room => self.room,
            Scope::Address => self.address,
            Scope::Likes => self.likes,
            Scope::Moderation => self.moderation,
        }
    }
}

impl Scope {
    fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Room => "room",
            Self::Address => "address",
            Self::Likes => "likes",
            Self::Moderation => "moderation",
        }
    }
}

impl Rate {
    fn window_us(self) -> i64 {
        i64::from(self.window_s) * US_PER_S
    }

    fn interval_us(self) -> i64 {
        self.window_us() / i64::from(self.quota)
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse().ok().filter(|n| (1..=RATE_MAX).contains(n));
        let parts = text.strip_suffix('s').and_then(|text| text.split_once('/'));
        let rate = parts.and_then(|(quota, window_s)| {
            Some(Self {
                quota: number(quota)?,
                window_s: number(window_s)?,
            })
        });
        // A finer interval than the clock's unit would let everything through.
        let rate = rate.filter(|rate| rate.interval_us() > 0);
        rate.ok_or_else(|| format!("{text:?} is no rate like 20/10s"))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}s", self.quota, self.window_s)
    }
}

impl Rates {
    /// Nobody has sent anything yet.
    pub fn new(limits: Limits) -> Self {
        Self::bounded(limits, CELLS_MAX)
    }

    fn bounded(limits: Limits, cells_max: usize) -> Self {
        let cells = Cells {
            full_at_us: HashMap::new(),
            hasher: RandomState::new(),
            cells_max,
            swept_at_us: i64::MIN,
        };
        Self {
            limits,
            cells: Mutex::new(cells),
        }
    }

    /// Takes all that is asked for at `now_ms`, or nothing of it; then the limit that is met for ever, or
    /// the one with the longest wait.
    pub fn take(&self, asks: &[Ask<'_>], now_ms: i64) -> Result<(), Limited> {
        let now_us = now_ms * US_PER_MS;
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        cells.make_room(now_us);
        let mut longest: Option<(i64, Limited)> = None;
        let mut taken = Vec::with_capacity(asks.len());
        for ask in asks {
            let Some(rate) = self.limits.of(ask.scope).filter(|_| ask.count > 0) else {
                continue;
            };
            let (key, full_at_us) = cells.find(ask, now_us);
            let after_us = full_at_us + i64::from(ask.count) * rate.interval_us();
            if ask.count > rate.quota {
                return Err(Limited::for_ever(ask.scope, rate, full_at_us - now_us));
            }
            let wait_us = after_us - now_us - rate.window_us();
            if wait_us > 0 && longest.as_ref().is_none_or(|(wait, _)| *wait < wait_us) {
                let limited = Limited::new(ask.scope, rate, full_at_us - now_us, wait_us);
                longest = Some((wait_us, limited));
            }
            taken.push((key, after_us));
        }
        if let Some((_, limited)) = longest {
            return Err(limited);
        }
        cells.full_at_us.extend(taken);
        Ok(())
    }
}

impl Limited {
    fn new(scope: Scope, rate: Rate, used_us: i64, wait_us: i64) -> Self {
        Self {
            retry_after_s: Some(seconds(wait_us)),
            ..Self::for_ever(scope, rate, used_us)
        }
    }

    fn for_ever(scope: Scope, rate: Rate, used_us: i64) -> Self {
        let left_us = (rate.window_us() - used_us).max(0);
        Self {
            limit: RateLimit {
                name: scope.name(),
                quota: rate.quota,
                window_s: rate.window_s,
                remaining: u32::try_from(left_us / rate.interval_us()).unwrap_or(u32::MAX),
                reset_s: seconds(used_us),
            },
            retry_after_s: None,
        }
    }
}

/// Seconds that are no less than these microseconds.
fn seconds(us: i64) -> u32 {
    u32::try_from((us + US_PER_S - 1) / US_PER_S).unwrap_or(u32::MAX)
}

impl Cells {
    /// The ask's cell, or the shared one where it has none and there is no room for one; and when that
    /// has its whole quota again.
    fn find(&self, ask: &Ask<'_>, now_us: i64) -> (u64, i64) {
        let own = self.hasher.hash_one((ask.scope, Some(ask.id)));
        let is_full = self.full_at_us.len() >= self.cells_max;
        let key = if is_full && !self.full_at_us.contains_key(&own) {
            self.hasher.hash_one((ask.scope, None::<&[u8]>))
        } else {
            own
        };
        let known = self.full_at_us.get(&key);
        (key, known.copied().unwrap_or(now_us).max(now_us))
    }

    /// Forgets the cells that have their whole quota, where the table is full and it is time.
    fn make_room(&mut self, now_us: i64) {
        let is_due = now_us.saturating_sub(self.swept_at_us) >= SWEEP_EVERY_US;
        if self.full_at_us.len() >= self.cells_max && is_due {
            self.full_at_us.retain(|_, full_at_us| *full_at_us > now_us);
            self.swept_at_us = now_us;
        }
    }
}

#[cfg(test)]
mod tests;

//! What was read of a history, once no crash can take it back.
//!
//! A watermark that a lazy server gave ([`Durability::Lazy`]) may be an older one again after a crash, and
//! only the watermark comes back: what lies below it is durable. So reads need not care, but whoever lets
//! go of something for ever because of it waits a horizon in which no server starts.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::store::Durability;

/// The most values of a kind that wait; more become one with the last.
const WAITING_MAX: usize = 16;

/// Values that wait for a horizon to pass, ascending.
pub(super) struct Waiting<T>(VecDeque<(T, Instant)>);

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Waiting<T> {
    pub(super) fn push(&mut self, value: T, now: Instant) {
        if self.0.len() == WAITING_MAX {
            self.0.pop_back();
        }
        self.0.push_back((value, now));
    }

    /// The highest value that waited for `horizon` by `now`, with all before it.
    pub(super) fn take_ripe(&mut self, horizon: Duration, now: Instant) -> Option<T> {
        let mut ripe = None;
        while let Some((value, _)) = self.0.pop_front_if(|(_, since)| *since + horizon <= now) {
            ripe = Some(value);
        }
        ripe
    }

    pub(super) fn first_since(&self) -> Option<Instant> {
        self.0.front().map(|(_, since)| *since)
    }

    fn last(&self) -> Option<&T> {
        self.0.back().map(|(value, _)| value)
    }
}

/// Ascending values by key, each of which comes out when it lasts.
pub struct Lasting<K, T> {
    /// The history's, as it was before anything that waits was read.
    durability: Option<Durability>,
    waiting: BTreeMap<K, Waiting<T>>,
}

impl<K, T> Default for Lasting<K, T> {
    fn default() -> Self {
        Self {
            durability: None,
            waiting: BTreeMap::new(),
        }
    }
}

impl<K: Ord, T: PartialEq> Lasting<K, T> {
    /// Takes what the history says of itself now, before anything else is read of it. If a server has
    /// started, all that waits is forgotten.
    pub fn look(&mut self, durability: Durability) {
        let durability = Some(durability);
        if self.durability != durability {
            self.durability = durability;
            self.waiting.clear();
        }
    }

    /// Takes in what was read at `now`; gives the last that lasts, once.
    pub fn read(&mut self, key: K, value: T, now: Instant) -> Option<T> {
        let horizon = match self.durability.as_ref()? {
            Durability::Acknowledged => return Some(value),
            Durability::Lazy { horizon, .. } => *horizon,
        };
        let waiting = self.waiting.entry(key).or_default();
        if waiting.last() != Some(&value) {
            waiting.push(value, now);
        }
        waiting.take_ripe(horizon, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::store::Starts;

    const HORIZON: Duration = Duration::from_secs(30);

    fn lazy(started: i32) -> Durability {
        Durability::Lazy {
            horizon: HORIZON,
            starts: Starts::from([(1, Some(started))]),
        }
    }

    fn lasting_of(durability: Durability) -> Lasting<char, u32> {
        let mut lasting = Lasting::default();
        lasting.look(durability);
        lasting
    }

    #[test]
    fn what_is_durable_at_once_lasts_at_once() {
        let mut lasting = lasting_of(Durability::Acknowledged);
        assert_eq!(lasting.read('a', 7, Instant::now()), Some(7));
    }

    #[test]
    fn a_lazy_value_lasts_a_horizon_after_it_was_read_first() {
        let mut lasting = lasting_of(lazy(1));
        let begin = Instant::now();
        for (seconds, read, lasts) in [
            (0, 5, None),
            (10, 5, None),
            (20, 6, None),
            (30, 6, Some(5)),
            (49, 6, None),
            (50, 6, Some(6)),
        ] {
            lasting.look(lazy(1));
            let now = begin + Duration::from_secs(seconds);
            assert_eq!(lasting.read('a', read, now), lasts, "after {seconds} s");
        }
    }

    #[test]
    fn a_start_forgets_what_waits() {
        let mut lasting = lasting_of(lazy(1));
        let begin = Instant::now();
        assert_eq!(lasting.read('a', 9, begin), None);
        lasting.look(lazy(2));
        assert_eq!(lasting.read('a', 5, begin + HORIZON), None);
        assert_eq!(lasting.read('a', 5, begin + 2 * HORIZON), Some(5));
    }

    /// However often something is read, the first does not wait for the last.
    #[test]
    fn what_is_read_all_the_time_lasts_in_the_end() {
        let mut lasting = lasting_of(lazy(1));
        let begin = Instant::now();
        let reads = (0..100).map(|n| lasting.read('a', n, begin + n * HORIZON / 30));
        let last = reads.flatten().last();
        assert!(last.is_some_and(|last| last >= 40), "{last:?}");
    }
}

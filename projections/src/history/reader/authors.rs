//! Who wrote in closed segments: remembered, so that a hidden user costs one reading of each segment.
//!
//! Events are facts, so what is remembered never becomes wrong. Names are kept as hashes: where one is
//! found, the events themselves are asked.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use danmu_schemas::{Generation, RoomId, Seq, UserHash};

use crate::segments::Subject;

/// The most hashes that are remembered, eight bytes each; the segment read longest ago is forgotten.
const HASHES_MAX: usize = 1_048_576;

/// A closed segment: its room, its generation, its first and last seq.
pub(super) type Key = (RoomId, Generation, Seq, Seq);

/// Clones share what is remembered.
#[derive(Clone, Default)]
pub(super) struct Authors {
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    segments: HashMap<Key, Box<[UserHash]>>,
    /// The oldest first.
    order: VecDeque<Key>,
    hashes: usize,
}

impl Authors {
    /// Whether one of the users may have written in the segment; `None` where it was not read yet.
    pub(super) fn may_include(&self, key: &Key, users: &[UserHash]) -> Option<bool> {
        let known = self.known();
        let authors = known.segments.get(key)?;
        let wrote = |user| authors.binary_search(user).is_ok();
        Some(users.iter().any(wrote))
    }

    /// Remembers who wrote in a segment.
    pub(super) fn learn(&self, key: Key, subjects: &[Subject]) {
        let mut authors: Vec<UserHash> = subjects.iter().filter_map(Subject::user).collect();
        authors.sort_unstable();
        authors.dedup();
        let mut known = self.known();
        // Counted one more, so that segments without authors are bounded too.
        known.hashes += authors.len() + 1;
        match known.segments.insert(key.clone(), authors.into()) {
            Some(before) => known.hashes -= before.len() + 1,
            None => known.order.push_back(key),
        }
        while known.hashes > HASHES_MAX {
            let Some(oldest) = known.order.pop_front() else {
                return;
            };
            let forgotten = known.segments.remove(&oldest);
            known.hashes -= forgotten.map_or(0, |authors| authors.len() + 1);
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

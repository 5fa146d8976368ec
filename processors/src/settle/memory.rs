//! A room's memory of what became visible, with the indexes that verdicts look up.
//!
//! Entries stand in the order of the log, so those that time or the bound pushes out are at the
//! front: forgetting is amortised O(1). The indexes are derived and never stored; no order of theirs
//! can reach an output.

use std::collections::VecDeque;

use danmu_schemas::state::{
    EVENT_MEMORY_LEN_MAX, EVENT_MEMORY_MS, EventMemory, GIFT_MEMORY_LEN_MAX, GIFT_MEMORY_MS,
    GiftMemory,
};
use danmu_schemas::{EventId, Seq, UserHash};
use hashbrown::HashMap;

/// The visible events of the last 2 min, by id and by who commented.
#[derive(Debug, Clone, Default)]
pub(super) struct RecentEvents {
    /// Ascending by seq, without a hole.
    entries: VecDeque<(Seq, EventMemory)>,
    by_id: HashMap<EventId, Seq>,
    /// The last comment of a user, and the log clock at it.
    by_author: HashMap<UserHash, (Seq, i64)>,
}

impl RecentEvents {
    /// Forgets what `clock` has left behind.
    pub(super) fn forget_before(&mut self, clock: i64) {
        while let Some((_, oldest)) = self.entries.front() {
            if clock.saturating_sub(oldest.clock) <= EVENT_MEMORY_MS {
                return;
            }
            self.forget_oldest();
        }
    }

    /// Remembers the event of that seq, the one after the last.
    pub(super) fn remember(&mut self, seq: Seq, entry: EventMemory) {
        if self.entries.len() == EVENT_MEMORY_LEN_MAX {
            self.forget_oldest();
        }
        self.by_id.insert(entry.id, seq);
        if entry.user != UserHash::NOBODY {
            self.by_author.insert(entry.user, (seq, entry.clock));
        }
        self.entries.push_back((seq, entry));
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn seq_of(&self, id: EventId) -> Option<Seq> {
        self.by_id.get(&id).copied()
    }

    /// The log clock at the user's last comment.
    pub(super) fn commented_at(&self, user: UserHash) -> Option<i64> {
        self.by_author.get(&user).map(|(_, clock)| *clock)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The oldest log clock that is still needed.
    pub(super) fn since(&self) -> Option<i64> {
        self.entries.front().map(|(_, oldest)| oldest.clock)
    }

    /// The seq of the newest entry.
    pub(super) fn last_seq(&self) -> Option<Seq> {
        self.entries.back().map(|(seq, _)| *seq)
    }

    fn forget_oldest(&mut self) {
        let Some((seq, oldest)) = self.entries.pop_front() else {
            return;
        };
        if self.by_id.get(&oldest.id) == Some(&seq) {
            self.by_id.remove(&oldest.id);
        }
        let last = self.by_author.get(&oldest.user);
        if last.is_some_and(|(last_seq, _)| *last_seq == seq) {
            self.by_author.remove(&oldest.user);
        }
    }
}

/// The gifts of the last 24 h, by id, and which of them were taken back.
#[derive(Debug, Clone, Default)]
pub(super) struct RecentGifts {
    /// Gifts and reversals, in the order of the log.
    entries: VecDeque<GiftMemory>,
    by_id: HashMap<EventId, GiftMemory>,
}

impl RecentGifts {
    /// Forgets what `clock` has left behind.
    pub(super) fn forget_before(&mut self, clock: i64) {
        while let Some(oldest) = self.entries.front() {
            if clock.saturating_sub(oldest.clock) <= GIFT_MEMORY_MS {
                return;
            }
            if !oldest.reversed {
                self.by_id.remove(&oldest.id);
            }
            self.entries.pop_front();
        }
    }

    /// Remembers a gift, or that one was taken back. The caller has made sure that there is room.
    pub(super) fn remember(&mut self, entry: GiftMemory) {
        if !entry.reversed {
            self.by_id.insert(entry.id, entry);
        } else if let Some(gift) = self.by_id.get_mut(&entry.id) {
            gift.reversed = true;
        }
        self.entries.push_back(entry);
    }

    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= GIFT_MEMORY_LEN_MAX
    }

    /// The gift of that id; `reversed` says whether it was taken back.
    pub(super) fn get(&self, id: EventId) -> Option<&GiftMemory> {
        self.by_id.get(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The oldest log clock that is still needed.
    pub(super) fn since(&self) -> Option<i64> {
        self.entries.front().map(|oldest| oldest.clock)
    }
}

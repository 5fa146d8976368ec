//! A room's memory of what became visible, with the indexes that verdicts look up.
//!
//! Entries stand in the order of the log, so those that time or the bound pushes out are at the
//! front: forgetting is amortised O(1). The indexes are derived and never stored; no order of theirs
//! can reach an output.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use danmu_schemas::state::{
    EVENT_MEMORY_LEN_MAX, EVENT_MEMORY_MS, EventMemory, GIFT_MEMORY_LEN_MAX, GIFT_MEMORY_MS,
    GiftMemory,
};
use danmu_schemas::{EventId, Seq, UserHash};
use hashbrown::hash_map::Entry;
use hashbrown::hash_table::Entry as IdEntry;
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

/// The visible events of the last 2 min, by id and by who commented.
///
/// The indexes hold seqs alone, which say where an entry stands: a room may remember a million.
#[derive(Debug, Clone, Default)]
pub(super) struct RecentEvents {
    /// Ascending by seq, without a hole.
    entries: VecDeque<EventMemory>,
    /// The seq of the oldest entry, where there is one.
    first_seq: Seq,
    by_id: HashTable<Seq>,
    id_hashes: DefaultHashBuilder,
    /// The last comment of a user. Kept only while slow mode asks for it: to note and to forget the
    /// author of every event would cost settling a tenth more.
    by_author: Option<HashMap<UserHash, Seq>>,
}

impl RecentEvents {
    /// Forgets what `clock` has left behind.
    pub(super) fn forget_before(&mut self, clock: i64) {
        while let Some(oldest) = self.entries.front() {
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
        if self.entries.is_empty() {
            self.first_seq = seq;
        }
        self.entries.push_back(entry);
        self.index_id(seq, entry.id);
        if let Some(by_author) = &mut self.by_author
            && entry.user != UserHash::NOBODY
        {
            by_author.insert(entry.user, seq);
        }
    }

    /// Forgets everything; authors stay indexed if they were.
    pub(super) fn clear(&mut self) {
        *self = Self {
            by_author: self.by_author.as_ref().map(|_| HashMap::new()),
            ..Self::default()
        };
    }

    /// Has [`Self::commented_at`] know who commented when, or know no more.
    pub(super) fn index_authors(&mut self, wanted: bool) {
        if wanted == self.by_author.is_some() {
            return;
        }
        let seqs = (self.first_seq.0..).map(Seq);
        let authors = self.entries.iter().map(|entry| entry.user).zip(seqs);
        let index = || {
            authors
                .filter(|(user, _)| *user != UserHash::NOBODY)
                .collect()
        };
        self.by_author = wanted.then(index);
    }

    pub(super) fn seq_of(&self, id: EventId) -> Option<Seq> {
        let is_it = |seq: &Seq| self.entry(*seq).is_some_and(|entry| entry.id == id);
        self.by_id.find(self.hash(id), is_it).copied()
    }

    /// The log clock at the user's last comment, while authors are indexed.
    pub(super) fn commented_at(&self, user: UserHash) -> Option<i64> {
        let seq = self.by_author.as_ref()?.get(&user)?;
        self.entry(*seq).map(|entry| entry.clock)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The oldest log clock that is still needed.
    pub(super) fn since(&self) -> Option<i64> {
        self.entries.front().map(|oldest| oldest.clock)
    }

    /// The seq of the newest entry.
    pub(super) fn last_seq(&self) -> Option<Seq> {
        let after_first = (self.entries.len() as u64).checked_sub(1)?;
        Some(Seq(self.first_seq.0 + after_first))
    }

    fn entry(&self, seq: Seq) -> Option<&EventMemory> {
        at(&self.entries, self.first_seq, seq)
    }

    fn hash(&self, id: EventId) -> u64 {
        hash(&self.id_hashes, id)
    }

    fn index_id(&mut self, seq: Seq, id: EventId) {
        let entry = |seq: &Seq| at(&self.entries, self.first_seq, *seq);
        let is_it = |seq: &Seq| entry(seq).is_some_and(|entry| entry.id == id);
        let hash_of = |seq: &Seq| entry(seq).map_or(0, |entry| hash(&self.id_hashes, entry.id));
        match self.by_id.entry(hash(&self.id_hashes, id), is_it, hash_of) {
            IdEntry::Occupied(mut known) => *known.get_mut() = seq,
            IdEntry::Vacant(place) => {
                place.insert(seq);
            }
        }
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.entries.pop_front() else {
            return;
        };
        let seq = self.first_seq;
        self.first_seq = seq.next();
        let indexed = self
            .by_id
            .find_entry(self.hash(oldest.id), |known| *known == seq);
        if let Ok(indexed) = indexed {
            indexed.remove();
        }
        if let Some(by_author) = &mut self.by_author
            && let Entry::Occupied(last) = by_author.entry(oldest.user)
            && *last.get() == seq
        {
            last.remove();
        }
    }
}

fn at(entries: &VecDeque<EventMemory>, first_seq: Seq, seq: Seq) -> Option<&EventMemory> {
    entries.get(usize::try_from(seq.0.checked_sub(first_seq.0)?).ok()?)
}

fn hash(hashes: &DefaultHashBuilder, id: EventId) -> u64 {
    hashes.hash_one(u128::from_ne_bytes(id.0))
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
            // A gift of that id may have come since: memory that is restored begins before the clock.
            let place = (oldest.generation, oldest.seq);
            if let Entry::Occupied(gift) = self.by_id.entry(oldest.id)
                && !oldest.reversed
                && (gift.get().generation, gift.get().seq) == place
            {
                gift.remove();
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

//! A room's newest events as the bytes that viewers are sent, each rendered once.
//!
//! Events stand in blocks, joined by commas, so that a page is a few slices. What moderation hides is a
//! set of seqs beside the blocks, and a hidden event is written as the start of its own bytes, which
//! tells its seq, kind, time and id. Of an erased event no more than these is kept: its block is made
//! anew without the rest. Events are dense from the first
//! to the last; whole blocks leave from the front.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::RangeInclusive;

use danmu_schemas::fact::Moderation;
use danmu_schemas::{Body, Position, RoomEvent, Seq, Settled};

use crate::overlay::{Gone, View};
use crate::pace::{self, Density};
use crate::render::{self, Place};

/// The length at which a block is closed, at most: what leaves a room at once.
const BLOCK_BYTES_MAX: usize = 64 * 1_024;

/// The rendered events of one generation.
#[derive(Debug)]
pub(crate) struct Rendered {
    blocks: VecDeque<Block>,
    gone: BTreeMap<Seq, Gone>,
    /// The seq of the event that comes next.
    next: Seq,
    bytes: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Block {
    first: Seq,
    /// Where the first event stands in the log.
    first_position: Position,
    /// The events with a comma between two.
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

/// An event of a block.
#[derive(Debug, Clone, Copy)]
struct Entry {
    end: u32,
    /// How many of its bytes stay when it is gone.
    kept: u32,
    at: i64,
    is_comment: bool,
    /// The thinnest density that shows it.
    thinnest: Density,
}

impl Rendered {
    /// No events yet; `next` is the seq of the first. [`Self::trim`] keeps to `bytes_max`.
    pub(crate) fn starting_at(next: Seq, bytes_max: usize) -> Self {
        Self {
            blocks: VecDeque::new(),
            gone: BTreeMap::new(),
            next,
            bytes: 0,
            bytes_max,
        }
    }

    /// The seq of the first event that is held; the next one's where none is.
    pub(crate) fn first(&self) -> Seq {
        self.blocks.front().map_or(self.next, |block| block.first)
    }

    /// Where the first event that is held stands in the log.
    pub(crate) fn first_position(&self) -> Option<Position> {
        self.blocks.front().map(|block| block.first_position)
    }

    /// The seq of the event that comes next.
    pub(crate) fn next(&self) -> Seq {
        self.next
    }

    /// Renders the next event.
    pub(crate) fn push(&mut self, settled: &Settled, event: &RoomEvent<'_>, epoch: u32) {
        assert_eq!(settled.seq, self.next, "events are dense");
        let block_bytes = self.bytes_max.min(BLOCK_BYTES_MAX);
        let is_full = |block: &Block| block.bytes.len() >= block_bytes;
        if self.blocks.back().is_none_or(is_full) {
            self.blocks.push_back(Block {
                first: settled.seq,
                first_position: Position::new(epoch, settled.offset),
                bytes: Vec::new(),
                entries: Vec::new(),
            });
        }
        let block = self.blocks.back_mut().expect("one was pushed if none was");
        let before = block.bytes.len();
        if !block.entries.is_empty() {
            block.bytes.push(b',');
        }
        let kept = render::event(settled, event, Place::Live, false, &mut block.bytes);
        block.entries.push(Entry {
            end: block.bytes.len() as u32,
            kept: kept as u32,
            at: settled.at,
            is_comment: matches!(event.body, Body::Comment(_)),
            thinnest: pace::thinnest(settled, &event.body),
        });
        self.bytes += block.bytes.len() - before;
        self.next = settled.seq.next();
    }

    /// Hides what the event `by` took; what is not held is not this one's to hide.
    pub(crate) fn hide(&mut self, by: Seq, act: &Moderation) {
        match act {
            Moderation::Deleted { target } => self.lose([*target], Gone::Hidden),
            Moderation::Erased { target } => self.erase([*target]),
            Moderation::Hidden { user, since_at } => {
                let is_hidden = |entry: &Entry| entry.is_comment && entry.at >= *since_at;
                self.lose(self.all_of(user, by, is_hidden), Gone::Hidden);
            }
            Moderation::UserErased { user } => self.erase(self.all_of(user, by, |_| true)),
        }
    }

    fn lose(&mut self, seqs: impl IntoIterator<Item = Seq>, gone: Gone) {
        let held = self.first()..self.next;
        for seq in seqs.into_iter().filter(|seq| held.contains(seq)) {
            let known = self.gone.entry(seq).or_insert(gone);
            *known = gone.max(*known);
        }
    }

    fn erase(&mut self, seqs: impl IntoIterator<Item = Seq>) {
        let erased: BTreeSet<Seq> = seqs.into_iter().collect();
        for block in &mut self.blocks {
            if erased.range(block.first..=block.last()).next().is_some() {
                self.bytes -= block.bytes.len();
                block.erase(&erased);
                self.bytes += block.bytes.len();
            }
        }
        self.lose(erased, Gone::Erased);
    }

    /// What of a user's events before the event `by` is held and not erased.
    fn all_of(&self, user: &str, by: Seq, which: impl Fn(&Entry) -> bool) -> Vec<Seq> {
        let author = render::author(user);
        let mut found = Vec::new();
        for block in &self.blocks {
            for (n, entry) in block.entries.iter().enumerate() {
                let seq = block.seq(n);
                let after_place = &block.bytes[block.kept_end(n)..];
                if seq < by && which(entry) && after_place.starts_with(&author) {
                    found.push(seq);
                }
            }
        }
        found
    }

    /// Lets blocks go from the front while there are too many bytes; the last one stays.
    pub(crate) fn trim(&mut self) {
        while self.bytes > self.bytes_max && self.blocks.len() > 1 {
            if let Some(block) = self.blocks.pop_front() {
                self.bytes -= block.bytes.len();
            }
        }
        let first = self.first();
        self.gone.retain(|seq, _| *seq >= first);
    }

    /// The seq up to which a density shows `limit` events after `after`; the last one's where there are
    /// fewer. What comes after `after` must be held.
    pub(crate) fn reach(&self, after: Seq, limit: u64, density: Density) -> Seq {
        assert!(after.next() >= self.first(), "held");
        let from_block = self.blocks.partition_point(|block| block.last() <= after);
        let blocks = self.blocks.range(from_block..);
        let entries = blocks.flat_map(|block| block.with_seqs());
        let shown = entries.filter(|(seq, entry)| *seq > after && entry.thinnest <= density);
        // Up to before the first one too many.
        let beyond = shown.map(|(seq, _)| seq).nth(limit as usize);
        Seq(beyond.unwrap_or(self.next).0 - 1)
    }

    /// Appends those of the events after `after` up to and with `to` that a density shows, joined by
    /// commas; how many these are. All must be held.
    pub(crate) fn write(
        &self,
        after: Seq,
        to: Seq,
        (view, density): (View, Density),
        out: &mut Vec<u8>,
    ) -> u64 {
        assert!(after.next() >= self.first() && to < self.next, "all held");
        let mut seen = after;
        let mut shown = 0;
        let from_block = self.blocks.partition_point(|block| block.last() <= after);
        for block in self.blocks.range(from_block..) {
            if seen >= to {
                break;
            }
            let last = block.last().min(to);
            let seqs = seen.next()..=last;
            if density < Density::Full {
                shown += self.write_thinned(block, seqs, (view, density), shown, out);
            } else {
                if shown > 0 {
                    out.push(b',');
                }
                shown += last.0 - seen.0;
                self.write_of(block, seqs, view, out);
            }
            seen = last;
        }
        shown
    }

    /// Appends a block's events that the density shows, where `before` were written before them.
    fn write_thinned(
        &self,
        block: &Block,
        seqs: RangeInclusive<Seq>,
        (view, density): (View, Density),
        before: u64,
        out: &mut Vec<u8>,
    ) -> u64 {
        let mut shown = 0;
        for n in block.place(*seqs.start())..=block.place(*seqs.end()) {
            if block.entries[n].thinnest > density {
                continue;
            }
            if before + shown > 0 {
                out.push(b',');
            }
            let seq = block.seq(n);
            self.write_of(block, seq..=seq, view, out);
            shown += 1;
        }
        shown
    }

    fn write_of(&self, block: &Block, seqs: RangeInclusive<Seq>, view: View, out: &mut Vec<u8>) {
        let mut from = block.start(block.place(*seqs.start()));
        for (seq, gone) in self.gone.range(seqs.clone()) {
            if gone.is_for(view) {
                let n = block.place(*seq);
                out.extend_from_slice(&block.bytes[from..block.kept_end(n)]);
                out.extend_from_slice(render::DELETED);
                from = block.end(n);
            }
        }
        out.extend_from_slice(&block.bytes[from..block.end(block.place(*seqs.end()))]);
    }
}

impl Block {
    /// Leaves of these events what a hidden one is written as, in new bytes.
    fn erase(&mut self, erased: &BTreeSet<Seq>) {
        let mut bytes = Vec::with_capacity(self.bytes.len());
        let mut entries = Vec::with_capacity(self.entries.len());
        for (n, entry) in self.entries.iter().enumerate() {
            if n > 0 {
                bytes.push(b',');
            }
            if erased.contains(&self.seq(n)) {
                bytes.extend_from_slice(&self.bytes[self.start(n)..self.kept_end(n)]);
                bytes.extend_from_slice(render::DELETED);
            } else {
                bytes.extend_from_slice(&self.bytes[self.start(n)..self.end(n)]);
            }
            let end = bytes.len() as u32;
            entries.push(Entry { end, ..*entry });
        }
        (self.bytes, self.entries) = (bytes, entries);
    }

    fn with_seqs(&self) -> impl Iterator<Item = (Seq, &Entry)> {
        (self.first.0..).map(Seq).zip(&self.entries)
    }

    fn seq(&self, n: usize) -> Seq {
        Seq(self.first.0 + n as u64)
    }

    fn last(&self) -> Seq {
        self.seq(self.entries.len() - 1)
    }

    fn place(&self, seq: Seq) -> usize {
        (seq.0 - self.first.0) as usize
    }

    fn start(&self, n: usize) -> usize {
        match n.checked_sub(1) {
            None => 0,
            Some(before) => self.end(before) + 1,
        }
    }

    fn end(&self, n: usize) -> usize {
        self.entries[n].end as usize
    }

    fn kept_end(&self, n: usize) -> usize {
        self.start(n) + self.entries[n].kept as usize
    }
}

#[cfg(test)]
pub(super) mod tests;

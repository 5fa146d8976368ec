//! What is durable, and so may be read: the index of every block, and the newest bytes.
//!
//! Owns the state that the writer's thread and all readers share, under one lock that is held for
//! look-ups only, never for a read or a write of a file. A group is published here after its sync
//! and before its senders are answered; a segment leaves before its file is removed. The newest
//! groups are kept whole, within a bound of bytes, so that readers who keep up read no file.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use danmu_schemas::{LogIdentity, Partition};
use tokio::sync::watch;
use uuid::Uuid;

use super::Options;
use super::segment::{Entry, Head, Sequence};
use crate::ReadError;

/// What the writer and the readers of a log share.
pub struct Durable {
    dir: PathBuf,
    identity: Uuid,
    partitions: u32,
    state: Mutex<State>,
    version: watch::Sender<u64>,
}

struct State {
    segments: VecDeque<Segment>,
    ends: Vec<i64>,
    tail: Tail,
}

/// A segment's blocks.
#[derive(Debug)]
pub struct Segment {
    /// What stands at its head.
    pub head: Head,
    newest_at: i64,
    blocks: Vec<Vec<Entry>>,
}

impl Segment {
    /// One without blocks.
    pub fn new(head: Head) -> Self {
        let blocks = vec![Vec::new(); head.starts.len()];
        Self {
            newest_at: head.logged_at,
            head,
            blocks,
        }
    }

    /// Adds the block that follows.
    pub fn push(&mut self, entry: Entry) {
        self.newest_at = entry.logged_at;
        self.blocks[entry.partition as usize].push(entry);
    }

    /// All blocks in the order of the file.
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries: Vec<_> = self.blocks.iter().flatten().copied().collect();
        entries.sort_unstable_by_key(|entry| entry.at);
        entries
    }

    fn salt(&self) -> u32 {
        self.head.salt()
    }

    fn bytes(&self) -> u64 {
        let last_of_each = self.blocks.iter().filter_map(|blocks| blocks.last());
        u64::from(last_of_each.map(Entry::end).max().unwrap_or(0))
    }
}

/// Where the next records of a partition are.
#[derive(Debug)]
pub enum Next {
    /// Nowhere yet.
    Nothing,
    /// Here: their blocks, each with its bytes.
    InMemory(Vec<(Entry, Bytes)>),
    /// In a segment's file: blocks of the partition, with those of others between them.
    InFile {
        /// The segment.
        number: u64,
        /// What its checksums begin from.
        salt: u32,
        /// The blocks, at least one.
        blocks: Vec<Entry>,
    },
}

/// How much one look-up gives: it ends with the block that reaches a limit.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes from the first block's begin to the last one's.
    pub span_bytes: u32,
    /// Records.
    pub records: u32,
}

impl Durable {
    /// What recovery found.
    pub fn new(options: &Options, identity: Uuid, segments: Vec<Segment>) -> Self {
        let newest = segments.last().expect("a log has a segment");
        let mut sequence = Sequence::new(&newest.head);
        for entry in newest.entries() {
            sequence.pass(&entry).expect("recovery has checked it");
        }
        let ends = sequence.nexts().to_vec();
        Self {
            dir: options.dir.clone(),
            identity,
            partitions: u32::try_from(ends.len()).expect("a partition a slot at most"),
            state: Mutex::new(State {
                segments: segments.into(),
                ends,
                tail: Tail::new(options.tail_bytes_max),
            }),
            version: watch::Sender::new(0),
        }
    }

    /// The log's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Which log it is.
    pub fn identity(&self) -> LogIdentity {
        LogIdentity(self.identity.to_string())
    }

    /// Every partition.
    pub fn partitions(&self) -> Vec<Partition> {
        (0..self.partitions).map(Partition).collect()
    }

    /// Whether there is such a partition.
    pub fn has(&self, partition: Partition) -> bool {
        partition.0 < self.partitions
    }

    /// Changes whenever something is published.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// The first offset that a partition still has, and its end.
    pub fn range(&self, partition: Partition) -> (i64, i64) {
        match self.has(partition) {
            true => self.lock().range(partition),
            false => (0, 0),
        }
    }

    /// When the log took the record at `offset`, if it has it.
    pub fn logged_at(&self, partition: Partition, offset: i64) -> Option<i64> {
        let state = self.lock();
        let (first, end) = state.range(partition);
        let (_, blocks) = (first..end)
            .contains(&offset)
            .then(|| state.blocks_from(partition, offset))?;
        blocks.first().map(|entry| entry.logged_at)
    }

    /// Bytes of all segments, without their indexes.
    pub fn bytes(&self) -> u64 {
        self.lock().segments.iter().map(Segment::bytes).sum()
    }

    /// Every partition's end.
    pub fn ends(&self) -> Vec<i64> {
        self.lock().ends.clone()
    }

    /// Where the records of `partition` from `offset` on are.
    pub fn next(
        &self,
        partition: Partition,
        offset: i64,
        limits: Limits,
    ) -> Result<Next, ReadError> {
        let state = self.lock();
        let (first, end) = state.range(partition);
        if !(first..=end).contains(&offset) {
            return Err(ReadError::OutOfRange {
                partition,
                asked: offset,
                first,
                end,
            });
        }
        match offset == end {
            true => Ok(Next::Nothing),
            false => Ok(state.next(partition, offset, limits)),
        }
    }

    /// Shows a group that is durable: `bytes` stand in the newest segment from its first block on.
    pub fn publish(&self, bytes: Bytes, entries: &[Entry]) {
        let mut state = self.lock();
        for entry in entries {
            state.ends[entry.partition as usize] = entry.next_offset();
            state.newest().push(*entry);
        }
        let number = state.newest().head.number;
        if let Some(first) = entries.first() {
            state.tail.push(Group {
                number,
                at: first.at,
                bytes,
            });
        }
        drop(state);
        self.version.send_modify(|version| *version += 1);
    }

    /// Begins a new segment.
    pub fn add(&self, head: Head) {
        self.lock().segments.push_back(Segment::new(head));
    }

    /// The newest segment's head and blocks.
    pub fn newest(&self) -> (Head, Vec<Entry>) {
        let mut state = self.lock();
        let newest = state.newest();
        (newest.head.clone(), newest.entries())
    }

    /// Takes away the oldest sealed segments whose records all lie before their partition's offset
    /// in `trims` and were logged before `logged_before`; gives their numbers, oldest first.
    pub fn forget(&self, trims: &[i64], logged_before: i64) -> Vec<u64> {
        let mut state = self.lock();
        let mut gone = Vec::new();
        while state.oldest_may_go(trims, logged_before) {
            gone.extend(
                state
                    .segments
                    .pop_front()
                    .map(|segment| segment.head.number),
            );
        }
        gone
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nobody panics while holding the index")
    }
}

impl State {
    fn range(&self, partition: Partition) -> (i64, i64) {
        let n = partition.0 as usize;
        (self.segments[0].head.starts[n], self.ends[n])
    }

    fn newest(&mut self) -> &mut Segment {
        self.segments.back_mut().expect("a log has a segment")
    }

    fn oldest_may_go(&self, trims: &[i64], logged_before: i64) -> bool {
        let (Some(oldest), Some(after)) = (self.segments.front(), self.segments.get(1)) else {
            return false;
        };
        let starts = oldest.head.starts.iter().zip(&after.head.starts);
        let trimmed = starts
            .zip(trims)
            .all(|((start, end), trim)| start == end || end <= trim);
        trimmed && oldest.newest_at < logged_before
    }

    /// The segment that holds `offset`, and its blocks of the partition from that offset on.
    fn blocks_from(&self, partition: Partition, offset: i64) -> (&Segment, &[Entry]) {
        let n = partition.0 as usize;
        let after = self
            .segments
            .partition_point(|segment| segment.head.starts[n] <= offset);
        let segment = &self.segments[after - 1];
        let blocks = &segment.blocks[n];
        let first = blocks.partition_point(|entry| entry.next_offset() <= offset);
        (segment, &blocks[first..])
    }

    fn next(&self, partition: Partition, offset: i64, limits: Limits) -> Next {
        let (segment, blocks) = self.blocks_from(partition, offset);
        let blocks = run(blocks, limits);
        let number = segment.head.number;
        let bytes = |entry: &Entry| self.tail.block(number, entry).map(|bytes| (*entry, bytes));
        // A block that is in memory has only blocks in memory after it.
        match blocks.iter().map(bytes).collect() {
            Some(blocks) => Next::InMemory(blocks),
            None => Next::InFile {
                number,
                salt: segment.salt(),
                blocks: blocks.to_vec(),
            },
        }
    }
}

fn run(blocks: &[Entry], limits: Limits) -> &[Entry] {
    let mut records = 0;
    let full = |entry: &Entry| {
        records += entry.count;
        records >= limits.records || entry.end() - blocks[0].at >= limits.span_bytes
    };
    let len = blocks
        .iter()
        .position(full)
        .map_or(blocks.len(), |last| last + 1);
    &blocks[..len]
}

/// The newest groups, oldest first, within a bound of bytes.
struct Tail {
    groups: VecDeque<Group>,
    bytes: usize,
    bytes_max: usize,
}

struct Group {
    number: u64,
    at: u32,
    bytes: Bytes,
}

impl Tail {
    fn new(bytes_max: usize) -> Self {
        Self {
            groups: VecDeque::new(),
            bytes: 0,
            bytes_max,
        }
    }

    fn push(&mut self, group: Group) {
        self.bytes += group.bytes.len();
        self.groups.push_back(group);
        while self.bytes > self.bytes_max {
            self.bytes -= self.groups.pop_front().map_or(0, |group| group.bytes.len());
        }
    }

    fn block(&self, number: u64, entry: &Entry) -> Option<Bytes> {
        let place = (number, entry.at);
        let after = self
            .groups
            .partition_point(|group| (group.number, group.at) <= place);
        let group = self.groups.get(after.checked_sub(1)?)?;
        let from = (entry.at - group.at) as usize;
        (group.number == number).then(|| group.bytes.slice(from..from + entry.len as usize))
    }
}

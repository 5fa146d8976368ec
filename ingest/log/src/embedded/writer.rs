//! The thread that writes.
//!
//! Owns the newest segment's file, the lock of the directory, log time and retention. Each group is
//! one write of one block a partition, one sync, one publication, and then its answers, in that
//! order. Log time is the clock's, but never goes back. A write or sync that fails ends all writing:
//! what the file then holds is not known, so only the next opening may go on from it. Those of the
//! failed group are told that their outcome is unknown; all others that nothing was written.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use danmu_schemas::Position;
use metrics::Histogram;
use uuid::Uuid;

use super::durable::Durable;
use super::queue::{Append, Queue, Stop, Trim};
use super::segment::{self, Entry, Head};
use super::{Options, block};
use crate::AppendError;
use crate::meter::{self, Appended};

/// The segment that is written to.
pub struct Active {
    /// Its file.
    pub file: File,
    /// Its number.
    pub number: u64,
    /// What its checksums begin from.
    pub salt: u32,
    /// Where its next block goes.
    pub at: u32,
    /// The log time so far.
    pub logged_at: i64,
}

/// All that the writing thread holds.
pub struct Writer {
    options: Options,
    identity: Uuid,
    active: Active,
    trims: Vec<i64>,
    /// Segments that no reader sees any more, oldest first, until their files are removed.
    leaving: VecDeque<u64>,
    failed: bool,
    durable: Arc<Durable>,
    queue: Arc<Queue>,
    appended: Appended,
    fsync_seconds: Histogram,
    /// Held until the thread has ended.
    _lock: File,
}

/// Blocks that go to the file together.
struct Group {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    senders: Vec<(Append, i64)>,
}

impl Writer {
    /// Goes on where recovery ended.
    pub fn new(
        options: Options,
        identity: Uuid,
        lock: File,
        active: Active,
        durable: Arc<Durable>,
        queue: Arc<Queue>,
    ) -> Self {
        let trims = durable
            .partitions()
            .into_iter()
            .map(|p| durable.range(p).0)
            .collect();
        Self {
            options,
            identity,
            active,
            trims,
            leaving: VecDeque::new(),
            failed: false,
            durable,
            queue,
            appended: Appended::new(),
            fsync_seconds: meter::fsync_seconds(),
            _lock: lock,
        }
    }

    /// Works until the queue says stop.
    pub fn run(mut self) {
        loop {
            let turn = self.queue.take();
            self.append(turn.appends);
            self.trim(turn.trims);
            if let Some(stop) = turn.stop {
                return self.stop(stop);
            }
        }
    }

    fn append(&mut self, appends: Vec<Append>) {
        if appends.is_empty() {
            return;
        }
        if let Err(error) = self.make_room() {
            tracing::error!(%error, "cannot begin a segment; the log takes no more writes");
            self.fail();
            return refuse(appends, FAILED);
        }
        let group = self.encode(appends);
        let written = self.write(&group.bytes);
        if let Err(error) = &written {
            tracing::error!(%error, "a group commit failed; the log takes no more writes");
            self.fail();
        } else {
            self.active.at = group.entries.last().map_or(self.active.at, Entry::end);
            let records: u32 = group.entries.iter().map(|entry| entry.count).sum();
            self.appended.records.increment(u64::from(records));
            self.appended.bytes.increment(group.bytes.len() as u64);
            self.durable
                .publish(Bytes::from(group.bytes), &group.entries);
        }
        for (append, offset) in group.senders {
            let answer = match &written {
                Ok(()) => Ok(offset),
                Err(error) => Err(unknown(error)),
            };
            // Whoever does not wait any more need not be told.
            let _ = append.answer.send(answer);
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        self.active
            .file
            .write_all_at(bytes, u64::from(self.active.at))?;
        let began = Instant::now();
        self.active.file.sync_data()?;
        self.fsync_seconds.record(began.elapsed());
        Ok(())
    }

    fn encode(&mut self, appends: Vec<Append>) -> Group {
        self.active.logged_at = self.active.logged_at.max((self.options.clock)());
        let mut nexts = self.durable.ends();
        let firsts = nexts.clone();
        let mut senders = Vec::with_capacity(appends.len());
        for append in appends {
            let next = &mut nexts[append.partition.0 as usize];
            let first = *next;
            let count = i64::try_from(append.records.len()).expect("memory is bounded");
            if first + count > Position::OFFSET_MAX {
                refuse(vec![append], "the partition's offsets are used up");
                continue;
            }
            *next += count;
            senders.push((append, first));
        }
        let (bytes, entries) = self.encode_blocks(&senders, &firsts);
        Group {
            bytes,
            entries,
            senders,
        }
    }

    fn encode_blocks(&self, senders: &[(Append, i64)], firsts: &[i64]) -> (Vec<u8>, Vec<Entry>) {
        let mut bytes = Vec::new();
        let mut entries = Vec::new();
        for (partition, first_offset) in (0..).zip(firsts) {
            let of_it = senders
                .iter()
                .filter(|(append, _)| append.partition.0 == partition);
            let mut records = of_it.flat_map(|(append, _)| &append.records).peekable();
            if records.peek().is_none() {
                continue;
            }
            let at = self.active.at + u32::try_from(bytes.len()).expect("groups are bounded");
            let header = block::Header {
                len: 0,
                partition,
                count: 0,
                group: self.active.at,
                first_offset: *first_offset,
                logged_at: self.active.logged_at,
            };
            let header = block::encode(&mut bytes, self.active.salt, header, records);
            entries.push(Entry::new(at, &header));
        }
        (bytes, entries)
    }

    fn make_room(&mut self) -> io::Result<()> {
        match self.active.at >= self.options.segment_bytes_max && self.seal()? {
            true => self.begin_segment(),
            false => Ok(()),
        }
    }

    /// Seals the newest segment, if it has any block.
    fn seal(&self) -> io::Result<bool> {
        let (head, entries) = self.durable.newest();
        if entries.is_empty() {
            return Ok(false);
        }
        segment::write_index(&self.options.dir, &head, self.active.at, &entries)?;
        Ok(true)
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        let head = Head {
            identity: self.identity,
            number: self.active.number + 1,
            logged_at: self.active.logged_at,
            starts: self.durable.ends(),
        };
        self.active = Active::create(&self.options, &head)?;
        self.durable.add(head);
        Ok(())
    }

    fn trim(&mut self, trims: Vec<Trim>) {
        if trims.is_empty() {
            return;
        }
        for trim in &trims {
            let known = &mut self.trims[trim.partition.0 as usize];
            *known = trim.offset.max(*known);
        }
        self.forget();
        for trim in trims {
            // Whoever does not wait any more need not be told.
            let _ = trim.answer.send(Ok(()));
        }
    }

    fn forget(&mut self) {
        let retention = i64::try_from(self.options.retention.as_millis()).unwrap_or(i64::MAX);
        let logged_before = (self.options.clock)().saturating_sub(retention);
        self.leaving
            .extend(self.durable.forget(&self.trims, logged_before));
        // In their order, so that the series never has a gap.
        while let Some(number) = self.leaving.front() {
            if let Err(error) = self.remove(*number) {
                tracing::warn!(segment = number, %error, "a segment is not removed yet");
                return;
            }
            tracing::info!(segment = number, "a segment is removed");
            self.leaving.pop_front();
        }
    }

    /// The segment first: an index without one is swept away by the next opening.
    fn remove(&self, number: u64) -> io::Result<()> {
        let dir = &self.options.dir;
        remove_if_there(&segment::segment_path(dir, number))?;
        segment::sync_dir(dir)?;
        remove_if_there(&segment::index_path(dir, number))
    }

    fn fail(&mut self) {
        self.failed = true;
        self.queue.refuse(FAILED);
    }

    fn stop(self, stop: Stop) {
        if stop == Stop::Leave || self.failed {
            return;
        }
        if let Err(error) = self.seal() {
            tracing::warn!(%error, "the newest segment was not sealed; opening will scan it");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.refuse("the log is closed");
    }
}

impl Active {
    /// Makes a segment without blocks.
    pub fn create(options: &Options, head: &Head) -> io::Result<Self> {
        Ok(Self {
            file: segment::create(&options.dir, head)?,
            number: head.number,
            salt: head.salt(),
            at: segment::Sequence::new(head).at(),
            logged_at: head.logged_at,
        })
    }
}

const FAILED: &str = "a write failed; the log must be opened again";

fn refuse(appends: Vec<Append>, why: &'static str) {
    for append in appends {
        // Whoever does not wait any more need not be told.
        let _ = append.answer.send(Err(AppendError::Overloaded(why)));
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn unknown(error: &io::Error) -> AppendError {
    AppendError::Unknown(Box::new(io::Error::new(error.kind(), error.to_string())))
}

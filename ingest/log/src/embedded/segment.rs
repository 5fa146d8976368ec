//! Segment files and their indexes.
//!
//! Owns the names and the bytes of both. A segment `00000000000000000001.seg` has a head that says
//! which log it is of, its number, the log time and every partition's next offset when it was made;
//! then blocks. The next offsets join it to the segment before, and keep the end of a partition
//! whose records have all been removed. Once nothing more will be written to it, it gets an index
//! `….idx`, one [`Entry`] a block: whoever has an index is sealed.
//! Nothing is decided here: what a fault means is in `recovery`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::block::{self, NotABlock, checksum, i64_at, u32_at};
use super::meta::FORMAT;

const HEAD_MAGIC: [u8; 8] = *b"danmulog";
const HEAD_FIXED_BYTES: usize = 48;
const INDEX_MAGIC: [u8; 8] = *b"danmuidx";
const INDEX_HEAD_BYTES: usize = 16;
const ENTRY_BYTES: usize = 32;
const CRC_BYTES: usize = 4;

/// A block's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Where in the segment it begins.
    pub at: u32,
    /// Bytes of the whole block.
    pub len: u32,
    /// The partition of its records.
    pub partition: u32,
    /// How many they are.
    pub count: u32,
    /// The offset of the first.
    pub first_offset: i64,
    /// When the log took them.
    pub logged_at: i64,
}

impl Entry {
    /// The place of a block with this header.
    pub fn new(at: u32, header: &block::Header) -> Self {
        Self {
            at,
            len: header.len,
            partition: header.partition,
            count: header.count,
            first_offset: header.first_offset,
            logged_at: header.logged_at,
        }
    }

    /// The offset after its last record.
    pub fn next_offset(&self) -> i64 {
        self.first_offset + i64::from(self.count)
    }

    /// Where in the segment the next block begins.
    pub fn end(&self) -> u32 {
        self.at + self.len
    }
}

/// What stands at the head of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Which log it is of.
    pub identity: Uuid,
    /// Its place in the series, from 1.
    pub number: u64,
    /// The log time when it was made.
    pub logged_at: i64,
    /// Every partition's next offset when it was made.
    pub starts: Vec<i64>,
}

impl Head {
    /// The bytes of a head with so many partitions.
    pub fn bytes_len(partitions: usize) -> usize {
        HEAD_FIXED_BYTES + 8 * partitions + CRC_BYTES
    }

    /// What the checksums of the segment's blocks begin from.
    pub fn salt(&self) -> u32 {
        salt(self.identity, self.number)
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let partitions = u32::try_from(self.starts.len()).expect("a partition a slot at most");
        let mut out = Vec::with_capacity(Self::bytes_len(self.starts.len()));
        out.extend_from_slice(&HEAD_MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&partitions.to_le_bytes());
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(self.identity.as_bytes());
        out.extend_from_slice(&self.logged_at.to_le_bytes());
        self.starts
            .iter()
            .for_each(|start| out.extend_from_slice(&start.to_le_bytes()));
        let crc = checksum(self.salt(), &out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads the head of segment `number` of a log.
    pub fn decode(bytes: &[u8], identity: Uuid, number: u64, partitions: usize) -> Option<Self> {
        let (body, crc) = bytes
            .get(..Self::bytes_len(partitions))?
            .split_last_chunk()?;
        if checksum(salt(identity, number), body) != u32::from_le_bytes(*crc) {
            return None;
        }
        let start = |n| i64_at(body, HEAD_FIXED_BYTES + 8 * n);
        let head = Self {
            identity,
            number,
            logged_at: i64_at(body, 40),
            starts: (0..partitions).map(start).collect(),
        };
        (head.encode() == bytes[..Self::bytes_len(partitions)]).then_some(head)
    }
}

fn salt(identity: Uuid, number: u64) -> u32 {
    checksum(crc32fast::hash(identity.as_bytes()), &number.to_le_bytes())
}

/// The check that blocks follow one another as they were written.
#[derive(Debug, Clone)]
pub struct Sequence {
    at: u32,
    logged_at: i64,
    nexts: Vec<i64>,
}

impl Sequence {
    /// From a segment's head on.
    pub fn new(head: &Head) -> Self {
        let at = u32::try_from(Head::bytes_len(head.starts.len())).expect("a small head");
        Self {
            at,
            logged_at: head.logged_at,
            nexts: head.starts.clone(),
        }
    }

    /// Goes past a block, if it is the one that follows.
    pub fn pass(&mut self, entry: &Entry) -> Result<(), NotABlock> {
        let next = self.nexts.get_mut(entry.partition as usize);
        let next = next.ok_or(NotABlock("a block is of no partition of the log"))?;
        if entry.first_offset != *next || entry.count == 0 {
            return Err(NotABlock("a block's offsets do not follow"));
        }
        if entry.logged_at < self.logged_at {
            return Err(NotABlock("a block's time goes back"));
        }
        let end = entry.at.checked_add(entry.len);
        let end = end.filter(|_| entry.at == self.at && entry.len > 0);
        self.at = end.ok_or(NotABlock("a block is not where it should be"))?;
        self.logged_at = entry.logged_at;
        *next = entry.next_offset();
        Ok(())
    }

    /// Where the next block begins.
    pub fn at(&self) -> u32 {
        self.at
    }

    /// The log time so far.
    pub fn logged_at(&self) -> i64 {
        self.logged_at
    }

    /// Every partition's next offset.
    pub fn nexts(&self) -> &[i64] {
        &self.nexts
    }
}

/// The file of a segment.
pub fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}.seg"))
}

/// The file of a segment's index.
pub fn index_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(index_name(number))
}

fn index_name(number: u64) -> String {
    format!("{number:020}.idx")
}

/// The number in a file name with this ending, if it is one.
pub fn number_in(name: &str, ending: &str) -> Option<u64> {
    let digits = name.strip_suffix(ending)?.strip_suffix('.')?;
    let right = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    right.then(|| digits.parse().ok()).flatten()
}

/// Makes a segment without blocks, durably.
pub fn create(dir: &Path, head: &Head) -> io::Result<File> {
    let mut options = File::options();
    let mut file = options
        .read(true)
        .write(true)
        .create_new(true)
        .open(segment_path(dir, head.number))?;
    file.write_all(&head.encode())?;
    file.sync_all()?;
    sync_dir(dir)?;
    Ok(file)
}

/// Writes the index of a segment, which seals it. `entries` are all its blocks in their order.
pub fn write_index(dir: &Path, head: &Head, bytes: u32, entries: &[Entry]) -> io::Result<()> {
    let count = u32::try_from(entries.len()).expect("blocks are larger than a byte");
    let mut out = Vec::with_capacity(INDEX_HEAD_BYTES + ENTRY_BYTES * entries.len() + CRC_BYTES);
    out.extend_from_slice(&INDEX_MAGIC);
    out.extend_from_slice(&bytes.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    for entry in entries {
        for word in [entry.at, entry.len, entry.partition, entry.count] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&entry.first_offset.to_le_bytes());
        out.extend_from_slice(&entry.logged_at.to_le_bytes());
    }
    let crc = checksum(head.salt(), &out);
    out.extend_from_slice(&crc.to_le_bytes());
    write_whole(dir, &index_name(head.number), &out)
}

/// Reads the index of a segment: its size when it was sealed and its blocks.
pub fn decode_index(bytes: &[u8], head: &Head) -> Option<(u32, Vec<Entry>)> {
    let (body, crc) = bytes.split_last_chunk()?;
    if checksum(head.salt(), body) != u32::from_le_bytes(*crc) {
        return None;
    }
    let rows = body
        .get(INDEX_HEAD_BYTES..)
        .filter(|_| body.starts_with(&INDEX_MAGIC))?;
    let entry = |row: &[u8]| Entry {
        at: u32_at(row, 0),
        len: u32_at(row, 4),
        partition: u32_at(row, 8),
        count: u32_at(row, 12),
        first_offset: i64_at(row, 16),
        logged_at: i64_at(row, 24),
    };
    let entries: Vec<_> = rows.chunks_exact(ENTRY_BYTES).map(entry).collect();
    let whole =
        rows.len() == ENTRY_BYTES * entries.len() && entries.len() == u32_at(body, 12) as usize;
    whole.then(|| (u32_at(body, 8), entries))
}

/// Writes a file so that it is there whole or not at all.
pub fn write_whole(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let unfinished = dir.join(format!("{name}.tmp"));
    let mut file = File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, dir.join(name))?;
    sync_dir(dir)
}

/// Makes names that were made in or removed from `dir` durable.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

//! The bytes of a block: the records that one group commit gave one partition.
//!
//! Owns the encoding. A block is a header of [`HEADER_BYTES`] and its records; its checksum covers
//! all of it after itself, beginning from the segment's salt, so that a block of another log or
//! segment, or bytes of an event that look like a block, do not pass. All numbers are little-endian.
//!
//! `magic, crc32, body length, partition, count, group, first offset (8), log time (8)`, then for
//! each record `epoch, key length, value length, key, value`. `group` is where in the segment the
//! first block of its group commit stands: all before that was synced before this was written.

use bytes::Bytes;

use crate::{NewRecord, Record};

/// The bytes of a block before its records.
pub const HEADER_BYTES: usize = 40;

const MAGIC: [u8; 4] = *b"dmbk";
const CRC_AT: usize = 4;
const CHECKED_FROM: usize = 8;
const RECORD_HEADER_BYTES: usize = 12;

/// What a block's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the whole block.
    pub len: u32,
    /// The partition of its records.
    pub partition: u32,
    /// How many they are, at least one.
    pub count: u32,
    /// Where in the segment its group begins.
    pub group: u32,
    /// The offset of the first; the others follow without a hole.
    pub first_offset: i64,
    /// When the log took them.
    pub logged_at: i64,
}

/// Bytes that are no block, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotABlock(pub &'static str);

/// The bytes that records take in a block.
pub fn records_bytes(records: &[NewRecord]) -> usize {
    let bytes = |r: &NewRecord| RECORD_HEADER_BYTES + r.key.len() + r.value.len();
    records.iter().map(bytes).sum()
}

/// Writes a block to the end of `out`; `header.len` and `header.count` are found on the way.
pub fn encode<'a>(
    out: &mut Vec<u8>,
    salt: u32,
    header: Header,
    records: impl Iterator<Item = &'a NewRecord>,
) -> Header {
    let start = out.len();
    out.resize(start + HEADER_BYTES, 0);
    let mut count = 0;
    for record in records {
        push_record(out, record);
        count += 1;
    }
    let header = Header {
        len: length(out.len() - start),
        count,
        ..header
    };
    let body = length(out.len() - start - HEADER_BYTES);
    let block = &mut out[start..];
    block[..4].copy_from_slice(&MAGIC);
    block[8..12].copy_from_slice(&body.to_le_bytes());
    block[12..16].copy_from_slice(&header.partition.to_le_bytes());
    block[16..20].copy_from_slice(&header.count.to_le_bytes());
    block[20..24].copy_from_slice(&header.group.to_le_bytes());
    block[24..32].copy_from_slice(&header.first_offset.to_le_bytes());
    block[32..40].copy_from_slice(&header.logged_at.to_le_bytes());
    let crc = checksum(salt, &block[CHECKED_FROM..]);
    block[CRC_AT..CHECKED_FROM].copy_from_slice(&crc.to_le_bytes());
    header
}

/// Checks the block that `bytes` begin with.
pub fn check(bytes: &[u8], salt: u32) -> Result<Header, NotABlock> {
    if bytes.len() < HEADER_BYTES {
        return Err(NotABlock("a header is cut short"));
    }
    if bytes[..4] != MAGIC {
        return Err(NotABlock("no block begins here"));
    }
    let body = u32_at(bytes, 8) as usize;
    let block = bytes
        .get(..HEADER_BYTES + body)
        .ok_or(NotABlock("a block is cut short"))?;
    if checksum(salt, &block[CHECKED_FROM..]) != u32_at(bytes, CRC_AT) {
        return Err(NotABlock("a block's checksum is wrong"));
    }
    Ok(Header {
        len: length(block.len()),
        partition: u32_at(bytes, 12),
        count: u32_at(bytes, 16),
        group: u32_at(bytes, 20),
        first_offset: i64_at(bytes, 24),
        logged_at: i64_at(bytes, 32),
    })
}

/// Whether a block may begin at `bytes`; cheap, and true for every block.
pub fn begins(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// Appends the records of a checked block from offset `from` on; they are slices of `block`.
pub fn records(
    block: &Bytes,
    header: &Header,
    from: i64,
    out: &mut Vec<Record>,
) -> Result<(), NotABlock> {
    let mut at = HEADER_BYTES;
    for n in 0..header.count {
        let offset = header.first_offset + i64::from(n);
        let record = record(block, &mut at, offset, header.logged_at)?;
        if offset >= from {
            out.push(record);
        }
    }
    match at == block.len() {
        true => Ok(()),
        false => Err(NotABlock("a block has bytes after its records")),
    }
}

fn record(block: &Bytes, at: &mut usize, offset: i64, logged_at: i64) -> Result<Record, NotABlock> {
    let short = NotABlock("a record is cut short");
    let start = *at + RECORD_HEADER_BYTES;
    let head = block.get(*at..start).ok_or(short)?;
    let key_end = start + u32_at(head, 4) as usize;
    let end = key_end + u32_at(head, 8) as usize;
    if end > block.len() {
        return Err(short);
    }
    *at = end;
    Ok(Record {
        offset,
        logged_at,
        epoch: u32_at(head, 0),
        key: block.slice(start..key_end),
        value: block.slice(key_end..end),
    })
}

fn push_record(out: &mut Vec<u8>, record: &NewRecord) {
    out.extend_from_slice(&record.epoch.to_le_bytes());
    out.extend_from_slice(&length(record.key.len()).to_le_bytes());
    out.extend_from_slice(&length(record.value.len()).to_le_bytes());
    out.extend_from_slice(&record.key);
    out.extend_from_slice(&record.value);
}

/// CRC-32 of `bytes`, beginning from a salt.
pub fn checksum(salt: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(salt);
    hasher.update(bytes);
    hasher.finalize()
}

/// The four bytes at `at`, which must be there.
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

/// The eight bytes at `at`, which must be there.
pub fn i64_at(bytes: &[u8], at: usize) -> i64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    i64::from_le_bytes(word)
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a group commit is far below 4 GiB")
}

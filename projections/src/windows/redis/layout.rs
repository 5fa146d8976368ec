//! Names and values in Redis: pure functions.
//!
//! Every key of a slot begins with the slot's [`base`], whose hash tag keeps them together in a cluster;
//! what follows it only the functions in `windows.lua` know, and each value's meaning stands there. The
//! base is also the name of the channel on which the slot's changes are told.

use bytes::{BufMut, Bytes};
use danmu_schemas::chunk::ChunkHeader;
use danmu_schemas::{Position, Slot};
use xxhash_rust::xxh3::xxh3_64;

use crate::windows::additions::Block;
use crate::windows::store::{PackedChunk, RefillToken};

/// How many bytes stand before a chunk.
pub(super) const MARK_LEN: usize = 32;

/// What all keys of a slot begin with: `danmu:windows:{17}`.
pub(super) fn base(prefix: &str, slot: Slot) -> String {
    format!("{prefix}:windows:{{{}}}", slot.number())
}

/// The slot of a base.
pub(super) fn slot_of(prefix: &str, base: &str) -> Option<Slot> {
    let tag = base.strip_prefix(prefix)?.strip_prefix(":windows:")?;
    let number = tag.strip_prefix('{')?.strip_suffix('}')?;
    Slot::new(number.parse().ok()?)
}

/// A refill's name.
pub(super) fn token(token: RefillToken) -> String {
    format!("{:032x}", token.0)
}

/// A position as it is stored: as it is displayed.
pub(super) fn position(text: &str) -> Option<Position> {
    let (epoch, offset) = text.split_once('/')?;
    Some(Position::new(epoch.parse().ok()?, offset.parse().ok()?))
}

/// A room's version: who filled its slot, and where the room changed last.
///
/// Of one filling a position gives one content, so a Redis that went back and came again has the same
/// versions for the same content, and no others. Never 0.
pub(super) fn version(fill: &str, changed_at: &str) -> u64 {
    xxh3_64(format!("{fill} {changed_at}").as_bytes()).max(1)
}

/// A chunk after its mark: what trimming and seeking look at, and a digest of its header.
pub(super) fn marked(chunk: &PackedChunk) -> Vec<u8> {
    let header = &chunk.header;
    let mut marked = Vec::with_capacity(MARK_LEN + chunk.bytes.len());
    marked.put_u32(header.epoch);
    marked.put_i64(header.last_offset);
    marked.put_i64(header.last_logged_at);
    marked.put_u32(header.count);
    marked.put_u64(digest(header));
    marked.extend_from_slice(&chunk.bytes);
    marked
}

/// The chunk of a marked one.
pub(super) fn unmarked(mut marked: Bytes) -> Option<Bytes> {
    (marked.len() > MARK_LEN).then(|| marked.split_off(MARK_LEN))
}

fn digest(header: &ChunkHeader) -> u64 {
    let mut bytes = Vec::with_capacity(52);
    bytes.put_u32(header.generation.0);
    bytes.put_u32(header.epoch);
    bytes.put_u64(header.first_seq.0);
    bytes.put_u32(header.count);
    bytes.put_i64(header.first_offset);
    bytes.put_i64(header.last_offset);
    bytes.put_i64(header.last_at);
    bytes.put_i64(header.last_logged_at);
    xxh3_64(&bytes)
}

/// A block of memory after the log clock of its last entry.
pub(super) fn clocked(block: &Block) -> Vec<u8> {
    let mut clocked = Vec::with_capacity(8 + block.bytes.len());
    clocked.put_i64(block.last_clock);
    clocked.extend_from_slice(&block.bytes);
    clocked
}

/// The block of a clocked one.
pub(super) fn unclocked(mut clocked: Bytes) -> Option<Bytes> {
    (clocked.len() > 8).then(|| clocked.split_off(8))
}

#[cfg(test)]
mod tests;

//! A chunk: an encoded run of consecutive settled events of one room.
//!
//! Encoded once, then stored and passed on as bytes. The header is readable without unpacking the
//! events, which is what trimming, seeking and pairing with a watermark need.

mod packing;

pub use packing::{BODY_BYTES_MAX, Packer, Unpacker, header};

use crate::ids::{Generation, Seq};
use crate::settled::{Settled, Unsettled};

/// The most settled events in one chunk: a reader starts this far before its cursor.
pub const CHUNK_LEN_MAX: usize = 512;

/// A chunk is closed when its events' datums reach this many bytes.
pub const CHUNK_BYTES_MAX: usize = 64 * 1_024;

/// A chunk never holds seqs of two runs of this length: a run is a partition of the history's rows.
pub const SEQ_RUN: u64 = 65_536;

/// What a chunk says of itself before it is unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkHeader {
    /// The numbering of its seqs.
    pub generation: Generation,
    /// The epoch of its offsets.
    pub epoch: u32,
    /// The seq of its first event; the next seq of the room where it has no event.
    pub first_seq: Seq,
    /// How many settled events it holds; 0 where it only tells of refused and duplicate ones.
    pub count: u32,
    /// The lowest offset of its entries.
    pub first_offset: i64,
    /// The highest offset of its entries.
    pub last_offset: i64,
    /// Event time of the last event; 0 where there is none.
    pub last_at: i64,
    /// The room's log clock at its last entry.
    pub last_logged_at: i64,
}

/// A chunk's content. Settled events have the seqs `first_seq..first_seq + count`, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChunkBody {
    /// The visible events.
    pub settled: Vec<Settled>,
    /// What was refused or a duplicate among them; empty in the history.
    pub unsettled: Vec<Unsettled>,
}

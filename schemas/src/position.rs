//! Where a record stands in its slot's log.

use std::fmt;

/// A partition of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(pub u32);

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A record's place in its slot's log: `(epoch, offset)`, ordered lexicographically.
///
/// As a checkpoint it means "up to and with this record". [`Position::BEGIN`] is before every record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Counts the times the slot has changed its partition or its log.
    pub epoch: u32,
    /// The log's own offset; -1 before the first record.
    pub offset: i64,
}

impl Position {
    /// Before the first record of a log.
    pub const BEGIN: Self = Self {
        epoch: 0,
        offset: -1,
    };

    /// Offsets are below this: a position must fit a cell's timestamp.
    pub const OFFSET_MAX: i64 = (1 << 40) - 1;

    /// The position of a record.
    pub fn new(epoch: u32, offset: i64) -> Self {
        Self { epoch, offset }
    }

    /// A cell's write time: even for facts of the log; the odd ones between are erasure's.
    ///
    /// Positions of one slot order as their timestamps do. [`Position::BEGIN`] has 0, as no cell does
    /// that covers a record other than the very first, which nothing precedes.
    pub fn timestamp(self) -> u64 {
        (u64::from(self.epoch) << 40 | self.offset.max(0) as u64) * 2
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.epoch, self.offset)
    }
}

/// Which log a position belongs to; a position of another log means nothing.
///
/// The embedded log's is a UUID kept in its directory, Kafka's the cluster and topic ids.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogIdentity(pub String);

impl fmt::Display for LogIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

//! The two ports of the log.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use danmu_schemas::{LogIdentity, Partition, Traceparent};

/// A record to append. The log gives it its offset and its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// The epoch of the room's slot.
    pub epoch: u32,
    /// How much of what may wait it may take. It is not written, and changes no order.
    pub lane: Lane,
    /// The room's name.
    pub key: Bytes,
    /// The event in the wire format.
    pub value: Bytes,
    /// Where its trace goes on. A log without headers does not keep it, and no reader of ours is told.
    pub traceparent: Option<Traceparent>,
}

/// Whose place a record takes while it waits for the log.
///
/// Every log bounds what waits, and keeps a part of that bound from viewers: however many of them speak
/// at once, and however long a disk or a broker stalls, a gift finds room. It is a part of one bound and
/// not a queue of its own, so that records keep the order in which they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// What any viewer says or does.
    Viewers,
    /// All else: gifts, moderation, broadcasts.
    Priority,
}

/// One part in so many of what may wait is kept for [`Lane::Priority`].
const RESERVED_PART: usize = 8;

impl Lane {
    /// The lane of a call, which is taken whole: that of its least record, so that nothing of a viewer's
    /// comes along with a gift.
    pub fn of(records: &[NewRecord]) -> Self {
        let lanes = records.iter().map(|record| record.lane);
        lanes.min().unwrap_or(Self::Viewers)
    }

    /// How much may wait in all, of both lanes, when one more of this lane is taken: 65,536 records are
    /// 57,344 for viewers.
    pub fn share_of(self, waiting_max: usize) -> usize {
        match self {
            Self::Viewers => waiting_max - waiting_max / RESERVED_PART,
            Self::Priority => waiting_max,
        }
    }
}

/// The write side.
///
/// - Records of one call go to one partition, in order; adjacent, as far as this writer is concerned.
/// - `Ok` means that all of them are durable: no crash takes them back. It gives the offset of the first.
/// - `Overloaded` means that none of them is in the log, `Unknown` that any of them may be.
/// - What waits is bounded, and a part of the bound is out of viewers' reach: see [`Lane`].
pub trait LogWriter: Send + Sync {
    /// Appends `records` (at least one) to `partition`.
    fn append(
        &self,
        partition: Partition,
        records: Vec<NewRecord>,
    ) -> impl Future<Output = Result<i64, AppendError>> + Send;

    /// Allows the log to forget what lies before `offset` in `partition`, once it is older than the
    /// retention. Without such a call the embedded log forgets nothing; Kafka, which has a retention of
    /// its own, needs no call.
    fn trim(
        &self,
        partition: Partition,
        offset: i64,
    ) -> impl Future<Output = Result<(), AppendError>> + Send;
}

/// Why an append did not end well. The two differ in what a sender must do.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Nothing was appended: the queue is full, or the log takes no more writes.
    #[error("the log takes no more at the moment: {0}")]
    Overloaded(&'static str),
    /// It may or may not have been appended: a retry must carry the same ids.
    #[error("the outcome of an append is not known")]
    Unknown(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What a reader is told next.
#[derive(Debug)]
pub enum ReadEvent {
    /// These partitions are the reader's from now on; it must be given a place in each by
    /// [`LogReader::seek`] before records of it come. There may be none: the other readers of its group
    /// have them all, and it stands by.
    Assigned(Vec<Partition>),
    /// These are the reader's no more.
    Revoked(Vec<Partition>),
    /// Records of one partition, offsets ascending.
    Records(RecordBatch),
    /// Nothing new came before the deadline.
    Idle,
}

/// The read side: one consumer of every partition that is assigned to it.
///
/// - Only durable records are seen, each once and in order from where `seek` pointed.
/// - Offsets need not be dense (a log may hold records of its own), but only rise.
/// - Log time may be anything; the embedded log's never goes back.
pub trait LogReader: Send {
    /// Which log this is.
    fn identity(&self) -> LogIdentity;

    /// What comes next, or `Idle` after `wait`. May be dropped at any await without losing anything.
    fn next(&mut self, wait: Duration)
    -> impl Future<Output = Result<ReadEvent, ReadError>> + Send;

    /// Reads on in `partition` from the first record at or after `offset`.
    fn seek(
        &mut self,
        partition: Partition,
        offset: i64,
    ) -> impl Future<Output = Result<(), ReadError>> + Send;

    /// The offset of the first record that `partition` still has, or its end where it has none.
    fn first_offset(
        &mut self,
        partition: Partition,
    ) -> impl Future<Output = Result<i64, ReadError>> + Send;

    /// The offset that the next durable record of `partition` will have, or a later one.
    fn end_offset(
        &mut self,
        partition: Partition,
    ) -> impl Future<Output = Result<i64, ReadError>> + Send;

    /// Every partition of the log.
    fn partitions(&self) -> Vec<Partition>;
}

/// Why reading does not go on.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It may be tried again.
    #[error("the log cannot be read at the moment")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What was asked for is not there: retention took it, or it is past the end.
    #[error("partition {partition} holds {first}..{end}, not {asked}")]
    OutOfRange {
        /// Where.
        partition: Partition,
        /// The offset asked for.
        asked: i64,
        /// The first that is there.
        first: i64,
        /// The end.
        end: i64,
    },
    /// Bytes on disk are not what was written.
    #[error("partition {partition} is damaged at offset {offset}: {what}")]
    Damaged {
        /// Where.
        partition: Partition,
        /// The offset of the first record that cannot be read.
        offset: i64,
        /// What is wrong.
        what: String,
    },
}

/// Records of one partition, sharing the buffer that they were read into.
#[derive(Debug, Clone)]
pub struct RecordBatch {
    /// Where they come from.
    pub partition: Partition,
    /// At least one, offsets ascending.
    pub records: Vec<Record>,
}

/// A record as it stands in the log. `key` and `value` are slices of a shared buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place in its partition.
    pub offset: i64,
    /// When the log took it, milliseconds since 1970 UTC.
    pub logged_at: i64,
    /// The epoch of the room's slot when it was sent.
    pub epoch: u32,
    /// The room's name.
    pub key: Bytes,
    /// The event in the wire format.
    pub value: Bytes,
}

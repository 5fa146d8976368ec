//! What a log counts and times.
//!
//! The handles are made when the log is opened, by the metrics recorder that is then in force; where
//! there is none they do nothing. What can be looked up at any moment is in the figures of each log
//! instead.

use metrics::{Counter, Histogram, Unit, counter, describe_counter, describe_histogram, histogram};

/// Records that were made durable.
#[derive(Debug, Clone)]
pub struct Appended {
    /// How many.
    pub records: Counter,
    /// Their bytes.
    pub bytes: Counter,
}

impl Appended {
    /// Counts nothing.
    #[cfg(feature = "cluster")]
    pub fn none() -> Self {
        Self {
            records: Counter::noop(),
            bytes: Counter::noop(),
        }
    }

    /// Nothing yet.
    pub fn new() -> Self {
        const RECORDS: &str = "danmu_log_appended_records_total";
        const BYTES: &str = "danmu_log_appended_bytes_total";
        describe_counter!(RECORDS, "records made durable");
        describe_counter!(
            BYTES,
            Unit::Bytes,
            "bytes made durable, blocks' headers included"
        );
        Self {
            records: counter!(RECORDS),
            bytes: counter!(BYTES),
        }
    }
}

/// The time of each group's sync.
pub fn fsync_seconds() -> Histogram {
    const FSYNC: &str = "danmu_log_fsync_seconds";
    describe_histogram!(FSYNC, Unit::Seconds, "time of a group commit's sync");
    histogram!(FSYNC)
}

/// The number of appends that were not taken.
pub fn refused_appends() -> Counter {
    const REFUSED: &str = "danmu_log_refused_appends_total";
    describe_counter!(REFUSED, "appends refused because the log takes no more");
    counter!(REFUSED)
}

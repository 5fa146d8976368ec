//! What the log counts and times.
//!
//! The handles are made when the log is opened, by the metrics recorder that is then in force; where
//! there is none they do nothing. What can be looked up at any moment is in [`super::Figures`] instead.

use metrics::{Counter, Histogram, Unit, counter, describe_counter, describe_histogram, histogram};

/// What the writer makes durable.
pub struct Written {
    /// The time of each group's sync.
    pub fsync_seconds: Histogram,
    /// Records.
    pub records: Counter,
    /// Bytes.
    pub bytes: Counter,
}

impl Written {
    /// Nothing yet.
    pub fn new() -> Self {
        const FSYNC: &str = "danmu_log_fsync_seconds";
        const RECORDS: &str = "danmu_log_appended_records_total";
        const BYTES: &str = "danmu_log_appended_bytes_total";
        describe_histogram!(FSYNC, Unit::Seconds, "time of a group commit's sync");
        describe_counter!(RECORDS, "records made durable");
        describe_counter!(
            BYTES,
            Unit::Bytes,
            "bytes made durable, blocks' headers included"
        );
        Self {
            fsync_seconds: histogram!(FSYNC),
            records: counter!(RECORDS),
            bytes: counter!(BYTES),
        }
    }
}

/// The number of appends that were not written.
pub fn refused_appends() -> Counter {
    const REFUSED: &str = "danmu_log_refused_appends_total";
    describe_counter!(REFUSED, "appends refused because the log takes no more");
    counter!(REFUSED)
}

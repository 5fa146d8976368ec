//! How far a group is behind its log: in records, and by the age of the oldest that it has not settled.
//!
//! An embedded log knows when it took each record. Of a log on Kafka the age is bounded by what this
//! process saw: that record came after the last one that was settled, and after it was last seen that
//! nothing was missing. It is told too old by no more than the time between two looks.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use danmu_processors::Standing;
use danmu_processors::projector::PartitionStanding;
use danmu_schemas::Partition;
use tokio::sync::watch;

use crate::engines::Log;

/// The lag of a group, of which each look remembers what the next one needs.
pub struct Lag {
    log: Log,
    standing: watch::Receiver<Standing>,
    /// When each partition was last seen with nothing missing.
    whole_at: Mutex<BTreeMap<Partition, i64>>,
}

/// What a look finds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Behind {
    /// Records that the group has not settled.
    pub records: i64,
    /// The age of the oldest of them.
    pub age_ms: i64,
}

impl Lag {
    /// The lag of the group whose loop stands at `standing`.
    pub fn new(log: Log, standing: watch::Receiver<Standing>) -> Self {
        Self {
            log,
            standing,
            whole_at: Mutex::default(),
        }
    }

    /// Looks again; `now_ms` is by the log's clock.
    pub fn look(&self, now_ms: i64) -> Behind {
        let mut whole_at = self.whole_at.lock().unwrap_or_else(PoisonError::into_inner);
        let standing = self.standing.borrow();
        // Another member may have had it before it comes back.
        whole_at.retain(|partition, _| standing.partitions.contains_key(partition));
        let mut behind = Behind::default();
        for (partition, at) in &standing.partitions {
            let next = at.read_to + 1;
            let Some(end) = self.log.end_offset(*partition) else {
                continue;
            };
            let missing = (end - next).max(0);
            if missing == 0 {
                whole_at.insert(*partition, now_ms);
                continue;
            }
            behind.records += missing;
            let logged_at = self.log.logged_at(*partition, next);
            let since = logged_at.or(after(at, whole_at.get(partition)));
            let age_ms = since.map_or(0, |since| now_ms - since);
            behind.age_ms = behind.age_ms.max(age_ms);
        }
        behind
    }
}

/// When the oldest missing record came at the earliest; nothing where this loop has seen nothing yet.
fn after(at: &PartitionStanding, whole_at: Option<&i64>) -> Option<i64> {
    at.read_to_logged_at.max(whole_at.copied())
}

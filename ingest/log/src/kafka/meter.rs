//! What a connection to Kafka counts, and what its clients tell of the log's ends.
//!
//! The ends are what brokers say beside the records that a reader fetches, so nobody has to ask for them;
//! they are a second old, and of partitions that no reader of this connection has they may be older.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use danmu_schemas::Partition;
use metrics::{Counter, counter, describe_counter};
use rdkafka::statistics::Statistics;

use crate::meter::{self, Appended};

/// The counters of a connection.
#[derive(Debug, Clone)]
pub struct Meter {
    /// What was acknowledged.
    pub appended: Appended,
    /// Appends that were not taken.
    pub refused: Counter,
    /// Producers that failed for good.
    pub failures: Counter,
    /// Errors that producers told of.
    pub producer_errors: Counter,
    /// Errors that readers told of.
    pub reader_errors: Counter,
}

impl Meter {
    /// Nothing yet.
    pub fn new() -> Self {
        const FAILURES: &str = "danmu_kafka_producer_failures_total";
        const ERRORS: &str = "danmu_kafka_client_errors_total";
        describe_counter!(FAILURES, "producers that were given up for another one");
        describe_counter!(ERRORS, "lost connections and whatever else a client mends");
        Self {
            appended: Appended::new(),
            refused: meter::refused_appends(),
            failures: counter!(FAILURES),
            producer_errors: counter!(ERRORS, "client" => "producer"),
            reader_errors: counter!(ERRORS, "client" => "reader"),
        }
    }

    /// Of a producer to another topic than the log's: what it appends is not the log's.
    pub fn beside(&self) -> Self {
        Self {
            appended: Appended::none(),
            refused: Counter::noop(),
            ..self.clone()
        }
    }
}

/// The offset after the last record of each partition, as far as it is known.
#[derive(Debug, Default)]
pub struct Ends(Mutex<BTreeMap<Partition, i64>>);

impl Ends {
    /// Takes what a reader's client tells of the topic.
    pub fn note(&self, topic: &str, told: &Statistics) {
        let Some(topic) = told.topics.get(topic) else {
            return;
        };
        let mut ends = self.ends();
        for (number, partition) in &topic.partitions {
            // What is not known is told as a negative number.
            if let (Ok(number), 0..) = (u32::try_from(*number), partition.hi_offset) {
                let end = ends.entry(Partition(number)).or_default();
                *end = partition.hi_offset.max(*end);
            }
        }
    }

    /// The end of a partition; nothing before it was told.
    pub fn of(&self, partition: Partition) -> Option<i64> {
        self.ends().get(&partition).copied()
    }

    fn ends(&self) -> MutexGuard<'_, BTreeMap<Partition, i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

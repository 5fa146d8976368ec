//! Which partitions the consumer holds, and how that changes.
//!
//! Kafka calls back while it is polled; what it said is kept until the thread asks. A partition that
//! comes is paused at once: it has no place yet, and the offsets that a group commits only report
//! lag, so none is ever begun from.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use danmu_schemas::Partition;
use metrics::Counter;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use super::super::meter::Ends;
use super::list;

/// What Kafka calls back.
#[derive(Debug)]
pub struct Membership {
    state: Mutex<State>,
    topic: String,
    ends: Arc<Ends>,
    errors: Counter,
}

#[derive(Debug, Default)]
struct State {
    held: BTreeSet<Partition>,
    changes: Vec<Change>,
}

/// Partitions that came or went. None come to a member whose group has no more for it.
#[derive(Debug)]
pub enum Change {
    Came(Vec<Partition>),
    Went(Vec<Partition>),
}

/// Takes `partitions` for good, without a group.
pub fn take(
    client: &BaseConsumer<Membership>,
    topic: &str,
    partitions: &[Partition],
) -> KafkaResult<()> {
    let taken = list(topic, partitions, Offset::Beginning)?;
    client.assign(&taken)?;
    client.pause(&taken)?;
    client.context().came(partitions.to_vec());
    Ok(())
}

impl Membership {
    /// Of a consumer of `topic`, which tells `ends` what it hears of its ends and counts its `errors`.
    pub fn new(topic: String, ends: Arc<Ends>, errors: Counter) -> Self {
        Self {
            state: Mutex::default(),
            topic,
            ends,
            errors,
        }
    }

    /// Whether the partition is the consumer's now.
    pub fn holds(&self, partition: Partition) -> bool {
        self.state().held.contains(&partition)
    }

    /// What happened since this was asked last, in its order.
    pub fn changes(&self) -> Vec<Change> {
        std::mem::take(&mut self.state().changes)
    }

    fn came(&self, partitions: Vec<Partition>) {
        let mut state = self.state();
        state.held.extend(&partitions);
        state.changes.push(Change::Came(partitions));
    }

    fn went(&self, partitions: Vec<Partition>) {
        if !partitions.is_empty() {
            let mut state = self.state();
            state.held.retain(|held| !partitions.contains(held));
            state.changes.push(Change::Went(partitions));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Membership {
    fn error(&self, error: KafkaError, reason: &str) {
        self.errors.increment(1);
        tracing::warn!(%error, reason, "Kafka's consumer");
    }

    fn stats(&self, told: Statistics) {
        self.ends.note(&self.topic, &told);
    }
}

impl ConsumerContext for Membership {
    /// Cooperative: what is told came or went, and the rest stays.
    fn rebalance(
        &self,
        client: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let numbers = numbers(partitions);
        let done = match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.came(numbers);
                partitions
                    .set_all_offsets(Offset::Beginning)
                    .and_then(|()| client.incremental_assign(partitions))
                    .and_then(|()| client.pause(partitions))
            }
            _ => {
                self.went(numbers);
                client.incremental_unassign(partitions)
            }
        };
        if let Err(error) = done {
            tracing::error!(%error, "the group's partitions were not taken over");
        }
    }
}

fn numbers(partitions: &TopicPartitionList) -> Vec<Partition> {
    let numbers = partitions.elements();
    let numbers = numbers
        .iter()
        .filter_map(|one| u32::try_from(one.partition()).ok());
    let mut numbers: Vec<_> = numbers.map(Partition).collect();
    numbers.sort_unstable();
    numbers
}

//! The route table of a log on Kafka: one record in the compacted topic of routes, under the log's
//! identity; the newest is in force.
//!
//! One record in all, so that a slot's move is one append and nobody ever reads half of it. It keeps
//! each slot's partition in every epoch, and how many partitions the topic had. Kafka lets anybody add
//! partitions to a topic; a table that was made for fewer says so, and nothing is ever routed by how
//! many there happen to be. A table is only made for a log without records.

use std::time::{Duration, Instant};

use danmu_schemas::{Partition, Slot};
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};

use super::topics::ROUTES;
use super::{ConnectError, Options, Topic, number, settings};
use crate::Routes;
use crate::routes::Route;

/// The group that the reader of the table is in; it never commits.
const NO_GROUP: &str = "danmu-routes";

/// How long one poll waits.
const POLL: Duration = Duration::from_millis(100);

/// The record's value, as JSON.
#[derive(Debug, Serialize, Deserialize)]
struct Table {
    version: u64,
    /// How many the topic had.
    partitions: u32,
    /// A slot each, by its number: its partition in epoch 0, in epoch 1, and so on.
    slots: Vec<Vec<u32>>,
}

/// The routes of the log, which must fit the topic. Blocks.
pub fn read(options: &Options, topic: &Topic) -> Result<Routes, ConnectError> {
    let newest = newest(options, &topic.identity.0).map_err(|source| ConnectError::Unusable {
        brokers: options.brokers.clone(),
        source,
    })?;
    let value = newest.ok_or_else(|| ConnectError::NoRoutes(topic.name.clone()))?;
    Table::understand(&value, topic)
}

/// Makes the routes of the log where it has none; whether it did.
pub async fn create(options: &Options) -> Result<bool, ConnectError> {
    let topic = Topic::find(options)?;
    match read(options, &topic) {
        Err(ConnectError::NoRoutes(_)) => {}
        found => return found.map(|_| false),
    }
    let unusable = |source| ConnectError::Unusable {
        brokers: options.brokers.clone(),
        source,
    };
    if !is_empty(options, &topic).map_err(unusable)? {
        return Err(ConnectError::NoRoutes(topic.name));
    }
    let value = Table::initial(&topic).to_json();
    let record = FutureRecord::to(ROUTES)
        .partition(0)
        .key(&topic.identity.0)
        .payload(&value);
    let producer: FutureProducer = settings::producer(options)
        .create()
        .map_err(ConnectError::Settings)?;
    let sent = producer
        .send_result(record)
        .map_err(|(error, _)| unusable(error))?;
    match sent.await {
        Ok(Ok(_)) => Ok(true),
        Ok(Err((error, _))) => Err(unusable(error)),
        Err(_) => Err(unusable(KafkaError::Canceled)),
    }
}

/// Leaves what the client has to say to who polls it: the end of a partition is no error here.
struct Quiet;

impl ClientContext for Quiet {
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ConsumerContext for Quiet {}

/// The value of the newest record under that key.
fn newest(options: &Options, key: &str) -> KafkaResult<Option<Vec<u8>>> {
    let mut config = settings::consumer(options, NO_GROUP);
    let consumer: BaseConsumer<Quiet> = config
        .set("enable.partition.eof", "true")
        .create_with_context(Quiet)?;
    let within = options.connect_within;
    let metadata = consumer.fetch_metadata(Some(ROUTES), within)?;
    let mut topics = metadata.topics().iter();
    if topics.all(|topic| topic.error().is_some() || topic.partitions().is_empty()) {
        return Ok(None);
    }
    let mut all = TopicPartitionList::new();
    all.add_partition_offset(ROUTES, 0, Offset::Beginning)?;
    consumer.assign(&all)?;
    let deadline = Instant::now() + within;
    let mut newest = None;
    loop {
        match consumer.poll(POLL) {
            Some(Ok(record)) if record.key() == Some(key.as_bytes()) => {
                newest = record.payload().map(<[u8]>::to_vec);
            }
            Some(Ok(_)) => {}
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(newest),
            // Kafka's client mends its connections by itself.
            Some(Err(error)) => tracing::debug!(%error, "reading routes"),
            None => {}
        }
        if Instant::now() >= deadline {
            let code = RDKafkaErrorCode::OperationTimedOut;
            return Err(KafkaError::MessageConsumption(code));
        }
    }
}

/// Whether the log never had a record.
fn is_empty(options: &Options, topic: &Topic) -> KafkaResult<bool> {
    let consumer: BaseConsumer = settings::consumer(options, NO_GROUP).create()?;
    for partition in &topic.partitions {
        let (_, end) =
            consumer.fetch_watermarks(&topic.name, number(*partition), options.connect_within)?;
        if end > 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Table {
    /// The table of a log without records.
    fn initial(topic: &Topic) -> Self {
        let partitions = topic.partitions.len() as u32;
        let routes = Routes::initial(partitions);
        let slot = |slot: Slot| vec![routes.route(slot).partition];
        Self {
            version: routes.version,
            partitions,
            slots: Slot::all().map(slot).collect(),
        }
    }

    fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers are JSON")
    }

    /// The routes in a record's value, as they hold now.
    fn understand(value: &[u8], topic: &Topic) -> Result<Routes, ConnectError> {
        let unreadable = |why: String| ConnectError::UnreadableRoutes {
            topic: topic.name.clone(),
            why,
        };
        let table: Self =
            serde_json::from_slice(value).map_err(|error| unreadable(error.to_string()))?;
        if table.partitions as usize != topic.partitions.len() {
            return Err(ConnectError::OtherRoutes {
                topic: topic.name.clone(),
                partitions: topic.partitions.len(),
                routed: table.partitions,
            });
        }
        let exists = |partition: &u32| topic.partitions.contains(&Partition(*partition));
        let now = |epochs: &Vec<u32>| {
            let partition = *epochs.last().filter(|_| epochs.iter().all(exists))?;
            let epoch = u32::try_from(epochs.len() - 1).ok()?;
            Some(Route { epoch, partition })
        };
        let slots: Option<Vec<Route>> = table.slots.iter().map(now).collect();
        slots
            .and_then(|slots| Routes::of_slots(table.version, slots))
            .ok_or_else(|| unreadable("not every slot has a partition of the topic".to_owned()))
    }
}

#[cfg(test)]
mod tests;

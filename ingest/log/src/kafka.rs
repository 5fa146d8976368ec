//! Kafka: the log of a cluster, in one topic.
//!
//! Owns what the ports mean there. A partition of the log is a partition of the topic, key and value
//! are the record's, and its epoch is a header (`headers`). The log's identity is the id that Kafka
//! gave the topic, so a topic that was made anew is another log. Its route table is a record of the
//! compacted topic of routes (`routes`), which connecting reads. One producer appends for the whole
//! process (`producer`), as long as the topic is the one that was found (`watch`); each reader is a
//! consumer on a thread of its own (`consumer`), of all partitions or of its share in a group
//! (`reader`). What nobody can decode goes to a topic of its own (`letters`). The topics themselves:
//! [`topics`].
//!
//! What Kafka does for itself is not done here: it forgets by the topic's own retention, and keeps
//! the order of a partition by the producer's idempotence. Settings: `settings`.

mod consumer;
mod headers;
mod letters;
mod meter;
mod producer;
mod reader;
mod routes;
mod settings;
pub mod topics;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use danmu_schemas::{LogIdentity, Partition};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer as _};

use crate::{AppendError, LogWriter, NewRecord, Routes};
use consumer::Membership;
pub use letters::LetterTopic;
use meter::{Ends, Meter};
use producer::Producer;
pub use reader::{KafkaReader, Reading};
pub use settings::{Options, TOPIC};
use watch::IdentityWatch;

/// Why there is no connection to a log.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The cluster has no such topic.
    #[error("there is no topic {0}: `danmu topics create` makes it")]
    NoTopic(String),
    /// Nobody has made the log's routes.
    #[error("{0} has no routes: `danmu topics create` makes them for a log without records")]
    NoRoutes(String),
    /// The routes are for another number of partitions: somebody has added some. What is in the log
    /// would be looked for in the wrong place.
    #[error("{topic} has {partitions} partitions, its routes are for {routed}")]
    OtherRoutes {
        /// The log.
        topic: String,
        /// How many it has.
        partitions: usize,
        /// How many it had.
        routed: u32,
    },
    /// The routes are not what any danmu of this version or older wrote.
    #[error("the routes of {topic} cannot be read: {why}")]
    UnreadableRoutes {
        /// The log.
        topic: String,
        /// What is wrong with them.
        why: String,
    },
    /// What was asked for cannot be.
    #[error("settings of Kafka")]
    Settings(#[source] KafkaError),
    /// The cluster does not answer, or refuses to.
    #[error("Kafka at {brokers} cannot be used")]
    Unusable {
        /// Where it should be.
        brokers: String,
        /// What went wrong.
        source: KafkaError,
    },
}

/// A connection to the log; clones are handles to the same one.
///
/// Records of one call stay together on their way: this connection puts no other between them, also
/// when it sends them again. Another connection may where a call is larger than one batch, which is
/// 1 MB. [`KafkaLog::close`] sends what waits; dropping the last handle gives it up, and whoever
/// waits for it is told that the outcome is not known.
#[derive(Debug, Clone)]
pub struct KafkaLog {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: Options,
    topic: Topic,
    routes: Routes,
    producer: Producer,
    meter: Meter,
    ends: Arc<Ends>,
    /// Nothing where another topic in its place would be no other log.
    watch: Option<IdentityWatch>,
}

/// What is known of the topic.
#[derive(Debug, Clone)]
struct Topic {
    name: String,
    identity: LogIdentity,
    partitions: Vec<Partition>,
}

impl KafkaLog {
    /// Connects to the topic, which must be there with its routes.
    pub async fn connect(options: Options) -> Result<Self, ConnectError> {
        // Made here and not on the thread that blocks, which has no recorder of metrics.
        let meter = Meter::new();
        let connect = move || {
            let topic = Topic::find(&options)?;
            let routes = routes::read(&options, &topic)?;
            let producer = Producer::new(&options, meter.clone());
            let producer = producer.map_err(ConnectError::Settings)?;
            let watch = IdentityWatch::start(&options, topic.identity.clone());
            let inner = Arc::new(Inner {
                options,
                topic,
                routes,
                producer,
                meter,
                ends: Arc::default(),
                watch: Some(watch.map_err(ConnectError::Settings)?),
            });
            Ok(Self { inner })
        };
        let connected = tokio::task::spawn_blocking(connect).await;
        connected.expect("connecting never panics")
    }

    /// Connects to the topic that this log's settled events go to, which must be there and have as many
    /// partitions. It has a producer of its own: neither waits for what the other sends.
    pub async fn settled(&self) -> Result<Self, ConnectError> {
        let log = Arc::clone(&self.inner);
        let connect = move || {
            let options = Options {
                topic: topics::settled(&log.options.topic),
                acknowledged_within: settings::DELIVERED_WITHIN,
                ..log.options.clone()
            };
            let topic = Topic::find(&options)?;
            if topic.partitions != log.topic.partitions {
                return Err(ConnectError::OtherRoutes {
                    topic: topic.name,
                    partitions: topic.partitions.len(),
                    routed: log.topic.partitions.len() as u32,
                });
            }
            let meter = log.meter.beside();
            let producer = Producer::new(&options, meter.clone());
            let producer = producer.map_err(ConnectError::Settings)?;
            let inner = Arc::new(Inner {
                options,
                topic,
                routes: log.routes.clone(),
                producer,
                meter,
                ends: Arc::default(),
                watch: None,
            });
            Ok(Self { inner })
        };
        let connected = tokio::task::spawn_blocking(connect).await;
        connected.expect("connecting never panics")
    }

    /// A reader of the log, connected on its own. It may outlive this connection.
    pub fn reader(&self, reading: Reading) -> Result<KafkaReader, ConnectError> {
        let Inner { options, topic, .. } = &*self.inner;
        let membership = Membership::new(
            topic.name.clone(),
            Arc::clone(&self.inner.ends),
            self.inner.meter.reader_errors.clone(),
        );
        KafkaReader::start(options, topic.clone(), reading, membership)
            .map_err(ConnectError::Settings)
    }

    /// Where records of the log go that nobody could decode, connected on its own. The topic must be there.
    pub async fn dead_letters(&self) -> Result<LetterTopic, ConnectError> {
        let inner = Arc::clone(&self.inner);
        let connect = move || LetterTopic::connect(&inner.options, inner.topic.identity.clone());
        let connected = tokio::task::spawn_blocking(connect).await;
        connected.expect("connecting never panics")
    }

    /// Which log this is.
    pub fn identity(&self) -> LogIdentity {
        self.inner.topic.identity.clone()
    }

    /// Whether another topic was found in the log's place: it takes nothing more.
    pub fn is_replaced(&self) -> bool {
        let watch = self.inner.watch.as_ref();
        watch.is_some_and(IdentityWatch::is_replaced)
    }

    /// Ends when another topic was found in the log's place.
    pub async fn replaced(&self) {
        match &self.inner.watch {
            Some(watch) => watch.replaced().await,
            None => std::future::pending().await,
        }
    }

    /// How much waits for its acknowledgement: records, and their bytes.
    pub fn waiting(&self) -> (usize, usize) {
        self.inner.producer.waiting()
    }

    /// The offset after the last record of `partition`, as members of a group that this connection reads
    /// for were told within the last second or so; nothing before.
    pub fn end_offset(&self, partition: Partition) -> Option<i64> {
        self.inner.ends.of(partition)
    }

    /// Every partition.
    pub fn partitions(&self) -> Vec<Partition> {
        self.inner.topic.partitions.clone()
    }

    /// Where each slot's records go.
    pub fn routes(&self) -> &Routes {
        &self.inner.routes
    }

    /// Sends what waits and ends the connection. Later appends are refused as overloaded. May be
    /// called again.
    pub async fn close(&self) {
        let inner = Arc::clone(&self.inner);
        let closed = tokio::task::spawn_blocking(move || inner.producer.close()).await;
        closed.expect("closing never panics");
    }
}

impl LogWriter for KafkaLog {
    async fn append(
        &self,
        partition: Partition,
        records: Vec<NewRecord>,
    ) -> Result<i64, AppendError> {
        assert!(!records.is_empty(), "an append has at least one record");
        assert!(
            self.inner.topic.partitions.contains(&partition),
            "the route table names existing partitions"
        );
        if self.is_replaced() {
            return Err(AppendError::Overloaded("another topic has the log's name"));
        }
        let answer = self.inner.producer.append(partition, &records)?;
        let within = self.inner.options.acknowledged_within;
        match tokio::time::timeout(within, answer).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(gone)) => Err(AppendError::Unknown(Box::new(gone))),
            Err(late) => Err(AppendError::Unknown(Box::new(late))),
        }
    }

    /// Kafka forgets by the topic's retention, whoever has read what.
    async fn trim(&self, _partition: Partition, _offset: i64) -> Result<(), AppendError> {
        Ok(())
    }
}

impl Topic {
    /// Asks the cluster for it. Blocks.
    fn find(options: &Options) -> Result<Self, ConnectError> {
        let client: BaseProducer = settings::client(options)
            .create()
            .map_err(ConnectError::Settings)?;
        let name = options.topic.clone();
        let unusable = |source| ConnectError::Unusable {
            brokers: options.brokers.clone(),
            source,
        };
        let within = options.connect_within;
        let id = danmu_topic_id::topic_id(client.client(), &name, within);
        let identity = match id {
            Ok(id) => LogIdentity(id),
            Err(RDKafkaErrorCode::UnknownTopicOrPartition) => {
                return Err(ConnectError::NoTopic(name));
            }
            Err(code) => return Err(unusable(KafkaError::MetadataFetch(code))),
        };
        let metadata = client.client().fetch_metadata(Some(&name), within);
        let metadata = metadata.map_err(unusable)?;
        let partitions = metadata
            .topics()
            .iter()
            .flat_map(|topic| topic.partitions());
        let partitions = partitions.filter_map(|partition| u32::try_from(partition.id()).ok());
        let mut partitions: Vec<_> = partitions.map(Partition).collect();
        partitions.sort_unstable();
        Ok(Self {
            name,
            identity,
            partitions,
        })
    }
}

/// A partition as Kafka counts it; none has a higher number.
fn number(partition: Partition) -> i32 {
    i32::try_from(partition.0).unwrap_or(i32::MAX)
}

/// How long a question to the cluster may take, once connected.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

//! What Kafka's clients are told: the choices that the log's promises rest on.
//!
//! A setting of the operator's (for TLS and SASL) is set first, so that none of ours can be undone.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;

/// How to connect to a log on Kafka.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the cluster is: `host:port`, more than one separated by commas.
    pub brokers: String,
    /// The topic that is the log.
    pub topic: String,
    /// Settings of librdkafka for the way to the cluster, such as `security.protocol`.
    pub settings: BTreeMap<String, String>,
    /// How long the first record of a batch waits for others.
    pub linger: Duration,
    /// Bytes that may wait for their acknowledgement, in all lanes; at most 64 MiB.
    pub queue_bytes_max: usize,
    /// Records that may wait for their acknowledgement, in all lanes.
    pub queue_records_max: usize,
    /// How long an append waits for its acknowledgement before its outcome is not known. It may come to
    /// be in the log later, for [`DELIVERED_WITHIN`].
    pub acknowledged_within: Duration,
    /// How long connecting may take.
    pub connect_within: Duration,
    /// A reader of a group that asks for nothing for so long stands still: it leaves its share to the
    /// others, once the group has noticed that it is silent.
    pub stalled_after: Duration,
}

/// The topic of a log whose address names none.
pub const TOPIC: &str = "danmu.room-events.v1";

/// The most that librdkafka holds: more than we let wait, with what it adds to each record.
const QUEUE_KIB_MAX: usize = 128 * 1024;

/// How long Kafka's client tries to deliver a record.
pub const DELIVERED_WITHIN: Duration = Duration::from_secs(30);

/// How long it tries to deliver a dead letter. A stop may have to wait for it.
const KEPT_WITHIN: Duration = Duration::from_secs(3);

/// A member that the group does not hear of for so long is gone.
const SESSION: Duration = Duration::from_secs(10);

impl Options {
    /// The defaults, for the log of the cluster at `brokers`.
    pub fn new(brokers: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            topic: TOPIC.to_owned(),
            settings: BTreeMap::new(),
            linger: Duration::from_millis(5),
            queue_bytes_max: 64 << 20,
            queue_records_max: 65_536,
            acknowledged_within: Duration::from_millis(1_500),
            connect_within: Duration::from_secs(30),
            stalled_after: Duration::from_secs(60),
        }
    }

    /// The defaults, for the log at `kafka://HOST:PORT,…[/TOPIC]`; what is wrong with another address.
    pub fn at(address: &str) -> Result<Self, &'static str> {
        let place = address.strip_prefix("kafka://");
        let place =
            place.ok_or("a log on Kafka is kafka://HOST:PORT, with /TOPIC if it has another")?;
        let (brokers, topic) = place.split_once('/').unwrap_or((place, TOPIC));
        let is_broker = |broker: &str| {
            let port = broker.rsplit_once(':').filter(|(host, _)| !host.is_empty());
            port.is_some_and(|(_, port)| port.parse::<u16>().is_ok())
        };
        if !brokers.split(',').all(is_broker) {
            return Err("each broker of Kafka is HOST:PORT");
        }
        if !is_topic(topic) {
            return Err("a topic has 1 to 249 of a-z A-Z 0-9 . _ -");
        }
        Ok(Self {
            topic: topic.to_owned(),
            ..Self::new(brokers)
        })
    }
}

/// As its address.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kafka://{}", self.brokers)?;
        match self.topic.as_str() {
            TOPIC => Ok(()),
            topic => write!(f, "/{topic}"),
        }
    }
}

/// Whether Kafka takes such a name.
fn is_topic(name: &str) -> bool {
    const LEN_MAX: usize = 249;
    let legal = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
    (1..=LEN_MAX).contains(&name.len()) && name.bytes().all(legal) && !matches!(name, "." | "..")
}

/// What every client is told.
pub fn client(options: &Options) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (name, value) in &options.settings {
        config.set(name, value);
    }
    config
        .set("bootstrap.servers", &options.brokers)
        .set("client.id", "danmu")
        // A broker that is slow to accept is not given up at once; one that is gone is soon tried again.
        .set("reconnect.backoff.max.ms", "2000");
    config
}

/// Acknowledged means that every replica in sync has it; sent again it keeps its place.
pub fn producer(options: &Options) -> ClientConfig {
    let mut config = client(options);
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set(
            "delivery.timeout.ms",
            DELIVERED_WITHIN.as_millis().to_string(),
        )
        .set("linger.ms", options.linger.as_millis().to_string())
        .set("compression.type", "lz4")
        .set("queue.buffering.max.kbytes", QUEUE_KIB_MAX.to_string())
        .set(
            "queue.buffering.max.messages",
            (2 * options.queue_records_max).to_string(),
        );
    config
}

/// Acknowledged means the same; what is not within seconds is sent again by who sent it.
pub fn letters(options: &Options) -> ClientConfig {
    let mut config = client(options);
    config
        .set("acks", "all")
        .set("delivery.timeout.ms", KEPT_WITHIN.as_millis().to_string())
        .set("linger.ms", "0")
        .set("compression.type", "lz4")
        // The topic's own limit holds.
        .set("message.max.bytes", "1000000000");
    config
}

/// Reads from where it is told, commits nothing by itself, and says so when a place is not there.
pub fn consumer(options: &Options, group: &str) -> ClientConfig {
    let mut config = client(options);
    config
        .set("group.id", group)
        .set("group.protocol", "classic")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("session.timeout.ms", SESSION.as_millis().to_string())
        .set("max.poll.interval.ms", "60000")
        .set("check.crcs", "true")
        .set("fetch.queue.backoff.ms", "50")
        .set("queued.max.messages.kbytes", "16384");
    config
}

/// A consumer that shares the partitions with the members of its group. A member with a name that
/// comes back within the session's time gets its partitions again, and nobody else notices.
pub fn member(options: &Options, group: &str, member: Option<&str>) -> ClientConfig {
    let mut config = consumer(options, group);
    let silent = options.stalled_after.max(SESSION);
    config
        .set("max.poll.interval.ms", silent.as_millis().to_string())
        // Each tells how far the log goes on beyond what was fetched.
        .set("statistics.interval.ms", "1000")
        .set("partition.assignment.strategy", "cooperative-sticky");
    if let Some(member) = member {
        config.set("group.instance.id", member);
    }
    config
}

#[cfg(test)]
mod tests;

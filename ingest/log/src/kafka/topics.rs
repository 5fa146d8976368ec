//! The topics of a log on Kafka: as they should be, made so, and compared with what is there.
//!
//! Four of them: the events, which are the log; settled events, for readers that know nothing of
//! settling; dead letters, what nobody could decode; and routes, which keeps the newest table of each
//! log. What is there already is never altered here: a topic that differs is the operator's to change,
//! and [`Topics::check`] says what.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::{Metadata, MetadataTopic};

use super::settings::{self, TOPIC};
use super::{ANSWER_WITHIN, ConnectError, Options, Topic, routes};

/// Where visible events go once they are settled, of the log in the default topic.
pub const SETTLED: &str = "danmu.settled-events.v1";

/// Where what nobody could decode goes.
pub const DEAD_LETTERS: &str = "danmu.dead-letters.v1";

/// Where each log's route table is kept.
pub const ROUTES: &str = "danmu.routes.v1";

/// The largest batch that the topics take.
const BATCH_BYTES_MAX: u32 = 1_048_588;

/// The largest dead letter: whatever the log takes, and what is said of it.
const LETTER_BYTES_MAX: u32 = 2 * BATCH_BYTES_MAX;

/// Copies of each record, where there are so many nodes.
const REPLICAS_MAX: usize = 3;

/// How often a topic that was made is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What an operator decides of the topics.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Partitions of the events, for ever: the routes are made for so many.
    pub partitions: NonZeroU32,
    /// How long events, settled events and dead letters are kept.
    pub retention: Duration,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            partitions: const { NonZeroU32::new(64).expect("64 is not 0") },
            retention: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

/// A topic as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    name: String,
    partitions: i32,
    replicas: i32,
    settings: Vec<(&'static str, String)>,
}

/// The administration of a cluster's topics.
pub struct Topics {
    options: Options,
    admin: AdminClient<Quiet>,
}

/// What fails is told by who asked.
struct Quiet;

impl ClientContext for Quiet {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka's administration");
    }
}

impl Topics {
    /// Of the cluster and log that `options` name.
    pub fn connect(options: Options) -> Result<Self, ConnectError> {
        let admin = settings::client(&options).create_with_context(Quiet);
        let admin = admin.map_err(ConnectError::Settings)?;
        Ok(Self { options, admin })
    }

    /// Makes those that are missing, and the log's routes; tells what was made, once it can be used.
    pub async fn create(&self, layout: &Layout) -> Result<Vec<String>, ConnectError> {
        let nodes = self.metadata()?.brokers().len();
        let wanted = wanted(&self.options.topic, layout, nodes);
        let new: Vec<_> = wanted.iter().map(Wanted::new_topic).collect();
        let within = AdminOptions::new()
            .request_timeout(Some(self.options.connect_within))
            .operation_timeout(Some(self.options.connect_within));
        let made = self.admin.create_topics(&new, &within).await;
        let mut names = Vec::new();
        for made in made.map_err(|error| self.unusable(error))? {
            match made {
                Ok(name) => names.push(name),
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(self.unusable(KafkaError::AdminOp(code))),
            }
        }
        self.wait_for(&wanted).await?;
        if routes::create(&self.options).await? {
            names.push(format!("routes of {}", self.options.topic));
        }
        Ok(names)
    }

    /// Every difference between the topics and routes and what they should be, a line each.
    pub async fn check(&self, layout: &Layout) -> Result<Vec<String>, ConnectError> {
        let metadata = self.metadata()?;
        let wanted = wanted(&self.options.topic, layout, metadata.brokers().len());
        let mut differences = Vec::new();
        for wanted in &wanted {
            let Some(found) = existing(&metadata, &wanted.name) else {
                differences.push(format!("{} is missing", wanted.name));
                continue;
            };
            differences.extend(wanted.differences_in_form(found));
            let settings = self.settings(&wanted.name).await?;
            differences.extend(wanted.differences_in_settings(&settings));
        }
        differences.extend(self.difference_in_routes()?);
        Ok(differences)
    }

    fn difference_in_routes(&self) -> Result<Option<String>, ConnectError> {
        let found = Topic::find(&self.options);
        match found.and_then(|topic| routes::read(&self.options, &topic)) {
            // That the topic is missing was said before.
            Ok(_) | Err(ConnectError::NoTopic(_)) => Ok(None),
            Err(
                wrong @ (ConnectError::NoRoutes(_)
                | ConnectError::OtherRoutes { .. }
                | ConnectError::UnreadableRoutes { .. }),
            ) => Ok(Some(wrong.to_string())),
            Err(error @ (ConnectError::Settings(_) | ConnectError::Unusable { .. })) => Err(error),
        }
    }

    async fn settings(&self, topic: &str) -> Result<ConfigResource, ConnectError> {
        let within = AdminOptions::new().request_timeout(Some(ANSWER_WITHIN));
        let asked = [ResourceSpecifier::Topic(topic)];
        let described = self.admin.describe_configs(&asked, &within).await;
        let described = described.map_err(|error| self.unusable(error))?.pop();
        described
            .unwrap_or(Err(RDKafkaErrorCode::UnknownTopicOrPartition))
            .map_err(|code| self.unusable(KafkaError::AdminOp(code)))
    }

    /// Each node hears of a new topic in its own time.
    async fn wait_for(&self, wanted: &[Wanted]) -> Result<(), ConnectError> {
        let deadline = Instant::now() + self.options.connect_within;
        loop {
            let metadata = self.metadata()?;
            let is_served = |wanted: &Wanted| {
                let partitions = existing(&metadata, &wanted.name).map(MetadataTopic::partitions);
                partitions.is_some_and(|all| all.iter().all(|one| one.leader() >= 0))
            };
            if wanted.iter().all(is_served) && Topic::find(&self.options).is_ok() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let code = RDKafkaErrorCode::OperationTimedOut;
                return Err(self.unusable(KafkaError::AdminOp(code)));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn metadata(&self) -> Result<Metadata, ConnectError> {
        let within = self.options.connect_within;
        let metadata = self.admin.inner().fetch_metadata(None, within);
        metadata.map_err(|error| self.unusable(error))
    }

    fn unusable(&self, source: KafkaError) -> ConnectError {
        ConnectError::Unusable {
            brokers: self.options.brokers.clone(),
            source,
        }
    }
}

/// Where the settled events of the log in `events` go: a topic of its own for each log, with as many
/// partitions.
pub fn settled(events: &str) -> String {
    if events == TOPIC {
        SETTLED.to_owned()
    } else {
        format!("{events}.settled")
    }
}

/// The topic of that name, where there is one.
pub(super) fn existing<'a>(metadata: &'a Metadata, name: &str) -> Option<&'a MetadataTopic> {
    let topics = metadata.topics().iter();
    let mut topics = topics.filter(|topic| topic.error().is_none());
    topics.find(|topic| topic.name() == name && !topic.partitions().is_empty())
}

/// The topics of the log in `events`, in a cluster of so many nodes.
fn wanted(events: &str, layout: &Layout, nodes: usize) -> Vec<Wanted> {
    let replicas = nodes.clamp(1, REPLICAS_MAX);
    let durable = [
        // With three copies one may be away, and no acknowledged record is in fewer than two.
        (
            "min.insync.replicas",
            replicas.saturating_sub(1).max(1).to_string(),
        ),
        ("unclean.leader.election.enable", "false".to_owned()),
        ("message.timestamp.type", "LogAppendTime".to_owned()),
    ];
    let topic = |name: &str, partitions: u32, kept: Vec<(&'static str, String)>| {
        let bytes_max = match name {
            DEAD_LETTERS => LETTER_BYTES_MAX,
            _ => BATCH_BYTES_MAX,
        };
        let bytes_max = ("max.message.bytes", bytes_max.to_string());
        Wanted {
            name: name.to_owned(),
            partitions: i32::try_from(partitions).unwrap_or(i32::MAX),
            replicas: replicas as i32,
            settings: durable
                .iter()
                .cloned()
                .chain([bytes_max])
                .chain(kept)
                .collect(),
        }
    };
    let for_a_time = vec![
        ("cleanup.policy", "delete".to_owned()),
        ("retention.ms", layout.retention.as_millis().to_string()),
        ("retention.bytes", "-1".to_owned()),
    ];
    let the_newest = vec![("cleanup.policy", "compact".to_owned())];
    vec![
        topic(events, layout.partitions.get(), for_a_time.clone()),
        topic(
            &settled(events),
            layout.partitions.get(),
            for_a_time.clone(),
        ),
        topic(DEAD_LETTERS, 1, for_a_time),
        topic(ROUTES, 1, the_newest),
    ]
}

impl Wanted {
    fn new_topic(&self) -> NewTopic<'_> {
        let replication = TopicReplication::Fixed(self.replicas);
        let topic = NewTopic::new(&self.name, self.partitions, replication);
        let settings = self.settings.iter();
        settings.fold(topic, |topic, (name, value)| topic.set(name, value))
    }

    fn differences_in_form(&self, found: &MetadataTopic) -> Vec<String> {
        let mut differences = Vec::new();
        let partitions = found.partitions();
        if partitions.len() != self.partitions as usize {
            let (name, wanted) = (&self.name, self.partitions);
            differences.push(format!(
                "{name}: {} partitions, not {wanted}",
                partitions.len()
            ));
        }
        for partition in partitions {
            let (replicas, wanted) = (partition.replicas().len(), self.replicas as usize);
            if replicas < wanted {
                let (name, number) = (&self.name, partition.id());
                differences.push(format!(
                    "{name}/{number}: {replicas} replicas, not {wanted}"
                ));
            }
        }
        differences
    }

    fn differences_in_settings(&self, found: &ConfigResource) -> Vec<String> {
        let mut differences = Vec::new();
        for (setting, wanted) in &self.settings {
            let value = found.get(setting).and_then(|entry| entry.value.as_deref());
            if value != Some(wanted) {
                let (name, value) = (&self.name, value.unwrap_or("unset"));
                differences.push(format!("{name}: {setting} is {value}, not {wanted}"));
            }
        }
        differences
    }
}

#[cfg(test)]
mod tests;

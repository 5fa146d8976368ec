//! `danmu topics`: makes what is missing, alters nothing, and tells all that differs.

use std::io::Write;
use std::process::Stdio;

use anyhow::Context;
use danmu_log::kafka::{ConnectError, KafkaLog, Options};
use danmu_log::{Lane, LogWriter, NewRecord};
use danmu_schemas::{Partition, Slot};
use danmu_stack::{Engine, Server};
use danmu_tests::server::{danmu, ended};
use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use tempfile::TempDir;

/// A cluster of a test's own: the names of most topics are fixed.
pub struct Own {
    pub server: Server,
    _directory: TempDir,
}

impl Own {
    pub fn start() -> anyhow::Result<Self> {
        let directory = TempDir::new()?;
        let server = Server::start(Engine::Kafka, danmu_stack::Options::new(directory.path()))?;
        Ok(Self {
            server,
            _directory: directory,
        })
    }

    /// How a task of the command ended: its code and what it told. It complains of nothing.
    pub fn topics(&self, task: &str, more: &[&str]) -> (Option<i32>, String) {
        let log = format!("kafka://{}", self.server.address());
        let (code, told, complained) = topics(task, &log, more);
        assert_eq!(complained, "", "{told}");
        (code, told)
    }

    pub fn operator(&self) -> anyhow::Result<AdminClient<DefaultClientContext>> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.server.address());
        config.create().context("connecting as an operator")
    }

    pub async fn connect(&self) -> Result<KafkaLog, ConnectError> {
        KafkaLog::connect(Options::new(self.server.address())).await
    }
}

fn topics(task: &str, log: &str, more: &[&str]) -> (Option<i32>, String, String) {
    let mut command = danmu();
    command.args(["topics", task, "--log", log]).args(more);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    ended(command.spawn().expect("the binary runs"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_made_once_and_then_all_is_well() -> anyhow::Result<()> {
    const THREE: [&str; 2] = ["--partitions", "3"];
    let own = Own::start()?;
    let (code, told) = own.topics("check", &THREE);
    assert_eq!(code, Some(1));
    assert_eq!(
        told,
        "wrong: danmu.room-events.v1 is missing\n\
         wrong: danmu.settled-events.v1 is missing\n\
         wrong: danmu.dead-letters.v1 is missing\n\
         wrong: danmu.routes.v1 is missing\n"
    );
    let made = "danmu.room-events.v1: made: danmu.room-events.v1, danmu.settled-events.v1, \
                danmu.dead-letters.v1, danmu.routes.v1, routes of danmu.room-events.v1\n";
    assert_eq!(own.topics("create", &THREE), (Some(0), made.to_owned()));
    let again = "danmu.room-events.v1: nothing to do\n";
    assert_eq!(own.topics("create", &THREE), (Some(0), again.to_owned()));
    let well = "danmu.room-events.v1: all is well\n";
    assert_eq!(own.topics("check", &THREE), (Some(0), well.to_owned()));

    let log = own.connect().await?;
    for slot in Slot::all() {
        let route = log.routes().route(slot);
        assert_eq!(
            (route.epoch, route.partition),
            (0, u32::from(slot.number()) % 3)
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_tells_all_that_differs() -> anyhow::Result<()> {
    let own = Own::start()?;
    let operator = own.operator()?;
    assert_eq!(own.topics("create", &["--partitions", "3"]).0, Some(0));
    let resource = ResourceSpecifier::Topic("danmu.dead-letters.v1");
    let altered = [AlterConfig::new(resource)
        .set("cleanup.policy", "compact")
        .set("message.timestamp.type", "CreateTime")];
    operator
        .alter_configs(&altered, &AdminOptions::new())
        .await?;

    let (code, told) = own.topics("check", &["--partitions", "4", "--retention-hours", "24"]);
    assert_eq!(code, Some(1));
    let wrong: Vec<_> = told
        .lines()
        .filter_map(|line| line.strip_prefix("wrong: "))
        .collect();
    assert_eq!(
        wrong,
        [
            "danmu.room-events.v1: 3 partitions, not 4",
            "danmu.room-events.v1: retention.ms is 604800000, not 86400000",
            "danmu.settled-events.v1: 3 partitions, not 4",
            "danmu.settled-events.v1: retention.ms is 604800000, not 86400000",
            "danmu.dead-letters.v1: message.timestamp.type is CreateTime, not LogAppendTime",
            "danmu.dead-letters.v1: max.message.bytes is 1048588, not 2097176",
            "danmu.dead-letters.v1: cleanup.policy is compact, not delete",
            "danmu.dead-letters.v1: retention.ms is 604800000, not 86400000",
        ]
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn added_partitions_are_refused() -> anyhow::Result<()> {
    let own = Own::start()?;
    assert_eq!(own.topics("create", &["--partitions", "3"]).0, Some(0));
    let more = [NewPartitions::new("danmu.room-events.v1", 4)];
    let operator = own.operator()?;
    operator
        .create_partitions(&more, &AdminOptions::new())
        .await?;

    let refused = own.connect().await.err();
    const OTHER: &str = "danmu.room-events.v1 has 4 partitions, its routes are for 3";
    assert_eq!(
        refused.map(|error| error.to_string()).as_deref(),
        Some(OTHER)
    );
    let (code, told) = own.topics("check", &["--partitions", "4"]);
    assert_eq!(code, Some(1));
    assert!(told.contains(&format!("wrong: {OTHER}\n")), "{told}");
    Ok(())
}

/// Whoever made the topic by hand has no routes; they are never guessed for what is in a log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_are_only_made_for_a_log_without_records() -> anyhow::Result<()> {
    let own = Own::start()?;
    let operator = own.operator()?;
    let by_hand = [NewTopic::new(
        "danmu.room-events.v1",
        2,
        TopicReplication::Fixed(1),
    )];
    operator
        .create_topics(&by_hand, &AdminOptions::new())
        .await?;
    let refused = own.connect().await.err();
    assert!(
        matches!(refused, Some(ConnectError::NoRoutes(_))),
        "{refused:?}"
    );

    assert_eq!(own.topics("create", &["--partitions", "2"]).0, Some(0));
    let log = own.connect().await?;
    let record = NewRecord {
        epoch: 0,
        lane: Lane::Viewers,
        key: "room".into(),
        value: "a record".into(),
        traceparent: None,
    };
    log.append(Partition(1), vec![record]).await?;
    log.close().await;

    operator
        .delete_topics(&["danmu.routes.v1"], &AdminOptions::new())
        .await?;
    let at = format!("kafka://{}", own.server.address());
    let (code, _, complained) = topics("create", &at, &["--partitions", "2"]);
    assert_eq!(code, Some(1), "{complained}");
    assert!(
        complained.contains("danmu.room-events.v1 has no routes"),
        "{complained}"
    );
    let (code, told) = own.topics("check", &["--partitions", "2"]);
    assert_eq!(code, Some(1), "{told}");
    assert!(
        told.contains("danmu.room-events.v1 has no routes"),
        "{told}"
    );
    Ok(())
}

#[test]
fn a_cluster_that_is_not_there_is_named_in_one_line() {
    for task in ["create", "check"] {
        let (code, told, complained) = topics(task, "kafka://127.0.0.1:1", &[]);
        assert_eq!((code, told.as_str()), (Some(1), ""), "{complained}");
        assert!(
            complained.contains("Kafka at 127.0.0.1:1 cannot be used"),
            "{complained}"
        );
        assert_eq!(complained.lines().count(), 1, "{complained}");
    }
}

/// The job that makes topics has a server's environment, and not the files that only a server needs.
#[test]
fn other_settings_are_let_be_and_wrong_ones_of_the_log_are_told() {
    let own = Own::start().unwrap();
    let create = |settings: &str| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(settings.as_bytes()).unwrap();
        let mut command = danmu();
        command
            .args(["topics", "create", "--partitions", "1"])
            .env("DANMU_LOG", format!("kafka://{}", own.server.address()))
            .env("DANMU_LOG_SETTINGS_FILE", file.path())
            .env("DANMU_LISTEN", "0.0.0.0:8080")
            .env("DANMU_TOKEN_SECRET_FILE", "/not/there");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        ended(command.spawn().expect("the binary runs"))
    };
    let (code, _, complained) = create("security.protocol=plaintext\n");
    assert_eq!((code, complained.as_str()), (Some(0), ""));
    let (code, _, complained) = create("security.protocol=pigeon\n");
    assert_eq!(code, Some(1), "{complained}");
    assert!(complained.contains("pigeon"), "{complained}");
    let (code, _, complained) = create("acks=0\n");
    assert_eq!(code, Some(78), "{complained}");
    assert!(
        complained.contains("acks is not of the way"),
        "{complained}"
    );
}

#[test]
fn a_log_elsewhere_is_a_wrong_command_line() {
    let (code, _, complained) = topics("check", "embedded:somewhere", &[]);
    assert_eq!(code, Some(64), "{complained}");
    assert!(complained.contains("kafka://HOST:PORT"), "{complained}");
}

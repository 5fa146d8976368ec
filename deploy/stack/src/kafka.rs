//! Kafka, from Maven: one node that is broker and controller, without topics made by accident.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::engine::Place;
use crate::install::{self, Artifact};
use crate::wire;

const JARS: [Artifact; 2] = [
    ("org.apache.kafka", "kafka_2.13", "4.3.1"),
    ("org.apache.logging.log4j", "log4j-slf4j-impl", "2.24.3"),
];

const TOOLS: [Artifact; 2] = [
    ("org.apache.kafka", "kafka-tools", "4.3.1"),
    ("org.apache.logging.log4j", "log4j-slf4j-impl", "2.24.3"),
];

/// What it prints, and how.
const LOGGING: &str = "\
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %p %c{1} %m%n
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = console
";

pub fn command(place: &Place<'_>) -> Result<Command> {
    let java = install::java()?;
    let classes = install::jars("kafka-4.3.1", &JARS)?.join("*");
    let settings = place.directory.join("server.properties");
    let logging = place.directory.join("log4j2.properties");
    fs::write(&settings, properties(place))?;
    fs::write(&logging, LOGGING)?;

    let run = |main: &str| {
        let mut command = Command::new(&java);
        command
            .args(["-Xmx512m", "-XX:+UseSerialGC"])
            .arg(format!("-Dlog4j2.configurationFile={}", logging.display()))
            .arg("-cp")
            .arg(&classes)
            .arg(main);
        command
    };
    if !place.directory.join("data/meta.properties").exists() {
        format(&settings, run).context("formatting Kafka's directory")?;
    }
    let mut command = run("kafka.Kafka");
    command.arg(settings);
    Ok(command)
}

/// One of Kafka's own tools, by the name of its class.
pub fn tool(main: &str) -> Result<Command> {
    let classes = install::jars("kafka-tools-4.3.1", &TOOLS)?.join("*");
    let mut command = Command::new(install::java()?);
    command
        .args(["-Xmx512m", "-XX:+UseSerialGC", "-cp"])
        .arg(classes)
        .arg(main);
    Ok(command)
}

/// Gives the directory to a new cluster.
fn format(settings: &Path, run: impl Fn(&str) -> Command) -> Result<()> {
    let tool = "kafka.tools.StorageTool";
    let id = install::output(run(tool).arg("random-uuid"))?;
    let id = id
        .lines()
        .last()
        .context("no id of a cluster was printed")?;
    install::output(run(tool).args(["format", "-t", id, "-c"]).arg(settings))?;
    Ok(())
}

fn properties(place: &Place<'_>) -> String {
    let (client, peer) = (place.port, place.peer_port);
    let one = || "1".to_owned();
    let listeners = format!("PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{peer}");
    let settings = place.settings_over(&[
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", one()),
        ("controller.quorum.voters", format!("1@127.0.0.1:{peer}")),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        ("listeners", listeners),
        (
            "log.dirs",
            place.directory.join("data").display().to_string(),
        ),
        ("offsets.topic.num.partitions", one()),
        ("offsets.topic.replication.factor", one()),
        ("transaction.state.log.num.partitions", one()),
        ("transaction.state.log.replication.factor", one()),
        ("transaction.state.log.min.isr", one()),
        ("share.coordinator.state.topic.num.partitions", one()),
        ("share.coordinator.state.topic.replication.factor", one()),
        ("share.coordinator.state.topic.min.isr", one()),
        ("group.initial.rebalance.delay.ms", "0".to_owned()),
        ("auto.create.topics.enable", "false".to_owned()),
    ]);
    let lines = settings
        .iter()
        .map(|(name, value)| format!("{name}={value}\n"));
    lines.collect()
}

/// Asks for the cluster's brokers: one that has not joined yet answers without any.
pub fn is_ready(address: SocketAddr) -> io::Result<bool> {
    const METADATA: i16 = 3;
    const VERSION: i16 = 1;
    const CORRELATION: i32 = 7;
    let mut request = Vec::new();
    request.extend(METADATA.to_be_bytes());
    request.extend(VERSION.to_be_bytes());
    request.extend(CORRELATION.to_be_bytes());
    request.extend((-1i16).to_be_bytes()); // no name of a client
    request.extend(0i32.to_be_bytes()); // about no topic
    let mut question = (request.len() as u32).to_be_bytes().to_vec();
    question.extend(request);

    let word = |answer: &[u8], at: usize| {
        let bytes = answer.get(at..at + 4)?;
        bytes.try_into().ok().map(i32::from_be_bytes)
    };
    let answer = wire::ask(address, &question, |answer| answer.len() >= 12)?;
    let brokers = word(&answer, 8).unwrap_or(0);
    Ok(word(&answer, 4) == Some(CORRELATION) && brokers > 0)
}

//! Cassandra, from Maven: one node that syncs its commit log before it acknowledges.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::process::Command;

use anyhow::Result;

use crate::engine::Place;
use crate::install::{self, Artifact};
use crate::wire;

const JARS: [Artifact; 1] = [("org.apache.cassandra", "cassandra-all", "5.0.6")];

/// What it prints, and how.
const LOGGING: &str = r#"<configuration>
  <appender name="console" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%date %level %logger{1} %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="console"/></root>
</configuration>
"#;

/// What it needs of Java's inside.
const EXPORTS: [&str; 10] = [
    "java.base/java.lang.ref",
    "java.base/jdk.internal.misc",
    "java.base/sun.nio.ch",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
    "jdk.attach/sun.tools.attach",
    "jdk.compiler/com.sun.tools.javac.file",
    "jdk.unsupported/sun.misc",
];
const OPENS: [&str; 15] = [
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.lang.reflect",
    "java.base/java.nio",
    "java.base/java.util",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar",
    "java.base/sun.nio.ch",
    "jdk.compiler/com.sun.tools.javac",
    "jdk.management/com.sun.management.internal",
];

pub fn command(place: &Place<'_>) -> Result<Command> {
    let jars = install::jars("cassandra-5.0.6", &JARS)?;
    let settings = place.directory.join("cassandra.yaml");
    let logging = place.directory.join("logback.xml");
    fs::write(&settings, yaml(place))?;
    fs::write(&logging, LOGGING)?;

    let mut command = Command::new(install::java()?);
    command
        .current_dir(place.directory)
        .args(["-Xms512m", "-Xmx512m", "-XX:+UseSerialGC"])
        .arg(format!(
            "-javaagent:{}",
            jars.join("jamm-0.4.0.jar").display()
        ));
    for module in EXPORTS {
        command.arg(format!("--add-exports={module}=ALL-UNNAMED"));
    }
    for module in OPENS {
        command.arg(format!("--add-opens={module}=ALL-UNNAMED"));
    }
    let properties = [
        ("jdk.attach.allowAttachSelf", "true".to_owned()),
        ("io.netty.tryReflectionSetAccessible", "true".to_owned()),
        ("logback.configurationFile", logging.display().to_string()),
        ("cassandra.config", format!("file://{}", settings.display())),
        (
            "cassandra.storagedir",
            place.directory.display().to_string(),
        ),
        ("cassandra.foreground", "yes".to_owned()),
        ("cassandra.skip_wait_for_gossip_to_settle", "0".to_owned()),
        ("cassandra.ring_delay_ms", "1".to_owned()),
    ];
    let properties = properties
        .iter()
        .map(|(name, value)| format!("-D{name}={value}"));
    command.args(properties).arg("-cp").arg(jars.join("*"));
    command.arg("org.apache.cassandra.service.CassandraDaemon");
    Ok(command)
}

fn yaml(place: &Place<'_>) -> String {
    let directory = |name: &str| format!("{:?}", place.directory.join(name));
    let seeds = format!(
        "[{{class_name: org.apache.cassandra.locator.SimpleSeedProvider, \
         parameters: [{{seeds: \"127.0.0.1:{}\"}}]}}]",
        place.peer_port
    );
    let settings = place.settings_over(&[
        ("cluster_name", "danmu".to_owned()),
        ("num_tokens", "1".to_owned()),
        (
            "partitioner",
            "org.apache.cassandra.dht.Murmur3Partitioner".to_owned(),
        ),
        ("endpoint_snitch", "SimpleSnitch".to_owned()),
        ("seed_provider", seeds),
        ("listen_address", "127.0.0.1".to_owned()),
        ("storage_port", place.peer_port.to_string()),
        ("rpc_address", "127.0.0.1".to_owned()),
        ("start_native_transport", "true".to_owned()),
        ("native_transport_port", place.port.to_string()),
        ("commitlog_sync", "group".to_owned()),
        ("commitlog_sync_group_window", "5ms".to_owned()),
        ("data_file_directories", format!("[{}]", directory("data"))),
        ("commitlog_directory", directory("commitlog")),
        ("hints_directory", directory("hints")),
        ("saved_caches_directory", directory("saved_caches")),
        ("cdc_raw_directory", directory("cdc_raw")),
    ]);
    let lines = settings
        .iter()
        .map(|(name, value)| format!("{name}: {value}\n"));
    lines.collect()
}

/// Asks which options it knows; it listens only once it serves.
pub fn is_ready(address: SocketAddr) -> io::Result<bool> {
    const OPTIONS: [u8; 9] = [4, 0, 0, 0, 5, 0, 0, 0, 0];
    const SUPPORTED: u8 = 6;
    let answer = wire::ask(address, &OPTIONS, |answer| answer.len() >= OPTIONS.len())?;
    Ok(answer.get(4) == Some(&SUPPORTED))
}

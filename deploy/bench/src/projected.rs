//! S3: a loaded topic projected (ordered, deduplicated, written, positions committed), against a bare
//! consumer that counts its records.
//!
//! Both begin at the topic's first record, and are timed from the first records that they have to the
//! last. Each of our runs is a process of its own over stores that were empty; the consumer's CPU time is
//! this process's, which does nothing else meanwhile.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use danmu_log::kafka::{KafkaLog, Options};
use danmu_log::{Lane, LogWriter, NewRecord};
use danmu_schemas::RoomId;
use danmu_stack::{Engine, Server};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use tempfile::TempDir;

use crate::measure::{Pairs, Run, process_cpu};
use crate::process::Process;
use crate::report::{Figure, Findings, Target};
use crate::sample::{self, Record};
use crate::{Size, engines, load};

const ONE: Target = Target::AtLeast(0.5);
const BOTH: Target = Target::AtLeast(0.3);
const ROOMS: usize = 1_000;
/// Comments in a second of log time.
const PER_SECOND: i64 = 20_000;
/// Records of one append.
const APPENDED: usize = 512;
/// How long a run may take.
const RUN_WITHIN: Duration = Duration::from_secs(300);
/// How long the consumer waits for a record.
const POLLED_FOR: Duration = Duration::from_secs(1);
/// How often the server is asked how far it is.
const ASKED_EVERY: Duration = Duration::from_millis(20);

/// Windows alone, history alone, both in one process.
pub fn run(size: Size, binary: &Path) -> Result<Findings> {
    let stage = Stage::start(size, binary)?;
    let mut findings = Findings::default();
    for (roles, target) in [
        (&["windows"][..], ONE),
        (&["history"], ONE),
        (&["windows", "history"], BOTH),
    ] {
        let pairs = Pairs::interleave(
            size.pairs,
            || stage.project(binary, roles),
            || stage.count(),
        )?;
        let what = format!(
            "S3 {} from a loaded topic: events over a consumer that counts",
            roles.join(" and ")
        );
        let figure = Figure::new(what, target, &pairs);
        findings.figures.push(figure);
    }
    Ok(findings)
}

/// The engines, and a topic with records.
struct Stage {
    kafka: Server,
    cassandra: Server,
    log: String,
    topic: String,
    records: u64,
    directory: TempDir,
}

impl Stage {
    fn start(size: Size, binary: &Path) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let kafka = engines::start(Engine::Kafka, directory.path())?;
        let cassandra = engines::start(Engine::Cassandra, directory.path())?;
        let log = engines::new_log(binary, &kafka)?;
        let (_, topic) = log.rsplit_once('/').context("no topic")?;
        let options = Options {
            topic: topic.to_owned(),
            acknowledged_within: RUN_WITHIN,
            ..Options::new(kafka.address())
        };
        let records = sample::log(size.of(400_000, 2_000), ROOMS, PER_SECOND);
        tokio::runtime::Runtime::new()?.block_on(fill(options, &records))?;
        Ok(Self {
            topic: topic.to_owned(),
            records: records.len() as u64,
            kafka,
            cassandra,
            log,
            directory,
        })
    }

    fn project(&self, binary: &Path, roles: &[&str]) -> Result<Run> {
        let place = tempfile::tempdir_in(self.directory.path())?;
        let redis = engines::start(Engine::Redis, place.path())?;
        let windows = format!("redis://{}/0", redis.address());
        let history = engines::new_history(binary, &self.cassandra)?;
        let flags = ["--roles", &roles.join(","), "--log", &self.log];
        let stores = ["--windows", &windows, "--history", &history];
        let flags = [&flags[..], &stores].concat();
        let server = Process::danmu(binary, &place.path().join("data"), &flags)?;
        let (settled, cpu, started) = self.settled(&server, roles, 1)?;
        let (all, cpu_after, ended) = self.settled(&server, roles, self.records)?;
        Ok(Run {
            units: all - settled,
            cpu: cpu_after - cpu,
            wall: ended - started,
        })
    }

    /// Waits until each of the loops has settled so many records: the number of the one that is behind,
    /// and the server's CPU time and the moment then.
    fn settled(
        &self,
        server: &Process,
        roles: &[&str],
        wanted: u64,
    ) -> Result<(u64, Duration, Instant)> {
        let admin = server.admin.context("it has no admin listener")?;
        let deadline = Instant::now() + RUN_WITHIN;
        loop {
            let (_, metrics) = load::ask_once(admin, &load::get("/metrics"))?;
            let metrics = String::from_utf8(metrics)?;
            let settled = roles.iter().map(|role| records_of(&metrics, role)).min();
            let settled = settled.context("no role")?;
            if settled >= wanted {
                return Ok((settled, server.cpu()?, Instant::now()));
            }
            ensure!(Instant::now() < deadline, "only {settled} are settled");
            std::thread::sleep(ASKED_EVERY);
        }
    }

    fn count(&self) -> Result<Run> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.kafka.address())
            .set("group.id", "bench")
            .set("enable.auto.commit", "false")
            .create()?;
        let mut assigned = TopicPartitionList::new();
        for partition in 0..engines::PARTITIONS as i32 {
            assigned.add_partition_offset(&self.topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&assigned)?;
        consumer.poll(RUN_WITHIN).context("nothing in time")??;
        let (before, started) = (process_cpu(), Instant::now());
        let mut counted = 1;
        while counted < self.records {
            consumer.poll(POLLED_FOR).context("a record is missing")??;
            counted += 1;
        }
        Ok(Run {
            units: self.records - 1,
            cpu: process_cpu() - before,
            wall: started.elapsed(),
        })
    }
}

/// Appends all of it, each room's events in their order.
async fn fill(options: Options, records: &[Record]) -> Result<()> {
    let log = KafkaLog::connect(options).await?;
    for records in records.chunks(APPENDED) {
        let mut appends = vec![Vec::new(); engines::PARTITIONS as usize];
        for record in records {
            let room = RoomId::parse(&record.room)?;
            let route = log.routes().route(room.slot());
            appends[route.partition as usize].push(NewRecord {
                epoch: route.epoch,
                lane: Lane::Viewers,
                key: Bytes::copy_from_slice(room.as_str().as_bytes()),
                value: record.value.clone(),
                traceparent: None,
            });
        }
        for (partition, records) in log.partitions().into_iter().zip(appends) {
            if !records.is_empty() {
                log.append(partition, records).await?;
            }
        }
    }
    log.close().await;
    Ok(())
}

/// How many records a group has settled, of every kind.
fn records_of(metrics: &str, group: &str) -> u64 {
    let of_group = format!("group=\"{group}\"");
    let lines = metrics.lines().filter(|line| {
        line.starts_with("danmu_projector_records_total{") && line.contains(&of_group)
    });
    let values = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
    values.sum::<f64>() as u64
}

//! Ingest into Kafka. S6: one comment a request, against bare hyper that reads the same body and answers
//! 200. S5: arrays of 100, against Kafka's own `kafka-producer-perf-test` with records of the same size and
//! the same linger, acknowledgements, compression and partitions.
//!
//! Our server has the role of ingest alone. What the brokers pay is on neither side; the CPU time of the
//! perf test includes the start of its JVM, its wall clock is what it tells itself.

use std::borrow::Cow;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use danmu_stack::{Engine, Server, kafka_tool};

use crate::ingest::{ARRAY, CLIENTS, Compared, request};
use crate::measure::{Pairs, Run};
use crate::process::{Process, ended_children_cpu};
use crate::report::{Figure, Findings, Target};
use crate::{Size, engines, load};

const SINGLES: Target = Target::AtLeast(0.5);
const ARRAYS: Target = Target::AtLeast(0.8);
/// What a comment's record takes.
const RECORD_BYTES: usize = 150;

/// Singles, then arrays.
pub fn run(size: Size, binary: &Path) -> Result<Findings> {
    let directory = tempfile::tempdir()?;
    let kafka = engines::start(Engine::Kafka, directory.path())?;
    let log = engines::new_log(binary, &kafka)?;
    let data = directory.path().join("data");
    let flags = ["--roles", "ingest", "--log", &log, "--room-rate", "off"];
    let flags = [&flags[..], &["--user-rate", "off", "--address-rate", "off"]].concat();
    let server = Process::danmu(binary, &data, &flags)?;

    let compared = Compared::of(&server, size, 1, size.of(60_000, 200))?;
    let what = format!("S6 ingest to Kafka, {}", compared.load);
    let singles = Figure::new(what, SINGLES, &compared.whole);

    let other = engines::new_log(binary, &kafka)?;
    let (_, topic) = other.rsplit_once('/').context("no topic")?;
    let pairs = Pairs::interleave(
        size.pairs,
        || arrays(&server, size.of(4_000, 70)),
        || perf_test(&kafka, topic, size.of(1_000_000, 1_000)),
    )?;
    let what = format!(
        "S5 ingest to Kafka, {CLIENTS} clients, {ARRAY} a request: events over producer-perf-test's"
    );
    let arrays = Figure::new(what, ARRAYS, &pairs);
    Ok(Findings {
        figures: vec![singles, arrays],
        ..Findings::default()
    })
}

fn arrays(server: &Process, requests: usize) -> Result<Run> {
    let bodies: Vec<_> = (0..CLIENTS).map(|client| request(client, ARRAY)).collect();
    let request = |n: usize| Cow::Borrowed(&*bodies[n % CLIENTS]);
    let (before, started) = (server.cpu()?, Instant::now());
    load::hammer(server.address, CLIENTS, requests, request)?;
    Ok(Run {
        units: (requests * ARRAY) as u64,
        wall: started.elapsed(),
        cpu: server.cpu()? - before,
    })
}

fn perf_test(kafka: &Server, topic: &str, records: usize) -> Result<Run> {
    let before = ended_children_cpu()?;
    let output = kafka_tool("org.apache.kafka.tools.ProducerPerformance")?
        .args(["--topic", topic, "--throughput", "-1"])
        .args(["--num-records", &records.to_string()])
        .args(["--record-size", &RECORD_BYTES.to_string()])
        .arg("--producer-props")
        .arg(format!("bootstrap.servers={}", kafka.address()))
        .args(["acks=all", "linger.ms=5", "compression.type=lz4"])
        .output()?;
    ensure!(output.status.success(), "{output:?}");
    let told = String::from_utf8(output.stdout)?;
    let rate = told.lines().last().and_then(records_per_second);
    let rate = rate.with_context(|| format!("no rate in {told}"))?;
    Ok(Run {
        units: records as u64,
        wall: Duration::from_secs_f64(records as f64 / rate),
        cpu: ended_children_cpu()? - before,
    })
}

/// Of a line like `1000 records sent, 323.6 records/sec (0.05 MB/sec), …`.
fn records_per_second(line: &str) -> Option<f64> {
    let (before, _) = line.split_once(" records/sec")?;
    before.rsplit(' ').next()?.parse().ok()
}

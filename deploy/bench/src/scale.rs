//! G1: what grows with the work, and what should not: many rooms, and one long room, beside small ones.
//!
//! Fills a server over HTTP, ends it as a power cut would, starts it again and asks. Latencies are of an
//! open loop: from when a poll should have been sent, so that a stall counts for all that it held up.

use std::borrow::Cow;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::Size;
use crate::load::{self, get, post};
use crate::process::Process;
use crate::report::{Findings, Measure};

const CLIENTS: usize = 16;
/// Events in a request.
const ARRAY: usize = 100;
const POLLS: usize = 4_000;
const POLLS_PER_SECOND: u32 = 400;

/// How many rooms there are, and how long each is.
#[derive(Debug, Clone, Copy)]
struct Shape {
    rooms: usize,
    events: usize,
}

/// Small and large ones.
pub fn run(size: Size, binary: &Path) -> Result<Findings> {
    let shape = |rooms, events| Shape { rooms, events };
    let shapes = [
        shape(100, 100),
        shape(size.of(10_000, 200), 100),
        shape(1, 10_000),
        shape(1, size.of(1_000_000, 12_000)),
    ];
    let mut findings = Findings::default();
    for shape in shapes {
        measure(&mut findings, size, binary, shape)?;
    }
    Ok(findings)
}

fn measure(findings: &mut Findings, size: Size, binary: &Path, shape: Shape) -> Result<()> {
    let mut note = |what: &str, value: f64, unit: &str| {
        let Shape { rooms, events } = shape;
        let what = format!("{rooms} × {events} events: {what}");
        findings.measures.push(Measure::new(what, value, unit));
    };
    let directory = tempfile::tempdir()?;
    let data = directory.path().join("data");
    let server = Process::danmu(binary, &data, &[])?;
    server.wait_until_ready()?;

    let started = Instant::now();
    fill(&server, shape)?;
    let total = (shape.rooms * shape.events) as f64;
    let per_event = |cpu: Duration| cpu.as_secs_f64() * 1e6 / total;
    note(
        "filled",
        total / started.elapsed().as_secs_f64(),
        "events/s",
    );
    note("CPU", per_event(server.cpu()?), "µs/event");
    note("memory, filled", mebibytes(server.resident_bytes()?), "MiB");
    let most = mebibytes(server.resident_bytes_max()?);
    note("memory at most, while filled", most, "MiB");
    server.kill()?;

    let started = Instant::now();
    let server = Process::danmu(binary, &data, &[])?;
    server.wait_until_ready()?;
    note(
        "start after kill -9",
        started.elapsed().as_secs_f64() * 1e3,
        "ms",
    );
    note("CPU of that start", server.cpu()?.as_secs_f64() * 1e3, "ms");
    note(
        "memory, started",
        mebibytes(server.resident_bytes()?),
        "MiB",
    );

    let polls = size.of(POLLS, 40);
    let newest = |n| Cow::Owned(get(&format!("/v1/rooms/{}/events", room(shape, n))));
    let after = |n: usize| {
        let cursor = n * 7_919 % shape.events;
        Cow::Owned(get(&format!(
            "/v1/rooms/{}/events?after=1:{cursor}",
            room(shape, n)
        )))
    };
    for (what, took) in [
        ("newest page", paced(&server, polls, newest)?),
        ("page after a cursor", paced(&server, polls, after)?),
    ] {
        note(&format!("{what}, p50"), percentile(&took, 50), "ms");
        note(&format!("{what}, p99"), percentile(&took, 99), "ms");
    }
    Ok(())
}

/// Posts every event, and waits until the newest are visible.
fn fill(server: &Process, shape: Shape) -> Result<()> {
    let requests = shape.rooms * shape.events / ARRAY;
    load::hammer(server.address, CLIENTS, requests, |n| {
        let event = format!(
            r#"{{"kind":"comment","user":{{"id":"user-{n}","name":"Ann 安 {n}"}},"text":"前方高能, hold on to your seats"}}"#
        );
        let body = format!("[{}]", vec![event; ARRAY].join(","));
        let path = format!("/v1/rooms/{}/events", room(shape, n));
        Cow::Owned(post(&path, &body))
    })?;
    let head = format!("\"head\":{},", shape.events);
    for n in 0..shape.rooms {
        let newest = get(&format!("/v1/rooms/{}/events?limit=1", room(shape, n)));
        server.wait_until(&newest, |body| {
            String::from_utf8_lossy(body).contains(&head)
        })?;
    }
    Ok(())
}

fn room(shape: Shape, n: usize) -> String {
    format!("stage-{}", n % shape.rooms)
}

/// Latencies, ascending.
fn paced<'a>(
    server: &Process,
    count: usize,
    request: impl Fn(usize) -> Cow<'a, [u8]>,
) -> Result<Vec<Duration>> {
    let every = Duration::from_secs(1) / POLLS_PER_SECOND;
    let mut took = load::paced(server.address, CLIENTS, count, every, request)?;
    took.sort_unstable();
    Ok(took)
}

/// In milliseconds.
fn percentile(ascending: &[Duration], percent: usize) -> f64 {
    let place = (ascending.len() * percent / 100).min(ascending.len() - 1);
    ascending[place].as_secs_f64() * 1e3
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

//! S7: embedded ingest with its sync, one comment a request and 100, against bare hyper that reads the
//! same body and answers 200.
//!
//! The server has every role, so its CPU time is told twice: of the whole process, and without the
//! threads of the projections, which is what ingest alone costs.

use std::borrow::Cow;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::Size;
use crate::load::{self, post};
use crate::measure::{Pairs, Run};
use crate::peer;
use crate::process::Process;
use crate::report::{Figure, Findings, Target};

const CLIENTS: usize = 64;
const ARRAY: usize = 100;
const TARGET: Target = Target::AtLeast(0.45);
/// The threads of the projections: our loops and the store's own.
const PROJECTIONS: [&str; 3] = ["danmu-windows", "danmu-history", "fjall"];

/// Singles and arrays.
pub fn run(size: Size, binary: &Path) -> Result<Findings> {
    let mut findings = Findings::default();
    compare(&mut findings, size, binary, 1, size.of(60_000, 200))?;
    compare(&mut findings, size, binary, ARRAY, size.of(4_000, 70))?;
    Ok(findings)
}

fn compare(
    findings: &mut Findings,
    size: Size,
    binary: &Path,
    events: usize,
    requests: usize,
) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let server = Process::danmu(binary, &directory.path().join("data"))?;
    server.wait_until_ready()?;
    let bodies: Vec<_> = (0..CLIENTS).map(|client| request(client, events)).collect();
    let (head, body) = load::ask_once(server.address, &bodies[0])?;
    let peer = peer::start(directory.path(), &head, &body)?;
    let (mut whole, mut ingest) = (Pairs::default(), Pairs::default());
    let hammer = |server: &Process| {
        let request = |n: usize| Cow::Borrowed(&*bodies[n % CLIENTS]);
        Cost::of(server, || {
            load::hammer(server.address, CLIENTS, requests, request)
        })
    };
    for pair in 0..=size.pairs {
        let (ours, theirs) = (hammer(&server)?, hammer(&peer)?);
        // The first is not counted.
        if pair > 0 {
            let units = (requests * events) as u64;
            whole.push(ours.run(units, ours.whole), theirs.run(units, theirs.whole));
            ingest.push(
                ours.run(units, ours.ingest),
                theirs.run(units, theirs.whole),
            );
        }
    }
    let name = |of: &str| {
        format!("S7 {of}, {CLIENTS} clients, {events} a request: events over bare hyper's")
    };
    let figure = Figure::new(name("embedded ingest with sync"), TARGET, &ingest);
    findings.figures.push(figure);
    let figure = Figure::new(name("the same with both projections"), TARGET, &whole);
    findings.figures.push(figure);
    Ok(())
}

/// What some work cost a server.
struct Cost {
    whole: Duration,
    ingest: Duration,
    wall: Duration,
}

impl Cost {
    fn of<T>(server: &Process, work: impl FnOnce() -> Result<T>) -> Result<Self> {
        let before = (server.cpu()?, server.cpu_without(&PROJECTIONS)?);
        let started = Instant::now();
        work()?;
        Ok(Self {
            wall: started.elapsed(),
            whole: server.cpu()? - before.0,
            ingest: server.cpu_without(&PROJECTIONS)?.saturating_sub(before.1),
        })
    }

    fn run(&self, units: u64, cpu: Duration) -> Run {
        Run {
            units,
            cpu,
            wall: self.wall,
        }
    }
}

/// A client's request: it is the same each time, and the server gives each event an id.
fn request(client: usize, events: usize) -> Vec<u8> {
    let event = format!(
        r#"{{"kind":"comment","user":{{"id":"user-{client}","name":"Ann 安 {client}"}},"text":"前方高能, hold on to your seats","style":{{"color":16777215}}}}"#
    );
    let body = match events {
        1 => event,
        _ => format!("[{}]", vec![event; events].join(",")),
    };
    post(&format!("/v1/rooms/stage-{}/events", client % 16), &body)
}

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

/// Connections in closed loop.
pub const CLIENTS: usize = 64;
/// Events of a request that has several.
pub const ARRAY: usize = 100;
const TARGET: Target = Target::AtLeast(0.45);
/// The threads of the projections: our loops and the store's own.
const PROJECTIONS: [&str; 3] = ["danmu-windows", "danmu-history", "fjall"];

/// Singles and arrays.
pub fn run(size: Size, binary: &Path) -> Result<Findings> {
    let mut findings = Findings::default();
    for (events, requests) in [(1, size.of(60_000, 200)), (ARRAY, size.of(4_000, 70))] {
        let directory = tempfile::tempdir()?;
        let server = Process::danmu(binary, &directory.path().join("data"), &[])?;
        let compared = Compared::of(&server, size, events, requests)?;
        let mut found = |of: &str, pairs: &Pairs| {
            let what = format!("S7 {of}, {}", compared.load);
            findings.figures.push(Figure::new(what, TARGET, pairs));
        };
        found("embedded ingest with sync", &compared.ingest);
        found("the same with both projections", &compared.whole);
    }
    Ok(findings)
}

/// A server beside its peer, under one load.
pub struct Compared {
    /// The load, in words.
    pub load: String,
    /// The whole process against the peer.
    pub whole: Pairs,
    /// The same without the threads of the projections.
    ingest: Pairs,
}

impl Compared {
    /// Sends `requests` of so many events each to the server and to its peer in turn.
    pub fn of(server: &Process, size: Size, events: usize, requests: usize) -> Result<Self> {
        server.wait_until_ready()?;
        let (head, body) = load::ask_once(server.address, &request(0, events))?;
        let directory = tempfile::tempdir()?;
        let peer = peer::start(directory.path(), &head, &body)?;
        let (mut whole, mut ingest) = (Pairs::default(), Pairs::default());
        for pair in 0..=size.pairs {
            let ours = Cost::of(server, events, requests)?;
            let theirs = Cost::of(&peer, events, requests)?;
            // The first is not counted.
            if pair > 0 {
                let units = (requests * events) as u64;
                let peers = || theirs.run(units, theirs.whole);
                whole.push(ours.run(units, ours.whole), peers());
                ingest.push(ours.run(units, ours.ingest), peers());
            }
        }
        Ok(Self {
            load: format!("{CLIENTS} clients, {events} a request: events over bare hyper's"),
            whole,
            ingest,
        })
    }
}

/// What a load cost a server.
struct Cost {
    whole: Duration,
    ingest: Duration,
    wall: Duration,
}

impl Cost {
    fn of(server: &Process, events: usize, requests: usize) -> Result<Self> {
        let bodies: Vec<_> = (0..CLIENTS).map(|client| request(client, events)).collect();
        let request = |n: usize| Cow::Borrowed(&*bodies[n % CLIENTS]);
        let before = (server.cpu()?, server.cpu_without(&PROJECTIONS)?);
        let started = Instant::now();
        load::hammer(server.address, CLIENTS, requests, request)?;
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
pub fn request(client: usize, events: usize) -> Vec<u8> {
    let event = format!(
        r#"{{"kind":"comment","user":{{"id":"user-{client}","name":"Ann 安 {client}"}},"text":"前方高能, hold on to your seats","style":{{"color":16777215}}}}"#
    );
    let body = match events {
        1 => event,
        _ => format!("[{}]", vec![event; events].join(",")),
    };
    post(&format!("/v1/rooms/stage-{}/events", client % 16), &body)
}

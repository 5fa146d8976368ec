//! R1 and R2: a poll that has news and one that has none, against bare hyper that gives the same bytes
//! under the same headers.

use std::borrow::Cow;
use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::Size;
use crate::load::{self, get, post};
use crate::measure::{Pairs, Run};
use crate::peer;
use crate::process::Process;
use crate::report::{Figure, Findings, Target};

const CLIENTS: usize = 64;
const TARGET: Target = Target::AtLeast(0.9);
/// The room's comments; the poll with news has those after the first.
const COMMENTS: usize = 6;
/// The largest answer of the poll with news.
const NEWS_BYTES_MAX: usize = 2_048;

/// Both polls.
pub fn run(size: Size, binary: &Path) -> Result<Findings> {
    let directory = tempfile::tempdir()?;
    let server = Process::danmu(binary, &directory.path().join("data"), &[])?;
    server.wait_until_ready()?;
    for n in 0..COMMENTS {
        let comment = format!(
            r#"{{"kind":"comment","user":{{"id":"u{n}","name":"Ann 安"}},"text":"前方高能, hold on to your seats"}}"#
        );
        load::ask_once(server.address, &post("/v1/rooms/stage/events", &comment))?;
    }
    let news = get("/v1/rooms/stage/events?after=1:1");
    let nothing = get(&format!("/v1/rooms/stage/events?after=1:{COMMENTS}"));
    // Visible once the windows have settled them: the poll without news then stands at the head.
    server.wait_until(&news, |body| {
        contains(body, &format!("\"head\":{COMMENTS}"))
    })?;
    let mut findings = Findings::default();
    for (what, request) in [
        ("R1 poll with news", news),
        ("R2 poll without news", nothing),
    ] {
        let (head, body) = load::ask_once(server.address, &request)?;
        ensure!(body.len() <= NEWS_BYTES_MAX, "{what}: {} bytes", body.len());
        let peer = peer::start(directory.path(), &head, &body)?;
        let count = size.of(60_000, 200);
        let pairs = Pairs::interleave(
            size.pairs,
            || hammer(&server, &request, count),
            || hammer(&peer, &request, count),
        )?;
        let what = format!("{what} ({} bytes): requests over bare hyper's", body.len());
        findings.figures.push(Figure::new(what, TARGET, &pairs));
    }
    Ok(findings)
}

fn hammer(server: &Process, request: &[u8], count: usize) -> Result<Run> {
    let (cpu_before, started) = (server.cpu()?, Instant::now());
    load::hammer(server.address, CLIENTS, count, |_| Cow::Borrowed(request))?;
    Ok(Run {
        units: count as u64,
        cpu: server.cpu()? - cpu_before,
        wall: started.elapsed(),
    })
}

fn contains(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|part| part == text.as_bytes())
}

//! Likes of many viewers at once, with a server that is killed among them: none is invented, none that was
//! acknowledged is lost, and they cost the log next to nothing.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use danmu_tests::load::{Outcome, Pace, Report, send};
use danmu_tests::server::{Server, assert_verified, run, size};
use serde_json::Value;
use tokio::task::JoinSet;

/// How many viewers like at once. Likes are summed for 200 ms, so they make 12,500 likes a second.
const VIEWERS: usize = 100;
/// How many likes each request brings.
const COUNT: u64 = 25;
/// How long they like the server that lives, in seconds; `XTASK_LIKES_SECONDS` changes it.
const SECONDS: usize = 5;
/// After how many likes the first server is killed.
const KILLED_AFTER: u64 = 10_000;
/// How long anything may take that is waited for.
const WITHIN: Duration = Duration::from_secs(60);
/// The most records of the log for each like.
const RECORDS_PER_LIKE_MAX: f64 = 0.001;

#[test]
fn likes_are_neither_lost_nor_invented_and_cost_the_log_little() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let likes = Likes::begin(&server, WITHIN);
    server.wait_for(PAGE, |page| total(page) >= KILLED_AFTER);
    server.kill();
    let killed = likes.end();

    let server = Server::start(data.path());
    let seconds = Duration::from_secs(size("XTASK_LIKES_SECONDS", SECONDS) as u64);
    let lived = Likes::begin(&server, seconds).end();
    let (status, log) = server.terminate();
    assert!(status.success(), "{status}: {log:#?}");

    let server = Server::start(data.path());
    let total = total(&server.get(PAGE));
    server.kill();
    let (acknowledged, unknown) = (
        killed.acknowledged + lived.acknowledged,
        killed.unknown + lived.unknown,
    );
    let records = like_records(data.path().to_str().unwrap());
    let records_per_like = records as f64 / total as f64;
    let rate = lived.acknowledged as f64 / seconds.as_secs_f64();
    eprintln!(
        "{acknowledged} acknowledged, {unknown} unknown, {total} there; {rate:.0} a second; \
         {records} records, {records_per_like:.6} for each like"
    );
    assert!(killed.unknown > 0, "the kill hit nobody");
    assert_eq!(lived.unknown, 0);
    assert!(acknowledged <= total && total <= acknowledged + unknown);
    assert!(records_per_like <= RECORDS_PER_LIKE_MAX);
    assert_verified(data.path());
}

const PAGE: &str = "/v1/rooms/liked/events?limit=1";

fn total(page: &Value) -> u64 {
    page["totals"]["likes"].as_u64().unwrap()
}

/// How many records of likes are in the log of a stopped server.
fn like_records(data: &str) -> usize {
    let output = run(&["inspect", "log", "--room", "liked", "--data", data]);
    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8(output.stdout).unwrap();
    let kind = |line: &str| serde_json::from_str::<Value>(line).unwrap()["kind"].take();
    told.lines().filter(|line| kind(line) == "likes").count()
}

/// Viewers that like without pause, from a thread.
struct Likes(std::thread::JoinHandle<Liked>);

/// What became of likes.
#[derive(Debug, Default)]
struct Liked {
    acknowledged: u64,
    unknown: u64,
}

impl Likes {
    /// They like until the time is over or the server is gone.
    fn begin(server: &Server, within: Duration) -> Self {
        let address = server.url().trim_start_matches("http://").parse();
        let address = address.expect("an address");
        Self(std::thread::spawn(move || like(address, within)))
    }

    fn end(self) -> Liked {
        self.0.join().unwrap()
    }
}

fn like(address: SocketAddr, within: Duration) -> Liked {
    let until = Instant::now() + within;
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let reports = runtime.enable_all().build().unwrap().block_on(async {
        let mut tasks = JoinSet::new();
        for _ in 0..VIEWERS {
            tasks.spawn(send(address, Pace::Closed, until, |_| ((), request())));
        }
        tasks.join_all().await
    });
    let sent = reports.iter().flat_map(|report: &Report<()>| &report.sent);
    let mut liked = Liked::default();
    for sent in sent {
        match sent.outcome {
            Outcome::Accepted => liked.acknowledged += COUNT,
            Outcome::Unknown => liked.unknown += COUNT,
            Outcome::Refused(_) => {}
        }
    }
    liked
}

fn request() -> Vec<u8> {
    let body = format!("{{\"count\":{COUNT}}}");
    let len = body.len();
    format!("POST /v1/rooms/liked/likes HTTP/1.1\r\nhost: a\r\ncontent-length: {len}\r\n\r\n{body}")
        .into_bytes()
}

//! A server whose disk stands still while viewers speak, as a process: its log's queue fills with their
//! comments, further ones are refused, and gifts and moderation find room all the same.
//!
//! `strace` makes the disk stand still: it holds each sync of the process for as long as it is there. The
//! log's writer comes to its sync with one request, before the others are sent; so all of them wait.
//! Where the system does not let it, the test says aloud that it was skipped.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use danmu_tests::server::{Server, assert_verified, send};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

/// Requests of comments behind the first: the queue takes 28 MiB of viewers.
const COMMENTS: u32 = 32;
/// Requests of gifts: they fit the 4 MiB that are kept for them, and what comments leave of the rest has
/// no room for one.
const GIFTS: u32 = 3;
/// Events of a request, which has almost 1 MiB: a text is as long as it may be, with four bytes a
/// character.
const ARRAY: u32 = 240;
const TEXT_CHARS: usize = 1_024;
/// Longer than the test takes, in microseconds.
const STALL_US: u64 = 3_600_000_000;
const EVENTS: &str = "/v1/rooms/r/events";
const REFUSED: &str = "danmu_log_refused_appends_total";
const WAITING: &str = "danmu_log_waiting_records";
/// The thread that writes the log.
const WRITER: &str = "danmu-log";

#[test]
fn gifts_pass_a_queue_that_is_full_of_comments() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let Some(stall) = Stall::of(&server) else {
        let skipped = "SKIPPED gifts_pass_a_queue_that_is_full_of_comments: strace may not trace";
        // Past the capture of a passing test's output.
        writeln!(std::io::stderr(), "{skipped}").expect("a standard error");
        return;
    };

    let mut comments = vec![Request::post(&server, 0, comment)];
    wait_until("a sync of the log is held", || stall.holds(WRITER));
    comments.extend((1..=COMMENTS).map(|n| Request::post(&server, n, comment)));
    wait_until("comments are refused", || server.metric(REFUSED) > 0.0);
    let full = server.metric(WAITING);
    let gifts = (1..=GIFTS).map(|n| Request::post(&server, COMMENTS + n, gift));
    let gifts: Vec<_> = gifts.collect();
    let waiting = full + f64::from(GIFTS * ARRAY);
    wait_until("gifts wait", || server.metric(WAITING) >= waiting);
    let mute = Request::post(&server, COMMENTS + GIFTS + 1, mute);
    let waiting = waiting + f64::from(ARRAY);
    wait_until("moderation waits", || server.metric(WAITING) >= waiting);
    assert!(server.metric(WAITING) <= waiting, "comments were taken too");
    drop(stall);

    let (mut taken, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for request in comments {
        match request.answer() {
            (200, ids, _) => taken.extend(ids),
            (503, ids, problem) if problem["type"] == "urn:danmu:problem:overloaded" => {
                refused.extend(ids);
            }
            // It had to wait too long on a slow machine.
            (503, _, problem) if problem["type"] == "urn:danmu:problem:outcome-unknown" => {}
            (status, _, answer) => panic!("{status} {answer:#}"),
        }
    }
    assert!(!refused.is_empty(), "no comment was refused");
    for request in gifts.into_iter().chain([mute]) {
        let (status, ids, answer) = request.answer();
        assert_eq!(status, 200, "{answer:#}");
        taken.extend(ids);
    }
    server.wait_for("/v1/rooms/r", |room| {
        room["head"].as_u64() >= Some(taken.len() as u64)
    });
    let events = server.events("r");
    let shown: BTreeSet<_> = events
        .iter()
        .map(|event| event["id"].as_str().unwrap())
        .collect();
    assert!(
        taken.iter().all(|id| shown.contains(&**id)),
        "some are lost"
    );
    assert!(
        !refused.iter().any(|id| shown.contains(&**id)),
        "some were refused"
    );
    let (status, log) = server.terminate();
    assert!(status.success(), "{status}: {log:#?}");
    assert_verified(data.path());
}

/// An array of events that waits for its answer.
struct Request {
    ids: Vec<String>,
    answer: JoinHandle<(u16, Value)>,
}

impl Request {
    /// The `n`th request.
    fn post(server: &Server, n: u32, event: fn(String) -> Value) -> Self {
        let ids = (0..ARRAY).map(|event| format!("{n:08x}-0000-4000-8000-{event:012x}"));
        let ids: Vec<_> = ids.collect();
        let events = ids.iter().cloned().map(event).collect();
        let url = format!("{}{EVENTS}", server.url());
        Self {
            ids,
            answer: thread::spawn(move || send(&url, &events)),
        }
    }

    /// Its status, the ids of its events, and what it was told.
    fn answer(self) -> (u16, Vec<String>, Value) {
        let (status, told) = self.answer.join().expect("an answer");
        (status, self.ids, told)
    }
}

fn comment(id: String) -> Value {
    json!({"kind": "comment", "id": id, "user": {"id": "ann"}, "text": "\u{1f440}".repeat(TEXT_CHARS)})
}

fn gift(id: String) -> Value {
    json!({"kind": "gift", "id": id, "user": {"id": "fan"}, "gift": "rose", "name": "Rose", "count": 1,
           "unit_value": 1, "text": "\u{1f440}".repeat(TEXT_CHARS)})
}

fn mute(id: String) -> Value {
    json!({"kind": "mute", "id": id, "role": "moderator", "target_user": id, "reason": "loud"})
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    const WITHIN: Duration = Duration::from_secs(120);
    let deadline = Instant::now() + WITHIN;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Syncs of a process that do not end until this is dropped.
struct Stall {
    strace: Child,
    held: NamedTempFile,
}

impl Stall {
    /// Of the server's disk; `None` where nobody may trace another process.
    fn of(server: &Server) -> Option<Self> {
        let strace = danmu_stack::program("strace", "strace").unwrap();
        let held = NamedTempFile::new().unwrap();
        let mut strace = Command::new(strace)
            .args(["-f", "--decode-pids=comm", "-e", "trace=fdatasync", "-e"])
            .arg(format!("inject=fdatasync:delay_enter={STALL_US}"))
            .arg("-o")
            .arg(held.path())
            .args(["-p", &server.id().to_string()])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = String::new();
        let stderr = strace.stderr.as_mut().expect("it is piped");
        BufReader::new(stderr).read_line(&mut told).unwrap();
        let stall = Self { strace, held };
        told.contains("attached").then_some(stall)
    }

    /// Whether a thread of that name waits for a sync to end.
    fn holds(&self, thread: &str) -> bool {
        let held = fs::read_to_string(self.held.path()).unwrap();
        held.contains(&format!("<{thread}> fdatasync("))
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        // One that could not begin has ended already.
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}

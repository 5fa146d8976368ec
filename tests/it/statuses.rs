//! Every problem that the API names, brought about by a request to the binary.
//!
//! The list of names is the product's own, so one that is added without a request here fails the test.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use danmu_log::embedded::{EmbeddedLog, Options};
use danmu_log::{Lane, LogWriter, NewRecord};
use danmu_projections::history::layout::{FactKind, Table};
use danmu_schemas::problem::{CONTENT_TYPE, ProblemType};
use danmu_schemas::{Partition, RoomId};
use danmu_tests::connection::Connection;
use danmu_tests::server::Server;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::verify;

/// More than a head may have, even where it comes at once.
const LONG_HEAD_BYTES: usize = 96 * 1_024;
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const WITHIN: Duration = Duration::from_secs(60);
/// More than a body may have.
const TOO_LARGE_BYTES: usize = 2 * 1_024 * 1_024;
/// More than a viewer may send at once.
const TOO_MANY: usize = 50;

#[test]
fn every_problem_has_a_request_that_brings_it_about() {
    let mut told = BTreeSet::new();
    let (data, url) = refused(&mut told);
    damaged(&data, &url, &mut told);
    let data = tempfile::tempdir().unwrap();
    broken_log(data.path(), &mut told);
    halted(&mut told);
    let all = ProblemType::ALL.map(|problem| (problem.status(), problem.urn().to_owned()));
    assert_eq!(told, BTreeSet::from(all));
}

/// What never becomes a request is refused with a problem all the same, before the connection ends.
#[test]
fn what_is_no_request_is_told_so() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let long = "a".repeat(LONG_HEAD_BYTES);
    let with =
        |header: &str| format!("POST /v1/rooms/show/likes HTTP/1.1\r\nhost: a\r\n{header}\r\n\r\n");
    let (malformed, large) = ((400, "bad-request"), (431, "head-too-large"));
    let sent = [
        ("\u{16}\u{3}\u{1} garbage\r\n\r\n".to_owned(), malformed),
        ("GET /v1/rooms\r\n\r\n".to_owned(), malformed),
        ("GET /v1/rooms HTTP/9.9\r\n\r\n".to_owned(), malformed),
        ("GET /v1/\u{7f}rooms HTTP/1.1\r\n\r\n".to_owned(), malformed),
        (with("no header"), malformed),
        (with("content-length: many"), malformed),
        (with("content-length: 1\r\ncontent-length: 2"), malformed),
        (with("transfer-encoding: gzip"), malformed),
        (with(&format!("x: {long}")), large),
        (with(&"x: y\r\n".repeat(200)), large),
        (format!("GET /v1/{long} HTTP/1.1\r\nhost: a\r\n\r\n"), large),
    ];
    for (request, (status, name)) in sent {
        // Also behind a request that is answered.
        let behind = format!("GET /v1/rooms?live=true HTTP/1.1\r\nhost: a\r\n\r\n{request}");
        for (bytes, answered) in [(&request, false), (&behind, true)] {
            let shown: String = bytes.chars().take(100).collect();
            let mut connection = Connection::open(server.url()).unwrap();
            connection.send(bytes.as_bytes()).unwrap();
            let mut next = || connection.answer(false).unwrap().expect("an answer");
            if answered {
                assert_eq!(next().status, 200, "{shown:?}");
            }
            let answer = next();
            let content_type = answer.header("content-type");
            assert_eq!(content_type, Some(CONTENT_TYPE), "{shown:?}: {answer:?}");
            let body = serde_json::from_slice(&answer.body).unwrap();
            let told = problem(answer.status, &body);
            let urn = format!("urn:danmu:problem:{name}");
            assert_eq!(told, Some((status, urn)), "{shown:?}");
            assert!(answer.is_last(), "{shown:?}: {answer:?}");
            assert!(connection.answer(false).unwrap().is_none(), "{shown:?}");
        }
    }
}

type Told = BTreeSet<(u16, String)>;

/// What a server in good order refuses. Gives its data and the address of a segment in it.
fn refused(told: &mut Told) -> (TempDir, String) {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_configured(data.path(), |command| {
        command.env("DANMU_TOKEN_SECRET", SECRET);
    });
    server.wait_until_ready();
    let client = Client(server.url());
    let show = "/v1/rooms/show/events";
    let (viewer, host, backend) = (token("viewer"), token("host"), token("backend"));

    let stalled = std::thread::spawn({
        let url = server.url().to_owned();
        move || stalled(&url)
    });
    let mut ask = |asked: Asked| told.extend(client.ask(asked).1);
    ask(get("/v1/rooms/show/events?limit=0"));
    ask(Asked {
        token: "a".repeat(LONG_HEAD_BYTES),
        ..get("/v1/rooms?live=true")
    });
    ask(get("/v1/rooms/-show/events"));
    ask(get("/v1/nothing"));
    ask(post("/v1/rooms", &viewer, &json!({})));
    ask(post(show, &viewer, &json!({"kind": "comment"})));
    ask(post(show, "", &comment("hi")));
    ask(post(show, "not.a.token", &comment("hi")));
    ask(post(show, &viewer, &json!({"kind": "rules", "slow_ms": 1})));
    ask(post(show, &viewer, &comment(&"a".repeat(TOO_LARGE_BYTES))));
    ask(Asked {
        encoding: Some("gzip"),
        ..post(show, &viewer, &comment("hi"))
    });
    ask(get("/v1/rooms/show/events?after=9:1"));

    let start = json!({"kind": "broadcast_start", "title": "a show"});
    assert_eq!(
        client
            .ask(post(show, &host, &json!([start, comment("one")])))
            .0,
        200
    );
    wait(|| client.ask(get("/v1/rooms/show/broadcasts/1:1")).0 == 200);
    ask(get("/v1/rooms/show/broadcasts/1:1/segments/0?revision=1"));
    assert_eq!(
        client
            .ask(post(show, &host, &json!({"kind": "broadcast_end"})))
            .0,
        200
    );
    let first = segment(&client, |_| true);
    let delete = json!({"kind": "delete", "target_seq": 2, "reason": "rude"});
    assert_eq!(client.ask(post(show, &host, &delete)).0, 200);
    let second = segment(&client, |url| url != first);
    ask(get(&first));

    let reset = "/v1/rooms/again/events";
    assert_eq!(client.ask(post(reset, &host, &comment("one"))).0, 200);
    assert_eq!(
        client
            .ask(post(reset, &backend, &json!({"kind": "reset"})))
            .0,
        200
    );
    wait(|| client.ask(get("/v1/rooms/again/events?after=1:1")).0 == 409);
    ask(get("/v1/rooms/again/events?after=1:1"));

    for _ in 0..TOO_MANY {
        ask(post(show, &viewer, &comment("hi")));
    }
    told.extend(stalled.join().unwrap());
    assert!(server.terminate().0.success());
    (data, second)
}

/// A segment whose row is not what was written.
fn damaged(data: &TempDir, segment: &str, told: &mut Told) {
    let history = data.path().join("history");
    verify::alter(&history, Table::Facts(FactKind::Segment), |value| {
        let last = value.len() - 1;
        value[last] ^= 1;
    });
    let server = Server::start(data.path());
    told.extend(Client(server.url()).ask(get(segment)).1);
}

/// A log that cannot be written: what was sent when it broke is unknown, what comes then is refused.
fn broken_log(data: &Path, told: &mut Told) {
    let server = Server::start_configured(data, |command| {
        // What goes past the limit is then an error, not the end of the process.
        let mut guarded = Command::new("sh");
        guarded
            .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
            .arg(command.get_program())
            .args(command.get_args())
            .stderr(Stdio::piped());
        *command = guarded;
    });
    server.wait_until_ready();
    let client = Client(server.url());
    let show = "/v1/rooms/show/events";
    let said = json!({"kind": "comment", "user": {"id": "ann", "name": "Ann"}, "text": "hi"});
    assert_eq!(client.ask(post(show, "", &said)).0, 200);
    let limit = format!("--fsize={}", newest_segment_bytes(&data.join("log")));
    let limited = Command::new("prlimit")
        .args(["--pid", &server.id().to_string(), &limit])
        .status();
    assert!(limited.expect("util-linux has prlimit").success());
    told.extend(client.ask(post(show, "", &said)).1);
    told.extend(client.ask(post(show, "", &said)).1);
    assert!(!server.is_ready());
}

/// The length of the file that the log appends to.
fn newest_segment_bytes(log: &Path) -> u64 {
    let files = fs::read_dir(log).unwrap().map(|entry| entry.unwrap());
    let segments = files.filter(|file| file.path().extension().is_some_and(|e| e == "seg"));
    let newest = segments.max_by_key(|file| file.file_name());
    newest
        .expect("a log has a segment")
        .metadata()
        .unwrap()
        .len()
}

/// A server that never gets to where its log ended, because a newer build wrote the log.
fn halted(told: &mut Told) {
    let data = tempfile::tempdir().unwrap();
    let options = Options::new(data.path().join("log"), Arc::new(|| 1));
    let log = EmbeddedLog::open(options).unwrap();
    let room = RoomId::parse("show").unwrap();
    let route = log.routes().route(room.slot());
    let partition = Partition(route.partition);
    // Magic 0, and a schema that this build does not know.
    let record = NewRecord {
        epoch: route.epoch,
        lane: Lane::Viewers,
        key: "show".into(),
        value: vec![0, 0, 0, 99, 99].into(),
        traceparent: None,
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        log.append(partition, vec![record]).await.unwrap();
        log.close().await;
    });
    let server = Server::start_without_waiting(data.path());
    told.extend(Client(server.url()).ask(get("/v1/rooms")).1);
}

/// The answer to a body of which no more comes.
fn stalled(url: &str) -> Option<(u16, String)> {
    let mut connection = Connection::open(url).unwrap();
    let head = format!(
        "POST /v1/rooms/show/events HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 9\r\n\r\n{{",
        token("viewer")
    );
    connection.send(head.as_bytes()).unwrap();
    let answer = connection.answer(false).unwrap().expect("an answer");
    problem(
        answer.status,
        &serde_json::from_slice(&answer.body).unwrap(),
    )
}

/// The address of the show's only segment, once it is one that `is_so`.
fn segment(client: &Client<'_>, is_so: impl Fn(&str) -> bool) -> String {
    let mut url = String::new();
    wait(|| {
        let (_, _, manifest) = client.tell(get("/v1/rooms/show/broadcasts/1:1"));
        let found = manifest["segments"][0]["url"].as_str();
        url = found.unwrap_or_default().to_owned();
        !url.is_empty() && is_so(&url)
    });
    url
}

fn wait(mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + WITHIN;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn comment(text: &str) -> Value {
    json!({"kind": "comment", "text": text})
}

fn token(role: &str) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let claims = json!({"sub": role, "role": role, "exp": now + 3_600});
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    encode(&Header::default(), &claims, &key).unwrap()
}

/// A request.
struct Asked {
    path: String,
    token: String,
    body: Option<String>,
    encoding: Option<&'static str>,
}

fn get(path: &str) -> Asked {
    Asked {
        path: path.to_owned(),
        token: String::new(),
        body: None,
        encoding: None,
    }
}

fn post(path: &str, token: &str, body: &Value) -> Asked {
    Asked {
        token: token.to_owned(),
        body: Some(body.to_string()),
        ..get(path)
    }
}

struct Client<'a>(&'a str);

impl Client<'_> {
    /// The status of the answer, and its problem where it is one.
    fn ask(&self, asked: Asked) -> (u16, Option<(u16, String)>) {
        let (status, problem, _) = self.tell(asked);
        (status, problem)
    }

    fn tell(&self, asked: Asked) -> (u16, Option<(u16, String)>, Value) {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into();
        let mut request = ureq::http::Request::builder()
            .method(if asked.body.is_some() { "POST" } else { "GET" })
            .uri(format!("{}{}", self.0, asked.path))
            .header("content-type", "application/json");
        if !asked.token.is_empty() {
            request = request.header("authorization", format!("Bearer {}", asked.token));
        }
        if let Some(encoding) = asked.encoding {
            request = request.header("content-encoding", encoding);
        }
        let answered = match asked.body {
            Some(body) => agent.run(request.body(body).unwrap()),
            None => agent.run(request.body(()).unwrap()),
        };
        let mut answer = answered.expect("an answer");
        let status = answer.status().as_u16();
        let body: Value = answer.body_mut().read_json().expect("an answer is JSON");
        (status, problem(status, &body), body)
    }
}

/// The problem in an answer, which tells its status too.
fn problem(status: u16, body: &Value) -> Option<(u16, String)> {
    let name = body["type"].as_str()?.to_owned();
    assert_eq!(body["status"], status, "{body}");
    Some((status, name))
}

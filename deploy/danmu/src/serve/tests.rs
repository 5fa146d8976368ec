use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use danmu_log::embedded::{self, EmbeddedLog};
use danmu_projections::{EmbeddedHistory, HistoryReader};
use tokio::task::JoinHandle;

use super::*;
use crate::client::Server;
use crate::config::{HistoryUrl, LogUrl, WindowsUrl};
use crate::verify::line::Line;

/// More than a start or a stop may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// A server of this process, on ports of its own.
struct Running {
    public: SocketAddr,
    admin: SocketAddr,
    stop: CancellationToken,
    served: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    async fn start(data: &Path) -> Self {
        Self::start_for(data, Access::default()).await
    }

    async fn start_for(data: &Path, access: Access) -> Self {
        let public = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let admin = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let options = Options {
            roles: Roles::ALL,
            engines: Urls {
                log: LogUrl::Embedded(data.join("log")),
                windows: WindowsUrl::Memory,
                history: HistoryUrl::Embedded(data.join("history")),
            },
            dead_letters: data.join("dead-letters.jsonl"),
            access,
        };
        let stop = CancellationToken::new();
        let (public_at, admin_at) = (
            public.local_addr().expect("an address"),
            admin.local_addr().expect("an address"),
        );
        let served = tokio::spawn(run(public, admin, options, stop.clone()));
        Self {
            public: public_at,
            admin: admin_at,
            stop,
            served,
        }
    }

    /// The status and body of a GET of the admin listener.
    async fn admin(&self, path: &'static str) -> (u16, String) {
        let url = format!("http://{}{path}", self.admin);
        blocking(move || {
            let agent: ureq::Agent = ureq::Agent::config_builder()
                .http_status_as_error(false)
                .build()
                .into();
            let mut response = agent.get(&url).call().expect("an answer");
            let body = response.body_mut().read_to_string().expect("text");
            (response.status().as_u16(), body)
        })
        .await
    }

    async fn wait_until_ready(&self) {
        let deadline = Instant::now() + DEADLINE;
        while self.admin("/readyz").await != (200, "ready\n".to_owned()) {
            assert!(Instant::now() < deadline, "not ready in time");
            tokio::task::yield_now().await;
        }
    }

    async fn post(&self, path: &'static str, body: &'static str) -> (u16, serde_json::Value) {
        self.post_as(None, path, body).await
    }

    async fn post_as(
        &self,
        token: Option<String>,
        path: &'static str,
        body: &'static str,
    ) -> (u16, serde_json::Value) {
        let base = format!("http://{}", self.public);
        let answer = move || Server::new(&base, token).post(path, body.as_bytes());
        let answer = blocking(answer).await.expect("a last word");
        (answer.status, answer.body)
    }

    async fn finish(self) {
        self.stop.cancel();
        let served = tokio::time::timeout(DEADLINE, self.served).await;
        served
            .expect("a stop in time")
            .expect("no panic")
            .expect("a clean stop");
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("no panic")
}

const HELLO: &str = r#"{"kind":"comment","id":"00000000-0000-4000-8000-000000000001",
    "user":{"id":"u1","name":"Ann"},"text":"hello"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_is_there_after_a_restart() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Running::start(data.path()).await;
    server.wait_until_ready().await;
    let (status, body) = server.post("/v1/rooms/r1/events", HELLO).await;
    assert_eq!(status, 200, "{body}");
    server.finish().await;

    let history = EmbeddedHistory::open(&data.path().join("history")).expect("a history");
    let options = embedded::Options::new(data.path().join("log"), embedded::wall_clock());
    let log = EmbeddedLog::open(options).expect("a log");
    let room = danmu_schemas::RoomId::parse("r1").expect("a room");
    let reader = HistoryReader::new(history, log.identity());
    let watermark = reader.watermark(room.slot()).await.expect("a read");
    let watermark = watermark.expect("a watermark after a clean stop");
    assert_eq!(
        reader.rooms(room.slot(), watermark).await.expect("a read"),
        [room]
    );
    log.close().await;
    drop((log, reader));

    let server = Running::start(data.path()).await;
    server.wait_until_ready().await;
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_listener_tells_life_and_version() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Running::start(data.path()).await;
    server.wait_until_ready().await;
    assert_eq!(server.admin("/healthz").await, (200, "alive\n".to_owned()));
    let (status, version) = server.admin("/version").await;
    assert_eq!(status, 200);
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_counted() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Running::start(data.path()).await;
    server.wait_until_ready().await;
    let (status, body) = server.post("/v1/rooms/r1/events", HELLO).await;
    assert_eq!(status, 200, "{body}");
    let (status, body) = server.post("/v1/rooms/r1/events", "{}").await;
    assert_eq!(status, 400, "{body}");
    let expected = [
        "danmu_http_responses_total{surface=\"publish\",status=\"2xx\"} 1",
        "danmu_http_responses_total{surface=\"publish\",status=\"4xx\"} 1",
        "danmu_http_request_seconds_count{surface=\"publish\"} 2",
        "danmu_http_problems_total{problem=\"invalid-events\"} 1",
        "danmu_log_appended_records_total 1",
        "danmu_projector_records_total{group=\"windows\",kind=\"comment\"} 1",
        "danmu_projector_records_total{group=\"history\",kind=\"comment\"} 1",
        "danmu_projector_rooms{group=\"history\"} 1",
        "danmu_lag_records{group=\"windows\"} 0",
        "danmu_lag_seconds{group=\"history\"} 0",
        "danmu_log_waiting_records 0",
        "danmu_http_connections{listener=\"admin\"} 1",
    ];
    let deadline = Instant::now() + DEADLINE;
    loop {
        let (_, served) = server.admin("/metrics").await;
        let lines: Vec<&str> = served.lines().collect();
        let missing = expected.iter().find(|line| !lines.contains(line));
        let Some(missing) = missing else { break };
        assert!(Instant::now() < deadline, "no {missing} in\n{served}");
    }
    server.finish().await;
}

/// The admin listener's answer to `POST /verify`: its status and its last line.
async fn verified(server: &Running, query: &'static str) -> (u16, String) {
    let url = format!("http://{}/verify{query}", server.admin);
    blocking(move || {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into();
        let mut response = agent.post(&url).send_empty().expect("an answer");
        let body = response.body_mut().read_to_string().expect("text");
        let last = body.lines().last().unwrap_or_default().to_owned();
        (response.status().as_u16(), last)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_verifies_itself() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Running::start(data.path()).await;
    server.wait_until_ready().await;
    server.post("/v1/rooms/r1/events", HELLO).await;
    let report = |last: &str| match serde_json::from_str(last) {
        Ok(Line::Report(report)) => report,
        other => panic!("no report: {other:?}"),
    };
    let deadline = Instant::now() + DEADLINE;
    loop {
        let (status, last) = verified(&server, "?room=r1").await;
        assert_eq!(status, 200, "{last}");
        let report = report(&last);
        assert_eq!(report.first_difference, None);
        if report.window_events == 1 {
            break;
        }
        assert!(Instant::now() < deadline, "the window never had the event");
    }
    let (status, last) = verified(&server, "").await;
    assert_eq!((status, report(&last).rooms), (200, 1), "{last}");
    assert_eq!(verified(&server, "?room=%20").await.0, 400);
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_documented() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Running::start(data.path()).await;
    server.wait_until_ready().await;
    let (status, served) = server.admin("/metrics").await;
    assert_eq!(status, 200);
    let documented = include_str!("../../../../docs/METRICS.md");
    let documented: Vec<&str> = documented
        .lines()
        .filter(|line| line.starts_with("| `danmu_"))
        .collect();
    assert_eq!(documented.join("\n"), table(&served).join("\n"));
    server.finish().await;
}

/// What is served as the rows of a table, in the order of the names: name, type, labels, help.
fn table(served: &str) -> Vec<String> {
    let mut rows = Vec::new();
    for block in served.split("\n\n").filter(|block| !block.is_empty()) {
        let after = |prefix: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(prefix));
            line.and_then(|line| line.split_once(' '))
        };
        let (name, help) = after("# HELP ").expect("a metric has a description");
        let (_, kind) = after("# TYPE ").expect("a metric has a type");
        let sample = block.lines().find(|line| !line.starts_with('#'));
        let labels = sample.map_or(String::new(), labels);
        rows.push(format!("| `{name}` | {kind} | {labels} | {help} |"));
    }
    rows.sort();
    rows
}

/// The names of a sample's labels but that of a bucket.
fn labels(sample: &str) -> String {
    let inside = sample.split(['{', '}']).nth(1).unwrap_or_default();
    let names = inside.split(',').filter_map(|label| label.split_once('='));
    let names = names.map(|(name, _)| name).filter(|name| *name != "le");
    names.collect::<Vec<_>>().join(", ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_data_does_not_start() {
    let data = tempfile::tempdir().expect("a directory");
    let first = Running::start(data.path()).await;
    first.wait_until_ready().await;
    let second = Running::start(data.path()).await;
    let ended = tokio::time::timeout(DEADLINE, second.served).await;
    let error = ended
        .expect("an end")
        .expect("no panic")
        .expect_err("an error");
    assert!(format!("{error:#}").contains("open elsewhere"), "{error:#}");
    first.finish().await;
}

const SECRET: &str = "a secret of at least thirty-two bytes";

fn signed(role: &str) -> String {
    signed_for(role, "r1")
}

fn signed_for(role: &str, room: &str) -> String {
    let exp = now_ms() / 1_000 + 600;
    let claims = serde_json::json!({
        "sub": "u7", "name": "Sub", "role": role, "rooms": [room], "exp": exp,
    });
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).expect("a token")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_a_secret_knows_its_callers_by_their_tokens() {
    let data = tempfile::tempdir().expect("a directory");
    let access = Access {
        tokens: Some(Tokens::Secrets(danmu_ingest::identity::Secrets {
            current: SECRET.into(),
            previous: None,
        })),
        ..Access::default()
    };
    let server = Running::start_for(data.path(), access).await;
    server.wait_until_ready().await;
    let own = r#"{"kind":"comment","text":"hi"}"#;
    let status = async |token: Option<&str>, path, body| {
        let token = token.map(signed);
        server.post_as(token, path, body).await.0
    };
    let events = "/v1/rooms/r1/events";
    assert_eq!(status(None, events, own).await, 401);
    assert_eq!(status(Some("viewer"), events, own).await, 200);
    assert_eq!(
        status(Some("viewer"), "/v1/rooms/r2/events", own).await,
        403
    );
    assert_eq!(status(Some("viewer"), events, HELLO).await, 403);
    assert_eq!(status(Some("backend"), events, HELLO).await, 200);
    assert_eq!(
        status(Some("viewer"), "/v1/rooms/r2/likes", r#"{"count":1}"#).await,
        403
    );
    assert_eq!(
        status(None, "/v1/rooms/r1/likes", r#"{"count":1}"#).await,
        401
    );

    let url = format!("http://{}{events}?after=0&density=full", server.public);
    let deadline = Instant::now() + DEADLINE;
    loop {
        let url = url.clone();
        let read = move || ureq::get(&url).call().expect("a read needs no token");
        let mut answer = blocking(read).await;
        let page = answer.body_mut().read_to_string().expect("text");
        if page.contains(r#""id":"u7","name":"Sub""#) && page.contains(r#""id":"u1""#) {
            break;
        }
        assert!(Instant::now() < deadline, "{page}");
    }
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_answered_so_that_its_sender_reads_it() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let data = tempfile::tempdir().expect("a directory");
    let server = Running::start(data.path()).await;
    server.wait_until_ready().await;
    let mut stream = tokio::net::TcpStream::connect(server.public)
        .await
        .expect("a connection");
    let len = danmu_ingest::http::DRAINED_BYTES_MAX;
    let head = format!(
        "POST /v1/rooms/r1/events HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {len}\r\n\r\n"
    );
    stream
        .write_all(head.as_bytes())
        .await
        .expect("a sent head");
    // All of it is sent before anything is read, as most clients do.
    stream
        .write_all(&vec![b' '; len])
        .await
        .expect("a sent body");
    let mut answer = String::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_string(&mut answer)).await;
    read.expect("an answer in time").expect("a clean end");
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("urn:danmu:problem:too-large"), "{answer}");
    server.finish().await;
}

/// The status and body of a GET with a token, if one is given.
async fn read_as(server: &Running, token: Option<String>, path: &str) -> (u16, String) {
    let url = format!("http://{}{path}", server.public);
    blocking(move || {
        let agent = ureq::Agent::config_builder().http_status_as_error(false);
        let agent: ureq::Agent = agent.build().into();
        let mut request = agent.get(&url);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut response = request.call().expect("an answer");
        let body = response.body_mut().read_to_string().expect("text");
        (response.status().as_u16(), body)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn private_reads_are_private_however_often_they_were_answered() {
    let data = tempfile::tempdir().expect("a directory");
    let secrets = danmu_ingest::identity::Secrets {
        current: SECRET.into(),
        previous: None,
    };
    let access = Access {
        tokens: Some(Tokens::Secrets(secrets)),
        private_reads: true,
        ..Access::default()
    };
    let server = Running::start_for(data.path(), access).await;
    server.wait_until_ready().await;
    let start = r#"{"kind":"broadcast_start","title":"show"}"#;
    for room in ["r1", "r2"] {
        let token = signed_for("host", room);
        let path = if room == "r1" {
            "/v1/rooms/r1/events"
        } else {
            "/v1/rooms/r2/events"
        };
        assert_eq!(server.post_as(Some(token), path, start).await.0, 200);
    }
    let page = "/v1/rooms/r1/events?after=0";
    let deadline = Instant::now() + DEADLINE;
    loop {
        let (status, body) = read_as(&server, Some(signed("viewer")), page).await;
        assert_eq!(status, 200, "{body}");
        if body.contains("broadcast_start") {
            break;
        }
        assert!(Instant::now() < deadline, "{body}");
    }
    // The page lies ready now; it must not be given to those who may not have it.
    for _ in 0..3 {
        assert_eq!(read_as(&server, None, page).await.0, 401);
        let other = signed_for("viewer", "r2");
        assert_eq!(read_as(&server, Some(other), page).await.0, 403);
        let expired = read_as(&server, Some("nonsense".to_owned()), page).await;
        assert_eq!(expired.0, 401);
        assert_eq!(read_as(&server, Some(signed("viewer")), page).await.0, 200);
    }
    assert_eq!(read_as(&server, None, "/v1/rooms").await.0, 401);
    loop {
        let rooms = async |token| read_as(&server, Some(token), "/v1/rooms?live=true").await.1;
        let (first, second) = (
            rooms(signed("viewer")).await,
            rooms(signed_for("viewer", "r2")).await,
        );
        assert!(!first.contains(r#""r2""#), "{first}");
        assert!(!second.contains(r#""r1""#), "{second}");
        if first.contains(r#""r1""#) && second.contains(r#""r2""#) {
            break;
        }
        assert!(Instant::now() < deadline, "{first} {second}");
    }
    server.finish().await;
}

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::*;
use crate::client::Server;

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
        let public = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let admin = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let options = Options {
            log: data.join("log"),
            history: data.join("history"),
            dead_letters: data.join("dead-letters.jsonl"),
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
        let base = format!("http://{}", self.public);
        let answer = move || Server::new(&base, None).post(path, body.as_bytes());
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

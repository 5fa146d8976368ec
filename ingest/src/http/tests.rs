//! The write side's routes over a real embedded log.

use std::time::Duration;

use axum::Router;
use axum::body::{Body as HttpBody, to_bytes};
use axum::http::{Method, Request};
use danmu_log::embedded::{self, EmbeddedLog};
use danmu_log::{LogReader, ReadEvent};
use danmu_schemas::event::User;
use danmu_schemas::{Role, RoomEvent, codec};
use expect_test::{Expect, expect};
use tempfile::TempDir;
use tower::ServiceExt;
use uuid::Uuid;

use super::*;

struct Server {
    _dir: TempDir,
    log: EmbeddedLog,
    router: Router,
}

impl Server {
    fn start(caller: Option<Caller>) -> Self {
        Self::limited(caller, Limits::NONE)
    }

    fn limited(caller: Option<Caller>, limits: Limits) -> Self {
        let dir = TempDir::new().expect("a directory");
        let options = embedded::Options::new(dir.path(), embedded::wall_clock());
        let log = EmbeddedLog::open(options).expect("a new log opens");
        let options = likes::Options {
            flush_after: Duration::from_millis(100),
            source: "test".to_owned(),
            now_ms: || 1_763_950_000_000,
            new_id: || Uuid::now_v7().into(),
        };
        let ingest = Ingest::new(log.clone(), log.routes().clone(), options);
        let mut router = Router::from(router(Arc::new(ingest.limited(limits))));
        if let Some(caller) = caller {
            router = router.layer(Extension(caller));
        }
        Self {
            _dir: dir,
            log,
            router,
        }
    }

    fn local() -> Self {
        Self::start(Some(Caller::unauthenticated_local()))
    }

    async fn send(&self, request: Request<HttpBody>) -> String {
        let response = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("infallible");
        let status = response.status().as_u16();
        let header = |name| response.headers().get(name).and_then(|v| v.to_str().ok());
        let content_type = header("content-type").unwrap_or("-").to_owned();
        let retry = header("retry-after").map_or(String::new(), |s| format!(" retry {s}"));
        let body = to_bytes(response.into_body(), usize::MAX)
            .await
            .expect("a body");
        format!(
            "{status} {content_type}{retry}\n{}",
            String::from_utf8_lossy(&body)
        )
    }

    async fn post(&self, path: &str, body: impl Into<HttpBody>) -> String {
        self.send(request(Method::POST, path, body)).await
    }

    /// The log's records in order: key, id and kind.
    async fn logged(&self) -> Vec<String> {
        let mut reader = self.log.reader();
        let mut lines = Vec::new();
        loop {
            match reader
                .next(Duration::from_millis(50))
                .await
                .expect("the log is whole")
            {
                ReadEvent::Assigned(partitions) => {
                    for partition in partitions {
                        reader
                            .seek(partition, 0)
                            .await
                            .expect("a partition begins at 0");
                    }
                }
                ReadEvent::Records(batch) => {
                    for record in &batch.records {
                        let event: RoomEvent<'_> =
                            codec::from_wire(&record.value).expect("our own event");
                        let key = String::from_utf8_lossy(&record.key);
                        let partition = batch.partition;
                        lines.push(format!(
                            "{partition} {key} {} {}",
                            event.id,
                            event.body.kind()
                        ));
                    }
                }
                ReadEvent::Revoked(_) => {}
                ReadEvent::Idle => return lines,
            }
        }
    }
}

fn request(method: Method, path: &str, body: impl Into<HttpBody>) -> Request<HttpBody> {
    Request::builder()
        .method(method)
        .uri(path)
        .body(body.into())
        .expect("a request")
}

const EVENTS: &str = "/v1/rooms/r1/events";
const LIKES: &str = "/v1/rooms/r1/likes";

#[tokio::test]
async fn accepted_events_are_in_the_log_in_order() {
    let server = Server::local();
    let answer = server
        .post(
            EVENTS,
            r#"[{"kind":"comment","id":"01900000-0000-7000-8000-000000000001","user":{"id":"u1"},"text":"a"},
                {"kind":"broadcast_end","id":"01900000-0000-7000-8000-000000000002"}]"#,
        )
        .await;
    expect![[r#"
        200 application/json
        {"accepted":["01900000-0000-7000-8000-000000000001","01900000-0000-7000-8000-000000000002"]}"#]]
    .assert_eq(&answer);
    let slot = RoomId::parse("r1").expect("a valid name").slot();
    let partition = server.log.routes().route(slot).partition;
    assert_eq!(
        server.logged().await,
        [
            format!("{partition} r1 01900000-0000-7000-8000-000000000001 comment"),
            format!("{partition} r1 01900000-0000-7000-8000-000000000002 broadcast_end"),
        ]
    );
}

#[tokio::test]
async fn one_bad_event_appends_nothing() {
    let server = Server::local();
    let answer = server
        .post(
            EVENTS,
            r#"[{"kind":"broadcast_end"},{"kind":"comment","text":""}]"#,
        )
        .await;
    expect![[r#"
        400 application/problem+json
        {"type":"urn:danmu:problem:invalid-events","title":"nothing was taken: events are not valid","status":400,"errors":[{"index":1,"field":"user","reason":"is missing"},{"index":1,"field":"text","reason":"is blank"}]}"#]]
    .assert_eq(&answer);
    assert!(server.logged().await.is_empty());
}

#[tokio::test]
async fn every_error_is_a_problem() {
    let server = Server::local();
    async fn check(answer: impl Future<Output = String>, expected: Expect) {
        expected.assert_eq(&answer.await);
    }
    check(
        server.post(EVENTS, "{"),
        expect![[r#"
            400 application/problem+json
            {"type":"urn:danmu:problem:bad-request","title":"the request is malformed","status":400,"detail":"not JSON: EOF while parsing an object at line 1 column 1"}"#]],
    )
    .await;
    check(
        server.post("/v1/rooms/-r/events", "{}"),
        expect![[r#"
            400 application/problem+json
            {"type":"urn:danmu:problem:invalid-room","title":"this cannot be a room's name","status":400,"detail":"a room is 1 to 64 of a-z A-Z 0-9 . _ - and starts with a letter or digit"}"#]],
    )
    .await;
    check(
        server.post("/v1/nothing", "{}"),
        expect![[r#"
            404 application/problem+json
            {"type":"urn:danmu:problem:not-found","title":"there is no such thing","status":404}"#]],
    )
    .await;
    check(
        server.send(request(Method::DELETE, EVENTS, "")),
        expect![[r#"
            405 application/problem+json
            {"type":"urn:danmu:problem:method-not-allowed","title":"the method is not allowed here","status":405}"#]],
    )
    .await;
    check(
        server.post(EVENTS, vec![b' '; BODY_BYTES_MAX + 1]),
        expect![[r#"
            413 application/problem+json
            {"type":"urn:danmu:problem:too-large","title":"the request's body is too large","status":413}"#]],
    )
    .await;
    check(
        server.post(LIKES, r#"{"count":101}"#),
        expect![[r#"
            400 application/problem+json
            {"type":"urn:danmu:problem:invalid-events","title":"nothing was taken: events are not valid","status":400,"errors":[{"index":0,"field":"count","reason":"is not within 1 and 100"}]}"#]],
    )
    .await;
    server.log.close().await;
    check(
        server.post(EVENTS, r#"{"kind":"broadcast_end"}"#),
        expect![[r#"
            503 application/problem+json retry 1
            {"type":"urn:danmu:problem:overloaded","title":"the server takes no more at the moment","status":503}"#]],
    )
    .await;
}

/// The caller `u1`.
fn caller(role: Role) -> Caller {
    Caller {
        roles: vec![role],
        user: Some(User {
            id: "u1".into(),
            name: "".into(),
            ext: Vec::new(),
        }),
        rooms: None,
        expires_at: None,
    }
}

#[tokio::test]
async fn who_calls_decides() {
    let nobody = Server::start(None).post(EVENTS, "{}").await;
    assert!(
        nobody.starts_with("401 application/problem+json"),
        "{nobody}"
    );
    let viewer = caller(Role::Viewer);
    let server = Server::start(Some(viewer));
    let answer = server
        .post(EVENTS, r#"{"kind":"pin","target_seq":1}"#)
        .await;
    assert!(
        answer.starts_with("403 application/problem+json"),
        "{answer}"
    );
    assert!(server.logged().await.is_empty());
    let answer = server
        .post(EVENTS, r#"{"kind":"comment","text":"hi"}"#)
        .await;
    assert!(answer.starts_with("200 "), "{answer}");
}

#[tokio::test]
async fn an_idempotency_key_gives_the_same_id_again() {
    let server = Server::local();
    let send = async || {
        let mut request = request(
            Method::POST,
            EVENTS,
            r#"{"kind":"comment","user":{"id":"u1"},"text":"hi"}"#,
        );
        let key = "k1".parse().expect("a header");
        request.headers_mut().insert("idempotency-key", key);
        server.send(request).await
    };
    let first = send().await;
    assert!(first.starts_with("200 "), "{first}");
    assert_eq!(first, send().await);
    assert_eq!(
        server.logged().await.len(),
        2,
        "settle tells the duplicate, not ingest"
    );
}

#[tokio::test]
async fn likes_are_answered_after_their_event() {
    let server = Server::local();
    let (a, b) = tokio::join!(
        server.post(LIKES, r#"{"count":3}"#),
        server.post(LIKES, r#"{"count":4}"#)
    );
    assert_eq!(
        (a.as_str(), b.as_str()),
        ("200 application/json\n{}", "200 application/json\n{}")
    );
    let logged = server.logged().await;
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert!(logged[0].ends_with(" likes"), "{logged:?}");
}

fn rate(text: &str) -> Option<crate::rates::Rate> {
    Some(text.parse().expect("a rate"))
}

#[tokio::test]
async fn who_sends_too_much_is_told_to_wait() {
    const COMMENT: &str = r#"{"kind":"comment","text":"hi"}"#;
    let limits = Limits {
        user: rate("2/10s"),
        likes: rate("1/10s"),
        ..Limits::NONE
    };
    let server = Server::limited(Some(caller(Role::Viewer)), limits);
    for _ in 0..2 {
        let answer = server.post(EVENTS, COMMENT).await;
        assert!(answer.starts_with("200 "), "{answer}");
    }
    expect![[r#"
        429 application/problem+json retry 5
        {"type":"urn:danmu:problem:rate-limited","title":"too much at once","status":429,"detail":"at most 2 in 10 s"}"#]].assert_eq(&server.post(EVENTS, COMMENT).await);
    let answer = server.post(LIKES, r#"{"count":1}"#).await;
    assert!(
        answer.starts_with("200 "),
        "likes have a lane of their own: {answer}"
    );
    let answer = server.post(LIKES, r#"{"count":1}"#).await;
    assert!(answer.starts_with("429 "), "{answer}");
    assert_eq!(server.logged().await.len(), 3);
}

#[tokio::test]
async fn a_limit_is_told_in_headers() {
    let limits = Limits {
        room: rate("1/10s"),
        ..Limits::NONE
    };
    let server = Server::limited(Some(caller(Role::Viewer)), limits);
    let told = async |body: &'static str| {
        let sent = request(Method::POST, EVENTS, body);
        let response = server.router.clone().oneshot(sent).await;
        let response = response.expect("infallible");
        let header = |name| response.headers().get(name).and_then(|v| v.to_str().ok());
        let headers = ["retry-after", "ratelimit", "ratelimit-policy"].map(header);
        format!("{} {headers:?}", response.status().as_u16())
    };
    let two = r#"[{"kind":"enter"},{"kind":"leave"}]"#;
    let answers = [
        told(two).await,
        told(r#"{"kind":"enter"}"#).await,
        told(r#"{"kind":"leave"}"#).await,
    ];
    // What is more than the whole quota never fits, so that it is not told to come again.
    expect![[r#"
        413 [None, Some("\"room\";r=1;t=0"), Some("\"room\";q=1;w=10")]
        200 [None, None, None]
        429 [Some("10"), Some("\"room\";r=0;t=10"), Some("\"room\";q=1;w=10")]"#]]
    .assert_eq(&answers.join("\n"));
}

#[tokio::test]
async fn an_encoded_body_is_refused() {
    let server = Server::local();
    let answer = async |coding: &str| {
        let mut request = request(Method::POST, EVENTS, r#"{"kind":"broadcast_end"}"#);
        let coding = coding.parse().expect("a header");
        request.headers_mut().insert("content-encoding", coding);
        server.send(request).await
    };
    assert!(answer("identity").await.starts_with("200 "));
    expect![[r#"
        415 application/problem+json
        {"type":"urn:danmu:problem:unsupported-encoding","title":"the request's body is encoded in a way that is not taken","status":415}"#]]
    .assert_eq(&answer("gzip").await);
}

#[tokio::test]
async fn moderation_passes_where_comments_do_not_and_backends_always_do() {
    let limits = Limits {
        user: rate("1/10s"),
        room: rate("1/10s"),
        address: rate("2/10s"),
        likes: None,
        moderation: rate("1/10s"),
    };
    let pin = r#"{"kind":"pin","target_seq":1}"#;
    let say = r#"{"kind":"enter"}"#;
    let moderator = Server::limited(Some(caller(Role::Moderator)), limits);
    let mut statuses = Vec::new();
    for body in [say, say, pin, pin] {
        let answer = moderator.post(EVENTS, body).await;
        statuses.push(answer.split(' ').next().unwrap_or_default().to_owned());
    }
    assert_eq!(statuses, ["200", "429", "200", "429"]);
    let backend = Server::limited(Some(caller(Role::Backend)), limits);
    for body in [say, say, say, pin] {
        let mut request = request(Method::POST, EVENTS, body);
        let peer = Peer([10, 0, 0, 1].into());
        request.extensions_mut().insert(peer);
        let answer = backend.send(request).await;
        assert!(answer.starts_with("200 "), "{answer}");
    }
}

#[tokio::test]
async fn requests_are_counted_by_their_address() {
    let limits = Limits {
        address: rate("1/10s"),
        ..Limits::NONE
    };
    let server = Server::limited(Some(caller(Role::Viewer)), limits);
    let status = async |peer: &str| {
        let mut request = request(Method::POST, EVENTS, "{");
        let peer = Peer(peer.parse().expect("an address"));
        request.extensions_mut().insert(peer);
        let answer = server.send(request).await;
        answer.split(' ').next().unwrap_or_default().to_owned()
    };
    assert_eq!(status("10.0.0.1").await, "400");
    assert_eq!(status("10.0.0.1").await, "429");
    assert_eq!(status("::ffff:10.0.0.1").await, "429");
    assert_eq!(status("10.0.0.2").await, "400");
    assert_eq!(status("2001:db8::1").await, "400");
    assert_eq!(status("2001:db8::2").await, "429");
    assert_eq!(status("2001:db8:0:1::1").await, "400");
}

/// Changes `text` in one to four places, so that most of it stays what it was.
fn mutate(random: &mut fastrand::Rng, text: &str) -> Vec<u8> {
    const SPLICES: [&[u8]; 8] = [
        b"null", b"-1", b"1e999", b"\"", b"{", b"[[[[", b"\\u0000", b"\xff",
    ];
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..random.usize(1..=4) {
        let at = random.usize(0..=bytes.len());
        let end = random.usize(at..=bytes.len().min(at + 8));
        let splice: &[u8] = match random.u8(0..3) {
            0 => b"",
            1 => &[random.u8(..)],
            _ => SPLICES[random.usize(..SPLICES.len())],
        };
        bytes.splice(at..end, splice.iter().copied());
    }
    bytes
}

#[tokio::test]
async fn mutated_requests_are_answered_and_never_with_a_fault() {
    const REQUESTS: usize = 50_000;
    const BODIES: [&str; 4] = [
        r#"{"kind":"comment","text":"hi","style":{"mode":"top","color":255},"ext":{"a":"b"}}"#,
        r#"[{"kind":"enter"},{"kind":"leave","device":{"id":"d"}},{"kind":"pin","target_seq":1}]"#,
        r#"{"kind":"gift","user":{"id":"u1"},"gift":"g","count":1,"unit_value":5}"#,
        r#"{"count":3}"#,
    ];
    let server = Server::start(Some(caller(Role::Viewer)));
    let mut random = fastrand::Rng::with_seed(7);
    for n in 0..REQUESTS {
        let path = if n % 4 == 0 { LIKES } else { EVENTS };
        let body = mutate(&mut random, BODIES[n % BODIES.len()]);
        let address = mutate(&mut random, path);
        let address = if random.bool() {
            path.as_bytes()
        } else {
            &address
        };
        let key = mutate(&mut random, "a key");
        let request = Request::builder()
            .method(Method::POST)
            .uri(address)
            .header("idempotency-key", &key[..])
            .body(HttpBody::from(body.clone()));
        let Ok(request) = request else { continue };
        let answer = server.send(request).await;
        assert!(!answer.starts_with('5'), "{n}: {answer}");
        let told = answer.starts_with("200 ") || answer.contains("application/problem+json");
        assert!(told, "{n}: {answer}");
    }
}

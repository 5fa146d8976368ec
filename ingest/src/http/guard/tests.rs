//! Requests in; who was found to call, or the refusal, as text.

use std::sync::Mutex;

use axum::Extension;
use axum::body::{Body, to_bytes};
use axum::routing::get;
use expect_test::{Expect, expect};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;
use tower::ServiceExt as _;

use super::*;
use crate::identity::Secrets;

const NOW_MS: i64 = 1_763_950_000_000;
const SECRET: &str = "a secret of at least thirty-two bytes";

fn token(claims: serde_json::Value) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    encode(&Header::default(), &claims, &key).expect("a key for the algorithm")
}

fn expiring(at_s: i64) -> String {
    token(json!({"sub": "u1", "exp": at_s}))
}

fn good() -> String {
    expiring(NOW_MS / 1_000 + 60)
}

fn guard() -> Guard {
    let secrets = Secrets {
        current: SECRET.into(),
        previous: None,
    };
    Guard {
        identity: Some(Arc::new(Identity::of_secrets(&secrets))),
        private_reads: false,
        now_ms: || NOW_MS,
    }
}

/// Tells what reaches a route behind the guard.
async fn seen(caller: Option<Extension<Caller>>, request: Request) -> String {
    let who = caller.map_or("nobody".to_owned(), |Extension(caller)| {
        let user = caller
            .user
            .map_or("-".to_owned(), |user| user.id.into_owned());
        format!("{:?} {user}", caller.roles)
    });
    let authorization = request.headers().get(header::AUTHORIZATION);
    format!("{who} {} {authorization:?}", request.uri())
}

fn router(guard: Guard) -> Router {
    let router = Router::new()
        .route("/v1/rooms", get(seen))
        .route("/v1/rooms/{room}/events", get(seen).post(seen))
        .route("/v1/connect", get(seen));
    guard.before(router)
}

/// A request line with headers after it, each `name: value`.
fn request(line: &str) -> Request {
    let mut parts = line.split(" | ");
    let (method, uri) = parts
        .next()
        .and_then(|first| first.split_once(' '))
        .expect("a method and a path");
    let mut request = axum::http::Request::builder().method(method).uri(uri);
    for header in parts {
        let (name, value) = header.split_once(": ").expect("a header");
        request = request.header(name, value);
    }
    request.body(Body::empty()).expect("a request")
}

async fn answer(guard: Guard, line: &str) -> String {
    let response = router(guard)
        .oneshot(request(line))
        .await
        .expect("an answer");
    let status = response.status().as_u16();
    let challenge = response.headers().get(header::WWW_AUTHENTICATE);
    let challenge = challenge.map_or(String::new(), |challenge| format!(" {challenge:?}"));
    let body = to_bytes(response.into_body(), 4_096).await.expect("a body");
    format!("{status}{challenge} {}", String::from_utf8_lossy(&body))
}

async fn check(guard: Guard, lines: &[String], expected: Expect) {
    let mut answers = Vec::new();
    for line in lines {
        answers.push(answer(guard.clone(), line).await);
    }
    expected.assert_eq(&answers.join("\n"));
}

const EVENTS: &str = "/v1/rooms/r1/events";

#[tokio::test]
async fn a_token_comes_in_a_header_or_in_the_query_of_a_get() {
    let good = good();
    check(
        guard(),
        &[
            format!("GET {EVENTS}"),
            format!("POST {EVENTS}"),
            format!("POST {EVENTS} | authorization: Bearer {good}"),
            format!("POST {EVENTS} | authorization: bearer  {good}"),
            format!("GET {EVENTS}?after=0&access_token={good}&limit=1"),
            format!("GET {EVENTS}?access_token={good}"),
            format!("HEAD {EVENTS}?access_token={good}"),
            format!("POST {EVENTS}?access_token={good}"),
            format!("GET {EVENTS}?access_token={good} | authorization: Bearer {good}"),
            format!("GET {EVENTS} | authorization: Bearer {good} | authorization: Bearer {good}"),
            format!("GET {EVENTS} | authorization: Basic dTpw"),
            format!("GET {EVENTS} | authorization: {good}"),
            format!("GET {EVENTS}?access_token="),
            format!("GET {EVENTS}?access_token"),
        ],
        expect![[r#"
            200 nobody /v1/rooms/r1/events None
            200 nobody /v1/rooms/r1/events None
            200 [Viewer] u1 /v1/rooms/r1/events None
            200 [Viewer] u1 /v1/rooms/r1/events None
            200 [Viewer] u1 /v1/rooms/r1/events?after=0&limit=1 None
            200 [Viewer] u1 /v1/rooms/r1/events None
            200 
            200 nobody /v1/rooms/r1/events None
            401 "Bearer realm=\"danmu\", error=\"invalid_token\"" {"type":"urn:danmu:problem:invalid-token","title":"the token proves nothing","status":401,"detail":"it is given twice"}
            401 "Bearer realm=\"danmu\", error=\"invalid_token\"" {"type":"urn:danmu:problem:invalid-token","title":"the token proves nothing","status":401,"detail":"it is given twice"}
            401 "Bearer realm=\"danmu\", error=\"invalid_token\"" {"type":"urn:danmu:problem:invalid-token","title":"the token proves nothing","status":401,"detail":"the Authorization header is no Bearer token"}
            401 "Bearer realm=\"danmu\", error=\"invalid_token\"" {"type":"urn:danmu:problem:invalid-token","title":"the token proves nothing","status":401,"detail":"the Authorization header is no Bearer token"}
            401 "Bearer realm=\"danmu\", error=\"invalid_token\"" {"type":"urn:danmu:problem:invalid-token","title":"the token proves nothing","status":401,"detail":"the token is not valid: it is no signed JWT"}
            401 "Bearer realm=\"danmu\", error=\"invalid_token\"" {"type":"urn:danmu:problem:invalid-token","title":"the token proves nothing","status":401,"detail":"the token is not valid: it is no signed JWT"}"#]],
    )
    .await;
}

#[tokio::test]
async fn a_bad_token_is_refused_even_where_none_is_needed() {
    check(
        guard(),
        &[
            format!("GET {EVENTS} | authorization: Bearer {}", expiring(1)),
            format!("GET {EVENTS}?access_token={}x", good()),
            format!("GET /v1/connect?access_token={}", expiring(1)),
        ],
        expect![[r#"
            401 "Bearer realm=\"danmu\", error=\"invalid_token\"" {"type":"urn:danmu:problem:invalid-token","title":"the token proves nothing","status":401,"detail":"the token has expired"}
            401 "Bearer realm=\"danmu\", error=\"invalid_token\"" {"type":"urn:danmu:problem:invalid-token","title":"the token proves nothing","status":401,"detail":"the token is not valid: no key of this server signed it"}
            401 "Bearer realm=\"danmu\", error=\"invalid_token\"" {"type":"urn:danmu:problem:invalid-token","title":"the token proves nothing","status":401,"detail":"the token has expired"}"#]],
    )
    .await;
}

#[tokio::test]
async fn without_keys_every_caller_is_trusted() {
    let trusting = Guard {
        identity: None,
        ..guard()
    };
    check(
        trusting,
        &[
            format!("POST {EVENTS}"),
            format!("GET {EVENTS}?access_token=x&after=0 | authorization: Basic dTpw"),
        ],
        expect![[r#"
            200 [Backend, Operator] - /v1/rooms/r1/events None
            200 [Backend, Operator] - /v1/rooms/r1/events?after=0 None"#]],
    )
    .await;
}

#[tokio::test]
async fn private_reads_need_a_token_for_the_room() {
    let private = Guard {
        private_reads: true,
        ..guard()
    };
    let of = |claims: serde_json::Value| {
        let mut all = json!({"sub": "u1", "exp": NOW_MS / 1_000 + 60});
        all.as_object_mut()
            .expect("an object")
            .extend(claims.as_object().expect("an object").clone());
        format!("authorization: Bearer {}", token(all))
    };
    let r1 = of(json!({"rooms": ["r1"]}));
    check(
        private,
        &[
            format!("GET {EVENTS}"),
            format!("GET {EVENTS} | {r1}"),
            format!("HEAD {EVENTS} | {r1}"),
            format!("GET /v1/rooms/r2/events | {r1}"),
            format!("GET /v1/rooms/r%32/events | {r1}"),
            format!("GET /v1/rooms/%72%31/events | {r1}"),
            format!("GET {EVENTS} | {}", of(json!({}))),
            format!("GET {EVENTS} | {}", of(json!({"role": "host"}))),
            format!("GET {EVENTS} | {}", of(json!({"role": "backend"}))),
            format!(
                "GET {EVENTS} | {}",
                of(json!({"role": "backend", "rooms": ["r2"]}))
            ),
            "GET /v1/rooms".to_owned(),
            format!("GET /v1/rooms | {r1}"),
            "GET /v1/connect".to_owned(),
            format!("POST {EVENTS}"),
        ],
        expect![[r#"
            401 "Bearer realm=\"danmu\"" {"type":"urn:danmu:problem:unauthenticated","title":"the caller is not known","status":401}
            200 [Viewer] u1 /v1/rooms/r1/events None
            200 
            403 {"type":"urn:danmu:problem:forbidden","title":"the caller's role does not allow this","status":403,"detail":"the token is for other rooms"}
            403 {"type":"urn:danmu:problem:forbidden","title":"the caller's role does not allow this","status":403,"detail":"the token is for other rooms"}
            200 [Viewer] u1 /v1/rooms/%72%31/events None
            403 {"type":"urn:danmu:problem:forbidden","title":"the caller's role does not allow this","status":403,"detail":"the token is for other rooms"}
            403 {"type":"urn:danmu:problem:forbidden","title":"the caller's role does not allow this","status":403,"detail":"the token is for other rooms"}
            200 [Backend] u1 /v1/rooms/r1/events None
            403 {"type":"urn:danmu:problem:forbidden","title":"the caller's role does not allow this","status":403,"detail":"the token is for other rooms"}
            401 "Bearer realm=\"danmu\"" {"type":"urn:danmu:problem:unauthenticated","title":"the caller is not known","status":401}
            200 [Viewer] u1 /v1/rooms None
            200 nobody /v1/connect None
            200 nobody /v1/rooms/r1/events None"#]],
    )
    .await;
}

#[tokio::test]
async fn private_answers_are_not_for_shared_caches() {
    let immutable = "public, max-age=31536000, immutable";
    let cache_control = async |private_reads| {
        let segment = get(async move || [(header::CACHE_CONTROL, immutable)]);
        let guard = Guard {
            private_reads,
            ..guard()
        };
        let router = guard.before(Router::new().route("/v1/rooms/{room}/segment", segment));
        let claims = json!({"sub": "u1", "exp": NOW_MS / 1_000 + 60, "rooms": ["r1"]});
        let line = format!("GET /v1/rooms/r1/segment?access_token={}", token(claims));
        let response = router.oneshot(request(&line)).await.expect("an answer");
        let control = response.headers()[header::CACHE_CONTROL].to_str();
        control.expect("text").to_owned()
    };
    assert_eq!(cache_control(false).await, immutable);
    assert_eq!(
        cache_control(true).await,
        immutable.replace("public", "private")
    );
}

/// Everything that is traced, as text.
#[derive(Clone, Default)]
struct Trace(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Trace {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_token_is_never_traced() {
    let trace = Trace::default();
    let writer = trace.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _scope = tracing::subscriber::set_default(subscriber);
    tracing::info!("it does trace");
    let (good, bad) = (good(), expiring(1));
    for token in [&good, &bad] {
        for line in [
            format!("GET {EVENTS}?access_token={token}"),
            format!("POST {EVENTS}?access_token={token}"),
            format!("POST {EVENTS} | authorization: Bearer {token}"),
        ] {
            let answer = answer(guard(), &line).await;
            assert!(!answer.contains(token.as_str()), "{answer}");
        }
    }
    let traced = String::from_utf8(trace.0.lock().expect("no panic").clone()).expect("text");
    assert!(traced.contains("it does trace"));
    for token in [&good, &bad] {
        let payload = token.split('.').nth(1).expect("three parts");
        assert!(!traced.contains(payload), "{traced}");
    }
}

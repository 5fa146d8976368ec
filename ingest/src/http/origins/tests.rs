//! Requests of pages in; the status and what browsers are told, as text.

use axum::body::Body;
use axum::routing::get;
use expect_test::{Expect, expect};
use tower::ServiceExt as _;

use super::*;

async fn answer(allowed: &[&str], line: &str, origin: Option<&str>) -> String {
    let origins = Origins::parse(allowed.iter().copied()).expect("origins");
    let route = get(async || "read").post(async || "written");
    let router = origins.before(Router::new().route("/events", route));
    let (method, asks) = line
        .split_once(" for ")
        .map_or((line, None), |(m, a)| (m, Some(a)));
    let mut request = axum::http::Request::builder()
        .method(method)
        .uri("/events")
        .header("host", "danmu.example:8080");
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    if let Some(asks) = asks {
        request = request.header("access-control-request-method", asks);
    }
    let request = request.body(Body::empty()).expect("a request");
    let response = router.oneshot(request).await.expect("an answer");
    let mut told: Vec<_> = response
        .headers()
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("access-control") || *name == "vary")
        .map(|(name, value)| format!("    {name}: {}", value.to_str().expect("text")))
        .collect();
    told.sort();
    let status = response.status().as_u16();
    let origin = origin.unwrap_or("-");
    format!("{line} from {origin}: {status}\n{}", told.join("\n"))
        .trim_end()
        .to_owned()
}

async fn check(allowed: &[&str], requests: &[(&str, Option<&str>)], expected: Expect) {
    let mut answers = Vec::new();
    for (line, origin) in requests {
        answers.push(answer(allowed, line, *origin).await);
    }
    expected.assert_eq(&answers.join("\n"));
}

const LISTED: Option<&str> = Some("https://show.example");
const OTHER: Option<&str> = Some("https://other.example");

#[tokio::test]
async fn listed_pages_may_read_and_write() {
    check(
        &["https://show.example", "http://localhost:5173"],
        &[
            ("GET", None),
            ("GET", LISTED),
            ("GET", OTHER),
            ("OPTIONS for POST", LISTED),
            ("OPTIONS for POST", OTHER),
            ("POST", None),
            ("POST", LISTED),
            ("POST", OTHER),
            ("POST", Some("null")),
            ("POST", Some("http://danmu.example:8080")),
            ("POST", Some("http://danmu.example:8081")),
            ("OPTIONS", LISTED),
        ],
        expect![[r#"
            GET from -: 200
                vary: origin
            GET from https://show.example: 200
                access-control-allow-origin: https://show.example
                access-control-expose-headers: retry-after, ratelimit, ratelimit-policy
                vary: origin
            GET from https://other.example: 200
                vary: origin
            OPTIONS for POST from https://show.example: 204
                access-control-allow-headers: authorization, content-type, idempotency-key, last-event-id, traceparent
                access-control-allow-methods: GET, POST
                access-control-allow-origin: https://show.example
                access-control-expose-headers: retry-after, ratelimit, ratelimit-policy
                access-control-max-age: 7200
                vary: origin
            OPTIONS for POST from https://other.example: 204
                access-control-allow-headers: authorization, content-type, idempotency-key, last-event-id, traceparent
                access-control-allow-methods: GET, POST
                access-control-max-age: 7200
                vary: origin
            POST from -: 200
                vary: origin
            POST from https://show.example: 200
                access-control-allow-origin: https://show.example
                access-control-expose-headers: retry-after, ratelimit, ratelimit-policy
                vary: origin
            POST from https://other.example: 403
                vary: origin
            POST from null: 403
                vary: origin
            POST from http://danmu.example:8080: 200
                vary: origin
            POST from http://danmu.example:8081: 403
                vary: origin
            OPTIONS from https://show.example: 405
                access-control-allow-origin: https://show.example
                access-control-expose-headers: retry-after, ratelimit, ratelimit-policy
                vary: origin"#]],
    )
    .await;
}

#[tokio::test]
async fn without_a_list_only_own_pages_write_and_none_else_reads() {
    check(
        &[],
        &[
            ("GET", OTHER),
            ("OPTIONS for POST", OTHER),
            ("POST", OTHER),
            ("POST", Some("https://danmu.example:8080")),
        ],
        expect![[r#"
            GET from https://other.example: 200
            OPTIONS for POST from https://other.example: 204
                access-control-allow-headers: authorization, content-type, idempotency-key, last-event-id, traceparent
                access-control-allow-methods: GET, POST
                access-control-max-age: 7200
            POST from https://other.example: 403
            POST from https://danmu.example:8080: 200"#]],
    )
    .await;
}

#[tokio::test]
async fn a_star_is_every_page() {
    check(
        &["*"],
        &[("GET", OTHER), ("OPTIONS for POST", OTHER), ("POST", OTHER)],
        expect![[r#"
            GET from https://other.example: 200
                access-control-allow-origin: *
                access-control-expose-headers: retry-after, ratelimit, ratelimit-policy
            OPTIONS for POST from https://other.example: 204
                access-control-allow-headers: authorization, content-type, idempotency-key, last-event-id, traceparent
                access-control-allow-methods: GET, POST
                access-control-allow-origin: *
                access-control-expose-headers: retry-after, ratelimit, ratelimit-policy
                access-control-max-age: 7200
            POST from https://other.example: 200
                access-control-allow-origin: *
                access-control-expose-headers: retry-after, ratelimit, ratelimit-policy"#]],
    )
    .await;
}

#[test]
fn an_origin_is_a_scheme_a_host_and_maybe_a_port() {
    for good in [
        "https://a.example",
        "http://127.0.0.1:80",
        "http://[::1]:80",
    ] {
        assert!(Origins::parse([good]).is_ok(), "{good}");
    }
    for bad in [
        "",
        "a.example",
        "https://",
        "https://a.example/",
        "ftp://a",
        "https://A",
    ] {
        assert!(Origins::parse([bad]).is_err(), "{bad}");
    }
    assert!(Origins::parse(["*", "https://a.example"]).is_err());
}

//! Every request, counted, timed and logged.
//!
//! A request is told apart by what it asks of the server, never by its path: that would make a label,
//! and a log line, of what a client sent. The log has the path without its query, because a query may
//! hold a token. A time is from the request's head to the answer's; a publish includes its body and the
//! log's acknowledgement.

use std::array;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::Response;
use bytes::Bytes;
use danmu_schemas::problem::ProblemType;
use http_body_util::Full;
use hyper::body::Incoming;
use metrics::{Counter, Histogram, Unit, counter, describe_counter, describe_histogram, histogram};

use super::answers::Ready;

/// What is asked of the server, by method and route: every route of the OpenAPI document.
const SURFACES: [(Method, &str, &str); 16] = [
    (Method::POST, "/v1/rooms/{room}/events", "publish"),
    (Method::POST, "/v1/rooms/{room}/likes", "like"),
    (Method::GET, "/v1/rooms/{room}/events", "poll"),
    (Method::GET, "/v1/rooms/{room}/stream", "stream"),
    (Method::GET, "/v1/rooms/{room}/socket", "socket"),
    (Method::GET, "/v1/connect", "connect"),
    (Method::GET, "/v1/rooms/{room}/verdicts", "verdicts"),
    (Method::GET, "/v1/rooms/{room}", "room"),
    (Method::GET, "/v1/rooms/{room}/users", "users"),
    (Method::GET, "/v1/rooms", "rooms"),
    (Method::GET, "/v1/rooms/{room}/broadcasts", "broadcasts"),
    (
        Method::GET,
        "/v1/rooms/{room}/broadcasts/{broadcast}",
        "manifest",
    ),
    (
        Method::GET,
        "/v1/rooms/{room}/broadcasts/{broadcast}/segments/{n}",
        "segment",
    ),
    (
        Method::GET,
        "/v1/rooms/{room}/broadcasts/{broadcast}/export",
        "export",
    ),
    (Method::GET, "/openapi.json", "document"),
    (Method::GET, "/docs", "page"),
];
/// The name of whatever else is asked; it comes after the others.
const OTHER: &str = "other";

/// The name of the answers' counter.
const RESPONSES: &str = "danmu_http_responses_total";

/// Statuses are counted by their first digit.
const STATUSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The counters of all requests.
struct Requests {
    surfaces: [Surface; SURFACES.len() + 1],
    problems: [Counter; ProblemType::ALL.len()],
}

struct Surface {
    seconds: Histogram,
    responses: [Counter; STATUSES.len()],
}

/// The router, with every request counted by the metrics recorder that is in force now.
pub fn counted(router: Router) -> Router {
    let requests = Arc::new(Requests::new());
    router.layer(middleware::from_fn_with_state(requests, count))
}

/// What lies ready, counted among the polls. No time is taken: it would be that of a look-up.
pub fn counted_ready(
    ready: impl Fn(&hyper::Request<Incoming>) -> Option<Response<Full<Bytes>>> + Send + Sync + 'static,
) -> Ready {
    let polls = counter!(RESPONSES, "surface" => "poll", "status" => "2xx");
    Arc::new(move |request| {
        let ready = ready(request)?;
        polls.increment(1);
        Some(ready)
    })
}

async fn count(State(requests): State<Arc<Requests>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let route = request.extensions().get::<MatchedPath>();
    let surface = surface_of(request.method(), route.map(MatchedPath::as_str));
    let logged = tracing::enabled!(tracing::Level::DEBUG)
        .then(|| (request.method().clone(), request.uri().path().to_owned()));
    let response = next.run(request).await;
    let status = response.status();
    let took = began.elapsed();
    requests.surfaces[surface].seconds.record(took);
    requests.surfaces[surface].responses[class_of(status)].increment(1);
    if let Some(problem) = response.extensions().get::<ProblemType>() {
        requests.refuse(*problem);
    }
    if let Some((method, path)) = logged {
        let (status, took_us) = (status.as_u16(), took.as_micros() as u64);
        tracing::debug!(%method, path, status, took_us, "request");
    }
    response
}

impl Requests {
    fn new() -> Self {
        const PROBLEMS: &str = "danmu_http_problems_total";
        describe_counter!(
            PROBLEMS,
            "requests that were not answered, by the problem's name"
        );
        let problem = |n: usize| counter!(PROBLEMS, "problem" => ProblemType::ALL[n].name());
        Self {
            surfaces: array::from_fn(|n| {
                Surface::new(SURFACES.get(n).map_or(OTHER, |(_, _, name)| name))
            }),
            problems: array::from_fn(problem),
        }
    }

    fn refuse(&self, problem: ProblemType) {
        let known = ProblemType::ALL.iter().position(|known| *known == problem);
        if let Some(n) = known {
            self.problems[n].increment(1);
        }
    }
}

impl Surface {
    fn new(name: &'static str) -> Self {
        const SECONDS: &str = "danmu_http_request_seconds";
        describe_histogram!(
            SECONDS,
            Unit::Seconds,
            "time from a request's head to its answer's"
        );
        describe_counter!(RESPONSES, "answers");
        let class = |n| counter!(RESPONSES, "surface" => name, "status" => STATUSES[n]);
        Self {
            seconds: histogram!(SECONDS, "surface" => name),
            responses: array::from_fn(class),
        }
    }
}

fn surface_of(method: &Method, route: Option<&str>) -> usize {
    let is_asked = |(asked, at, _): &(Method, &str, &str)| method == asked && route == Some(*at);
    let surface = SURFACES.iter().position(is_asked);
    surface.unwrap_or(SURFACES.len())
}

fn class_of(status: StatusCode) -> usize {
    usize::from(status.as_u16() / 100).clamp(1, STATUSES.len()) - 1
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_of_the_document_is_a_surface() {
        let document = include_str!("../../../../docs/openapi.json");
        let document: serde_json::Value = serde_json::from_str(document).unwrap();
        let documented: BTreeSet<_> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| {
                let methods = item.as_object().unwrap().keys();
                methods.map(move |method| (method.to_uppercase(), path.as_str()))
            })
            .collect();
        let counted: BTreeSet<_> = SURFACES
            .iter()
            .map(|(method, path, _)| (method.to_string(), *path))
            .collect();
        assert_eq!(documented, counted);
        let names: BTreeSet<_> = SURFACES.iter().map(|(_, _, name)| name).collect();
        assert_eq!(names.len(), SURFACES.len(), "a name is used twice");
    }
}

//! The write side over HTTP.
//!
//! A 200 means that the log has acknowledged every event that it names; every other answer is a
//! problem. Who calls is a [`Caller`] among the request's extensions, put there by the [`guard`]:
//! without one nothing is taken. This module carries bytes and statuses only.

mod answer;
pub mod guard;
pub mod origins;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Router, middleware};
use danmu_log::{LogWriter, Routes};
use danmu_schemas::problem::{FieldError, Problem, ProblemType};
use danmu_schemas::{Caller, EventId, RoomId};

use crate::admission::{self, Context, Rejection};
use crate::append::{Appender, NotAppended};
use crate::likes::{self, Likes};
pub use answer::Refused;

/// The largest body.
pub const BODY_BYTES_MAX: usize = 1_024 * 1_024;
/// When to try again where the log takes no more.
const OVERLOADED_RETRY_S: u32 = 1;

/// What the write side works with.
#[derive(Debug)]
pub struct Ingest<W> {
    appender: Appender<W>,
    likes: Likes<W>,
    now_ms: fn() -> i64,
    new_id: fn() -> EventId,
}

impl<W: LogWriter + Clone + 'static> Ingest<W> {
    /// Writes to `writer`'s log, whose slots are where `routes` says. Time and ids come from
    /// `likes`' options too.
    pub fn new(writer: W, routes: Routes, likes: likes::Options) -> Self {
        let appender = Appender::new(writer, routes);
        let (now_ms, new_id) = (likes.now_ms, likes.new_id);
        Self {
            likes: Likes::new(appender.clone(), likes),
            appender,
            now_ms,
            new_id,
        }
    }

    /// Takes no more likes, and ends when those that wait have been answered.
    pub async fn close(&self) {
        self.likes.close().await;
    }
}

/// The write side's routes, to be merged with the read side's.
pub fn router<W: LogWriter + Clone + 'static>(ingest: Arc<Ingest<W>>) -> Router {
    Router::new()
        .route("/v1/rooms/{room}/events", post(post_events::<W>))
        .route("/v1/rooms/{room}/likes", post(post_likes::<W>))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::map_response(answer::as_problem))
        .with_state(ingest)
}

async fn post_events<W: LogWriter + Clone + 'static>(
    State(ingest): State<Arc<Ingest<W>>>,
    Path(room): Path<String>,
    caller: Option<Extension<Caller>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refused> {
    let room = parse_room(&room)?;
    let context = Context {
        room: &room,
        caller: &known(caller)?,
        now_ms: (ingest.now_ms)(),
        idempotency_key: idempotency_key(&headers)?,
    };
    let events = admission::admit(&body, context, ingest.new_id).map_err(rejected)?;
    ingest
        .appender
        .append(&room, &events)
        .await
        .map_err(not_appended)?;
    let ids: Vec<_> = events.iter().map(|event| event.id).collect();
    Ok(answer::accepted(&ids))
}

async fn post_likes<W: LogWriter + Clone + 'static>(
    State(ingest): State<Arc<Ingest<W>>>,
    Path(room): Path<String>,
    caller: Option<Extension<Caller>>,
    body: Bytes,
) -> Result<Response, Refused> {
    let room = parse_room(&room)?;
    let caller = known(caller)?;
    if !caller.may_send_to(&room) {
        return Err(Problem::new(ProblemType::Forbidden)
            .detail(admission::OTHER_ROOMS)
            .into());
    }
    let count = like_count(&body)?;
    ingest.likes.add(&room, count).await.map_err(not_appended)?;
    Ok((StatusCode::OK, axum::Json(serde_json::json!({}))).into_response())
}

fn parse_room(name: &str) -> Result<RoomId, Refused> {
    RoomId::parse(name).map_err(|error| {
        Problem::new(ProblemType::InvalidRoom)
            .detail(error.to_string())
            .into()
    })
}

fn known(caller: Option<Extension<Caller>>) -> Result<Caller, Refused> {
    let unknown = || Refused::from(Problem::new(ProblemType::Unauthenticated));
    caller.map(|Extension(caller)| caller).ok_or_else(unknown)
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Refused> {
    let bad = |_| bad_request("the Idempotency-Key is not plain ASCII");
    let key = headers.get("idempotency-key");
    key.map(|key| key.to_str().map_err(bad)).transpose()
}

fn like_count(body: &[u8]) -> Result<u32, Refused> {
    #[derive(serde::Deserialize)]
    struct Request {
        count: u32,
    }
    let request: Request = serde_json::from_slice(body)
        .map_err(|error| bad_request(format!("not {{\"count\":N}}: {error}")))?;
    if likes::REQUEST_COUNTS.contains(&request.count) {
        return Ok(request.count);
    }
    Err(Problem::new(ProblemType::InvalidEvents)
        .errors(vec![FieldError {
            index: 0,
            field: "count".to_owned(),
            reason: "is not within 1 and 100".to_owned(),
        }])
        .into())
}

fn bad_request(detail: impl Into<String>) -> Refused {
    Problem::new(ProblemType::BadRequest).detail(detail).into()
}

fn rejected(rejection: Rejection) -> Refused {
    match rejection {
        Rejection::Malformed(why) => bad_request(why),
        Rejection::Invalid(errors) => Problem::new(ProblemType::InvalidEvents)
            .errors(errors)
            .into(),
        Rejection::Forbidden(errors) => Problem::new(ProblemType::Forbidden).errors(errors).into(),
    }
}

fn not_appended(why: NotAppended) -> Refused {
    let problem_type = match why {
        NotAppended::Overloaded => ProblemType::Overloaded,
        NotAppended::Unknown => ProblemType::OutcomeUnknown,
    };
    Problem::new(problem_type)
        .retry_after_s(OVERLOADED_RETRY_S)
        .into()
}

#[cfg(test)]
mod tests;

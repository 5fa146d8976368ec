//! The write side over HTTP.
//!
//! A 200 means that the log has acknowledged every event that it names; every other answer is a
//! problem. Who calls is a [`Caller`] among the request's extensions, put there by the [`guard`]:
//! without one nothing is taken. This module carries bytes and statuses only.

mod answer;
mod body;
mod description;
pub mod guard;
pub mod origins;

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, middleware};
use danmu_log::{LogWriter, Routes};
use danmu_schemas::problem::{Problem, ProblemType};
use danmu_schemas::{Caller, EventId, Peer, Role, RoomEvent, RoomId, Traceparent};

use crate::admission::{self, Context, Rejection};
use crate::append::{Appender, NotAppended};
use crate::likes::{self, Likes};
use crate::rates::{Ask, Limited, Limits, Rates, Scope};
pub use answer::{Refused, as_problem};
use body::Bodies;
pub use body::{BODY_BYTES_MAX, BODY_WITHIN, DRAINED_BYTES_MAX, HELD_BYTES_MAX};
use utoipa_axum::router::OpenApiRouter;

/// When to try again where the log takes no more.
const OVERLOADED_RETRY_S: u32 = 1;

/// What counts as one address: a whole IPv4 one, and the half of an IPv6 one that a provider gives to
/// one customer.
fn network(address: IpAddr) -> [u8; 8] {
    let octets = match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => return std::array::from_fn(|n| address.octets()[n]),
    };
    std::array::from_fn(|n| octets[n + 8])
}

/// What the write side works with.
#[derive(Debug)]
pub struct Ingest<W> {
    appender: Appender<W>,
    likes: Likes<W>,
    rates: Rates,
    bodies: Bodies,
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
            rates: Rates::new(Limits::NONE),
            bodies: Bodies::new(),
            now_ms,
            new_id,
        }
    }

    /// The same, with limits on how often anyone but a backend may send.
    pub fn limited(mut self, limits: Limits) -> Self {
        self.rates = Rates::new(limits);
        self
    }

    fn take(&self, caller: &Caller, asks: &[Ask<'_>]) -> Result<(), Refused> {
        if caller.is(Role::Backend) {
            return Ok(());
        }
        self.rates.take(asks, (self.now_ms)()).map_err(limited)
    }

    /// Takes a request from the address that it came from, before it costs anything.
    pub fn take_request(&self, caller: &Caller, address: Option<IpAddr>) -> Result<(), Refused> {
        let Some(address) = address else {
            return Ok(());
        };
        let ask = Ask {
            scope: Scope::Address,
            id: &network(address),
            count: 1,
        };
        self.take(caller, &[ask])
    }

    /// The events of a body, as far as admission and their sender's rates let them through.
    pub fn admit(
        &self,
        room: &RoomId,
        caller: &Caller,
        body: &[u8],
        idempotency_key: Option<&str>,
    ) -> Result<Vec<RoomEvent<'static>>, Refused> {
        let context = Context {
            room,
            caller,
            now_ms: (self.now_ms)(),
            idempotency_key,
        };
        let events = admission::admit(body, context, self.new_id).map_err(rejected)?;
        self.take_events(caller, &events)?;
        Ok(events)
    }

    /// Appends a room's events, with the trace that they belong to; their ids once the log has them.
    pub async fn append(
        &self,
        room: &RoomId,
        events: &[RoomEvent<'_>],
        traceparent: Option<Traceparent>,
    ) -> Result<Vec<EventId>, Refused> {
        let appended = self.appender.append(room, events, traceparent).await;
        appended.map_err(not_appended)?;
        Ok(events.iter().map(|event| event.id).collect())
    }

    /// Whether the caller may send likes to the room.
    fn check_likes(&self, room: &RoomId, caller: &Caller) -> Result<(), Refused> {
        if caller.may_send_to(room) {
            return Ok(());
        }
        let problem = Problem::new(ProblemType::Forbidden);
        Err(problem.detail(admission::OTHER_ROOMS).into())
    }

    /// Takes the likes of a body; done once the delta that holds them is in the log.
    pub async fn like(&self, room: &RoomId, caller: &Caller, body: &[u8]) -> Result<(), Refused> {
        self.check_likes(room, caller)?;
        let count = like_count(body)?;
        let ask = Ask {
            scope: Scope::Likes,
            id: author(caller),
            count: 1,
        };
        self.take(caller, &[ask])?;
        self.likes.add(room, count).await.map_err(not_appended)
    }

    /// Takes the events from their author's and their room's rate, all but what any viewer may say from
    /// a rate of its own.
    fn take_events(&self, caller: &Caller, events: &[RoomEvent<'_>]) -> Result<(), Refused> {
        let author = author(caller);
        let is_said = |event: &&RoomEvent<'_>| admission::is_any_viewers(&event.body);
        let said = events.iter().filter(is_said).count() as u32;
        let moderation = events.len() as u32 - said;
        let room = events.first().map_or("", |event| &event.room).as_bytes();
        let ask = |scope, id, count| Ask { scope, id, count };
        let asks = [
            ask(Scope::User, author, said),
            ask(Scope::Room, room, said),
            ask(Scope::Moderation, author, moderation),
        ];
        self.take(caller, &asks)
    }

    /// Takes no more likes, and ends when those that wait have been answered.
    pub async fn close(&self) {
        self.likes.close().await;
    }
}

/// The write side's routes with their description, to be merged with the read side's.
pub fn router<W: LogWriter + Clone + 'static>(ingest: Arc<Ingest<W>>) -> OpenApiRouter {
    OpenApiRouter::with_openapi(description::schemas())
        .routes((
            Vec::new(),
            description::post_events().into_paths(),
            post(post_events::<W>),
        ))
        .routes((
            Vec::new(),
            description::post_likes().into_paths(),
            post(post_likes::<W>),
        ))
        .layer(middleware::map_response(answer::as_problem))
        .with_state(ingest)
}

async fn post_events<W: LogWriter + Clone + 'static>(
    State(ingest): State<Arc<Ingest<W>>>,
    Path(room): Path<String>,
    caller: Option<Extension<Caller>>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Result<Response, Refused> {
    let room = parse_room(&room)?;
    let caller = known(caller)?;
    ingest.take_request(&caller, address(peer))?;
    let body = ingest.bodies.of(&caller).read(&headers, body).await?;
    let key = idempotency_key(&headers)?;
    let events = ingest.admit(&room, &caller, &body, key)?;
    drop(body);
    let ids = ingest.append(&room, &events, traceparent(&headers)).await?;
    Ok(answer::accepted(&ids))
}

async fn post_likes<W: LogWriter + Clone + 'static>(
    State(ingest): State<Arc<Ingest<W>>>,
    Path(room): Path<String>,
    caller: Option<Extension<Caller>>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Result<Response, Refused> {
    let room = parse_room(&room)?;
    let caller = known(caller)?;
    ingest.check_likes(&room, &caller)?;
    ingest.take_request(&caller, address(peer))?;
    let body = ingest.bodies.of(&caller).read(&headers, body).await?;
    ingest.like(&room, &caller, &body).await?;
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

fn address(peer: Option<Extension<Peer>>) -> Option<IpAddr> {
    peer.map(|Extension(Peer(address))| address)
}

/// Whose rate it is.
fn author(caller: &Caller) -> &[u8] {
    let id = caller.user.as_ref().map(|user| user.id.as_bytes());
    id.unwrap_or_default()
}

/// A request for more than a whole quota is too large: to wait would not help.
fn limited(limited: Limited) -> Refused {
    let (quota, window_s) = (limited.limit.quota, limited.limit.window_s);
    let detail = format!("at most {quota} in {window_s} s");
    let problem = match limited.retry_after_s {
        Some(seconds) => Problem::new(ProblemType::RateLimited).retry_after_s(seconds),
        None => Problem::new(ProblemType::TooLarge),
    };
    problem.detail(detail).rate_limit(limited.limit).into()
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Refused> {
    let bad = |_| bad_request("the Idempotency-Key is not plain ASCII");
    let key = headers.get("idempotency-key");
    key.map(|key| key.to_str().map_err(bad)).transpose()
}

/// Where the request's trace goes on. One that is not in its form, or there twice, is none.
fn traceparent(headers: &HeaderMap) -> Option<Traceparent> {
    let mut values = headers.get_all("traceparent").iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    Traceparent::parse(value.to_str().ok()?)
}

fn like_count(body: &[u8]) -> Result<u32, Refused> {
    let request = serde_json::from_slice(body)
        .map_err(|error| bad_request(format!("not {{\"count\":N}}: {error}")))?;
    admission::like_count(request, likes::REQUEST_COUNTS).map_err(rejected)
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

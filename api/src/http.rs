//! The read side's routes: addresses and parameters in, answers of [`crate::poll`] and
//! [`crate::replay`] out.

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::middleware;
use axum::response::Response;
use axum::routing::get;
use danmu_projections::{HistoryReader, HistoryStore, WindowRead};
use danmu_schemas::problem::{Problem, ProblemType};
use danmu_schemas::{Cursor, RoomId, Seq};
use serde::Deserialize;

use crate::answer::{self, Refused};
use crate::export::Format;
use crate::poll::{self, Question};
use crate::replay;

/// The most events in a page.
const LIMIT_MAX: usize = 500;
/// How many where the client does not say.
const LIMIT_DEFAULT: usize = 100;
/// The latest part of a manifest that may be asked for: more than any show lasts.
const PART_MAX: i64 = 10_000;

/// What the read side reads.
#[derive(Clone)]
pub struct Api<W, H> {
    /// The last part of every room.
    pub windows: W,
    /// Everything.
    pub history: HistoryReader<H>,
}

/// The read side's routes, to be merged with the write side's.
pub fn router<W: WindowRead, H: HistoryStore>(api: Api<W, H>) -> Router {
    Router::new()
        .route("/v1/rooms/{room}/events", get(events::<W, H>))
        .route("/v1/rooms/{room}/broadcasts", get(broadcasts::<W, H>))
        .route(
            "/v1/rooms/{room}/broadcasts/{broadcast}",
            get(manifest::<W, H>),
        )
        .route(
            "/v1/rooms/{room}/broadcasts/{broadcast}/segments/{n}",
            get(segment::<W, H>),
        )
        .route(
            "/v1/rooms/{room}/broadcasts/{broadcast}/export",
            get(export::<W, H>),
        )
        .layer(middleware::map_response(answer::as_problem))
        .with_state(api)
}

/// Every parameter that some route knows; what a route does not know it ignores.
#[derive(Debug, Deserialize)]
struct Parameters {
    after: Option<String>,
    limit: Option<String>,
    density: Option<String>,
    revision: Option<String>,
    part: Option<String>,
    format: Option<String>,
}

async fn events<W: WindowRead, H: HistoryStore>(
    State(api): State<Api<W, H>>,
    Path(room): Path<String>,
    Query(parameters): Query<Parameters>,
) -> Result<Response, Refused> {
    let room = parse_room(&room)?;
    if !matches!(parameters.density.as_deref(), None | Some("auto" | "full")) {
        return Err(Refused::bad_request("density is auto or full"));
    }
    let question = Question {
        after: parameters.after()?,
        limit: parameters.limit()?,
    };
    let page = poll::page(&api.windows, &api.history, &room, question).await?;
    Ok(answer::json(page))
}

async fn broadcasts<W: WindowRead, H: HistoryStore>(
    State(api): State<Api<W, H>>,
    Path(room): Path<String>,
    Query(parameters): Query<Parameters>,
) -> Result<Response, Refused> {
    let room = parse_room(&room)?;
    let (before, limit) = (parameters.after()?, parameters.limit()?);
    replay::broadcasts(&api.history, &room, before, limit).await
}

async fn manifest<W: WindowRead, H: HistoryStore>(
    State(api): State<Api<W, H>>,
    Path((room, broadcast)): Path<(String, String)>,
    Query(parameters): Query<Parameters>,
) -> Result<Response, Refused> {
    let (room, cursor) = (parse_room(&room)?, parse_broadcast(&broadcast)?);
    let part = parameters.part.as_deref().unwrap_or("0").parse().ok();
    let part = part.filter(|part| (0..=PART_MAX).contains(part));
    let part = part.ok_or_else(|| Refused::bad_request("part is a number from 0"))?;
    replay::manifest(&api.history, &room, cursor, part).await
}

async fn segment<W: WindowRead, H: HistoryStore>(
    State(api): State<Api<W, H>>,
    Path((room, broadcast, n)): Path<(String, String, String)>,
    Query(parameters): Query<Parameters>,
) -> Result<Response, Refused> {
    let (room, cursor) = (parse_room(&room)?, parse_broadcast(&broadcast)?);
    let n = n
        .parse()
        .map_err(|_| Refused::not_found("a segment is a number"))?;
    let bad = |_| Refused::bad_request("revision is a number");
    let revision = parameters
        .revision
        .as_deref()
        .map(str::parse)
        .transpose()
        .map_err(bad)?;
    replay::segment(&api.history, &room, cursor, n, revision.map(Seq)).await
}

async fn export<W: WindowRead, H: HistoryStore>(
    State(api): State<Api<W, H>>,
    Path((room, broadcast)): Path<(String, String)>,
    Query(parameters): Query<Parameters>,
) -> Result<Response, Refused> {
    let (room, cursor) = (parse_room(&room)?, parse_broadcast(&broadcast)?);
    let format = Format::parse(parameters.format.as_deref().unwrap_or("jsonl"));
    let format = format.ok_or_else(|| Refused::bad_request("format is jsonl, xml or ass"))?;
    replay::export(api.history, room, cursor, format).await
}

impl Parameters {
    fn after(&self) -> Result<Option<Cursor>, Refused> {
        let after = self.after.as_deref().map(str::parse).transpose();
        after.map_err(|error: danmu_schemas::ids::InvalidCursor| {
            Refused::bad_request(error.to_string())
        })
    }

    fn limit(&self) -> Result<usize, Refused> {
        let limit = self
            .limit
            .as_deref()
            .map_or(Some(LIMIT_DEFAULT), |limit| limit.parse().ok());
        let limit = limit.filter(|limit| (1..=LIMIT_MAX).contains(limit));
        limit.ok_or_else(|| Refused::bad_request("limit is a number from 1 to 500"))
    }
}

fn parse_room(name: &str) -> Result<RoomId, Refused> {
    RoomId::parse(name).map_err(|error| {
        Problem::new(ProblemType::InvalidRoom)
            .detail(error.to_string())
            .into()
    })
}

fn parse_broadcast(name: &str) -> Result<Cursor, Refused> {
    let cursor: Option<Cursor> = name.parse().ok();
    let named = cursor.filter(|cursor| cursor.seq > Seq::ZERO);
    named.ok_or_else(|| Refused::not_found("a broadcast is the cursor of its first event"))
}

#[cfg(test)]
mod tests;

//! The read side's routes: addresses and parameters in, answers of the feed, the history and the
//! directory out.

mod connect;
mod description;
pub(crate) mod parameters;

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, middleware};
use danmu_projections::{HistoryReader, HistoryStore, WindowRead};
use danmu_schemas::description::Described;
use danmu_schemas::problem::{Problem, ProblemType};
use danmu_schemas::{Caller, Cursor, Peer, PrivateReads, RoomId, Seq};
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;

use crate::answer::{self, Refused};
use crate::connections::Connections;
use crate::directory::Directory;
use crate::feed::{FeedLimits, Feeds};
use crate::pace::Level;
use crate::poll::{self, OlderReads};
use crate::write_side::{Speaker, WriteSide};
use crate::{overview, replay, socket, stream};
use parameters::{Asked, Parameters};

/// What the read side reads. Clones share it.
#[derive(Clone)]
pub struct Api<W, H> {
    pub(crate) feeds: Feeds<W>,
    pub(crate) history: HistoryReader<H>,
    pub(crate) older_reads: Arc<OlderReads>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) writes: Arc<dyn WriteSide>,
    pub(crate) now_ms: fn() -> i64,
    directory: Arc<Directory>,
}

/// What the read side works with beside its stores.
pub struct Options {
    /// How much is watched.
    pub limits: FeedLimits,
    /// Takes what is said over sockets.
    pub writes: Arc<dyn WriteSide>,
    /// The clock, milliseconds since 1970 UTC.
    pub now_ms: fn() -> i64,
}

impl<W: WindowRead, H: HistoryStore> Api<W, H> {
    /// Reads `windows`, the last part of every room, and `history`, everything. After `stop` nobody
    /// waits any longer: what waits is answered with what there is, streams and sockets are closed. Counts
    /// by the metrics recorder that is in force now.
    pub fn new(
        windows: W,
        history: HistoryReader<H>,
        options: Options,
        stop: CancellationToken,
    ) -> Self {
        Self {
            feeds: Feeds::new(windows, options.limits, stop),
            history,
            older_reads: Arc::default(),
            connections: Arc::new(Connections::new()),
            writes: options.writes,
            now_ms: options.now_ms,
            directory: Arc::default(),
        }
    }

    /// Serves from now on at this level.
    pub fn set_level(&self, level: Level) {
        self.feeds.set_level(level);
    }

    /// Waits until nothing is read any more, which is after the stop.
    pub async fn closed(&self) {
        self.feeds.closed().await;
    }
}

/// The read side's routes with their description, to be merged with the write side's.
pub fn router<W: WindowRead, H: HistoryStore>(api: Api<W, H>) -> OpenApiRouter {
    let routes = [
        (description::rooms(), get(rooms::<W, H>)),
        (description::room_overview(), get(room::<W, H>)),
        (description::users(), get(users::<W, H>)),
        (description::events(), get(events::<W, H>)),
        (description::stream(), get(stream::<W, H>)),
        (description::socket(), get(socket::<W, H>)),
        (description::connect(), get(connect::<W, H>)),
        (description::verdicts(), get(verdicts::<W, H>)),
        (description::broadcasts(), get(broadcasts::<W, H>)),
        (description::manifest(), get(manifest::<W, H>)),
        (description::segment(), get(segment::<W, H>)),
        (description::export(), get(export::<W, H>)),
    ];
    let empty = OpenApiRouter::with_openapi(description::schemas());
    let described = |router: OpenApiRouter<_>, (description, handler): (Described, _)| {
        router.routes((Vec::new(), description.into_paths(), handler))
    };
    routes
        .into_iter()
        .fold(empty, described)
        .layer(middleware::map_response(answer::as_problem))
        .with_state(api)
}

async fn rooms<W: WindowRead, H: HistoryStore>(
    State(api): State<Api<W, H>>,
    private: Option<Extension<PrivateReads>>,
    caller: Option<Extension<Caller>>,
    parameters: Parameters,
) -> Result<Response, Refused> {
    let asked = Asked::from(parameters);
    let (after, limit) = (asked.after_room()?, asked.limit()?);
    let windows = api.feeds.windows();
    let is_shown = |room: &RoomId| {
        let may_read = |Extension(caller): &Extension<Caller>| caller.may_read_privately(room);
        private.is_none() || caller.as_ref().is_some_and(may_read)
    };
    let page = api
        .directory
        .page(windows, after.as_ref(), usize::from(limit), is_shown)
        .await?;
    Ok(answer::json(page))
}

async fn room<W: WindowRead, H: HistoryStore>(
    State(api): State<Api<W, H>>,
    Path(room): Path<String>,
) -> Result<Response, Refused> {
    let room = parse_room(&room)?;
    let overview = overview::overview(&api.feeds, &api.history, &room).await?;
    Ok(answer::json(overview))
}

async fn users<W: WindowRead, H: HistoryStore>(
    State(api): State<Api<W, H>>,
    Path(room): Path<String>,
    parameters: Parameters,
) -> Result<Response, Refused> {
    let room = parse_room(&room)?;
    let limit = usize::from(Asked::from(parameters).limit()?);
    Ok(answer::json(
        overview::users(&api.feeds, &room, limit).await?,
    ))
}

async fn events<W: WindowRead, H: HistoryStore>(
    State(api): State<Api<W, H>>,
    Path(room): Path<String>,
    caller: Option<Extension<Caller>>,
    parameters: Parameters,
) -> Result<Response, Refused> {
    let room = parse_room(&room)?;
    let asked = Asked::from(parameters);
    let view = asked.view(&room, caller.as_deref())?;
    let poll = asked.poll(view, api.feeds.level())?;
    let page = poll::page(&api, &room, poll).await?;
    Ok(answer::json_for(view, page))
}

async fn stream<W: WindowRead, H: HistoryStore>(
    State(api): State<Api<W, H>>,
    Path(room): Path<String>,
    headers: HeaderMap,
    parameters: Parameters,
) -> Result<Response, Refused> {
    let room = parse_room(&room)?;
    let asked = Asked::from(parameters);
    // What a browser that comes back had is newer than what its page asked for at first.
    let after = match last_event_id(&headers)? {
        Some(cursor) => Some(cursor),
        None => asked.cursor("after")?,
    };
    stream::answer(api, room, (after, asked.density()?)).await
}

async fn socket<W: WindowRead, H: HistoryStore>(
    State(api): State<Api<W, H>>,
    Path(room): Path<String>,
    parameters: Parameters,
    mut request: Request,
) -> Result<Response, Refused> {
    let room = parse_room(&room)?;
    let asked = Asked::from(parameters);
    let extensions = request.extensions_mut();
    let caller: Option<Caller> = extensions.remove();
    let asked = socket::Asked {
        is_known: caller.is_some(),
        speaker: Speaker {
            room,
            caller: caller.unwrap_or_else(Caller::unknown),
            address: extensions.remove().map(|Peer(address)| address),
        },
        is_private: extensions.get::<PrivateReads>().is_some(),
        after: asked.cursor("after")?,
        density: asked.density()?,
    };
    let upgrade = extensions.remove();
    socket::answer(api, asked, request.headers(), upgrade)
}

async fn connect<W: WindowRead, H: HistoryStore>(
    State(api): State<Api<W, H>>,
    parameters: Parameters,
) -> Result<Response, Refused> {
    let room = Asked::from(parameters).room()?;
    Ok(answer::json(connect::advice(&room, api.feeds.level())))
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<Cursor>, Refused> {
    let last = headers.get("last-event-id").filter(|last| !last.is_empty());
    let cursor = last.map(|last| last.to_str().ok().and_then(|last| last.parse().ok()));
    match cursor {
        Some(None) => Err(Refused::bad_request("the Last-Event-ID is no cursor")),
        known => Ok(known.flatten()),
    }
}

async fn verdicts<W: WindowRead, H: HistoryStore>(
    State(api): State<Api<W, H>>,
    Path(room): Path<String>,
    parameters: Parameters,
) -> Result<Response, Refused> {
    let room = parse_room(&room)?;
    let asked = Asked::from(parameters);
    let (ids, wait) = (asked.ids()?, asked.wait()?);
    Ok(answer::json(
        poll::verdicts(&api.feeds, &room, &ids, wait).await?,
    ))
}

async fn broadcasts<W: WindowRead, H: HistoryStore>(
    State(api): State<Api<W, H>>,
    Path(room): Path<String>,
    caller: Option<Extension<Caller>>,
    parameters: Parameters,
) -> Result<Response, Refused> {
    let room = parse_room(&room)?;
    let asked = Asked::from(parameters);
    let view = asked.view(&room, caller.as_deref())?;
    let (before, limit) = (asked.cursor("after")?, asked.limit()?);
    replay::broadcasts(&api.history, &room, before, usize::from(limit), view).await
}

async fn manifest<W: WindowRead, H: HistoryStore>(
    State(api): State<Api<W, H>>,
    Path((room, broadcast)): Path<(String, String)>,
    caller: Option<Extension<Caller>>,
    parameters: Parameters,
) -> Result<Response, Refused> {
    let (room, cursor) = (parse_room(&room)?, parse_broadcast(&broadcast)?);
    let asked = Asked::from(parameters);
    let view = asked.view(&room, caller.as_deref())?;
    replay::manifest(&api.history, &room, cursor, asked.part()?, view).await
}

async fn segment<W: WindowRead, H: HistoryStore>(
    State(api): State<Api<W, H>>,
    Path((room, broadcast, n)): Path<(String, String, String)>,
    caller: Option<Extension<Caller>>,
    parameters: Parameters,
) -> Result<Response, Refused> {
    let (room, cursor) = (parse_room(&room)?, parse_broadcast(&broadcast)?);
    let n = n
        .parse()
        .map_err(|_| Refused::not_found("a segment is a number"))?;
    let asked = Asked::from(parameters);
    let view = asked.view(&room, caller.as_deref())?;
    replay::segment(&api.history, &room, cursor, n, (asked.revision()?, view)).await
}

async fn export<W: WindowRead, H: HistoryStore>(
    State(api): State<Api<W, H>>,
    Path((room, broadcast)): Path<(String, String)>,
    caller: Option<Extension<Caller>>,
    parameters: Parameters,
) -> Result<Response, Refused> {
    let (room, cursor) = (parse_room(&room)?, parse_broadcast(&broadcast)?);
    let asked = Asked::from(parameters);
    let view = asked.view(&room, caller.as_deref())?;
    replay::export(api.history, room, cursor, (asked.format()?, view)).await
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

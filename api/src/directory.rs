//! The list of rooms in which a broadcast is open.
//!
//! Read from the windows' own index, at most once every two seconds and by one reader at a time;
//! everybody else is answered from the list that was read last.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use danmu_projections::{StoredState, WindowRead};
use danmu_schemas::RoomId;
use danmu_schemas::codec::{self, DecodeError};
use danmu_schemas::state::{BroadcastInfo, Field, StateCore, ViewerSources};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::answer::Refused;
use crate::overview::field;
use crate::render::Object;

/// How old the list may be.
const FRESH_FOR: Duration = Duration::from_secs(2);
/// How long a reader waits for its turn.
const TURN_WITHIN: Duration = Duration::from_secs(2);
/// How many rooms are read at once.
const READ_ROOMS: usize = 1_000;
/// The most rooms in the list, the first ones by name.
const ROOMS_MAX: usize = 100_000;

/// The rooms that are live, as far as they were read last.
pub(crate) struct Directory {
    listed: RwLock<Option<Listed>>,
    turn: Semaphore,
}

#[derive(Clone)]
struct Listed {
    at: Instant,
    rooms: Arc<Vec<LiveRoom>>,
}

/// A room, and what the list says of it, rendered.
struct LiveRoom {
    room: RoomId,
    entry: Vec<u8>,
}

impl Default for Directory {
    fn default() -> Self {
        Self {
            listed: RwLock::new(None),
            turn: Semaphore::new(1),
        }
    }
}

impl Directory {
    /// `GET /v1/rooms?live=true`: at most `limit` rooms by name, those after `after` that are shown.
    pub(crate) async fn page<W: WindowRead>(
        &self,
        windows: &W,
        after: Option<&RoomId>,
        limit: usize,
        is_shown: impl Fn(&RoomId) -> bool,
    ) -> Result<Vec<u8>, Refused> {
        let rooms = self.rooms(windows).await?;
        let from = match after {
            Some(after) => rooms.partition_point(|live| live.room <= *after),
            None => 0,
        };
        let mut out = Vec::new();
        let mut object = Object::begin(&mut out);
        let shown = rooms[from..].iter().filter(|live| is_shown(&live.room));
        let page = shown.take(limit);
        object.array("rooms", page, |live, out| {
            out.extend_from_slice(&live.entry)
        });
        object.end();
        Ok(out)
    }

    async fn rooms<W: WindowRead>(&self, windows: &W) -> Result<Arc<Vec<LiveRoom>>, Refused> {
        if let Some(rooms) = self.fresh() {
            return Ok(rooms);
        }
        let Ok(Ok(_turn)) = timeout(TURN_WITHIN, self.turn.acquire()).await else {
            return Err(Refused::overloaded());
        };
        if let Some(rooms) = self.fresh() {
            return Ok(rooms);
        }
        let at = Instant::now();
        let rooms = Arc::new(read(windows).await?);
        let listed = Listed {
            at,
            rooms: Arc::clone(&rooms),
        };
        *self.listed.write().unwrap_or_else(PoisonError::into_inner) = Some(listed);
        Ok(rooms)
    }

    fn fresh(&self) -> Option<Arc<Vec<LiveRoom>>> {
        let listed = self.listed.read().unwrap_or_else(PoisonError::into_inner);
        let fresh = listed
            .as_ref()
            .filter(|listed| listed.at.elapsed() < FRESH_FOR);
        fresh.map(|listed| Arc::clone(&listed.rooms))
    }
}

async fn read<W: WindowRead>(windows: &W) -> Result<Vec<LiveRoom>, Refused> {
    let mut rooms: Vec<LiveRoom> = Vec::new();
    while rooms.len() < ROOMS_MAX {
        let after = rooms.last().map(|live| live.room.clone());
        let part = windows.live(after.as_ref(), READ_ROOMS).await?;
        if part.is_empty() {
            break;
        }
        for (room, state) in part {
            let entry = entry(&room, &state)?;
            rooms.push(LiveRoom { room, entry });
        }
    }
    Ok(rooms)
}

fn entry(room: &RoomId, state: &StoredState) -> Result<Vec<u8>, DecodeError> {
    let core: StateCore = codec::from_stored(&state.core)?;
    let info: BroadcastInfo = field(state, Field::Broadcast)?;
    let sources: ViewerSources = field(state, Field::Sources)?;
    let mut out = Vec::new();
    let mut object = Object::begin(&mut out);
    object.string("room", room.as_str());
    object.string("title", &info.title);
    let started_at = core.broadcast.map(|open| open.started_at);
    object.optional_number("started_at", started_at);
    object.number("viewers", sources.viewers(core.clock));
    object.end();
    Ok(out)
}

//! A read side whose rooms the test lets things happen in.

use std::collections::HashMap;

use axum::body::{Body as HttpBody, to_bytes};
use axum::http::Request;
use axum::response::Response;
use danmu_processors::settle::{Input, Room, settle};
use danmu_projections::windows::{RefillOptions, WindowLimits};
use danmu_projections::{
    EmbeddedHistory, HistoryReader, HistoryWriter, MemoryWindows, Projection, SlotStep, Windows,
};
use danmu_schemas::event::{Body, Comment, Delete, Likes, Style, Target, User};
use danmu_schemas::{Caller, EventId, LogIdentity, Position, Role, RoomEvent, RoomId, Slot, codec};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::Mutex;
use tower::ServiceExt;

use super::super::*;
use crate::Said;

/// When the first thing happens, by the log's clock.
pub const BEGIN_AT: i64 = 1_763_950_000_000;

pub type TestApi = Api<MemoryWindows, EmbeddedHistory>;

pub struct Server {
    _dir: TempDir,
    pub store: EmbeddedHistory,
    pub api: TestApi,
    pub windows: MemoryWindows,
    pub stop: CancellationToken,
    pub router: axum::Router,
    writer: Mutex<Writer>,
}

/// Settles what happens, and keeps it in the windows and the history.
struct Writer {
    live: Windows<MemoryWindows, EmbeddedHistory>,
    past: HistoryWriter<EmbeddedHistory>,
    rooms: HashMap<RoomId, Room>,
    positions: HashMap<Slot, Position>,
    happened: u64,
}

/// Something that happens.
#[derive(Clone)]
pub struct Happening {
    pub id: EventId,
    pub user: &'static str,
    pub role: Role,
    pub body: Body<'static>,
}

/// Which of the two keep what happens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    Everywhere,
    InWindows,
}

/// Takes nothing.
struct ReadOnly;

impl WriteSide for ReadOnly {
    fn say(&self, _: Speaker, _: Said) -> BoxFuture<'_, Result<Vec<EventId>, Problem>> {
        async { Err(Problem::new(ProblemType::NotFound)) }.boxed()
    }

    fn caller(&self, _: &str) -> Result<Caller, Problem> {
        Err(Problem::new(ProblemType::InvalidToken))
    }
}

/// A read side without a write side.
pub fn read_only(limits: FeedLimits) -> Options {
    Options {
        limits,
        writes: Arc::new(ReadOnly),
        now_ms: || BEGIN_AT,
    }
}

/// A host's event, with an id of its own.
pub fn by_host(body: Body<'static>) -> Happening {
    Happening {
        id: EventId::from(uuid::Uuid::new_v4()),
        user: "host",
        role: Role::Host,
        body,
    }
}

/// A viewer's comment, with an id of its own.
pub fn by(user: &'static str, text: &'static str) -> Happening {
    Happening {
        user,
        role: Role::Viewer,
        ..by_host(comment(text))
    }
}

pub fn comment(text: &'static str) -> Body<'static> {
    Body::Comment(Comment {
        text: text.into(),
        style: Style::default(),
        reply_to: None,
        ext: Vec::new(),
    })
}

pub fn likes() -> Body<'static> {
    Body::Likes(Likes {
        count: 3,
        source: "s".into(),
    })
}

pub fn delete(seq: u64) -> Body<'static> {
    Body::Delete(Delete {
        target: Target::Seq(seq),
        reason: "secret".into(),
    })
}

impl Server {
    /// A room `r1` in which `bodies` happened.
    pub async fn start(bodies: Vec<Body<'static>>) -> Self {
        let server = Self::empty(WindowLimits::default(), FeedLimits::default()).await;
        server.happen("r1", bodies).await;
        server
    }

    /// Nothing has happened.
    pub async fn empty(window_limits: WindowLimits, feed_limits: FeedLimits) -> Self {
        let dir = TempDir::new().expect("a directory");
        let log = LogIdentity("log".to_owned());
        let store = EmbeddedHistory::open(dir.path()).expect("a new history opens");
        let history = HistoryReader::new(store.clone(), log.clone());
        let windows = MemoryWindows::new(window_limits);
        let options = RefillOptions {
            owner: 1,
            log_is_whole: true,
            events_max: 1_000,
        };
        let stop = CancellationToken::new();
        let api = Api::new(
            windows.clone(),
            history.clone(),
            read_only(feed_limits),
            stop.clone(),
        );
        let writer = Writer {
            live: Windows::new(windows.clone(), history, log.clone(), options),
            past: HistoryWriter::new(store.clone(), log),
            rooms: HashMap::new(),
            positions: HashMap::new(),
            happened: 0,
        };
        Self {
            _dir: dir,
            store,
            router: router(api.clone()).into(),
            api,
            windows,
            stop,
            writer: Mutex::new(writer),
        }
    }

    /// Lets these happen in a room by its host, a second apart.
    pub async fn happen(&self, room: &str, bodies: Vec<Body<'static>>) {
        let happenings = bodies.into_iter().map(by_host).collect();
        self.let_happen(room, happenings, Kept::Everywhere).await;
    }

    /// Lets these happen in a room, a second apart.
    pub async fn let_happen(&self, room: &str, happenings: Vec<Happening>, kept: Kept) {
        let room = RoomId::parse(room).expect("a valid name");
        self.writer.lock().await.write(room, happenings, kept).await;
    }

    /// Gives a room's slot its position.
    pub async fn open(&self, room: &str) {
        let room = RoomId::parse(room).expect("a valid name");
        let mut writer = self.writer.lock().await;
        let opened = writer.live.open_all(&[room.slot()]).await.remove(0);
        opened.expect("it opens");
    }

    pub async fn get(&self, path: &str) -> (u16, String) {
        self.get_as(path, None).await
    }

    pub async fn get_as(&self, path: &str, caller: Option<Caller>) -> (u16, String) {
        let mut request = get(path);
        if let Some(caller) = caller {
            request.extensions_mut().insert(caller);
        }
        let response = self.router.clone().oneshot(request).await;
        read(response.expect("infallible")).await
    }

    pub async fn json(&self, path: &str) -> (u16, Value) {
        self.json_as(path, None).await
    }

    pub async fn json_as(&self, path: &str, caller: Option<Caller>) -> (u16, Value) {
        let (status, body) = self.get_as(path, caller).await;
        (status, serde_json::from_str(&body).expect("JSON"))
    }
}

pub fn get(path: &str) -> Request<HttpBody> {
    Request::get(path)
        .body(HttpBody::empty())
        .expect("a request")
}

pub async fn read(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), usize::MAX)
        .await
        .expect("a body");
    (status, String::from_utf8(body.to_vec()).expect("UTF-8"))
}

pub fn moderator() -> Option<Caller> {
    Some(Caller {
        roles: vec![Role::Moderator],
        ..Caller::unauthenticated_local()
    })
}

/// The seqs of a page's events, and whether each is deleted.
pub fn shown(page: &Value) -> Vec<(u64, bool)> {
    let events = page["events"].as_array().expect("events").iter();
    let seq = |event: &Value| event["seq"].as_u64().expect("a seq");
    events
        .map(|event| (seq(event), event["deleted"] == true))
        .collect()
}

pub fn seqs(page: &Value) -> Vec<u64> {
    shown(page).into_iter().map(|(seq, _)| seq).collect()
}

impl Writer {
    async fn write(&mut self, name: RoomId, happenings: Vec<Happening>, kept: Kept) {
        let slot = name.slot();
        let expected = match self.positions.get(&slot) {
            Some(position) => *position,
            None => {
                let slots = [slot];
                let live = self.live.open_all(&slots).await.remove(0);
                live.expect("the windows open");
                let past = self.past.open_all(&slots).await.remove(0);
                past.expect("the history opens")
            }
        };
        let mut to = expected;
        let room = self.rooms.entry(name.clone()).or_default();
        for happening in happenings {
            to.offset += 1;
            let logged_at = BEGIN_AT + 1_000 * self.happened as i64;
            self.happened += 1;
            settle_one(room, &name, happening, (to, logged_at));
        }
        let step = SlotStep {
            slot,
            expected,
            to,
            changes: vec![room.take_change(&name, to)],
        };
        self.positions.insert(slot, to);
        let live = self.live.append_all(vec![step.clone()]).await.remove(0);
        live.expect("the windows take it");
        if kept == Kept::Everywhere {
            let past = self.past.append_all(vec![step]).await.remove(0);
            past.expect("the history takes it");
            let kept = self.past.checkpoint_all(&[(slot, to)]).await.remove(0);
            kept.expect("the history keeps it");
        }
    }
}

fn settle_one(room: &mut Room, name: &RoomId, happening: Happening, at: (Position, i64)) {
    let event = RoomEvent {
        id: happening.id,
        room: name.as_str().into(),
        accepted_at: 0,
        recorded_at: None,
        user: Some(User {
            id: happening.user.into(),
            name: "".into(),
            ext: Vec::new(),
        }),
        role: happening.role,
        device: None,
        body: happening.body,
    };
    let wire = codec::to_wire(&event).into();
    let (event, datum) = codec::decode_event(&wire).expect("our own event");
    let (position, logged_at) = at;
    let input = Input {
        position,
        logged_at,
        event: &event,
        datum,
    };
    settle(room, input).expect("known rules");
}

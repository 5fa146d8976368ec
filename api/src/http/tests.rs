//! The read side's routes over real windows and a real history, filled by settling.

use axum::body::{Body as HttpBody, to_bytes};
use axum::http::Request;
use danmu_processors::settle::{Input, Room, settle};
use danmu_projections::history::layout;
use danmu_projections::history::store::Order;
use danmu_projections::windows::{RefillOptions, WindowLimits};
use danmu_projections::{
    EmbeddedHistory, HistoryWriter, MemoryWindows, Projection, SlotStep, Windows,
};
use danmu_schemas::event::{Body, Comment, Delete, Reason, Style, Target, User};
use danmu_schemas::{EventId, LogIdentity, Position, Role, RoomEvent, codec};
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;

use super::*;

struct Server {
    _dir: TempDir,
    store: EmbeddedHistory,
    router: Router,
}

fn comment(text: &'static str) -> Body<'static> {
    Body::Comment(Comment {
        text: text.into(),
        style: Style::default(),
        reply_to: None,
        ext: Vec::new(),
    })
}

fn delete(seq: u64) -> Body<'static> {
    Body::Delete(Delete {
        target: Target::Seq(seq),
        reason: "secret".into(),
    })
}

impl Server {
    /// A room `r1` in which `bodies` happened, a second apart.
    async fn start(bodies: Vec<Body<'static>>) -> Self {
        let dir = TempDir::new().expect("a directory");
        let log = LogIdentity("log".to_owned());
        let store = EmbeddedHistory::open(dir.path()).expect("a new history opens");
        let history = HistoryReader::new(store.clone(), log.clone());
        let windows = MemoryWindows::new(WindowLimits::default());
        let options = RefillOptions {
            owner: 1,
            log_is_whole: true,
            events_max: 1_000,
        };
        let mut live = Windows::new(windows.clone(), history.clone(), log.clone(), options);
        let mut past = HistoryWriter::new(store.clone(), log);
        let step = step(bodies);
        let (slot, to) = (step.slot, step.to);
        live.open(slot).await.expect("the windows open");
        live.append(step.clone())
            .await
            .expect("the windows take it");
        past.open(slot).await.expect("the history opens");
        past.append(step).await.expect("the history takes it");
        past.checkpoint(slot, to)
            .await
            .expect("the history keeps it");
        let router = router(Api { windows, history });
        Self {
            _dir: dir,
            store,
            router,
        }
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let request = Request::get(path)
            .body(HttpBody::empty())
            .expect("a request");
        let response = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("infallible");
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX)
            .await
            .expect("a body");
        (status, String::from_utf8(body.to_vec()).expect("UTF-8"))
    }

    async fn json(&self, path: &str) -> (u16, Value) {
        let (status, body) = self.get(path).await;
        (status, serde_json::from_str(&body).expect("JSON"))
    }
}

fn step(bodies: Vec<Body<'static>>) -> SlotStep {
    let name = RoomId::parse("r1").expect("a valid name");
    let mut room = Room::new();
    let mut position = Position::BEGIN;
    for (n, body) in bodies.into_iter().enumerate() {
        position = Position::new(0, n as i64);
        let event = RoomEvent {
            id: EventId((n as u128 + 1).to_be_bytes()),
            room: "r1".into(),
            accepted_at: 0,
            recorded_at: None,
            user: Some(User {
                id: format!("u{n}").into(),
                name: "".into(),
                ext: Vec::new(),
            }),
            role: Role::Host,
            device: None,
            body,
        };
        let wire = codec::to_wire(&event).into();
        let (event, datum) = codec::decode_event(&wire).expect("our own event");
        let logged_at = 1_763_950_000_000 + 1_000 * n as i64;
        let input = Input {
            position,
            logged_at,
            event: &event,
            datum,
        };
        settle(&mut room, input).expect("known rules");
    }
    SlotStep {
        slot: name.slot(),
        expected: Position::BEGIN,
        to: position,
        changes: vec![room.take_change(&name, position)],
    }
}

const EVENTS: &str = "/v1/rooms/r1/events";

#[tokio::test]
async fn pages_follow_one_another_without_a_hole() {
    let server = Server::start(vec![comment("a"), comment("b"), delete(1), comment("c")]).await;
    let (status, first) = server.json(&format!("{EVENTS}?after=0&limit=3")).await;
    assert_eq!(status, 200);
    let shown = |page: &Value| -> Vec<(u64, bool)> {
        let events = page["events"].as_array().expect("events").iter();
        events
            .map(|event| {
                (
                    event["seq"].as_u64().expect("a seq"),
                    event["deleted"] == true,
                )
            })
            .collect()
    };
    assert_eq!(shown(&first), [(1, true), (2, false), (3, false)]);
    assert!(!first.to_string().contains("secret"), "{first}");
    assert_eq!(first["cursor"], "1:3");
    assert_eq!(first["poll_after_ms"], 0);
    let (_, rest) = server.json(&format!("{EVENTS}?after=1:3")).await;
    assert_eq!(shown(&rest), [(4, false)]);
    assert_eq!(
        (
            &rest["from"],
            &rest["to"],
            &rest["head"],
            &rest["poll_after_ms"]
        ),
        (&3.into(), &4.into(), &4.into(), &2_000.into())
    );
    assert_eq!(rest["totals"]["comments"], 3);
    let (_, newest) = server.json(&format!("{EVENTS}?limit=2")).await;
    assert_eq!(shown(&newest), [(3, false), (4, false)]);
    let (_, ahead) = server.json(&format!("{EVENTS}?after=1:9")).await;
    assert_eq!((shown(&ahead), &ahead["cursor"]), (vec![], &"1:9".into()));
}

#[tokio::test]
async fn what_cannot_be_answered_is_a_problem() {
    let server = Server::start(vec![comment("a")]).await;
    for (query, status, name) in [
        ("?limit=0", 400, "bad-request"),
        ("?limit=501", 400, "bad-request"),
        ("?density=low", 400, "bad-request"),
        ("?after=x", 400, "bad-request"),
        ("?after=2:1", 503, "history-behind"),
        ("/nothing", 404, "not-found"),
    ] {
        let (found, problem) = server.json(&format!("{EVENTS}{query}")).await;
        let urn = format!("urn:danmu:problem:{name}");
        assert_eq!((found, &problem["type"]), (status, &urn.into()), "{query}");
    }
}

#[tokio::test]
async fn a_broadcast_is_replayed_and_exported() {
    let end = Body::BroadcastEnd(Reason { reason: None });
    let server = Server::start(vec![comment("a"), comment("b"), delete(1), end]).await;
    let (_, list) = server.json("/v1/rooms/r1/broadcasts").await;
    assert_eq!(list["broadcasts"][0]["broadcast"], "1:1");
    let (status, manifest) = server.json("/v1/rooms/r1/broadcasts/1:1").await;
    assert_eq!(status, 200, "{manifest}");
    let url = manifest["segments"][0]["url"]
        .as_str()
        .expect("a closed segment");
    let (status, segment) = server.json(url).await;
    assert_eq!(
        (status, &segment["events"][0]["deleted"]),
        (200, &true.into())
    );
    assert_eq!(segment["events"][1]["text"], "b");
    let of = |revision: u64| format!("/v1/rooms/r1/broadcasts/1:1/segments/0?revision={revision}");
    assert_eq!(server.get(&of(0)).await.0, 410);
    assert_eq!(server.get(&of(99)).await.0, 404);
    let (_, xml) = server
        .get("/v1/rooms/r1/broadcasts/1:1/export?format=xml")
        .await;
    assert!(xml.contains(">b</d>") && !xml.contains(">a</d>"), "{xml}");
    let (_, jsonl) = server.get("/v1/rooms/r1/broadcasts/1:1/export").await;
    assert_eq!(jsonl.lines().count(), 4, "{jsonl}");
    assert_eq!(server.get("/v1/rooms/r1/broadcasts/1:7").await.0, 404);
}

#[tokio::test]
async fn an_open_broadcast_tells_what_it_amounts_to_so_far() {
    let server = Server::start(vec![comment("a"), comment("b")]).await;
    let (_, list) = server.json("/v1/rooms/r1/broadcasts").await;
    let (_, manifest) = server.json("/v1/rooms/r1/broadcasts/1:1").await;
    for told in [&list["broadcasts"][0], &manifest] {
        assert_eq!(told["live"], true, "{told}");
        assert_eq!(told["events"], 2, "{told}");
        assert_eq!(told["totals"]["comments"], 2, "{told}");
    }
    assert_eq!(manifest["heat"][0]["comments"], 2, "{manifest}");
    let (_, jsonl) = server.get("/v1/rooms/r1/broadcasts/1:1/export").await;
    assert_eq!(jsonl.lines().count(), 2, "{jsonl}");
}

#[tokio::test]
async fn an_export_with_a_hole_breaks_off() {
    let mut bodies: Vec<_> = (0..600).map(|_| comment("hello")).collect();
    bodies.push(Body::BroadcastEnd(Reason { reason: None }));
    let server = Server::start(bodies).await;
    let path = "/v1/rooms/r1/broadcasts/1:1/export";
    assert_eq!(server.get(path).await.1.lines().count(), 601);

    let name = RoomId::parse("r1").expect("a valid name");
    let chunks = layout::chunks_from(&name, danmu_schemas::Generation::FIRST, Seq(2));
    let chunks = server.store.scan(chunks, Order::Ascending, 10).await;
    let keys = chunks.expect("chunks").into_iter().map(|row| row.key);
    server
        .store
        .remove(keys.collect())
        .await
        .expect("a hole is made");
    let request = Request::get(path).body(HttpBody::empty());
    let response = server.router.clone().oneshot(request.expect("a request"));
    let response = response.await.expect("infallible");
    assert_eq!(response.status(), 200, "its beginning is whole");
    assert!(to_bytes(response.into_body(), usize::MAX).await.is_err());
}

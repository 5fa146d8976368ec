//! Verdicts, overviews and the list of live rooms.

use std::time::Duration;

use danmu_schemas::event::{Body, BroadcastStart, Gift, Mute, Pin, Rules};
use danmu_schemas::{EventId, Role};

use super::server::*;

const SLOW: Body<'static> = Body::Rules(Rules {
    slow_ms: Some(60_000),
    comments_open: None,
});

fn id(n: u8) -> EventId {
    EventId([n; 16])
}

fn with_id(n: u8, happening: Happening) -> Happening {
    Happening {
        id: id(n),
        ..happening
    }
}

fn ask(ids: &[u8]) -> String {
    let ids: Vec<String> = ids.iter().map(|n| format!("id={}", id(*n))).collect();
    format!("/v1/rooms/r1/verdicts?{}", ids.join("&"))
}

#[tokio::test]
async fn senders_learn_what_became_of_their_events() {
    let server = Server::start(vec![SLOW]).await;
    let happened = vec![
        with_id(1, by("ann", "a")),
        with_id(2, by("ann", "too soon")),
        with_id(3, by("bob", "b")),
        with_id(3, by("bob", "b")),
    ];
    server.let_happen("r1", happened, Kept::Everywhere).await;
    let (status, answer) = server.json(&ask(&[1, 2, 3, 4])).await;
    assert_eq!(status, 200);
    let expected = serde_json::json!([
        {"id": id(1).to_string(), "verdict": "visible", "seq": 2},
        {"id": id(2).to_string(), "verdict": "refused", "reason": "slow-mode",
         "until_at": BEGIN_AT + 61_000},
        {"id": id(3).to_string(), "verdict": "duplicate", "seq": 3},
        {"id": id(4).to_string(), "verdict": "pending"},
    ]);
    assert_eq!(answer["verdicts"], expected);
}

#[tokio::test]
async fn a_sender_waits_for_a_verdict() {
    let server = Server::start(vec![comment("a")]).await;
    let path = format!("{}&wait=30", ask(&[9]));
    let waiting = server.json(&path);
    let happening = async {
        while server.api.feeds.peek("r1", |_| ()).is_none() {
            tokio::task::yield_now().await;
        }
        let sent = vec![with_id(9, by("ann", "b"))];
        server.let_happen("r1", sent, Kept::Everywhere).await;
    };
    let both = async { tokio::join!(waiting, happening) };
    let ((_, answer), ()) = tokio::time::timeout(Duration::from_secs(30), both)
        .await
        .expect("woken");
    assert_eq!(answer["verdicts"][0]["verdict"], "visible");
}

#[tokio::test]
async fn verdicts_are_forgotten_after_two_minutes_of_the_log() {
    let server = Server::start(vec![]).await;
    let mut happened = vec![with_id(1, by("ann", "a"))];
    happened.extend((0..121).map(|_| by("bob", "b")));
    server.let_happen("r1", happened, Kept::Everywhere).await;
    let (_, answer) = server.json(&ask(&[1])).await;
    assert_eq!(answer["verdicts"][0]["verdict"], "pending");
}

#[tokio::test]
async fn a_room_at_a_glance() {
    let start = Body::BroadcastStart(BroadcastStart {
        title: "A show".into(),
        recorded: false,
        zero_at: None,
        ext: Vec::new(),
    });
    let gift = Body::Gift(Gift {
        gift: "rose".into(),
        name: "Rose".into(),
        count: 2,
        unit_value: 5,
        currency: "coin".into(),
        text: None,
        combo: Some("c".into()),
        issued_at: BEGIN_AT,
        ext: Vec::new(),
    });
    let server = Server::start(vec![start, comment("hello"), SLOW]).await;
    let rest = vec![
        by_host(Body::Pin(Pin { target_seq: 2 })),
        by_host(gift),
        Happening {
            user: "ann",
            role: Role::Viewer,
            ..by_host(Body::Enter)
        },
        Happening {
            user: "bob",
            role: Role::Viewer,
            ..by_host(Body::Enter)
        },
    ];
    server.let_happen("r1", rest, Kept::Everywhere).await;
    let (status, room) = server.json("/v1/rooms/r1").await;
    assert_eq!(status, 200);
    assert_eq!((&room["head"], &room["cursor"]), (&5.into(), &"1:5".into()));
    assert_eq!(room["broadcast"]["title"], "A show");
    assert_eq!(room["broadcast"]["broadcast"], "1:1");
    assert_eq!(room["pinned"]["text"], "hello");
    assert_eq!(room["rules"]["slow_ms"], 60_000);
    assert_eq!(room["rules"]["comments"], "open");
    assert_eq!(room["totals"]["gift_value"]["coin"], 10);
    assert_eq!(room["combos"][0]["count"], 2);
    assert_eq!(room["top_givers"][0]["givers"][0]["value"], 10);
    assert_eq!(room["top_givers"][0]["givers"][0]["error"], 0);
    assert_eq!(server.json("/v1/rooms/r1").await.1, room, "kept");

    let (_, users) = server.json("/v1/rooms/r1/users?limit=1").await;
    assert_eq!(users["users"][0]["id"], "bob");
    assert_eq!(users["users"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_pinned_comment_that_was_hidden_shows_nothing() {
    let server = Server::start(vec![]).await;
    let said = vec![
        by("ann", "hello"),
        by_host(Body::Pin(Pin { target_seq: 1 })),
    ];
    server.let_happen("r1", said, Kept::Everywhere).await;
    let hide = Body::Mute(Mute {
        target_user: "ann".into(),
        until_at: None,
        hide_since_at: Some(0),
        reason: "".into(),
    });
    server.happen("r1", vec![hide]).await;
    let (_, room) = server.json("/v1/rooms/r1").await;
    assert_eq!(room["pinned"]["deleted"], true, "{room}");
}

#[tokio::test]
async fn live_rooms_are_listed_by_name() {
    let server = Server::start(vec![]).await;
    for room in ["b", "a", "c"] {
        server.happen(room, vec![comment("x")]).await;
    }
    let end = Body::BroadcastEnd(danmu_schemas::event::Reason { reason: None });
    server.happen("c", vec![end]).await;
    let (status, list) = server.json("/v1/rooms?live=true&limit=1").await;
    assert_eq!(status, 200);
    assert_eq!(list["rooms"][0]["room"], "a");
    assert_eq!(list["rooms"][0]["viewers"], 0);
    assert!(list["rooms"][0]["started_at"].is_i64(), "{list}");
    let (_, rest) = server.json("/v1/rooms?live=true&after=a").await;
    let names = rest["rooms"].as_array().expect("rooms").iter();
    assert_eq!(names.map(|room| &room["room"]).collect::<Vec<_>>(), ["b"]);
    assert_eq!(server.get("/v1/rooms").await.0, 400);
    assert_eq!(server.get("/v1/rooms?live=true&after=.").await.0, 400);
}

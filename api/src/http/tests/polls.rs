//! Pages of a room, as it goes on.

use crate::Level;
use std::time::Duration;

use danmu_projections::WindowRead;
use danmu_projections::windows::WindowLimits;
use danmu_schemas::event::{Body, BroadcastStart, Erase, Mute};
use danmu_schemas::{RoomId, Seq};
use serde_json::Value;

use super::super::{Api, FeedLimits, router};
use super::server::*;
use crate::feed::{RoomFeed, holds};

const EVENTS: &str = "/v1/rooms/r1/events";
/// More than any of these tests may take.
const DEADLINE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn pages_follow_one_another_without_a_hole() {
    let server = Server::start(vec![comment("a"), comment("b"), delete(1), comment("c")]).await;
    let (status, first) = server.json(&format!("{EVENTS}?after=0&limit=3")).await;
    assert_eq!(status, 200);
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
async fn a_room_without_events_is_empty_where_its_slot_is_known() {
    let server = Server::start(vec![comment("a")]).await;
    let (status, problem) = server.json("/v1/rooms/other/events").await;
    assert_eq!((status, &problem["status"]), (503, &503.into()));
    server.open("other").await;
    let page = eventually(&server, "/v1/rooms/other/events", |page| page["head"] == 0).await;
    assert_eq!((&page["head"], &page["cursor"]), (&0.into(), &"1:0".into()));
}

#[tokio::test]
async fn what_cannot_be_answered_is_a_problem() {
    let server = Server::start(vec![comment("a")]).await;
    for (path, status, name) in [
        ("r1/events?limit=0", 400, "bad-request"),
        ("r1/events?limit=501", 400, "bad-request"),
        ("r1/events?limit=1&limit=2", 400, "bad-request"),
        ("r1/events?density=thin", 400, "bad-request"),
        ("r1/events?after=x", 400, "bad-request"),
        ("r1/events?after=0&before=1:1", 400, "bad-request"),
        ("r1/events?wait=31", 400, "bad-request"),
        ("r1/events?max_behind=-1", 400, "bad-request"),
        ("r1/events?view=mine", 400, "bad-request"),
        ("r1/events?view=live", 403, "forbidden"),
        ("r1/events?after=2:1", 503, "history-behind"),
        ("r1/events/nothing", 404, "not-found"),
        ("r1/verdicts", 400, "bad-request"),
        ("r1/verdicts?id=x", 400, "bad-request"),
        ("r1/users?limit=0", 400, "bad-request"),
        (".r1/events", 400, "invalid-room"),
        ("%FF/events", 400, "bad-request"),
    ] {
        let (found, problem) = server.json(&format!("/v1/rooms/{path}")).await;
        let urn = format!("urn:danmu:problem:{name}");
        assert_eq!((found, &problem["type"]), (status, &urn.into()), "{path}");
    }
}

#[tokio::test]
async fn pages_go_backwards_to_the_first_event() {
    let server = Server::start((0..7).map(|_| comment("x")).collect()).await;
    let (_, mut page) = server.json(&format!("{EVENTS}?limit=3")).await;
    let mut pages = vec![seqs(&page)];
    while let Some(before) = page["before"].as_str() {
        let path = format!("{EVENTS}?limit=3&before={before}");
        page = server.json(&path).await.1;
        pages.push(seqs(&page));
    }
    assert_eq!(pages, [vec![5, 6, 7], vec![2, 3, 4], vec![1]]);
}

#[tokio::test]
async fn what_is_too_far_behind_is_withheld_and_counted() {
    let server = Server::start((0..9).map(|_| comment("x")).collect()).await;
    let path = format!("{EVENTS}?after=1:2&max_behind=4&limit=3");
    let (_, page) = server.json(&path).await;
    assert_eq!(seqs(&page), [6, 7, 8]);
    assert_eq!((&page["from"], &page["to"]), (&2.into(), &8.into()));
    let withheld = serde_json::json!({"count": 3, "by": {"max_behind": 3}});
    assert_eq!(page["withheld"], withheld);
    let (_, near) = server
        .json(&format!("{EVENTS}?after=1:6&max_behind=4"))
        .await;
    assert_eq!((seqs(&near), near.get("withheld")), (vec![7, 8, 9], None));
}

#[tokio::test]
async fn a_long_poll_is_woken_by_the_next_event() {
    let server = Server::start(vec![comment("a")]).await;
    let path = format!("{EVENTS}?after=1:1&wait=30");
    let waiting = server.json(&path);
    let happening = async {
        while server
            .api
            .feeds
            .peek("r1", |feed| feed.subscribe())
            .is_none()
        {
            tokio::task::yield_now().await;
        }
        server.happen("r1", vec![comment("b")]).await;
    };
    let (answered, ()) = tokio::time::timeout(DEADLINE, async { tokio::join!(waiting, happening) })
        .await
        .expect("woken");
    assert_eq!(seqs(&answered.1), [2]);
}

#[tokio::test]
async fn a_long_poll_ends_empty_in_time_and_with_the_process() {
    let server = Server::start(vec![comment("a")]).await;
    let (status, page) = server.json(&format!("{EVENTS}?after=1:1&wait=1")).await;
    assert_eq!((status, seqs(&page)), (200, vec![]));
    let path = format!("{EVENTS}?after=1:1&wait=30");
    let waiting = server.json(&path);
    let stopping = async { server.stop.cancel() };
    let both = async { tokio::join!(waiting, stopping) };
    let ((status, page), ()) = tokio::time::timeout(DEADLINE, both).await.expect("an end");
    assert_eq!((status, seqs(&page)), (200, vec![]));
    server.api.closed().await;
}

#[tokio::test]
async fn a_deletion_changes_what_was_shown_and_moderators_still_see_it() {
    let server = Server::start(vec![]).await;
    let said = ["first", "second", "third", "fourth"];
    let said = said.map(|text| by("ann", text)).to_vec();
    server.let_happen("r1", said, Kept::Everywhere).await;
    let path = format!("{EVENTS}?after=0");
    let live = format!("{path}&view=live");
    let (_, before) = server.get(&path).await;
    assert!(before.contains("first") && before.contains("fourth"));

    let hide = Body::Mute(Mute {
        target_user: "ann".into(),
        until_at: None,
        hide_since_at: Some(BEGIN_AT + 2_000),
        reason: "secret".into(),
    });
    let erase = Body::Erase(Erase {
        target_seqs: vec![2],
        target_user: None,
    });
    server.happen("r1", vec![delete(1), hide, erase]).await;
    until(&server, 7).await;
    let (_, public) = server.json(&path).await;
    let gone = |seq: u64| (1..=4).contains(&seq);
    let expected: Vec<_> = (1..=7).map(|seq| (seq, gone(seq))).collect();
    assert_eq!(shown(&public), expected);
    let deleted = serde_json::json!({"seq": 1, "kind": "comment", "at": BEGIN_AT,
        "id": public["events"][0]["id"], "deleted": true});
    assert_eq!(public["events"][0], deleted);

    let (_, seen) = server.get_as(&live, moderator()).await;
    assert!(seen.contains("first") && seen.contains("fourth"), "{seen}");
    assert!(!seen.contains("second"), "erased for everybody: {seen}");

    let all = Body::Erase(Erase {
        target_seqs: vec![],
        target_user: Some("ann".into()),
    });
    server.happen("r1", vec![all]).await;
    until(&server, 8).await;
    let (_, seen) = server.get_as(&live, moderator()).await;
    assert!(
        !seen.contains("first") && !seen.contains("fourth"),
        "{seen}"
    );
}

/// Neither blocks nor pages that were cut before, nor the overview or the state beside them.
#[tokio::test]
async fn after_an_erasure_the_feed_holds_nothing_of_it() {
    let server = Server::empty(WindowLimits::default(), FeedLimits::default()).await;
    let room = RoomId::parse("r1").expect("a name");
    let start = Body::BroadcastStart(BroadcastStart {
        title: "ann's show".into(),
        recorded: false,
        zero_at: None,
        ext: vec![],
    });
    let happened = vec![
        Happening {
            user: "ann",
            ..by_host(start)
        },
        by("ann", "ann's first"),
        by("bob", "bob's first"),
        by("bob", "bob's second"),
    ];
    server.let_happen("r1", happened, Kept::Everywhere).await;
    until(&server, 4).await;
    let held = |text: &str| {
        let look = |feed: &RoomFeed| feed.look(|content| holds(content, text));
        let known = server.api.feeds.peek(room.as_str(), look);
        known.expect("a feed").ok().flatten().expect("a room")
    };
    let ask = async || {
        let mut bodies = String::new();
        for path in [
            "/v1/rooms/r1",
            "/v1/rooms/r1/events?after=0",
            "/v1/rooms/r1/events?before=1:4",
            "/v1/rooms/r1/events",
        ] {
            for caller in [None, moderator()] {
                let path = match (&caller, path.contains('?')) {
                    (Some(_), true) => format!("{path}&view=live"),
                    _ => path.to_owned(),
                };
                let (status, body) = server.get_as(&path, caller).await;
                assert_eq!(status, 200, "{path}: {body}");
                bodies += &body;
            }
        }
        bodies
    };
    let erase = |seqs: &[u64], user: Option<&'static str>| {
        Body::Erase(Erase {
            target_seqs: seqs.to_vec(),
            target_user: user.map(Into::into),
        })
    };
    let texts = ["ann's show", "ann's first", "bob's first", "bob's second"];
    let told = ask().await;
    for text in texts {
        assert!(told.contains(text) && held(text), "{text}");
    }
    server.happen("r1", vec![erase(&[3], None)]).await;
    until(&server, 5).await;
    assert_eq!(texts.map(held), [true, true, false, true]);
    server.happen("r1", vec![erase(&[], Some("ann"))]).await;
    until(&server, 6).await;
    assert_eq!(texts.map(held), [false, false, false, true]);
    let told = ask().await;
    assert_eq!(
        texts.map(|text| told.contains(text)),
        [false, false, false, true]
    );
    assert_eq!(texts.map(held), [false, false, false, true]);
}

#[tokio::test]
async fn a_reset_sends_clients_to_the_new_numbering() {
    let server = Server::start(vec![comment("a"), comment("b")]).await;
    until(&server, 2).await;
    server.happen("r1", vec![Body::Reset, comment("c")]).await;
    let path = format!("{EVENTS}?after=2:0");
    let answer = eventually(&server, &path, |page| page["head"] == 2).await;
    assert_eq!(seqs(&answer), [1, 2]);
    let (status, problem) = server.json(&format!("{EVENTS}?after=1:2")).await;
    assert_eq!((status, &problem["cursor"]), (409, &"2:0".into()));
    assert_eq!(problem["type"], "urn:danmu:problem:room-replaced");
}

#[tokio::test]
async fn what_left_the_window_comes_from_the_history() {
    let limits = WindowLimits {
        events_max: 2,
        ..WindowLimits::default()
    };
    let server = Server::empty(limits, FeedLimits::default()).await;
    let room = RoomId::parse("r1").expect("a name");
    for _ in 0..3 {
        server.happen("r1", vec![comment("x"), comment("y")]).await;
        let everything = danmu_schemas::Position::new(0, 100);
        server.windows.set_watermark(room.slot(), everything);
    }
    server.happen("r1", vec![delete(2)]).await;
    let window = server.windows.room(&room).await.expect("a window");
    assert!(window.chunks[0].header.first_seq > Seq(4), "trimmed");
    let (status, page) = server.json(&format!("{EVENTS}?after=0")).await;
    assert_eq!(status, 200, "{page}");
    let expected: Vec<_> = (1..=7).map(|seq| (seq, seq == 2)).collect();
    assert_eq!(shown(&page), expected);
    let (_, back) = server.json(&format!("{EVENTS}?before=1:5&limit=3")).await;
    assert_eq!(shown(&back), [(2, true), (3, false), (4, false)]);

    // The history falls behind what the window lost: a range that nobody has is no answer.
    let lost = vec![by("a", "x"), by("a", "y"), by("a", "z")];
    for happening in lost {
        server
            .let_happen("r1", vec![happening], Kept::InWindows)
            .await;
    }
    until(&server, 10).await;
    let cold = Api::new(
        server.windows.clone(),
        server.api.history.clone(),
        read_only(FeedLimits::default()),
        server.stop.clone(),
    );
    let cold = axum::Router::from(router(cold));
    let request = get(&format!("{EVENTS}?after=1:6"));
    let response = tower::ServiceExt::oneshot(cold.clone(), request).await;
    let (status, problem) = read(response.expect("infallible")).await;
    assert_eq!(status, 503, "{problem}");
    assert!(problem.contains("history-behind"), "{problem}");

    // Whoever joins needs no particular range.
    let response = tower::ServiceExt::oneshot(cold, get(EVENTS)).await;
    let (status, page) = read(response.expect("infallible")).await;
    assert_eq!(status, 200, "{page}");
    let page: Value = serde_json::from_str(&page).expect("JSON");
    assert_eq!(page["to"], 10);
    assert_eq!(
        seqs(&page),
        (page["from"].as_u64().unwrap() + 1..=10).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn what_left_the_feed_comes_from_the_window_where_the_history_is_behind() {
    let limits = FeedLimits {
        room_bytes_max: 1,
        ..FeedLimits::default()
    };
    let server = Server::empty(WindowLimits::default(), limits).await;
    let text: &'static str = Box::leak("long ".repeat(200).into_boxed_str());
    let said: Vec<_> = (0..200).map(|_| by("ann", text)).collect();
    server.let_happen("r1", said, Kept::InWindows).await;
    let act = vec![by_host(delete(3))];
    server.let_happen("r1", act, Kept::InWindows).await;
    until(&server, 201).await;
    let first = server
        .api
        .feeds
        .peek("r1", |feed| feed.look(|content| content.events.first()));
    assert!(
        first.expect("watched").expect("held") > Some(Seq(1)),
        "trimmed"
    );
    let (status, page) = server.json(&format!("{EVENTS}?after=0&limit=500")).await;
    assert_eq!(status, 200, "{page}");
    let expected: Vec<_> = (1..=201).map(|seq| (seq, seq == 3)).collect();
    assert_eq!(shown(&page), expected);
}

#[tokio::test]
async fn lost_windows_change_nothing_that_was_shown() {
    let server = Server::start(vec![comment("a")]).await;
    until(&server, 1).await;
    let room = RoomId::parse("r1").expect("a name");
    server.windows.wipe(room.slot());
    assert_eq!(
        seqs(&server.json(&format!("{EVENTS}?after=0")).await.1),
        [1]
    );
    let other = Server::start(vec![comment("a")]).await;
    other.windows.wipe(room.slot());
    let (status, problem) = other.json(EVENTS).await;
    assert_eq!((status, &problem["status"]), (503, &503.into()));
}

#[tokio::test]
async fn a_room_that_nobody_reads_is_let_go_and_comes_back() {
    let limits = FeedLimits {
        idle_after: Duration::from_millis(30),
        rooms_max: 1,
        ..FeedLimits::default()
    };
    let server = Server::empty(WindowLimits::default(), limits).await;
    server.happen("r1", vec![comment("a")]).await;
    server.happen("r2", vec![comment("b")]).await;
    assert_eq!(server.get(EVENTS).await.0, 200);
    let (status, problem) = server.json("/v1/rooms/r2/events").await;
    assert_eq!(
        (status, &problem["type"]),
        (503, &"urn:danmu:problem:overloaded".into())
    );
    for room in ["r2", "r1"] {
        let path = format!("/v1/rooms/{room}/events");
        eventually(&server, &path, |page| page["head"] == 1).await;
    }
}

#[tokio::test]
async fn a_ready_page_is_the_same_bytes_as_the_routed_one() {
    let server = Server::start(vec![comment("a"), comment("b")]).await;
    let path = format!("{EVENTS}?after=1:1&limit=5&density=auto");
    assert!(server.api.ready(&get(&path)).is_none(), "nobody watches");
    let routed = server.get(&path).await;
    let ready = server.api.ready(&get(&path)).expect("it lies ready");
    assert_eq!(read(ready.map(axum::body::Body::new)).await, routed);

    server.happen("r1", vec![comment("c")]).await;
    until(&server, 3).await;
    let routed = server.get(&path).await;
    assert!(routed.1.contains("\"c\""));
    let ready = server.api.ready(&get(&path)).expect("it lies ready");
    assert_eq!(read(ready.map(axum::body::Body::new)).await, routed);

    let empty = format!("{EVENTS}?after=1:3&limit=5");
    server.get(&empty).await;
    assert!(server.api.ready(&get(&empty)).is_some());
    assert!(server.api.ready(&get(&format!("{empty}&wait=3"))).is_none());
    for other in [
        "view=live",
        "access_token=x",
        "max_behind=1",
        "before=1:2",
        "limit=0",
    ] {
        let path = format!("{EVENTS}?{other}");
        assert!(server.api.ready(&get(&path)).is_none(), "{other}");
    }
    for header in ["authorization", "origin"] {
        let mut request = get(&path);
        request
            .headers_mut()
            .insert(header, axum::http::HeaderValue::from_static("x"));
        assert!(server.api.ready(&request).is_none(), "{header}");
    }
}

#[tokio::test]
async fn what_a_density_leaves_out_is_counted() {
    let server = Server::start(vec![comment("a"), likes(), comment("b"), likes()]).await;
    let page = server
        .json(&format!("{EVENTS}?after=0&density=high"))
        .await
        .1;
    assert_eq!(seqs(&page), [1, 3]);
    assert_eq!(page["to"], 4);
    assert_eq!(
        page["withheld"],
        serde_json::json!({"count": 2, "by": {"density": 2}})
    );
    assert_eq!(page["poll_after_ms"], 2_000);
    let behind = format!("{EVENTS}?after=0&density=high&max_behind=3");
    let page = server.json(&behind).await.1;
    assert_eq!(seqs(&page), [3]);
    let by = serde_json::json!({"max_behind": 1, "density": 2});
    assert_eq!(page["withheld"], serde_json::json!({"count": 3, "by": by}));
    let one = server
        .json(&format!("{EVENTS}?after=0&density=high&limit=1"))
        .await
        .1;
    assert_eq!(seqs(&one), [1], "what is not shown does not fill a page");
    assert_eq!((&one["to"], &one["poll_after_ms"]), (&2.into(), &0.into()));
}

#[tokio::test]
async fn a_loaded_server_serves_less_and_never_thins_what_was_asked_for_in_full() {
    let server = Server::start(vec![comment("a"), likes()]).await;
    let (auto, full) = (
        format!("{EVENTS}?after=0"),
        format!("{EVENTS}?after=0&density=full"),
    );
    assert_eq!(seqs(&server.json(&auto).await.1), [1, 2]);
    server.api.set_level(Level::Busy);
    assert_eq!(seqs(&server.json(&full).await.1), [1, 2]);
    server.api.set_level(Level::Strained);
    let page = server.json(&auto).await.1;
    assert_eq!(
        (seqs(&page), &page["poll_after_ms"]),
        (vec![1], &3_000.into())
    );
    let (status, problem) = server.json(&full).await;
    assert_eq!(
        (status, &problem["type"]),
        (503, &"urn:danmu:problem:overloaded".into())
    );
    assert!(server.api.ready(&get(&auto)).is_some());
    server.api.set_level(Level::Rest);
    assert_eq!(seqs(&server.json(&auto).await.1), [1, 2]);
}

/// Waits until the room's feed has so many events.
async fn until(server: &Server, head: u64) {
    eventually(server, &format!("{EVENTS}?limit=1"), |page| {
        page["head"] == head
    })
    .await;
}

/// Asks until the answer is as it should be.
async fn eventually(server: &Server, path: &str, is_right: impl Fn(&Value) -> bool) -> Value {
    let asked = async {
        loop {
            let (_, answer) = server.json(path).await;
            if is_right(&answer) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(DEADLINE, asked)
        .await
        .expect("in time")
}

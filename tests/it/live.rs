//! A recorded file is played as a live show: its events are of now, and the broadcast always ends.

use std::path::{Path, PathBuf};
use std::process::Child;

use danmu_tests::proxy::{Fate, Proxy};
use danmu_tests::server::{Server, ended, import, terminate};
use serde_json::{Value, json};

/// The newest page of the room.
const EVENTS: &str = "/v1/rooms/show/events";
/// What a show of `events.jsonl` consists of.
const KINDS: [&str; 7] = [
    "broadcast_start",
    "comment",
    "comment",
    "comment",
    "gift",
    "likes",
    "broadcast_end",
];

/// Begins to play a file in the room `show`.
fn play(url: &str, file: &Path, pace: &str) -> Child {
    import(file, "show", url)
        .args(["--live", "--pace", pace])
        .spawn()
        .unwrap()
}

fn own_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("data")
        .join(name)
}

fn values<'a>(events: &'a [Value], key: &str) -> Vec<&'a Value> {
    events.iter().map(|event| &event[key]).collect()
}

#[test]
fn each_run_is_a_show_of_its_own() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let file = own_file("events.jsonl");
    for _ in 0..2 {
        let (code, told, error) = ended(play(server.url(), &file, "100x"));
        assert_eq!(code, Some(0), "{error}");
        let summary = "8 entries: 5 sent, 0 already there, 3 refused\n";
        assert!(told.starts_with(summary), "{told}");
    }
    let events = server.events("show");
    let (first, second) = events.split_at(events.len() / 2);
    assert_eq!(values(first, "kind"), KINDS);
    assert_eq!(values(second, "kind"), KINDS);
    assert_eq!(values(first, "text"), values(second, "text"));
    for id in values(first, "id") {
        assert!(!values(second, "id").contains(&id), "{id} came twice");
    }
    assert_eq!(first[0]["recorded"], json!(false));
    let lasted = first[6]["at"].as_i64().unwrap() - first[0]["at"].as_i64().unwrap();
    assert!(lasted >= 110, "11 s at 100x took {lasted} ms");

    server.import(&file, "show");
    let events = server.events("show");
    assert_eq!(
        events.len(),
        21,
        "the recording itself is not in the room yet"
    );
}

#[test]
fn a_signal_ends_the_broadcast() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("long.jsonl");
    let entry = |at| json!({"kind": "comment", "at": at, "text": "hi"}).to_string();
    let day_later = 1_700_000_000_000_u64 + 86_400_000;
    let lines = [entry(1_700_000_000_000), entry(day_later)].join("\n");
    std::fs::write(&file, lines).unwrap();
    let server = Server::start(&data.path().join("data"));
    let show = play(server.url(), &file, "1x");
    server.wait_for(EVENTS, |page| page["head"] == 2);

    terminate(&show);
    let (code, told, error) = ended(show);
    let summary = "2 entries: 1 sent, 0 already there, 0 refused, 1 not played\n";
    assert_eq!((code, told.as_str()), (Some(1), summary), "{error}");
    server.wait_for(EVENTS, |page| page["head"] == 3);
    assert_eq!(server.events("show")[2]["kind"], "broadcast_end");
}

#[test]
fn a_show_over_a_bad_line_has_each_event_once() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let proxy = Proxy::start(server.url(), |n| match n % 4 {
        0 => Fate::LoseAnswer,
        1 => Fate::Answer(503),
        2 => Fate::LoseRequest,
        _ => Fate::Pass,
    });
    let show = play(proxy.url(), &own_file("events.jsonl"), "1000x");
    let (code, told, error) = ended(show);
    assert_eq!(code, Some(0), "{error}");
    assert!(told.starts_with("8 entries: 5 sent, 0 already there, 3 refused\n"));
    assert_eq!(values(&server.events("show"), "kind"), KINDS);
    let totals = &server.get("/v1/rooms/show")["totals"];
    assert_eq!(totals["gift_value"], json!({"coin": 30}));
}

#[test]
fn what_settling_refuses_is_told_by_entry() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let mute = json!({
        "kind": "mute", "role": "moderator", "user": {"id": "mod"}, "target_user": "ann",
    });
    let end = json!({"kind": "broadcast_end", "role": "host", "user": {"id": "host"}});
    server.post("/v1/rooms/show/events", &json!([mute, end]));
    server.wait_for(EVENTS, |page| page["head"] == 2);
    let show = play(server.url(), &own_file("events.jsonl"), "1000x");
    let (code, told, error) = ended(show);
    assert_eq!(code, Some(0), "{error}");
    assert!(told.starts_with("8 entries: 4 sent, 0 already there, 4 refused\n"));
    assert!(told.contains("refused 1: muted (entries 0)"), "{told}");
}

#[test]
fn a_server_that_refuses_an_event_still_gets_the_end() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let proxy = Proxy::start(server.url(), |n| match n {
        1 => Fate::Answer(403),
        _ => Fate::Pass,
    });
    let show = play(proxy.url(), &own_file("events.jsonl"), "1000x");
    let (code, _, error) = ended(show);
    assert_eq!(code, Some(1));
    assert!(error.contains("the server answered 403"), "{error}");
    server.wait_for(EVENTS, |page| page["head"] == 2);
    let kinds = ["broadcast_start", "broadcast_end"];
    assert_eq!(values(&server.events("show"), "kind"), kinds);
}

#[test]
fn an_open_broadcast_of_another_is_left_alone() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let comment = json!({"kind": "comment", "user": {"id": "ann"}, "text": "hello"});
    server.post("/v1/rooms/show/events", &comment);
    server.wait_for(EVENTS, |page| page["head"] == 1);
    let show = play(server.url(), &own_file("events.jsonl"), "100x");
    let (code, _, error) = ended(show);
    assert_eq!(code, Some(1));
    assert!(error.contains("another broadcast is open"), "{error}");
    assert_eq!(server.events("show").len(), 1);
}

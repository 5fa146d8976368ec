//! Moderation through the public surfaces: what was deleted, hidden or erased is in no public answer,
//! whatever the server went through, and what was erased is in no file of the history.

use std::path::Path;
use std::time::{Duration, Instant};

use danmu_tests::server::{Server, assert_verified, run};
use serde_json::{Value, json};

const ROOM: &str = "/v1/rooms/show";
/// Another room, whose broadcast stays on air.
const ON_AIR: &str = "/v1/rooms/on-air";
/// How long anything that is waited for may take.
const WITHIN: Duration = Duration::from_secs(180);
/// How often a purge may be quicker than a stop.
const TRIES_MAX: usize = 10;
/// What a server logs before and after it takes old values off the disk.
const PURGE_BEGINS: &str = "being taken out of the history's files";
const PURGE_ENDS: &str = "gone from the history's files";
/// Everything that is taken from somebody begins with it.
const GONE: &str = "gone-";
/// What is taken from everybody.
const ERASED: [&str; 4] = ["gone-erased", "gone-user", "gone-name", "gone-air"];

#[test]
fn what_is_taken_is_in_no_answer_and_what_is_erased_in_no_file() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    give_a_show(&server);
    go_on_air(&server);
    let history = data.path().join("history");
    wait_until("the end is recorded", || {
        let list = server.get(&format!("{ROOM}/broadcasts"));
        list["broadcasts"][0]["ended_at"].is_number()
    });
    check_answers(&server);
    wait_until("the history is swept", || {
        ERASED.iter().all(|text| !is_in_files(&history, text))
    });
    check_answers(&server);
    let told = run(&["verify", "--admin", server.admin_url()]);
    assert!(told.status.success(), "{told:?}");
    server.kill();
    for text in ERASED {
        assert!(!is_in_files(&history, text), "{text} is back");
        assert!(
            is_in_files(&data.path().join("log"), text),
            "{text} left the log"
        );
    }
    assert_verified(data.path());

    let server = Server::start(data.path());
    check_answers(&server);
    server.kill();
    let rebuilt = run(&[
        "rebuild",
        "history",
        "--data",
        data.path().to_str().unwrap(),
    ]);
    assert!(rebuilt.status.success(), "{rebuilt:?}");
    assert_verified(data.path());
    let server = Server::start(data.path());
    check_answers(&server);
    wait_until("the new history is swept", || {
        ERASED.iter().all(|text| !is_in_files(&history, text))
    });
    check_answers(&server);
    server.kill();
    assert_verified(data.path());
}

/// A purge takes as long as the history is large, a stop does not: it leaves the purge for the next start.
#[test]
fn a_stop_does_not_wait_for_a_purge() {
    for _ in 0..TRIES_MAX {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(data.path());
        go_on_air(&server);
        server.wait_for_line(PURGE_BEGINS);
        let (status, lines) = server.terminate();
        assert_eq!(status.code(), Some(0), "{lines:?}");
        let is_finished = lines.iter().any(|line| line.contains(PURGE_ENDS));
        if is_finished {
            continue;
        }
        let server = Server::start(data.path());
        server.wait_for_line(PURGE_ENDS);
        assert!(!is_in_files(&data.path().join("history"), "gone-air"));
        server.kill();
        assert_verified(data.path());
        return;
    }
    panic!("every stop waited until the purge had ended");
}

/// Deleted: the title and a pinned comment; hidden: what cy said; erased: one comment, and dan.
fn give_a_show(server: &Server) {
    let host = |kind: &str| json!({"kind": kind, "role": "host", "user": {"id": "host"}});
    let said = |n: u8, user: &str, text: &str| json!({"kind": "comment", "id": id(n), "text": text, "user": {"id": user, "name": user}});
    let dan = json!({"id": "dan", "name": "gone-name"});
    let mut start = host("broadcast_start");
    start["title"] = "gone-title".into();
    let mut pin = host("pin");
    pin["target_seq"] = 3.into();
    post(
        server,
        ROOM,
        &json!([
            start,
            said(2, "ann", "kept"),
            said(3, "bob", "gone-deleted"),
            said(4, "cy", "gone-hidden"),
            said(5, "ann", "gone-erased"),
            {"kind": "comment", "text": "gone-user", "user": dan},
            {"kind": "gift", "gift": "rose", "name": "Rose", "count": 1, "unit_value": 5, "user": dan,
             "text": "gone-user too"},
            {"kind": "enter", "user": dan},
            pin,
        ]),
    );
    let deletes = [1, 3].map(|seq| {
        let mut delete = host("delete");
        (delete["target_seq"], delete["reason"]) = (seq.into(), "gone-reason".into());
        delete
    });
    let mut hide = host("mute");
    (hide["target_user"], hide["hide_since_at"]) = ("cy".into(), 1.into());
    let [first, second] = deletes;
    post(
        server,
        ROOM,
        &json!([
            first,
            second,
            hide,
            {"kind": "erase", "target_seqs": [5]},
            {"kind": "erase", "target_user": "dan"},
        ]),
    );
    wait_until("everything is settled", || head(server, ROOM) == 13);
    post(server, ROOM, &host("broadcast_end"));
}

/// Eve starts a broadcast, gives and is erased while it goes on.
fn go_on_air(server: &Server) {
    let eve = json!({"id": "eve", "name": "gone-air by name"});
    post(
        server,
        ON_AIR,
        &json!([
            {"kind": "broadcast_start", "role": "host", "user": eve, "title": "gone-air"},
            {"kind": "gift", "gift": "rose", "name": "Rose", "count": 1, "unit_value": 5, "user": eve},
            {"kind": "enter", "user": eve},
            {"kind": "comment", "text": "kept", "user": {"id": "ann"}},
            {"kind": "erase", "target_user": "eve"},
        ]),
    );
}

/// Asks every path that shows anything of the rooms.
fn check_answers(server: &Server) {
    let (show, ids) = (format!("{ROOM}/broadcasts/1:1"), (2..6).map(id));
    let ids: Vec<String> = ids.map(|id| format!("id={id}")).collect();
    wait_until("the room is there", || head(server, ROOM) == 14);
    wait_until("the other room is there", || head(server, ON_AIR) == 4);
    let manifest = server.get(&show);
    let segment = manifest["segments"][0]["url"].as_str().unwrap();
    let joined = |path: &str| if path.contains('?') { '&' } else { '?' };
    let with_texts = [
        format!("{ROOM}/events?after=0"),
        format!("{ROOM}/events?before=1:9"),
        format!("{ROOM}/events?after=1:1&wait=1"),
        segment.to_owned(),
        format!("{show}/export?format=jsonl"),
        format!("{show}/export?format=xml"),
        format!("{show}/export?format=ass"),
    ];
    for path in &with_texts {
        let public = server.text(path);
        assert!(
            public.contains("kept") && !public.contains(GONE),
            "{path}: {public}"
        );
        let live = server.text(&format!("{path}{}view=live", joined(path)));
        assert!(
            live.contains("gone-deleted") && live.contains("gone-hidden"),
            "{path}: {live}"
        );
        assert!(
            ERASED.iter().all(|text| !live.contains(text)),
            "{path}: {live}"
        );
    }
    for path in [
        ROOM.to_owned(),
        ON_AIR.to_owned(),
        format!("{ON_AIR}/users"),
        format!("{ON_AIR}/broadcasts"),
        format!("{ON_AIR}/events"),
        "/v1/rooms?live=true".to_owned(),
        format!("{ROOM}/users"),
        format!("{ROOM}/verdicts?{}", ids.join("&")),
        format!("{ROOM}/broadcasts"),
        show,
    ] {
        let public = server.text(&path);
        assert!(!public.contains(GONE), "{path}: {public}");
    }
}

fn id(n: u8) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

fn head(server: &Server, room: &str) -> u64 {
    let page = server.get(&format!("{room}/events?limit=1"));
    page["head"].as_u64().unwrap()
}

fn post(server: &Server, room: &str, events: &Value) {
    let url = format!("{}{room}/events", server.url());
    let request = ureq::post(url).header("content-type", "application/json");
    let answer = request.send(events.to_string()).unwrap();
    assert_eq!(answer.status(), 200);
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + WITHIN;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Whether a text is in a file below a directory, whose files may come and go meanwhile.
fn is_in_files(directory: &Path, text: &str) -> bool {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return false;
    };
    let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.any(|path| match std::fs::read(&path) {
        Ok(bytes) => bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes()),
        Err(_) => is_in_files(&path, text),
    })
}

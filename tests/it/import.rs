//! Recorded files go in and are read back in every way.

use std::path::{Path, PathBuf};

use danmu_tests::server::{Server, assert_verified};
use serde_json::Value;

#[test]
fn every_format_is_read_back_whole() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    for (file, sent) in [
        ("niconico.json", 8),
        ("danmaku.xml", 6),
        ("twitch.json", 4),
        ("events.jsonl", 5),
    ] {
        let room = file.replace('.', "-");
        let path = own_files().join(file);
        server.import(&path, &room);
        check_room(&server, &room, Some(sent + 2));

        let before = server.events(&room);
        server.import(&path, &room);
        assert_eq!(
            server.events(&room),
            before,
            "{file}: a second import changed the room"
        );
    }
    server.kill();
    assert_verified(data.path());
}

#[test]
fn real_files_are_read_back_whole() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let Ok(folder) = std::fs::read_dir(&shared) else {
        eprintln!("SKIPPED: there are no real comment files beside this checkout");
        return;
    };
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    for path in folder.map(|entry| entry.unwrap().path()) {
        if path.extension().is_some_and(|extension| extension != "md") {
            let room = path.file_stem().unwrap().to_str().unwrap();
            server.import(&path, room);
            check_room(&server, room, None);
        }
    }
    server.kill();
    assert_verified(data.path());
}

/// Seqs are dense, segments hold the same events at their own times, exports tell the same.
fn check_room(server: &Server, room: &str, events_len: Option<usize>) {
    let events = server.events(room);
    check_seqs(&events);
    if let Some(len) = events_len {
        assert_eq!(events.len(), len, "{room}");
    }
    let path = newest_broadcast(server, room);
    let in_segments = segments(server, &path);
    assert_eq!(seqs(&in_segments), seqs(&events), "{room}: segments");

    let exported = exported(server, &path);
    assert_eq!(seqs(&exported), seqs(&events), "{room}: export");
    check_xml(server, room, &path, &exported);
}

/// The address of a room's newest broadcast.
fn newest_broadcast(server: &Server, room: &str) -> String {
    let broadcasts = server.get(&format!("/v1/rooms/{room}/broadcasts"));
    let name = broadcasts["broadcasts"][0]["broadcast"].as_str().unwrap();
    format!("/v1/rooms/{room}/broadcasts/{name}")
}

/// Every event of a broadcast, by its export.
fn exported(server: &Server, path: &str) -> Vec<Value> {
    let text = server.text(&format!("{path}/export?format=jsonl"));
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn segments(server: &Server, path: &str) -> Vec<Value> {
    let mut events = Vec::new();
    for segment in server.get(path)["segments"].as_array().unwrap() {
        let mut content = server.get(segment["url"].as_str().unwrap());
        let Value::Array(part) = content["events"].take() else {
            panic!("a segment has events")
        };
        let (from, to) = (
            segment["from_ms"].as_i64().unwrap(),
            segment["to_ms"].as_i64().unwrap(),
        );
        assert_eq!(to - from, 30_000);
        for event in &part {
            let show_ms = event["show_ms"].as_i64().unwrap();
            assert!(
                (from..to).contains(&show_ms),
                "{show_ms} is not in {from}..{to}"
            );
        }
        events.extend(part);
    }
    events
}

/// The XML export, imported into another room, gives the same texts and styles at the same times.
fn check_xml(server: &Server, room: &str, path: &str, expected: &[Value]) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("export.xml");
    std::fs::write(&file, server.text(&format!("{path}/export?format=xml"))).unwrap();
    let again = format!("{room}-again");
    server.import(&file, &again);
    let again = exported(server, &newest_broadcast(server, &again));
    assert_eq!(comments(&again), comments(expected), "{room}: XML");
}

/// When the comments of a broadcast appear and what they look like, sorted.
fn comments(events: &[Value]) -> Vec<String> {
    let comments = events.iter().filter(|event| event["kind"] == "comment");
    let look = |event: &Value| {
        let (show_ms, text, style) = (&event["show_ms"], &event["text"], &event["style"]);
        format!("{show_ms} {text} {style}")
    };
    let mut looks: Vec<String> = comments.map(look).collect();
    looks.sort();
    looks
}

fn check_seqs(events: &[Value]) {
    assert_eq!(seqs(events), (1..=events.len() as u64).collect::<Vec<_>>());
}

fn seqs(events: &[Value]) -> Vec<u64> {
    events
        .iter()
        .map(|event| event["seq"].as_u64().unwrap())
        .collect()
}

fn own_files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data")
}

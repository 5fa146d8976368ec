//! Recorded files go in and are read back in every way.

use std::path::{Path, PathBuf};

use danmu_tests::server::{self, Server, assert_verified, ended};
use expect_test::expect;
use serde_json::Value;

/// Where nobody listens: what is wrong with a file is told before a server is asked.
const NOWHERE: &str = "http://127.0.0.1:1";

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

#[test]
fn what_is_refused_is_told_by_reason_and_entry() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let import = |file: &str| {
        let file = own_files().join(file);
        let import = server::import(&file, "show", server.url()).spawn();
        ended(import.unwrap()).1
    };
    expect![[r#"
        12 entries: 8 sent, 0 already there, 4 refused
          refused 1: no content (entries 10)
          refused 1: no vpos (entries 11)
          refused 1: text holds a bidirectional override (entries 9)
          refused 1: text is blank (entries 7)
    "#]]
    .assert_eq(&import("niconico.json"));
    expect![[r#"
        12 entries: 0 sent, 8 already there, 4 refused
          refused 1: no content (entries 10)
          refused 1: no vpos (entries 11)
          refused 1: text holds a bidirectional override (entries 9)
          refused 1: text is blank (entries 7)
    "#]]
    .assert_eq(&import("niconico.json"));
}

#[test]
fn a_file_of_blanks_opens_no_broadcast() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let file = data.path().join("blanks.json");
    let blanks = r#"[{"content":" ","vpos":1,"date":5},{"content":"\u3000\n","vpos":2,"date":6}]"#;
    std::fs::write(&file, blanks).unwrap();
    for live in [&[][..], &["--live"]] {
        let mut import = server::import(&file, "show", server.url());
        let (code, told, complained) = ended(import.args(live).spawn().unwrap());
        assert_eq!(code, Some(0), "{complained}");
        assert!(told.starts_with("2 entries: 0 sent, 0 already there, 2 refused\n"));
    }
    assert_eq!(server.get("/v1/rooms/show/events")["head"], 0);
}

#[test]
fn a_file_that_is_no_recording_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let check = |content: &[u8], options: &[&str], expected: &str| {
        let file = folder.path().join("file");
        std::fs::write(&file, content).unwrap();
        let mut import = server::import(&file, "show", NOWHERE);
        let (code, told, complained) = ended(import.args(options).spawn().unwrap());
        assert_eq!((code, told.as_str()), (Some(1), ""));
        let complained = complained.replace(file.to_str().unwrap(), "FILE");
        assert!(complained.starts_with(expected), "{complained}");
    };
    let empty = "danmu: read FILE: the file is empty\n";
    check(b"", &[], empty);
    check(b" \n\n", &["--format", "jsonl"], empty);
    let compressed = "danmu: read FILE: the file is compressed: unpack it first\n";
    check(b"\x1f\x8b\x08\x00", &[], compressed);
    let unknown = "danmu: read FILE: the format is not known: give --format\n";
    check(b"12:00 hi", &[], unknown);
    let no_json = "danmu: read FILE: the file is not the JSON that its format asks for: ";
    check(b"[{", &[], no_json);
    let no_xml = "danmu: read FILE: the file is not well-formed XML: ";
    check(b"<i><d p=", &[], no_xml);
    let no_entries = "danmu: FILE has no entries\n";
    check(b"[]", &[], no_entries);
    check(b"{\"text\":\"hi\"}", &["--format", "xml"], no_entries);
    let undated = br#"[{"content":"hi","vpos":1,"date":0}]"#;
    let no_start = "danmu: the file does not say when the show began: give --started-at\n";
    check(undated, &[], no_start);
}

#[test]
fn format_and_start_can_be_said() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let file = data.path().join("file");
    // It begins like no format, and no line says when the show began.
    std::fs::write(&file, "#\n{\"text\":\"hi\",\"show_ms\":1500}\n").unwrap();
    let started_at = "2023-11-14T22:13:20Z";
    let (code, told, complained) = ended(
        server::import(&file, "show", server.url())
            .args(["--format", "jsonl", "--started-at", started_at])
            .spawn()
            .unwrap(),
    );
    assert_eq!(code, Some(0), "{complained}");
    let expected =
        "2 entries: 1 sent, 0 already there, 1 refused\n  refused 1: no JSON (entries 0)\n";
    assert_eq!(told, expected);
    let events = server.events("show");
    assert_eq!(events[0]["zero_at"], 1_700_000_000_000_u64);
    assert_eq!(events[1]["at"], 1_700_000_001_500_u64);

    // What is said goes before what the file says.
    let file = own_files().join("niconico.json");
    let (code, _, complained) = ended(
        server::import(&file, "dated", server.url())
            .args(["--started-at", started_at])
            .spawn()
            .unwrap(),
    );
    assert_eq!(code, Some(0), "{complained}");
    assert_eq!(server.events("dated")[0]["zero_at"], 1_700_000_000_000_u64);
}

/// Seqs are dense, segments hold the same events at their own times, exports tell the same.
fn check_room(server: &Server, room: &str, events_len: Option<usize>) {
    let (path, exported) = check_reads(server, room, events_len);
    check_xml(server, room, &path, &exported);
}

/// Fails unless a room of so many events is read the same in every way; its newest broadcast, and that
/// exported.
pub fn check_reads(server: &Server, room: &str, events_len: Option<usize>) -> (String, Vec<Value>) {
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
    (path, exported)
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

pub fn own_files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data")
}

//! Recorded files go in, are read back in every way, and survive kill -9 of the server.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use danmu_tests::server::{Server, danmu, run};
use serde_json::Value;

/// How many imports are cut off, each by a kill of the server.
const KILLS: u64 = 8;
/// How many comments that file has.
const COMMENTS: usize = 6_000;

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
        import(&server, &path, &room);
        check_room(&server, &room, Some(sent + 2));

        let before = server.events(&room);
        import(&server, &path, &room);
        assert_eq!(
            server.events(&room),
            before,
            "{file}: a second import changed the room"
        );
    }
    server.kill();
    verify(data.path());
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
            import(&server, &path, room);
            check_room(&server, room, None);
        }
    }
    server.kill();
    verify(data.path());
}

/// Each room's import is cut off by a kill of the server; then every file is imported again.
#[test]
fn kills_lose_and_double_nothing() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("show.jsonl");
    std::fs::write(&file, show()).unwrap();
    let rooms: Vec<String> = (0..KILLS).map(|seed| format!("show-{seed}")).collect();
    for (seed, room) in rooms.iter().enumerate() {
        let server = Server::start(data.path());
        let mut import = danmu()
            .args(["import", "--room", room, "--to", server.url()])
            .arg(&file)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let moment = fastrand::Rng::with_seed(seed as u64).u64(20_000..150_000);
        let moment = Duration::from_micros(moment);
        let since = Instant::now();
        while since.elapsed() < moment {
            std::hint::spin_loop();
        }
        server.kill();
        import.kill().unwrap();
        import.wait().unwrap();
        eprintln!("killed {moment:?} into the import of {room}");
    }
    let server = Server::start(data.path());
    let expected: Vec<String> = (0..COMMENTS).map(text).collect();
    for room in &rooms {
        let survived = server.get(&format!("/v1/rooms/{room}/events"))["head"].clone();
        eprintln!("{room}: {survived} events had survived");
        import(&server, &file, room);
        let events = server.events(room);
        assert_eq!(comments(&events), expected, "{room}");
        check_seqs(&events);
    }
    server.kill();
    verify(data.path());
}

/// Seqs are dense, segments hold the same events at their own times, exports tell the same.
fn check_room(server: &Server, room: &str, events_len: Option<usize>) {
    let events = server.events(room);
    check_seqs(&events);
    if let Some(len) = events_len {
        assert_eq!(events.len(), len, "{room}");
    }
    let broadcasts = server.get(&format!("/v1/rooms/{room}/broadcasts"));
    let name = broadcasts["broadcasts"][0]["broadcast"].as_str().unwrap();
    let path = format!("/v1/rooms/{room}/broadcasts/{name}");
    let in_segments = segments(server, &path);
    assert_eq!(seqs(&in_segments), seqs(&events), "{room}: segments");

    let exported: Vec<Value> = server
        .text(&format!("{path}/export?format=jsonl"))
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(seqs(&exported), seqs(&events), "{room}: export");
    check_xml(server, room, &path, &comments(&events));
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

/// The XML export, imported into another room, gives the same texts and styles.
fn check_xml(server: &Server, room: &str, path: &str, expected: &[String]) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("export.xml");
    std::fs::write(&file, server.text(&format!("{path}/export?format=xml"))).unwrap();
    let again = format!("{room}-again");
    import(server, &file, &again);
    let sorted = |comments: &[String]| comments.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(
        sorted(&comments(&server.events(&again))),
        sorted(expected),
        "{room}: XML"
    );
}

/// What the comments of a room look like, in order.
fn comments(events: &[Value]) -> Vec<String> {
    let comment = |event: &&Value| event["kind"] == "comment";
    let look = |event: &Value| {
        let style = &event["style"];
        format!("{} {style}", event["text"])
    };
    events.iter().filter(comment).map(look).collect()
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

fn import(server: &Server, file: &Path, room: &str) {
    let file = file.to_str().unwrap();
    let output = run(&["import", file, "--room", room, "--to", server.url()]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn verify(data: &Path) {
    let output = run(&["verify", "--data", data.to_str().unwrap()]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

fn own_files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data")
}

/// A made-up show of [`COMMENTS`] comments, ten a second.
fn show() -> String {
    let mut lines = String::new();
    for n in 0..COMMENTS {
        let at = 1_700_000_000_000_u64 + n as u64 * 100;
        writeln!(
            lines,
            r#"{{"kind":"comment","at":{at},"text":"comment {n}"}}"#
        )
        .unwrap();
    }
    lines
}

fn text(n: usize) -> String {
    format!(r#""comment {n}" {{"color":16777215,"mode":"scroll","size":"normal"}}"#)
}

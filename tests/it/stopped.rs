//! Commands on what a stopped server left: inspect, rebuild, verify.

use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use danmu_log::embedded::{EmbeddedLog, Options};
use danmu_log::{Lane, LogWriter, NewRecord};
use danmu_schemas::Partition;
use danmu_tests::server::{Server, danmu, run};
use serde_json::Value;
use tempfile::TempDir;

/// How long anything that is waited for may take.
const WITHIN: Duration = Duration::from_secs(60);
/// How often a rebuild may be quicker than its killer.
const TRIES_MAX: usize = 10;

/// The data of a stopped server with one imported show in `r1`, and the room's events.
fn stopped_server() -> (TempDir, Vec<Value>) {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/events.jsonl");
    server.import(&file, "r1");
    let events = server.events("r1");
    server.kill();
    (data, events)
}

/// Runs a command on `data` that must succeed; what it printed.
fn on(data: &Path, arguments: &[&str]) -> String {
    let output = try_on(data, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command on `data` that must fail; what it said.
fn fails_on(data: &Path, arguments: &[&str]) -> String {
    let output = try_on(data, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn try_on(data: &Path, arguments: &[&str]) -> Output {
    let data = data.to_str().unwrap();
    run(&[arguments, &["--data", data]].concat())
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn inspect_prints_what_is_stored() {
    let (data, events) = stopped_server();
    let last_seq = events.len() as u64;

    let records = json_lines(&on(data.path(), &["inspect", "log", "--room", "r1"]));
    let kinds =
        |lines: &[Value]| -> Vec<Value> { lines.iter().map(|line| line["kind"].clone()).collect() };
    assert_eq!(kinds(&records), kinds(&events));

    let room = json_lines(&on(data.path(), &["inspect", "room", "--room", "r1"]));
    let state = &room[0]["state"];
    assert_eq!(room[0]["unsettled_records"], 0, "{room:?}");
    assert_eq!(state["last_seq"], last_seq, "{room:?}");
    assert_eq!(
        state["position"]["offset"],
        records.last().unwrap()["offset"]
    );

    let chunk = json_lines(&on(
        data.path(),
        &["inspect", "chunk", "--room", "r1", "--cursor", "1:2"],
    ));
    let (header, stored) = chunk.split_first().unwrap();
    assert_eq!(header["count"], stored.len(), "{header}");
    let ids =
        |lines: &[Value]| -> Vec<Value> { lines.iter().map(|line| line["id"].clone()).collect() };
    let first = header["first_seq"].as_u64().unwrap() as usize - 1;
    assert_eq!(ids(stored), ids(&events[first..first + stored.len()]));

    let beyond = format!("1:{}", last_seq + 1);
    let said = fails_on(
        data.path(),
        &["inspect", "chunk", "--room", "r1", "--cursor", &beyond],
    );
    assert!(said.contains("has no event"), "{said}");
    let empty = json_lines(&on(data.path(), &["inspect", "room", "--room", "nobody"]));
    assert_eq!(empty[0]["state"], Value::Null);
}

#[test]
fn a_running_server_holds_its_data() {
    let (data, _) = stopped_server();
    let server = Server::start(data.path());
    for command in [
        &["verify"][..],
        &["rebuild", "history"],
        &["inspect", "log"],
        &["inspect", "room", "--room", "r1"],
    ] {
        let said = fails_on(data.path(), command);
        assert!(said.contains("open elsewhere"), "{command:?}: {said}");
    }
    server.kill();
}

#[test]
fn what_is_not_there_is_not_made() {
    let data = tempfile::tempdir().unwrap();
    let said = fails_on(data.path(), &["verify"]);
    assert!(said.contains("there is no log"), "{said}");
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0);

    let wrong = run(&["inspect", "log", "--log", "papyrus:a"]);
    assert_eq!(wrong.status.code(), Some(64), "{wrong:?}");
}

#[test]
fn a_history_is_built_again_beside_the_old_one() {
    let (data, events) = stopped_server();
    on(data.path(), &["rebuild", "history"]);
    assert!(data.path().join("history.replaced").is_dir());
    assert!(!data.path().join("history.rebuilding").exists());
    on(data.path(), &["verify"]);
    let said = fails_on(data.path(), &["rebuild", "history"]);
    assert!(said.contains("in the way"), "{said}");

    let server = Server::start(data.path());
    assert_eq!(server.events("r1"), events);
    server.kill();
}

#[test]
fn windows_need_no_rebuild() {
    let (data, _) = stopped_server();
    let told = on(data.path(), &["rebuild", "windows"]);
    assert!(told.contains("every start fills them"), "{told}");
}

#[test]
fn a_killed_rebuild_leaves_the_old_history() {
    let (data, _) = stopped_server();
    let rebuilding = data.path().join("history.rebuilding");
    let replaced = data.path().join("history.replaced");
    for _ in 0..TRIES_MAX {
        let mut rebuild = danmu()
            .args(["rebuild", "history", "--data"])
            .arg(data.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + WITHIN;
        while !rebuilding.exists() && !replaced.exists() {
            assert!(Instant::now() < deadline, "the rebuild does not begin");
            std::thread::yield_now();
        }
        rebuild.kill().unwrap();
        rebuild.wait().unwrap();
        on(data.path(), &["verify"]);
        if rebuilding.exists() {
            assert!(!replaced.exists());
            on(data.path(), &["rebuild", "history"]);
            on(data.path(), &["verify"]);
            return;
        }
        std::fs::remove_dir_all(&replaced).unwrap();
    }
    panic!("every rebuild was quicker than its killer");
}

#[test]
fn another_log_rebuilds_nothing() {
    let (data, _) = stopped_server();
    let (other, _) = stopped_server();
    let log = format!("embedded:{}", other.path().join("log").display());
    let said = fails_on(data.path(), &["rebuild", "history", "--log", &log]);
    assert!(said.contains("belongs to log"), "{said}");
    assert!(!data.path().join("history.rebuilding").exists());
    on(data.path(), &["verify"]);
}

#[tokio::test]
async fn a_log_without_its_start_rebuilds_nothing() {
    let data = tempfile::tempdir().unwrap();
    let now = Arc::new(AtomicI64::new(0));
    let clock = {
        let now = Arc::clone(&now);
        Arc::new(move || now.load(Ordering::Relaxed))
    };
    let log = EmbeddedLog::open(Options {
        segment_bytes_max: 300,
        retention: Duration::ZERO,
        ..Options::new(data.path().join("log"), clock)
    })
    .unwrap();
    let record = || NewRecord {
        epoch: 0,
        lane: Lane::Viewers,
        key: "r1".into(),
        value: vec![7; 300].into(),
        traceparent: None,
    };
    for _ in 0..3 {
        log.append(Partition(0), vec![record()]).await.unwrap();
        now.fetch_add(10, Ordering::Relaxed);
    }
    log.trim(Partition(0), 2).await.unwrap();
    log.close().await;

    let said = fails_on(data.path(), &["rebuild", "history"]);
    assert!(said.contains("no longer has its start"), "{said}");
    assert!(!data.path().join("history.rebuilding").exists());
}

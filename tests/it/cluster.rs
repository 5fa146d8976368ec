//! The product over Kafka, Redis and Cassandra, every role a process of its own.

mod audience;
mod deployment;
mod faults;

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use danmu_tests::server::{self, Server, danmu, ended};
use deployment::Deployment;
use serde_json::{Value, json};

use crate::import::{check_reads, own_files};
use crate::settled;

const ALL_ROLES: &str = "ingest,windows,history,api";
const ROOM: &str = "stage";
const EVENTS: &str = "/v1/rooms/stage/events";
const BROADCASTS: &str = "/v1/rooms/stage/broadcasts";
/// How soon a write is refused while there is no log: 2 s, on a machine that does much else.
const REFUSED_WITHIN: Duration = Duration::from_secs(5);
/// How soon one is taken once the log is back.
const TAKEN_AGAIN_WITHIN: Duration = Duration::from_secs(60);

/// Imports a file by one process while the room is read at another.
fn import(ingest: &Server, api: &Server, file: &str, room: &str) -> String {
    let mut import = server::import(&own_files().join(file), room, ingest.url());
    let import = import.args(["--from", api.url()]).spawn();
    let (code, told, complained) = ended(import.unwrap());
    assert_eq!(code, Some(0), "{told}{complained}");
    told
}

#[test]
fn every_role_may_be_a_process_of_its_own() {
    let deployment = Deployment::start().unwrap();
    let processors = [
        deployment.process("windows-1", "windows"),
        deployment.process("windows-2", "windows"),
        deployment.process("history-1", "history"),
        deployment.process("history-2", "history"),
    ];
    let ingest = deployment.process("ingest", "ingest");
    let api = deployment.process("api", "api");
    for server in processors.iter().chain([&ingest, &api]) {
        server.wait_until_ready();
    }
    let mut shown = BTreeMap::new();
    for (file, sent) in [
        ("niconico.json", 8),
        ("danmaku.xml", 6),
        ("twitch.json", 4),
        ("events.jsonl", 5),
    ] {
        let room = file.replace('.', "-");
        import(&ingest, &api, file, &room);
        let (_, exported) = check_reads(&api, &room, Some(sent + 2));
        shown.extend(exported.iter().map(|event| place_and_id(&room, event)));
        let told = import(&ingest, &api, file, &room);
        assert!(told.contains(" 0 sent"), "{told}");
    }
    for server in processors {
        let (status, lines) = server.terminate();
        assert!(status.success(), "{lines:#?}");
    }
    deployment.assert_verified();
    assert_published(&deployment, &shown);
}

/// Fails unless an analyst reads exactly these events.
fn assert_published(deployment: &Deployment, shown: &BTreeMap<(String, u64), String>) {
    let Some(python) = settled::python() else {
        return;
    };
    let read = settled::analyse(&python, &deployment.log_options()).unwrap();
    let read = read
        .into_iter()
        .map(|((room, _, _), event)| place_and_id(&room, &event));
    assert_eq!(&read.collect::<BTreeMap<_, _>>(), shown);
}

fn place_and_id(room: &str, event: &Value) -> ((String, u64), String) {
    let id = event["id"].as_str().unwrap();
    (
        (room.to_owned(), event["seq"].as_u64().unwrap()),
        id.to_owned(),
    )
}

#[test]
fn an_engine_that_is_missing_is_named() {
    for (flag, url) in [
        ("--log", "kafka://127.0.0.1:1"),
        ("--windows", "redis://127.0.0.1:1"),
        ("--history", "cql://127.0.0.1:1/danmu"),
    ] {
        let data = tempfile::tempdir().unwrap();
        let output = danmu()
            .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .arg("--data")
            .arg(data.path())
            .args([flag, url])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let complained = String::from_utf8_lossy(&output.stderr);
        let last = complained.lines().last().unwrap();
        assert!(
            last.starts_with("danmu: ") && last.contains("127.0.0.1:1"),
            "{complained}"
        );
    }
}

#[test]
fn without_its_kafka_nothing_is_taken_and_all_can_be_read() {
    let mut deployment = Deployment::start().unwrap();
    let server = deployment.process("all", ALL_ROLES);
    server.wait_until_ready();
    server.post(EVENTS, &comment("before"));
    server.wait_for(EVENTS, |page| page["head"] == 1);
    server.wait_for(BROADCASTS, |page| page["broadcasts"][0]["events"] == 1);

    deployment.kafka.kill();
    let asked = Instant::now();
    let (status, problem) = server.send(EVENTS, &comment("meanwhile"));
    assert_eq!(status, 503, "{problem}");
    assert!(asked.elapsed() < REFUSED_WITHIN, "{:?}", asked.elapsed());
    assert_eq!(server.events(ROOM).len(), 1);
    assert_eq!(server.get(BROADCASTS)["broadcasts"][0]["events"], 1);
    deployment.kafka.restart().unwrap();
    let deadline = Instant::now() + TAKEN_AGAIN_WITHIN;
    while server.send(EVENTS, &comment("after")).0 != 200 {
        assert!(Instant::now() < deadline, "still refused");
    }
    server.wait_for(EVENTS, |page| {
        let events = page["events"].as_array().unwrap();
        events.iter().any(|event| event["text"] == "after")
    });

    deployment.kafka.kill();
    deployment.kafka.wipe().unwrap();
    deployment.kafka.restart().unwrap();
    deployment.make_topics().unwrap();
    let (status, lines) = server.ended();
    let last = lines.last().unwrap();
    assert_eq!(status.code(), Some(1), "{lines:#?}");
    assert!(last.contains("another log is at kafka://"), "{lines:#?}");

    let (status, lines) = deployment.process("all", ALL_ROLES).ended();
    assert_eq!(status.code(), Some(1), "{lines:#?}");
    assert!(lines.last().unwrap().contains("log"), "{lines:#?}");
}

/// A process that only answers reads knows no log: it compares what it reads from.
#[test]
fn reads_of_two_logs_are_refused() {
    let deployment = Deployment::start().unwrap();
    let server = deployment.process("all", ALL_ROLES);
    server.wait_until_ready();
    server.post(EVENTS, &comment("here"));

    let log = format!("kafka://{}/other", deployment.kafka.address());
    let windows = format!("redis://{}/1", deployment.redis.address());
    let history = format!("cql://{}/other", deployment.cassandra.address());
    let topics = ["topics", "create", "--partitions", "1", "--log", &log];
    for made in [&topics[..], &["history", "migrate", "--history", &history]] {
        let output = server::run(made);
        assert!(output.status.success(), "{output:?}");
    }
    let data = tempfile::tempdir().unwrap();
    let other = Server::start_configured(data.path(), |command| {
        command.args(["--log", &log, "--windows", &windows, "--history", &history]);
    });
    other.wait_until_ready();
    other.post(EVENTS, &comment("there"));
    other.wait_for(BROADCASTS, |page| page["broadcasts"][0]["events"] == 1);

    let api = |history: &str| {
        let windows = deployment.windows();
        Server::start_configured(data.path(), |command| {
            command.args([
                "--roles",
                "api",
                "--windows",
                &windows,
                "--history",
                history,
            ]);
        })
    };
    let (status, lines) = api(&history).ended();
    assert_eq!(status.code(), Some(1), "{lines:#?}");
    let last = lines.last().unwrap();
    assert!(last.contains("belongs to log"), "{lines:#?}");
    api(&deployment.history()).wait_until_ready();
}

fn comment(text: &str) -> Value {
    json!({"kind": "comment", "user": {"id": "u1", "name": "Ann"}, "text": text})
}

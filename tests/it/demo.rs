//! The demo as somebody sees it who starts it: live rooms, figures that move, a clean end; and with tokens.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use danmu_tests::server::{danmu, terminate};
use serde_json::Value;

/// How long anything may take that the demo is waited for.
const DEADLINE: Duration = Duration::from_secs(120);

/// A secret that tokens are signed with.
const SECRET: &str = "a secret of at least thirty-two bytes";

/// A demo on ports that the system chooses.
fn demo() -> Command {
    let mut demo = danmu();
    demo.args(["demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    demo
}

#[test]
fn a_demo_is_lively_and_ends_cleanly() {
    let temporary = tempfile::tempdir().unwrap();
    let mut process = demo().env("TMPDIR", temporary.path()).spawn().unwrap();
    let told = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut told = told.map(|line| line.unwrap());
    let heading = told.find(|line| line.starts_with("Rooms ")).unwrap();
    let rooms = heading.strip_prefix("Rooms ").unwrap();
    let rooms = rooms.split(" are live").next().unwrap();
    let rooms: Vec<&str> = rooms.split(", ").collect();
    let curl = told.find(|line| line.contains("curl 'http://")).unwrap();
    let address = curl.split('\'').nth(1).unwrap();
    let base = &address[..address.find("/v1/").unwrap()];
    assert!(get(address)["events"].is_array(), "{curl} does not work");

    told.find(|line| rate(line, "comments ") > 0.0).unwrap();
    told.find(|line| rate(line, "likes ") > 0.0).unwrap();
    assert_eq!(rooms.len(), 3);
    for room in rooms {
        is_live_and_has_a_past(&format!("{base}/v1/rooms/{room}"));
    }
    // What is not read would block the demo once the pipe is full.
    let rest = std::thread::spawn(move || told.for_each(drop));
    ends_cleanly(process);
    rest.join().unwrap();
    let left = std::fs::read_dir(temporary.path()).unwrap().count();
    assert_eq!(left, 0, "something is left behind");
}

#[test]
fn a_demo_that_asks_for_tokens_has_its_own() {
    let data = tempfile::tempdir().unwrap();
    let mut process = demo()
        .args(["--private-reads", "--data"])
        .arg(data.path())
        .env("DANMU_TOKEN_SECRET", SECRET)
        .spawn()
        .unwrap();
    let told = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut told = told.map(|line| line.unwrap());
    let curl = told.find(|line| line.contains("curl 'http://")).unwrap();
    assert!(curl.contains("Bearer TOKEN"), "{curl}");
    let address = curl.split('\'').nth(1).unwrap();
    let refused = ureq::get(address).call().unwrap_err();
    assert!(
        matches!(refused, ureq::Error::StatusCode(401)),
        "{refused:?}"
    );
    told.find(|line| rate(line, "comments ") > 0.0).unwrap();
    let rest = std::thread::spawn(move || told.for_each(drop));
    ends_cleanly(process);
    rest.join().unwrap();
}

#[test]
fn a_demo_that_cannot_sign_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let keys = data.path().join("keys.json");
    let key = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    std::fs::write(&keys, key).unwrap();
    let output = demo().arg("--jwks").arg(&keys).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{said}");
    assert!(said.contains("jwks (--jwks): has no secret"), "{said}");
}

/// The rate of that name in a line of figures.
fn rate(line: &str, name: &str) -> f64 {
    let after = line.split(name).nth(1).unwrap_or_default();
    let number = after.trim_start().split('/').next().unwrap_or_default();
    number.parse().unwrap_or(0.0)
}

fn is_live_and_has_a_past(room: &str) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let page = get(&format!("{room}/events?after=0&limit=500"));
        let comments = page["totals"]["comments"].as_u64().unwrap();
        let broadcasts = get(&format!("{room}/broadcasts"));
        let broadcasts = broadcasts["broadcasts"].as_array().unwrap().clone();
        let ended = |broadcast: &Value| broadcast["ended_at"].is_i64();
        if let [live, past] = &broadcasts[..]
            && !ended(live)
            && ended(past)
            && comments > 0
        {
            let name = past["broadcast"].as_str().unwrap();
            let manifest = get(&format!("{room}/broadcasts/{name}"));
            assert!(
                !manifest["segments"].as_array().unwrap().is_empty(),
                "{manifest}"
            );
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{room}: {comments} comments, {broadcasts:?}"
        );
    }
}

fn ends_cleanly(process: Child) {
    terminate(&process);
    let output = process.wait_with_output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {log}", output.status);
}

fn get(url: &str) -> Value {
    let answer = ureq::get(url).call();
    let mut answer = answer.unwrap_or_else(|error| panic!("GET {url}: {error}"));
    let text = answer.body_mut().read_to_string().unwrap();
    serde_json::from_str(&text).unwrap()
}

//! What an operator relies on: a clean stop under load, and logs that tell nothing they must not.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use danmu_tests::server::{Server, danmu, terminate};
use serde_json::{Value, json};
use ureq::Agent;

/// How many clients post at once.
const CLIENTS: usize = 4;
/// How many events they must have had accepted before the stop.
const ACCEPTED_MIN: usize = 200;
/// How long that may take.
const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn a_stop_under_load_loses_nothing_that_was_accepted() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let accepted = Mutex::new(BTreeSet::new());
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (url, accepted) = (server.url().to_owned(), &accepted);
            scope.spawn(move || post_until_refused(&url, client, accepted));
        }
        let deadline = Instant::now() + DEADLINE;
        while accepted.lock().unwrap().len() < ACCEPTED_MIN {
            assert!(Instant::now() < deadline, "too few events were accepted");
            std::thread::yield_now();
        }
        let (status, log) = server.terminate();
        assert!(status.success(), "{status}: {log:#?}");
    });
    let accepted = accepted.into_inner().unwrap();
    let server = Server::start(data.path());
    let events = server.events("busy");
    let there: BTreeSet<&str> = events.iter().map(|event| text(&event["id"])).collect();
    let lost: Vec<&String> = accepted
        .iter()
        .filter(|id| !there.contains(id.as_str()))
        .collect();
    assert!(
        lost.is_empty(),
        "{} of {}: {lost:?}",
        lost.len(),
        accepted.len()
    );
}

/// Posts comments one after the other, and notes those that were answered with 200, until the server
/// takes no more.
fn post_until_refused(url: &str, client: usize, accepted: &Mutex<BTreeSet<String>>) {
    let agent = agent();
    for n in 0_u64.. {
        let id = format!("00000000-0000-4000-8000-{client:04x}{n:08x}");
        let user = json!({"id": format!("u{client}")});
        let event = json!({"kind": "comment", "id": id, "user": user, "text": "hello"});
        let answer = agent
            .post(format!("{url}/v1/rooms/busy/events"))
            .content_type("application/json")
            .send(event.to_string());
        match answer {
            Ok(answer) if answer.status() == 200 => accepted.lock().unwrap().insert(id),
            _ => return,
        };
    }
}

#[test]
fn logs_at_trace_level_hold_no_text_no_name_and_no_token() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_configured(data.path(), |command| {
        command.env("RUST_LOG", "trace");
    });
    server.wait_until_ready();
    let post = |body: &str| {
        let request = agent().post(format!("{}/v1/rooms/quiet/events", server.url()));
        let request = request.content_type("application/json");
        request.send(body).unwrap().status().as_u16()
    };
    let comment = json!({
        "kind": "comment",
        "user": {"id": "u1", "name": "secret-name", "ext": {"badge": "secret-badge"}},
        "text": "secret-text",
        "ext": {"emote": "secret-emote"},
    });
    assert_eq!(post(&comment.to_string()), 200);
    assert_eq!(
        post(r#"{"kind":"comment","text":"secret-text","style":"secret-style"}"#),
        400
    );
    assert_eq!(post("secret-no-json"), 400);
    let page = "/v1/rooms/quiet/events?after=0&access_token=secret-query-token";
    let request = agent().get(format!("{}{page}", server.url()));
    let request = request.header("authorization", "Bearer secret-token");
    request.call().unwrap();
    let deadline = Instant::now() + DEADLINE;
    while server.events("quiet").is_empty() {
        assert!(Instant::now() < deadline, "the comment is not in its room");
    }

    let (status, log) = server.terminate();
    assert!(status.success(), "{status}");
    let told: Vec<&String> = log.iter().filter(|line| line.contains("secret")).collect();
    assert!(told.is_empty(), "{told:#?}");
    let request =
        |line: &&String| line.contains("DEBUG") && line.contains("/v1/rooms/quiet/events");
    assert!(log.iter().filter(request).count() >= 4, "{log:#?}");
}

#[test]
fn logs_can_be_json() {
    let data = tempfile::tempdir().unwrap();
    let mut process = danmu()
        .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .args(["--log-format", "json", "--data"])
        .arg(data.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let mut lines = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap());
    let serving = lines.find(|line: &Value| line["message"] == "serving");
    let serving = serving.expect("a server says where it listens");
    assert!(serving["listen"].is_string(), "{serving}");
    assert_eq!(serving["level"], "INFO");
    terminate(&process);
    lines.for_each(drop);
    let status = process.wait().unwrap();
    assert!(status.success(), "{status}");
}

/// A client that tells statuses apart itself.
fn agent() -> Agent {
    let config = Agent::config_builder().http_status_as_error(false);
    config.build().into()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

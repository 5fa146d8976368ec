//! What may come between an import and its server: bad lines, refusals, ends of either, another day.
//!
//! A proxy before the real server does it at moments that are fixed by the number of the POST: a
//! recording of 2,000 comments is its start, four arrays and its end.

use std::path::PathBuf;
use std::process::Child;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use danmu_tests::proxy::{Fate, Proxy};
use danmu_tests::recording;
use danmu_tests::server::{self, Server, ended};
use serde_json::json;
use tempfile::TempDir;

/// How many comments the recording has.
const COMMENTS: usize = 2_000;
/// How many POSTs an import of it is.
const POSTS: usize = 6;
/// The POST of the third array, and what the room has before it.
const THIRD_ARRAY: (usize, u64) = (3, 1_001);
/// How long an import may take to get there.
const WITHIN: Duration = Duration::from_secs(60);
/// The newest page of the room.
const EVENTS: &str = "/v1/rooms/show/events";

/// A folder with a recording, and room for a server's data.
struct Place {
    folder: TempDir,
    file: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("show.jsonl");
        std::fs::write(&file, recording::jsonl(COMMENTS)).unwrap();
        Self { folder, file }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn import(&self, url: &str) -> Child {
        server::import(&self.file, "show", url).spawn().unwrap()
    }
}

/// A fate that holds the third array back: it says so, and passes it on when it is told to.
fn hold_third_array() -> (
    impl FnMut(usize) -> Fate + Send + 'static,
    Receiver<()>,
    Sender<()>,
) {
    let (held, is_held) = channel();
    let (go_on, may_go_on) = channel();
    let fate = move |n| {
        if n == THIRD_ARRAY.0 {
            held.send(()).unwrap();
            // Who drops the sender lets it go as well.
            let _ = may_go_on.recv();
        }
        Fate::Pass
    };
    (fate, is_held, go_on)
}

fn assert_imported(import: Child, expected: &str) {
    let (code, told, complained) = ended(import);
    assert_eq!((code, told.as_str()), (Some(0), expected), "{complained}");
}

#[test]
fn a_bad_line_loses_and_doubles_nothing() {
    let place = Place::new();
    let server = Server::start(&place.data());
    let proxy = Proxy::start(server.url(), |n| match n % 4 {
        0 => Fate::LoseAnswer,
        1 => Fate::Answer(503),
        2 => Fate::LoseRequest,
        _ => Fate::Pass,
    });
    let import = place.import(proxy.url());
    assert_imported(
        import,
        "2000 entries: 2000 sent, 0 already there, 0 refused\n",
    );
    assert_eq!(proxy.posts(), POSTS * 4);
    recording::assert_whole(&server, "show", COMMENTS);
    assert_eq!(server.events("show").len(), COMMENTS + 2);
}

#[test]
fn a_server_may_be_killed_and_started_meanwhile() {
    let place = Place::new();
    let server = Server::start(&place.data());
    let (fate, is_held, go_on) = hold_third_array();
    let proxy = Proxy::start(server.url(), fate);
    let import = place.import(proxy.url());
    is_held.recv_timeout(WITHIN).unwrap();
    server.kill();
    // Nobody is there now, until a server is that is not ready yet.
    drop(go_on);
    let server = Server::start_without_waiting(&place.data());
    proxy.point_to(server.url());
    assert_imported(
        import,
        "2000 entries: 2000 sent, 0 already there, 0 refused\n",
    );
    recording::assert_whole(&server, "show", COMMENTS);
    assert_eq!(server.events("show").len(), COMMENTS + 2);
}

#[test]
fn a_server_that_is_not_ready_is_waited_for() {
    let place = Place::new();
    let server = Server::start_without_waiting(&place.data());
    let import = place.import(server.url());
    assert_imported(
        import,
        "2000 entries: 2000 sent, 0 already there, 0 refused\n",
    );
}

#[test]
fn an_import_that_was_cut_off_sends_the_rest() {
    let place = Place::new();
    let server = Server::start(&place.data());
    let (fate, is_held, _held) = hold_third_array();
    let proxy = Proxy::start(server.url(), fate);
    let mut import = place.import(proxy.url());
    is_held.recv_timeout(WITHIN).unwrap();
    import.kill().unwrap();
    import.wait().unwrap();
    server.wait_for(EVENTS, |page| page["head"] == THIRD_ARRAY.1);

    // What it does not send cannot depend on what the server remembers.
    let second = Proxy::start(server.url(), |_| Fate::Pass);
    let import = place.import(second.url());
    assert_imported(
        import,
        "2000 entries: 1000 sent, 1000 already there, 0 refused\n",
    );
    assert_eq!(second.posts(), 3, "two arrays and the end");
    recording::assert_whole(&server, "show", COMMENTS);
    assert_eq!(server.events("show").len(), COMMENTS + 2);
}

#[test]
fn a_second_import_sends_nothing_at_all() {
    let place = Place::new();
    let server = Server::start(&place.data());
    let import = place.import(server.url());
    assert_imported(
        import,
        "2000 entries: 2000 sent, 0 already there, 0 refused\n",
    );
    let proxy = Proxy::start(server.url(), |_| Fate::Pass);
    let import = place.import(proxy.url());
    assert_imported(
        import,
        "2000 entries: 0 sent, 2000 already there, 0 refused\n",
    );
    assert_eq!(proxy.posts(), 0, "a day later these would be new events");
}

#[test]
fn a_server_that_refuses_is_not_asked_again() {
    let place = Place::new();
    let server = Server::start(&place.data());
    for status in [400, 403, 413] {
        let proxy = Proxy::start(server.url(), move |_| Fate::Answer(status));
        let (code, told, complained) = ended(place.import(proxy.url()));
        assert_eq!((code, told.as_str()), (Some(1), ""));
        let expected = format!("danmu: the server answered {status}\n");
        assert!(complained.ends_with(&expected), "{complained}");
        assert_eq!(proxy.posts(), 1);
    }
    assert_eq!(server.get(EVENTS)["head"], 0);
}

#[test]
fn a_caller_without_a_token_is_told_so() {
    let place = Place::new();
    let server = Server::start_configured(&place.data(), |command| {
        command.env("DANMU_TOKEN_SECRET", "0123456789abcdef0123456789abcdef");
    });
    let (code, _, complained) = ended(place.import(server.url()));
    assert_eq!(code, Some(1));
    assert!(
        complained.contains("the server answered 401"),
        "{complained}"
    );
}

#[test]
fn an_open_broadcast_of_another_is_an_error() {
    let place = Place::new();
    let server = Server::start(&place.data());
    let start = json!({
        "kind": "broadcast_start", "title": "Tonight", "role": "host", "user": {"id": "host"},
    });
    server.post("/v1/rooms/show/events", &start);
    server.wait_for(EVENTS, |page| page["head"] == 1);
    let (code, _, complained) = ended(place.import(server.url()));
    assert_eq!(code, Some(1));
    assert!(
        complained.contains("another broadcast is open"),
        "{complained}"
    );
    assert_eq!(server.get(EVENTS)["head"], 1);
}

//! How streams and sockets end: each code, and what a client finds when it comes back.

use std::time::{Duration, Instant};

use danmu_tests::server::Server;
use serde_json::json;
use tungstenite::Message;
use tungstenite::protocol::CloseFrame;

use super::said::{guarded, token};
use super::way::{Socket, Stream, Way};
use super::{EVENTS, comment, texts};

const SOCKET: &str = "/v1/rooms/show/socket";
/// How many sockets and streams were closed because their clients were too slow.
const SLOW: &str = "danmu_live_closed_total{transport=\"socket\",reason=\"slow\"}";
/// Messages that no client needs to send within 10 s.
const FLOOD: usize = 300;
/// A comment as long as one may be, in bytes too.
const LONG: &str = "弹";
const LONG_LEN: usize = 1_024;
/// So many of them as fit into one request.
const LONG_MANY: usize = 250;
/// How long the slow one may be followed.
const WITHIN: Duration = Duration::from_secs(120);

fn open(server: &Server) -> Socket {
    let mut socket = Socket::open(server.url(), SOCKET);
    assert!(socket.message()["hello"].is_object());
    socket
}

#[test]
fn what_is_not_the_protocol_ends_a_socket() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    for message in [
        Message::text("hello"),
        Message::text(json!({"type": "dance"}).to_string()),
        Message::binary(vec![1]),
        Message::text("x".repeat(20_000)),
    ] {
        let mut socket = open(&server);
        socket.send_raw(message);
        assert_eq!(socket.closed(), 4_400);
    }
    let mut socket = open(&server);
    socket.send_raw(Message::Ping(vec![7].into()));
    socket.send(&json!({"type": "event", "event": comment("still here")}));
    socket.told("accepted");
    let close = CloseFrame {
        code: 4_000.into(),
        reason: "bye".into(),
    };
    socket.send_raw(Message::Close(Some(close)));
    assert_eq!(socket.closed(), 4_000);
}

#[test]
fn a_flood_ends_a_socket() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let mut socket = open(&server);
    for _ in 0..FLOOD {
        socket.send_raw(Message::Pong(Vec::new().into()));
    }
    assert_eq!(socket.closed(), 4_429);
}

#[test]
fn a_socket_ends_with_its_token_unless_that_is_renewed() {
    let data = tempfile::tempdir().unwrap();
    let server = guarded(data.path(), &[]);
    // Clocks may differ by half a minute: this long a token is good after its end.
    let ending = token(-26, None);
    let path = format!("{SOCKET}?access_token={ending}");
    let mut renewed = Socket::open(server.url(), &path);
    renewed.send(&json!({"type": "auth", "token": token(600, None)}));
    let mut ended = Socket::open(server.url(), &path);
    assert_eq!(ended.closed(), 4_401);
    renewed.send(&json!({"type": "event", "event": {"kind": "comment", "text": "still here"}}));
    renewed.told("accepted");
}

#[test]
fn who_reads_nothing_is_closed_and_holds_nobody_up() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let mut slow = open(&server);
    std::thread::scope(|scope| {
        let url = server.url();
        let quick = scope.spawn(move || {
            let mut reader = Way::Socket.open(url, "show", "0");
            loop {
                let page = reader.page();
                if texts(&page).contains(&"the last one") {
                    return page["to"].as_u64().unwrap();
                }
            }
        });
        let begun = Instant::now();
        let long = comment(&LONG.repeat(LONG_LEN));
        while server.metric(SLOW) < 1.0 {
            assert!(begun.elapsed() < WITHIN, "nobody was closed");
            server.post(EVENTS, &json!(vec![&long; LONG_MANY]));
        }
        server.post(EVENTS, &comment("the last one"));
        let head =
            server.wait_for(EVENTS, |page| texts(page).contains(&"the last one"))["head"].clone();
        assert_eq!(json!(quick.join().unwrap()), head);
    });
    assert_eq!(slow.closed(), 4_408);
}

#[test]
fn a_stop_ends_everybody_and_they_go_on_after_it() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    server.post(EVENTS, &comment("before"));
    server.wait_for(EVENTS, |page| page["head"] == 1);
    let mut socket = open(&server);
    assert_eq!(texts(&socket.page()), ["before"]);
    let mut stream = Stream::open(server.url(), "/v1/rooms/show/stream");
    assert_eq!(stream.message().0.as_deref(), Some("1:1"));
    socket.send(&json!({"type": "event", "event": comment("at the stop")}));
    socket.told("accepted");
    let stopping = Instant::now();
    let (status, lines) = server.terminate();
    assert!(status.success(), "{lines:#?}");
    assert!(stopping.elapsed() < Duration::from_secs(20));
    assert_eq!(socket.closed(), 4_503);
    let last = std::iter::from_fn(|| stream.next()).last().unwrap();
    assert_eq!(last.1["code"], 4_503);

    let server = Server::start(data.path());
    for way in Way::ALL {
        let mut reader = way.open(server.url(), "show", "1:1");
        assert_eq!(texts(&reader.page()), ["at the stop"], "{way:?}");
    }
}

//! What is said over a socket takes the same way as over HTTP.

use std::time::{SystemTime, UNIX_EPOCH};

use danmu_tests::server::Server;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::way::Socket;
use super::{EVENTS, comment};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const SOCKET: &str = "/v1/rooms/show/socket";
const ID: &str = "00000000-0000-4000-8000-000000000001";

/// A viewer's token that ends in so many seconds.
pub fn token(ends_in_s: i64, rooms: Option<&[&str]>) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs() as i64;
    let mut claims = json!({"sub": "ann", "name": "Ann", "exp": now + ends_in_s});
    if let Some(rooms) = rooms {
        claims["rooms"] = json!(rooms);
    }
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    encode(&Header::default(), &claims, &key).unwrap()
}

/// A server that asks for tokens, with more arguments.
pub fn guarded(data: &std::path::Path, arguments: &[&str]) -> Server {
    let server = Server::start_configured(data, |command| {
        command.env("DANMU_TOKEN_SECRET", SECRET).args(arguments);
    });
    server.wait_until_ready();
    server
}

fn event(event: &Value) -> Value {
    json!({"type": "event", "event": event})
}

#[test]
fn what_is_said_is_answered_and_its_verdict_told() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let mut socket = Socket::open(server.url(), SOCKET);
    let mut said = comment("hello");
    said["id"] = json!(ID);
    socket.send(&event(&said));
    assert_eq!(socket.told("accepted"), json!([ID]));
    assert_eq!(
        socket.told("verdict"),
        json!({"id": ID, "verdict": "visible", "seq": 1})
    );
    // Said again, it is what it was, or a duplicate as soon as that is settled: of the same seq.
    socket.send(&event(&said));
    assert_eq!(socket.told("accepted"), json!([ID]));
    let verdict = socket.told("verdict");
    assert_eq!((&verdict["id"], &verdict["seq"]), (&json!(ID), &json!(1)));
    assert!(["visible", "duplicate"].contains(&verdict["verdict"].as_str().unwrap()));

    let mute =
        json!({"kind": "mute", "role": "moderator", "user": {"id": "mod"}, "target_user": "ann"});
    server.post(EVENTS, &mute);
    socket.send(&event(&comment("again")));
    let id = socket.told("accepted")[0].clone();
    assert_eq!(
        socket.told("verdict"),
        json!({"id": id, "verdict": "refused", "reason": "muted"})
    );

    socket.send(&json!({"type": "like", "count": 3}));
    assert_eq!(socket.told("accepted"), json!([]));
    server.wait_for(EVENTS, |page| page["totals"]["likes"] == 3);

    socket.send(&json!({"type": "like", "count": 0}));
    assert_eq!(
        socket.told("problem")["type"],
        "urn:danmu:problem:invalid-events"
    );
    socket.send(&event(&json!({"kind": "comment"})));
    let problem = socket.told("problem");
    assert_eq!(problem["type"], "urn:danmu:problem:invalid-events");
    assert!(!problem["errors"].as_array().unwrap().is_empty());
    let page = server.get(EVENTS);
    assert_eq!(page["totals"]["comments"], 1, "{page:#}");
}

#[test]
fn who_is_not_known_may_listen_and_says_who_it_is() {
    let data = tempfile::tempdir().unwrap();
    let server = guarded(data.path(), &["--user-rate", "3/60s"]);
    let mut socket = Socket::open(server.url(), SOCKET);
    let said = json!({"kind": "comment", "text": "hello"});
    socket.send(&event(&said));
    assert_eq!(
        socket.told("problem")["type"],
        "urn:danmu:problem:unauthenticated"
    );
    socket.send(&json!({"type": "auth", "token": "not.a.token"}));
    assert_eq!(
        socket.told("problem")["type"],
        "urn:danmu:problem:invalid-token"
    );
    socket.send(&json!({"type": "auth", "token": token(600, None)}));
    for _ in 0..3 {
        socket.send(&event(&said));
        assert_eq!(socket.told("accepted").as_array().unwrap().len(), 1);
    }
    socket.send(&event(&said));
    let problem = socket.told("problem");
    assert_eq!(problem["type"], "urn:danmu:problem:rate-limited");
    assert!(problem["retry_after_s"].as_u64().unwrap() > 0, "{problem}");
    let page = server.wait_for(EVENTS, |page| page["head"] == 3);
    let user = &page["events"][0]["user"];
    assert_eq!(*user, json!({"id": "ann", "name": "Ann"}));

    socket.send(&json!({"type": "auth", "token": token(600, Some(&["other"]))}));
    socket.send(&event(&said));
    assert_eq!(
        socket.told("problem")["type"],
        "urn:danmu:problem:forbidden"
    );
}

#[test]
fn private_rooms_and_pages_of_others_have_no_socket() {
    let data = tempfile::tempdir().unwrap();
    let server = guarded(data.path(), &["--private-reads"]);
    let open = |path: &str| Socket::try_open(server.url(), path, &[]).err();
    let (own, other) = (token(600, Some(&["show"])), token(600, Some(&["other"])));
    assert_eq!(open(SOCKET), Some(401));
    assert_eq!(open(&format!("{SOCKET}?access_token={other}")), Some(403));
    let path = format!("{SOCKET}?access_token={own}");
    let mut socket = Socket::open(server.url(), &path);
    socket.send(&json!({"type": "auth", "token": other}));
    assert_eq!(socket.closed(), 4_401);
    let foreign = [("origin", "https://other.example")];
    let refused = Socket::try_open(server.url(), &path, &foreign).err();
    assert_eq!(refused, Some(403));
}

//! Senders learn what became of their events, through the binary: HTTP in, verdicts out.

use danmu_tests::server::Server;
use serde_json::{Value, json};

const ROOM: &str = "/v1/rooms/show";

fn id(n: u8) -> String {
    format!("00000000-0000-4000-8000-0000000000{n:02x}")
}

fn comment(n: u8, user: &str, text: &str) -> Value {
    json!({"kind": "comment", "id": id(n), "user": {"id": user, "name": user}, "text": text})
}

fn act(fields: Value) -> Value {
    let mut act = json!({"role": "host", "user": {"id": "host", "name": "host"}});
    let Value::Object(fields) = fields else {
        panic!("an event's fields")
    };
    act.as_object_mut().unwrap().extend(fields);
    act
}

/// Posts events, and waits for the verdict on the one with the id `n`.
fn post(server: &Server, events: &[Value], n: u8) -> Value {
    server.post(&format!("{ROOM}/events"), &json!(events));
    verdict(server, n)
}

fn verdict(server: &Server, n: u8) -> Value {
    let answer = server.get(&format!("{ROOM}/verdicts?id={}&wait=30", id(n)));
    let verdict = answer["verdicts"][0].clone();
    assert_eq!(verdict["id"], id(n), "{answer}");
    verdict
}

#[test]
fn a_sender_learns_each_verdict() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());

    let visible = post(&server, &[comment(1, "ann", "hello")], 1);
    assert_eq!(
        (&visible["verdict"], &visible["seq"]),
        (&json!("visible"), &json!(1))
    );

    let again = [comment(1, "ann", "hello"), comment(2, "ann", "next")];
    let next = post(&server, &again, 2);
    assert_eq!(
        (&next["verdict"], &next["seq"]),
        (&json!("visible"), &json!(2))
    );
    let duplicate = verdict(&server, 1);
    assert_eq!(
        (&duplicate["verdict"], &duplicate["seq"]),
        (&json!("duplicate"), &json!(1))
    );

    let mute = act(json!({"kind": "mute", "target_user": "bob", "reason": "rude"}));
    let muted = post(&server, &[mute, comment(3, "bob", "no")], 3);
    assert_eq!(
        (&muted["verdict"], &muted["reason"]),
        (&json!("refused"), &json!("muted"))
    );

    let slow = act(json!({"kind": "rules", "slow_ms": 60_000}));
    let sent = [slow, comment(4, "cat", "one"), comment(5, "cat", "two")];
    let slowed = post(&server, &sent, 5);
    assert_eq!(
        (&slowed["verdict"], &slowed["reason"]),
        (&json!("refused"), &json!("slow-mode"))
    );
    let events = server.events("show");
    let first = events.iter().find(|event| event["id"] == id(4)).unwrap();
    let free_at = first["at"].as_i64().unwrap() + 60_000;
    assert_eq!(slowed["until_at"], free_at);

    let close = act(json!({"kind": "rules", "comments": "closed"}));
    let closed = post(&server, &[close, comment(6, "dan", "late")], 6);
    let reason = (&closed["verdict"], &closed["reason"]);
    assert_eq!(reason, (&json!("refused"), &json!("comments-closed")));

    let unknown = server.get(&format!("{ROOM}/verdicts?id={}", id(99)));
    assert_eq!(unknown["verdicts"][0]["verdict"], "pending");
}

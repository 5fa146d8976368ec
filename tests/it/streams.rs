//! Streams and sockets, as clients use them: what they are told, how they end, and that a reader may change
//! its way of reading at any moment.

mod ends;
mod said;
mod switches;
mod way;

use danmu_tests::server::Server;
use serde_json::{Value, json};

use way::{Socket, Way};

const EVENTS: &str = "/v1/rooms/show/events";

fn comment(text: &str) -> Value {
    json!({"kind": "comment", "user": {"id": "ann", "name": "Ann"}, "text": text})
}

fn texts(page: &Value) -> Vec<&str> {
    let events = page["events"].as_array().expect("a page has events").iter();
    events.filter_map(|event| event["text"].as_str()).collect()
}

#[test]
fn a_viewer_gets_the_newest_page_and_what_comes() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    server.post(EVENTS, &json!([comment("one"), comment("two")]));
    server.wait_for(EVENTS, |page| page["head"] == 2);
    for way in [Way::Stream, Way::Socket] {
        let mut reader = way.open(server.url(), "show", "");
        let first = reader.page();
        assert_eq!(texts(&first)[..2], ["one", "two"], "{way:?}");
        assert!(first["poll_after_ms"].is_null());
        server.post(EVENTS, &comment("now"));
        let next = reader.page();
        assert_eq!((texts(&next), &next["from"]), (vec!["now"], &first["to"]));
    }
    let mut socket = Socket::open(server.url(), "/v1/rooms/show/socket?after=1:1");
    let hello = &socket.message()["hello"];
    assert_eq!(
        (&hello["cursor"], &hello["head"]),
        (&json!("1:1"), &json!(4))
    );
    assert!(hello["now_at"].as_i64().unwrap() > 1_700_000_000_000);
    assert_eq!(texts(&socket.page()), ["two", "now", "now"]);
}

#[test]
fn a_browser_goes_on_where_it_was_cut_off() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    server.post(EVENTS, &json!([comment("one"), comment("two")]));
    server.wait_for(EVENTS, |page| page["head"] == 2);
    let mut reader = way::Stream::resume(server.url(), "/v1/rooms/show/stream?after=0", "1:1");
    let (id, page) = reader.message();
    assert_eq!((id.as_deref(), texts(&page)), (Some("1:2"), vec!["two"]));

    server.post(EVENTS, &json!({"kind": "reset"}));
    let (id, problem) = reader.message();
    assert_eq!(id.as_deref(), Some("2:0"));
    assert_eq!(problem["type"], "urn:danmu:problem:room-replaced");
    let (id, page) = reader.message();
    assert_eq!(
        (id.as_deref(), &page["events"][0]["kind"]),
        (Some("2:1"), &json!("reset"))
    );
}

#[test]
fn a_client_is_told_how_to_connect() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let told = server.get("/v1/connect?room=show&device=web&version=1");
    assert_eq!(told["transports"], json!(["socket", "stream", "poll"]));
    assert_eq!(told["urls"]["poll"], EVENTS);
    let way = told["urls"]["socket"].as_str().unwrap();
    Socket::open(server.url(), way).message();
}

//! The read side's routes as the OpenAPI document has them, and the shapes of their answers.

mod events;
mod replays;
mod rooms;

use danmu_schemas::RoomId;
use danmu_schemas::description::{
    Answer, AnySchema, Described, cursor, document, header, integer, list, path, query, reference,
    room, text, word,
};
use danmu_schemas::problem::ProblemType;
use serde_json::{Value, json};
use utoipa::openapi::{OpenApi, Required, schema::Object};

use super::parameters::{
    BEHIND_MAX, DEVICE_BYTES_MAX, IDS_MAX, LIMIT_DEFAULT, LIMIT_MAX, PART_MAX, WAIT_S_MAX,
};
use crate::export::Format;
use crate::pace::{HIGH_PER_S, LOW_PER_S, Level, NORMAL_PER_S, Wanted};

const ROOM: &str = "/v1/rooms/{room}";
const BROADCAST: &str = "/v1/rooms/{room}/broadcasts/{broadcast}";

/// The schemas of what is answered.
pub(super) fn schemas() -> OpenApi {
    let schemas = [rooms::schemas(), events::schemas(), replays::schemas()];
    document(schemas.into_iter().flatten())
}

/// `GET /v1/rooms`.
pub(super) fn rooms() -> Described {
    let example = json!({"rooms": [{"room": "demo", "title": "Tonight",
        "started_at": 1_763_950_000_000_i64, "viewers": 3}]});
    Described::get("/v1/rooms", "listRooms", "live")
        .says(
            "Lists the rooms that are live",
            "By name; the list is at most two seconds old.",
        )
        .parameter(
            query("live", "Only live rooms are listed.", word("", &["true"]))
                .required(Required::True),
        )
        .parameter(query(
            "after",
            "Lists rooms after this one.",
            reference("RoomName"),
        ))
        .parameter(limit("rooms"))
        .answers(Answer::json("Rooms that are live.", "Rooms", example))
        .public_read()
        .problems(&[ProblemType::InvalidRoom])
}

/// `GET …/{room}`.
pub(super) fn room_overview() -> Described {
    let totals = totals();
    let example = json!({"room": "demo", "cursor": "1:42", "head": 42,
        "broadcast": {"broadcast": "1:1", "title": "Tonight", "started_at": 1_763_950_000_000_i64,
            "zero_at": 1_763_950_000_000_i64, "recorded": false,
            "totals": {"comments": 40, "gifts": 2, "gift_value": {"coin": 10}, "likes": 17}},
        "totals": totals, "viewers": 3, "rules": {"slow_ms": 0, "comments": "open"},
        "combos": [], "top_givers": []});
    of_room(ROOM, "readRoom", "live")
        .says(
            "Tells a room at a glance",
            "A room that nobody has sent to is an empty one.",
        )
        .answers(Answer::json("The room.", "RoomOverview", example))
        .problems(&[ProblemType::HistoryBehind])
}

/// `GET …/users`.
pub(super) fn users() -> Described {
    let example = json!({"room": "demo", "viewers": 3,
        "users": [{"id": "u1", "name": "Ann", "entered_at": 1_763_950_000_000_i64}]});
    of_room(&format!("{ROOM}/users"), "readUsers", "live")
        .says("Tells who watches", "How many watch, and who came last.")
        .parameter(limit("entrants"))
        .answers(Answer::json("Who watches.", "Users", example))
        .problems(&[ProblemType::HistoryBehind])
}

/// `GET …/events`.
pub(super) fn events() -> Described {
    let example = json!({"room": "demo", "events": [comment()], "cursor": "1:42", "from": 30, "to": 42,
        "head": 42, "withheld": {"count": 11, "by": {"density": 11}}, "totals": totals(),
        "poll_after_ms": 2_000});
    of_room(&format!("{ROOM}/events"), "readEvents", "live")
        .says(
            "Reads a page of a room",
            "The newest page where neither `after` nor `before` is given. Ask again with the answer's \
             `cursor` as `after`, after `poll_after_ms`, give or take 10 %. A cursor of an older \
             numbering is a 409 that tells the cursor to go on from; a range that cannot be read yet is \
             a 503, never an answer with a hole.",
        )
        .parameter(query("after", "What the client has; `0` for the first event. Not with `before`.", reference("Cursor")))
        .parameter(query("before", "Pages backwards. Not with `after`.", reference("Cursor")))
        .parameter(limit("events"))
        .parameter(query("wait", "How long to wait for news, in seconds.", defaulting(integer("", 0..=WAIT_S_MAX), json!(0))))
        .parameter(density())
        .parameter(query("max_behind", "Withholds what is older than the last so many events.", integer("", 0..=BEHIND_MAX)))
        .parameter(view())
        .answers(Answer::json("A page.", "Page", example))
        .problems(&[ProblemType::RoomReplaced, ProblemType::HistoryBehind, ProblemType::Overloaded])
}

/// `GET …/stream`.
pub(super) fn stream() -> Described {
    of_room(&format!("{ROOM}/stream"), "streamEvents", "live")
        .says(
            "Streams a room as server-sent events",
            "Each message is a `Page` without `poll_after_ms`, its `id` the cursor after it; without `after`, \
             the newest page comes first. `Last-Event-ID` goes before `after`. A comment line comes every \
             15 s. A reader that was at the head and falls more than 1,000 events behind skips forward, with \
             what it skipped withheld. `event: problem` has a `Problem`: after `room-replaced` the stream \
             goes on in the new numbering. `event: end` comes last, with the close code of a socket: \
             `{\"code\":4503,\"reason\":…}`.",
        )
        .parameter(after())
        .parameter(density())
        .parameter(header("Last-Event-ID", "What the client has.", reference("Cursor")))
        .answers(Answer::text("Messages, without end.", &["text/event-stream"]))
        .problems(&[ProblemType::HistoryBehind, ProblemType::Overloaded])
}

/// `GET …/socket`.
pub(super) fn socket() -> Described {
    of_room(&format!("{ROOM}/socket"), "openSocket", "live")
        .says(
            "Opens a WebSocket to a room",
            "Subprotocol `danmu.v1.json`; each message is one JSON object. From the server: \
             `{\"hello\":{\"cursor\":…,\"head\":…,\"now_at\":…}}` first, what comes after its cursor follows; a \
             `Page` without `poll_after_ms` at each flush; `{\"ping\":now_at}` every 25 s; \
             `{\"accepted\":[ids]}` or `{\"problem\":Problem}` for each message of the client, in order; \
             `{\"verdict\":Verdict}` for each event that it sent. From the client, each at most 16 KiB: \
             `{\"type\":\"event\",\"event\":SentEvent}`, `{\"type\":\"like\",\"count\":3}`, \
             `{\"type\":\"auth\",\"token\":…}`, which also renews. The rules of a request over HTTP hold for \
             each. A socket is closed with 4400 where the client does not keep to the protocol, 4401 when its \
             token ends, 4408 when it does not take a frame within 10 s, 4429 after more than 200 messages \
             in 10 s, 4503 when the server stops or cannot read the room: come back with jitter.",
        )
        .parameter(after())
        .parameter(density())
        .answers(Answer::text("Never: the answer is a 101, or a problem.", &["text/plain"]))
        .problems(&[ProblemType::Forbidden])
}

/// `GET /v1/connect`.
pub(super) fn connect() -> Described {
    let room = RoomId::parse("demo").expect("a name");
    let example = super::connect::advised(&room, Level::Rest);
    Described::get("/v1/connect", "connect", "live")
        .says(
            "Tells how to connect to a room",
            "The best way comes first; after `attempts` failures in a row take the next one, with a growing \
             pause between two, give or take half of it.",
        )
        .parameter(query("room", "Which room.", reference("RoomName")).required(Required::True))
        .parameter(query("device", "What kind of client asks.", device()))
        .parameter(query("version", "Which version of it.", device()))
        .answers(Answer::json("How to connect.", "Connect", example))
        .public_read()
        .problems(&[ProblemType::InvalidRoom])
}

/// `GET …/verdicts`.
pub(super) fn verdicts() -> Described {
    let example = json!({"verdicts": [
        {"id": ID, "verdict": "visible", "seq": 41},
        {"id": "0190aa3c-5b5e-7c3a-9d2f-5d1f4a6b7c8e", "verdict": "refused", "reason": "slow-mode",
            "until_at": 1_763_950_002_000_i64}]});
    let ids = list("", reference("EventId"))
        .min_items(Some(1))
        .max_items(Some(IDS_MAX));
    of_room(&format!("{ROOM}/verdicts"), "readVerdicts", "live")
        .says(
            "Tells what became of events",
            "Kept for 2 min. For those who sent them.",
        )
        .parameter(query("id", "Which events.", ids).required(Required::True))
        .parameter(query(
            "wait",
            "How long to wait for what is unknown, in seconds.",
            defaulting(integer("", 0..=WAIT_S_MAX), json!(0)),
        ))
        .answers(Answer::json("What became of them.", "Verdicts", example))
        .problems(&[ProblemType::HistoryBehind])
}

/// `GET …/broadcasts`.
pub(super) fn broadcasts() -> Described {
    let example = json!({"broadcasts": [broadcast()]});
    of_room(&format!("{ROOM}/broadcasts"), "listBroadcasts", "replay")
        .says("Lists a room's broadcasts", "The newest first.")
        .parameter(query(
            "after",
            "Lists those before this one.",
            reference("Cursor"),
        ))
        .parameter(limit("broadcasts"))
        .answers(Answer::json("Broadcasts.", "Broadcasts", example))
        .problems(&[ProblemType::HistoryBehind])
}

/// `GET …/broadcasts/{broadcast}`.
pub(super) fn manifest() -> Described {
    let mut example = broadcast();
    let url = "/v1/rooms/demo/broadcasts/1:1/segments/0?revision=42";
    example["zero_at"] = json!(1_763_950_000_000_i64);
    example["segments"] = json!([{"n": 0, "from_ms": 0, "to_ms": 30_000, "first_seq": 1,
        "last_seq": 42, "count": 42, "revision": 42, "url": url}]);
    example["heat"] = json!([{"from_ms": 0, "comments": 40, "likes": 17, "gifts": 2}]);
    example["interruptions"] = json!([{"seq": 7, "show_ms": 12_000, "resumed": false}]);
    of_broadcast(BROADCAST, "readManifest")
        .says(
            "Tells what a broadcast can be replayed by",
            "Its closed segments with their addresses, heat and interruptions: 24 h of show time; of a \
             longer show, in parts.",
        )
        .parameter(query("part", "Which 24 h.", defaulting(integer("", 0..=PART_MAX), json!(0))))
        .answers(Answer::json("The manifest.", "Manifest", example))
}

/// `GET …/segments/{n}`.
pub(super) fn segment() -> Described {
    let mut event = comment();
    event["show_ms"] = json!(123);
    event["logged_at"] = json!(1_763_950_000_125_i64);
    event["crowd"] = json!(4);
    let example = json!({"state": {"title": "Tonight", "head": 29, "totals": totals(),
        "rules": {"slow_ms": 0, "comments": "open"}, "combos": [], "top_givers": []},
        "events": [event]});
    of_broadcast(&format!("{BROADCAST}/segments/{{n}}"), "readSegment")
        .says(
            "Reads thirty seconds of a broadcast",
            "The same bytes for ever under a revision. A revision that was replaced is a 410: read the \
             manifest again. One that is not there yet is a 404 `segment-open` with `Retry-After`.",
        )
        .parameter(path("n", "The segment's number: show time by 30 s, rounded down.", integer("", i64::MIN..=i64::MAX)))
        .parameter(query("revision", "Which revision; the newest where left out, which is then not cached.", counted("")))
        .parameter(view())
        .answers(
            Answer::json("The segment.", "Segment", example)
                .header("ETag", "Strong; changes with the revision.")
                .header("Cache-Control", "`immutable` where the revision was asked for."),
        )
        .problems(&[ProblemType::SegmentOpen, ProblemType::Gone])
}

/// `GET …/export`.
pub(super) fn export() -> Described {
    let formats = Format::ALL.map(Format::as_str);
    let media_types = Format::ALL.map(Format::content_type);
    of_broadcast(&format!("{BROADCAST}/export"), "exportBroadcast")
        .says(
            "Exports a whole broadcast",
            "As JSON lines (each an `Event`), as the XML that danmaku players read, or as ASS subtitles. \
             Streamed: an answer that breaks off lacks something.",
        )
        .parameter(query("format", "In which form.", defaulting(word("", &formats), json!(Format::Jsonl.as_str()))))
        .parameter(view())
        .answers(Answer::text("The broadcast.", &media_types))
}

const ID: &str = "0190aa3c-5b5e-7c3a-9d2f-5d1f4a6b7c8d";

fn of_room(path: &str, operation_id: &str, tag: &str) -> Described {
    Described::get(path, operation_id, tag)
        .parameter(room())
        .public_read()
        .problems(&[ProblemType::InvalidRoom])
}

fn of_broadcast(of: &str, operation_id: &str) -> Described {
    of_room(of, operation_id, "replay")
        .parameter(path(
            "broadcast",
            "The broadcast: the cursor of its first event.",
            cursor(),
        ))
        .problems(&[ProblemType::NotFound, ProblemType::HistoryBehind])
}

fn limit(of: &str) -> utoipa::openapi::path::ParameterBuilder {
    let limit = defaulting(integer("", 1..=LIMIT_MAX), json!(LIMIT_DEFAULT));
    query("limit", &format!("The most {of}."), limit)
}

fn after() -> utoipa::openapi::path::ParameterBuilder {
    let about = "What the client has; `0` for the first event.";
    query("after", about, reference("Cursor"))
}

/// What a client calls itself.
fn device() -> AnySchema {
    let mut device = text("");
    device.max_length = Some(DEVICE_BYTES_MAX);
    device.into()
}

fn density() -> utoipa::openapi::path::ParameterBuilder {
    let about = format!(
        "How much of a busy room: all of it, or at most {HIGH_PER_S}, {NORMAL_PER_S} or {LOW_PER_S} comments \
         a second, the same for everybody; `auto` is what suits the room and the load. Likes are left out \
         first, then gifts that only extend a combo, then comments, nothing else; `withheld` tells how \
         many. Ask for `full` with the same `after` to get them; under heavy load that is a 503 \
         `overloaded`."
    );
    query(
        "density",
        &about,
        defaulting(word("", &Wanted::NAMES), json!("auto")),
    )
}

fn view() -> utoipa::openapi::path::ParameterBuilder {
    let views = word("", &["public", "live"]);
    query(
        "view",
        "`live`: as it was before moderation. For moderators, hosts and backends.",
        defaulting(views, json!("public")),
    )
}

fn defaulting(mut schema: Object, default: Value) -> Object {
    schema.default = Some(default);
    schema
}

/// A number that is not negative.
fn counted(description: &str) -> AnySchema {
    integer(description, 0..=i64::MAX).into()
}

/// String to string, as its sender gave it.
fn passed_through() -> AnySchema {
    danmu_schemas::description::ext(None).into()
}

fn comment() -> Value {
    json!({"seq": 42, "kind": "comment", "at": 1_763_950_000_123_i64, "id": ID,
        "user": {"id": "u1", "name": "Ann"}, "text": "hello",
        "style": {"mode": "scroll", "color": 0xff_ffff, "size": "normal"}})
}

fn totals() -> Value {
    json!({"comments": 40, "gifts": 2, "gift_value": {"coin": 10}, "likes": 17, "viewers": 3})
}

fn broadcast() -> Value {
    json!({"broadcast": "1:1", "title": "Tonight", "started_at": 1_763_950_000_000_i64,
        "ended_at": 1_763_953_600_000_i64, "events": 42, "recorded": false, "live": false,
        "totals": {"comments": 40, "gifts": 2, "gift_value": {"coin": 10}, "likes": 17}})
}

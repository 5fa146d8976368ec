//! The write side's routes as the OpenAPI document has them.

use danmu_schemas::description::{
    Answer, AnySchema, Described, Fields, document, example, header, integer, list, name,
    reference, room, text,
};
use danmu_schemas::problem::ProblemType;
use serde_json::json;
use utoipa::openapi::OpenApi;

use crate::admission::{IDEMPOTENCY_KEY_BYTES_MAX, description};
use crate::likes::REQUEST_COUNTS;

/// The schemas of what is sent, and of what is answered to it.
pub(super) fn schemas() -> OpenApi {
    let own: [(&str, AnySchema); 3] = [
        ("Accepted", accepted()),
        ("SentLikeCount", like_count()),
        (
            "LikesCounted",
            Fields::of("The likes are in the log.").end(),
        ),
    ];
    document(own.into_iter().chain(description::schemas()))
}

fn accepted() -> AnySchema {
    Fields::of("Every event is in the log.")
        .need(
            "accepted",
            list("Their ids, in the order sent.", reference("EventId")),
        )
        .end()
}

fn like_count() -> AnySchema {
    let counts = *REQUEST_COUNTS.start()..=*REQUEST_COUNTS.end();
    Fields::of("Likes of one viewer.")
        .need("count", integer("How many.", counts))
        .end()
}

/// `POST …/events`.
pub(super) fn post_events() -> Described {
    let key = name(
        "The same for every try, in place of an id.",
        1..=IDEMPOTENCY_KEY_BYTES_MAX,
    );
    let id = "0190aa3c-5b5e-7c3a-9d2f-5d1f4a6b7c8d";
    Described::post("/v1/rooms/{room}/events", "sendEvents", "write")
        .says(
            "Sends one event, or an array of up to 500",
            "Answered after the log has made every event durable. An array is taken whole or not at \
             all, and a refusal lists everything that is wrong with it. Under load comments are \
             refused before gifts and moderation, and an array with both as comments are. After \
             `outcome-unknown`, send the same ids again: within 2 min (a gift: 24 h) the same id is \
             the same event. Whether the room shows an event is told by its verdict.",
        )
        .parameter(room())
        .parameter(header(
            "Idempotency-Key",
            "For a single event without an id: it is made of this and the author.",
            key,
        ))
        .parameter(header(
            "traceparent",
            "Where the caller's trace goes on: a log on Kafka keeps it beside each event. Ignored where it is \
             not valid.",
            text("As W3C's Trace Context has it."),
        ))
        .body(
            reference("SentEvents"),
            vec![
                example("comment", json!({"kind": "comment", "id": id, "text": "hello",
                    "user": {"id": "u1", "name": "Ann"}, "style": {"color": 0xff_ffff}})),
                example("gift", json!({"kind": "gift", "user": {"id": "u1", "name": "Ann"},
                    "gift": "rose", "name": "Rose", "count": 1, "unit_value": 5, "combo": "c1"})),
                example("show", json!([{"kind": "broadcast_start", "title": "Tonight"},
                    {"kind": "rules", "slow_ms": 2_000, "comments": "open"}])),
            ],
        )
        .answers(Answer::json("Every event is in the log.", "Accepted", json!({"accepted": [id]})))
        .write()
        .problems(&[
            ProblemType::InvalidRoom,
            ProblemType::InvalidEvents,
            ProblemType::TooLarge,
            ProblemType::UnsupportedEncoding,
            ProblemType::OutcomeUnknown,
        ])
}

/// `POST …/likes`.
pub(super) fn post_likes() -> Described {
    Described::post("/v1/rooms/{room}/likes", "sendLikes", "write")
        .says(
            "Likes a room",
            "Answered when the sum that holds these likes is in the log. Likes that got a 503 are not \
             sent again: they may have been counted.",
        )
        .parameter(room())
        .body(reference("SentLikeCount"), vec![example("three", json!({"count": 3}))])
        .answers(Answer::json("They are in the log.", "LikesCounted", json!({})))
        .write()
        .problems(&[
            ProblemType::InvalidRoom,
            ProblemType::InvalidEvents,
            ProblemType::TooLarge,
            ProblemType::UnsupportedEncoding,
            ProblemType::OutcomeUnknown,
        ])
}

//! Broadcasts after the fact: their list, manifests and segments.

use danmu_schemas::description::{
    AnySchema, Fields, boolean, integer, list, moment, reference, seq, text,
};

use super::events::events;
use super::rooms::gifts;
use super::{counted, passed_through};

/// The schemas of replays, by their names.
pub(super) fn schemas() -> Vec<(&'static str, AnySchema)> {
    vec![
        ("Broadcasts", broadcasts()),
        (
            "Broadcast",
            Fields::of("A show, one that is on included.")
                .with(show)
                .end(),
        ),
        ("Manifest", manifest()),
        ("SegmentLink", segment_link()),
        ("Heat", heat()),
        ("Interruption", interruption()),
        ("Segment", segment()),
        ("SegmentState", segment_state()),
    ]
}

fn broadcasts() -> AnySchema {
    Fields::of("A room's broadcasts.")
        .need(
            "broadcasts",
            list("The newest first.", reference("Broadcast")),
        )
        .end()
}

fn show(fields: Fields) -> Fields {
    fields
        .need("broadcast", reference("Cursor"))
        .need("title", text("The show's title; may be empty."))
        .need("started_at", moment("When it began."))
        .may("ended_at", moment("When it ended."))
        .need("events", counted("How many events it has."))
        .need("totals", reference("Sums"))
        .need("recorded", boolean("Whether it brought an old show in."))
        .need("live", boolean("Whether it is on."))
}

fn manifest() -> AnySchema {
    Fields::of("What to replay a show by.")
        .with(show)
        .need("zero_at", moment("When show time is zero."))
        .need(
            "segments",
            list(
                "The closed segments that have events, in order.",
                reference("SegmentLink"),
            ),
        )
        .need(
            "heat",
            list("How much went on, per 10 s.", reference("Heat")),
        )
        .need(
            "interruptions",
            list(
                "Where the picture stopped and went on.",
                reference("Interruption"),
            ),
        )
        .end()
}

fn show_ms(description: &str) -> AnySchema {
    let description = format!("{description} Milliseconds of show time.");
    integer(&description, i64::MIN..=i64::MAX).into()
}

fn segment_link() -> AnySchema {
    Fields::of("A closed segment.")
        .need(
            "n",
            integer(
                "Its number: show time by 30 s, rounded down.",
                i64::MIN..=i64::MAX,
            ),
        )
        .need("from_ms", show_ms("Where it begins."))
        .need("to_ms", show_ms("Before this it ends."))
        .need("first_seq", seq("Its first event."))
        .need("last_seq", seq("Its last event."))
        .need("count", counted("How many events it has."))
        .need(
            "revision",
            counted("The last event that changed anything that it shows; 0 where none did."),
        )
        .need("url", text("Where it is: a path."))
        .end()
}

fn heat() -> AnySchema {
    Fields::of("How much went on in 10 s.")
        .need("from_ms", show_ms("Where they begin."))
        .need("comments", counted("How many comments."))
        .need("likes", counted("How many likes."))
        .need("gifts", counted("How many gifts."))
        .end()
}

fn interruption() -> AnySchema {
    Fields::of("Where the picture stopped or went on.")
        .need("seq", seq("The event that says so."))
        .need("show_ms", show_ms("When."))
        .need("resumed", boolean("Whether it went on."))
        .end()
}

fn segment() -> AnySchema {
    Fields::of("Thirty seconds of a show, for ever the same under its revision.")
        .need("state", reference("SegmentState"))
        .need("events", events("In the order of their seqs."))
        .end()
}

fn segment_state() -> AnySchema {
    Fields::of("The room just before the segment.")
        .need("title", text("The show's title; may be empty."))
        .may("ext", passed_through())
        .need("head", counted("The last seq before it."))
        .need("totals", reference("Totals"))
        .need("rules", reference("RoomRules"))
        .may("pinned", seq("The comment that is pinned."))
        .with(gifts)
        .end()
}

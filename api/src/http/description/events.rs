//! Events as they are shown: the shapes of what [`crate::render`] writes.

use danmu_schemas::Role;
use danmu_schemas::description::{
    AnySchema, Fields, any_of, boolean, id, integer, list, moment, reference, seq, text, word,
};
use danmu_schemas::event::{Mode, Size};

use super::{counted, passed_through};

/// The most viewers that one source can count.
const VIEWERS_MAX: u32 = i32::MAX as u32;

/// The schemas of events, by their names.
pub(super) fn schemas() -> Vec<(&'static str, AnySchema)> {
    let names = kinds().map(|(name, _)| reference(name));
    let event = any_of(
        "An event, by its `kind`; ignore kinds that you do not know.",
        names.chain([reference("HiddenEvent")]),
    );
    let mut schemas = vec![
        ("Event", event),
        ("HiddenEvent", hidden()),
        ("User", user()),
        ("Style", style()),
    ];
    schemas.extend(kinds());
    schemas
}

/// Every kind that gets a seq.
fn kinds() -> impl Iterator<Item = (&'static str, AnySchema)> {
    let plain = |fields: Fields| fields;
    let kinds = [
        ("Comment", kind("comment", "A comment.", comment)),
        ("Gift", kind("gift", "A gift.", gift)),
        (
            "GiftReversal",
            kind("gift_reversal", "A gift was taken back.", |fields| {
                let fields = fields.need("target_id", id("The gift's id."));
                fields.may("target_seq", seq("The gift."))
            }),
        ),
        (
            "Likes",
            kind("likes", "Likes of several viewers.", |fields| {
                fields.need("count", counted("How many."))
            }),
        ),
        (
            "BroadcastStart",
            kind("broadcast_start", "A show began.", |fields| {
                fields
                    .need("title", text("The show's title; may be empty."))
                    .need("recorded", boolean("Whether it brings an old show in."))
                    .may(
                        "zero_at",
                        moment("When show time is zero; the start where absent."),
                    )
                    .may("ext", passed_through())
            }),
        ),
        (
            "BroadcastEnd",
            kind("broadcast_end", "The show ended.", plain),
        ),
        (
            "BroadcastInterrupt",
            kind("broadcast_interrupt", "The picture stopped.", plain),
        ),
        (
            "BroadcastResume",
            kind("broadcast_resume", "The picture went on.", plain),
        ),
        (
            "Delete",
            kind("delete", "An event lost its content.", |fields| {
                fields.may("target_seq", seq("Which event."))
            }),
        ),
        (
            "Mute",
            kind("mute", "Somebody may not comment.", |fields| {
                fields
                    .need("target_user", text("Who."))
                    .may("until_at", moment("Until when; for ever where absent."))
                    .may("hide_since_at", moment("What they said since is hidden."))
            }),
        ),
        (
            "Unmute",
            kind("unmute", "Somebody may comment again.", |fields| {
                fields.need("target_user", text("Who."))
            }),
        ),
        (
            "Rules",
            kind(
                "rules",
                "The room's rules changed; what is absent stayed.",
                |fields| {
                    fields
                        .may(
                            "slow_ms",
                            counted("How long a viewer waits between two comments."),
                        )
                        .may(
                            "comments",
                            word("Whether viewers may comment.", &["open", "closed"]),
                        )
                },
            ),
        ),
        (
            "Pin",
            kind("pin", "A comment was pinned.", |fields| {
                fields.need("target_seq", seq("Which event."))
            }),
        ),
        (
            "Unpin",
            kind("unpin", "A comment was pinned no longer.", |fields| {
                fields.need("target_seq", seq("Which event."))
            }),
        ),
        (
            "Custom",
            kind(
                "custom",
                "Whatever a client of yours understands.",
                |fields| {
                    let fields = fields.need("name", text("What it is."));
                    fields.may("ext", passed_through())
                },
            ),
        ),
        (
            "Erase",
            kind(
                "erase",
                "Content was erased; whose is nobody's to know.",
                plain,
            ),
        ),
        (
            "Reset",
            kind("reset", "The room's numbering began anew.", plain),
        ),
        (
            "AdoptRules",
            kind(
                "adopt_rules",
                "Events are settled by a newer version of the rules.",
                |fields| fields.need("version", integer("Which version.", 1..=VIEWERS_MAX)),
            ),
        ),
    ];
    kinds.into_iter()
}

/// What every event has, and what this kind has.
fn kind(kind: &str, description: &str, own: impl FnOnce(Fields) -> Fields) -> AnySchema {
    let roles = Role::ALL.map(Role::as_str);
    Fields::of(description)
        .with(|fields| kept(fields, word("", &[kind])))
        .may("logged_at", moment("When the log took it. In replays."))
        .may("user", reference("User"))
        .may(
            "role",
            word(
                "The role that its author acted in; a viewer where absent.",
                &roles,
            ),
        )
        .with(own)
        .end()
}

/// What stays of an event when its content is hidden.
fn kept(fields: Fields, kind: impl Into<AnySchema>) -> Fields {
    fields
        .need("seq", seq("Its number in the room: dense, from 1."))
        .need("kind", kind)
        .need("at", moment("When it happened."))
        .need("id", reference("EventId"))
        .may(
            "show_ms",
            integer(
                "Milliseconds since the show's zero; may be negative. In replays.",
                i64::MIN..=i64::MAX,
            ),
        )
}

fn hidden() -> AnySchema {
    Fields::of("An event whose content was deleted: its place stays.")
        .with(|fields| kept(fields, text("Its kind.")))
        .need("deleted", boolean("Always true."))
        .end()
}

fn user() -> AnySchema {
    Fields::of("Who did it.")
        .need("id", text("Who, for ever."))
        .need("name", text("Shown to viewers; may be empty."))
        .may("ext", passed_through())
        .end()
}

fn style() -> AnySchema {
    let modes = Mode::ALL.map(Mode::as_str);
    let sizes = Size::ALL.map(Size::as_str);
    Fields::of("How a comment is drawn.")
        .need("mode", word("Where on the stage.", &modes))
        .need("color", integer("As 0xRRGGBB.", 0..=0xff_ffff))
        .need("size", word("", &sizes))
        .end()
}

fn comment(fields: Fields) -> Fields {
    fields
        .need("text", text("What is said; may hold newlines and tabs."))
        .need("style", reference("Style"))
        .may("reply_to", id("The comment that it answers."))
        .may(
            "crowd",
            counted("How many comments came in the second before. In replays."),
        )
        .may("ext", passed_through())
}

fn gift(fields: Fields) -> Fields {
    fields
        .need("gift", text("Which gift."))
        .need("name", text("Its name, for people."))
        .need("count", counted("How many."))
        .need("unit_value", counted("What one is worth."))
        .need("currency", text("What it is paid in."))
        .may("text", text("What its giver says."))
        .may("combo", text("Gifts of one combo count together."))
        .may(
            "combo_total",
            counted("How many there are in the combo so far."),
        )
        .need("issued_at", moment("When it was paid."))
        .may("ext", passed_through())
}

/// A list of events.
pub(super) fn events(description: &str) -> AnySchema {
    list(description, reference("Event")).into()
}

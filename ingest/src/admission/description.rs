//! What may be sent, as JSON schemas: the rules of this module as a client's tools read them.
//!
//! A schema counts characters where a rule counts bytes, and knows no clock: what it cannot say stands
//! in the descriptions. A field that a kind does not have is ignored, so no shape is closed.

use danmu_schemas::Role;
use danmu_schemas::description::{
    AnySchema, Fields, any_of, boolean, ext, id, integer, list, moment, name, null, nullable,
    reference, seq, text, word,
};
use danmu_schemas::event::{Mode, Size};
use danmu_schemas::state::RULES_VERSION_LATEST;

use super::EVENTS_LEN_MAX;
use super::fields::EXT_LEN_MAX;
use super::kinds::{
    COLOR_MAX, COUNT_MAX, CURRENCY_DEFAULT, ERASED_LEN_MAX, SLOW_MS_MAX, UNIT_VALUE_MAX,
    VIEWERS_MAX,
};
use super::text::{COMMENT_CHARS_MAX, LINE_CHARS_MAX, NAME_BYTES_MAX, USER_NAME_CHARS_MAX};

/// The schemas of what is sent, by their names.
pub(crate) fn schemas() -> Vec<(&'static str, AnySchema)> {
    let mut schemas = vec![
        ("SentEvents", sent()),
        (
            "SentEvent",
            any_of(
                "An event, by its `kind`.",
                kinds().map(|(name, _)| reference(name)),
            ),
        ),
        ("SentUser", user()),
        ("SentDevice", device()),
        ("SentStyle", style()),
    ];
    schemas.extend(kinds());
    schemas
}

fn sent() -> AnySchema {
    let array = list("Taken whole or not at all.", reference("SentEvent"))
        .min_items(Some(1))
        .max_items(Some(EVENTS_LEN_MAX));
    any_of(
        "One event, or several.",
        [reference("SentEvent"), array.into()],
    )
}

/// Every kind that is taken.
fn kinds() -> impl Iterator<Item = (&'static str, AnySchema)> {
    let plain = |fields: Fields| fields;
    let kinds = [
        (
            "SentComment",
            kind("comment", "A comment. Sent by viewers.", comment),
        ),
        ("SentGift", kind("gift", "A gift. Sent by backends.", gift)),
        (
            "SentGiftReversal",
            kind(
                "gift_reversal",
                "A gift is taken back. Sent by backends.",
                |fields| {
                    let fields = fields.need("target_id", id("The gift's id."));
                    fields.may("reason", line("Why: never told to viewers."))
                },
            ),
        ),
        (
            "SentLikes",
            kind(
                "likes",
                "Likes that were summed. Sent by backends.",
                |fields| {
                    let fields = fields.need("count", integer("How many.", 1..=COUNT_MAX));
                    fields.need("source", named("Who summed them."))
                },
            ),
        ),
        (
            "SentEnter",
            kind("enter", "Somebody comes. Sent by viewers.", plain),
        ),
        (
            "SentLeave",
            kind("leave", "Somebody goes. Sent by viewers.", plain),
        ),
        (
            "SentAudience",
            kind("audience", "How many watch. Sent by backends.", |fields| {
                let fields = fields.need("source", named("Who counted them."));
                fields.need("viewers", integer("How many.", 0..=VIEWERS_MAX))
            }),
        ),
        (
            "SentBroadcastStart",
            kind(
                "broadcast_start",
                "A show begins. Sent by hosts; a recorded one by backends.",
                start,
            ),
        ),
        (
            "SentBroadcastEnd",
            kind("broadcast_end", "The show ends. Sent by hosts.", reason),
        ),
        (
            "SentBroadcastInterrupt",
            kind(
                "broadcast_interrupt",
                "The picture stops. Sent by hosts.",
                reason,
            ),
        ),
        (
            "SentBroadcastResume",
            kind(
                "broadcast_resume",
                "The picture goes on. Sent by hosts.",
                reason,
            ),
        ),
        ("SentDelete", delete()),
        (
            "SentMute",
            kind(
                "mute",
                "Somebody may not comment. Sent by moderators.",
                |fields| {
                    fields
                        .need("target_user", named("Who."))
                        .may(
                            "until_at",
                            nullable(moment("Until when; for ever where left out.")),
                        )
                        .may(
                            "hide_since_at",
                            nullable(moment("Hides what they said since.")),
                        )
                        .may("reason", line("Why: never told to viewers."))
                },
            ),
        ),
        (
            "SentUnmute",
            kind(
                "unmute",
                "Somebody may comment again. Sent by moderators.",
                |fields| {
                    let fields = fields.need("target_user", named("Who."));
                    fields.may("reason", line("Why: never told to viewers."))
                },
            ),
        ),
        ("SentRules", rules_of_a_room()),
        (
            "SentPin",
            kind(
                "pin",
                "A comment is pinned. Sent by moderators.",
                |fields| fields.need("target_seq", seq("Which event.")),
            ),
        ),
        (
            "SentUnpin",
            kind(
                "unpin",
                "A comment is pinned no longer. Sent by moderators.",
                |fields| fields.need("target_seq", seq("Which event.")),
            ),
        ),
        (
            "SentCustom",
            kind(
                "custom",
                "Whatever a client of yours understands. Sent by hosts.",
                |fields| {
                    let fields = fields.need("name", named("What it is."));
                    fields.may("ext", nullable(ext(Some(EXT_LEN_MAX))))
                },
            ),
        ),
        ("SentErase", erase()),
        (
            "SentReset",
            kind(
                "reset",
                "The room's numbering begins anew. Sent by backends.",
                plain,
            ),
        ),
        (
            "SentAdoptRules",
            kind(
                "adopt_rules",
                "Settles by a newer version of the rules. Sent by operators.",
                |fields| {
                    fields.need(
                        "version",
                        integer("Which version.", 1..=RULES_VERSION_LATEST),
                    )
                },
            ),
        ),
    ];
    kinds.into_iter()
}

/// What every kind has, and what this one has.
fn kind(kind: &str, description: &str, own: impl FnOnce(Fields) -> Fields) -> AnySchema {
    let roles = Role::ALL.into_iter().filter(|role| *role != Role::Operator);
    let roles: Vec<_> = roles.map(Role::as_str).collect();
    Fields::of(description)
        .need("kind", word("", &[kind]))
        .may("id", nullable(id("Its identity: a retry with the same is the same event. Made by the server where left out.")))
        .may("user", nullable(reference("SentUser")))
        .may("role", nullable(word("The role that the author acts in; one that is not the caller's own is for backends.", &roles)))
        .may("device", nullable(reference("SentDevice")))
        .may("recorded_at", nullable(moment("Its own time, in a recorded broadcast. For backends.")))
        .with(own)
        .end()
}

fn user() -> AnySchema {
    Fields::of("The author: the token's subject. A backend names another, and must where its token has none and a viewer did it.")
        .need("id", named("Who, for ever."))
        .may("name", nullable(name("Shown to viewers.", 0..=USER_NAME_CHARS_MAX)))
        .may("ext", nullable(ext(Some(EXT_LEN_MAX))))
        .end()
}

fn device() -> AnySchema {
    let short = |description| nullable(name(description, 0..=NAME_BYTES_MAX));
    Fields::of("What it was sent from: never told to viewers.")
        .may("id", short("The device's own id, up to 64 bytes."))
        .may("kind", short("As `ios` or `web`, up to 64 bytes."))
        .may("version", short("The client's version, up to 64 bytes."))
        .end()
}

fn style() -> AnySchema {
    let modes = Mode::ALL.map(Mode::as_str);
    let sizes = Size::ALL.map(Size::as_str);
    Fields::of("How a comment is drawn.")
        .may(
            "mode",
            nullable(word("Where on the stage; `scroll` where left out.", &modes)),
        )
        .may(
            "color",
            nullable(integer("As 0xRRGGBB; white where left out.", 0..=COLOR_MAX)),
        )
        .may("size", nullable(word("`normal` where left out.", &sizes)))
        .end()
}

fn comment(fields: Fields) -> Fields {
    fields
        .need("text", comment_text("Kept in NFC, otherwise untouched."))
        .may("style", nullable(reference("SentStyle")))
        .may("reply_to", nullable(id("The comment that it answers.")))
        .may("ext", nullable(ext(Some(EXT_LEN_MAX))))
}

fn gift(fields: Fields) -> Fields {
    let currency = format!("What it is paid in; `{CURRENCY_DEFAULT}` where left out.");
    fields
        .need("gift", named("Which gift."))
        .need("name", named("Its name, for people."))
        .need("count", integer("How many.", 1..=COUNT_MAX))
        .need(
            "unit_value",
            integer("What one is worth.", 0..=UNIT_VALUE_MAX),
        )
        .may("currency", nullable(named(&currency)))
        .may("text", nullable(comment_text("What its giver says.")))
        .may(
            "combo",
            nullable(named("Gifts of one combo count together.")),
        )
        .may(
            "issued_at",
            nullable(moment(
                "When it was paid: within the last 23 h, at most 5 min ahead; now where left out.",
            )),
        )
        .may("ext", nullable(ext(Some(EXT_LEN_MAX))))
}

fn start(fields: Fields) -> Fields {
    fields
        .may("title", line("The show's title."))
        .may(
            "recorded",
            nullable(boolean("Whether it brings an old show in.")),
        )
        .may(
            "zero_at",
            nullable(moment("When show time is zero; the start where left out.")),
        )
        .may("ext", nullable(ext(Some(EXT_LEN_MAX))))
}

fn delete() -> AnySchema {
    let by = |target: &str, schema: AnySchema, other: &str| {
        kind("delete", "", |fields| {
            let fields = fields.need(target, schema).may(other, null());
            fields.may("reason", line("Why: never told to viewers."))
        })
    };
    any_of(
        "An event loses its content. Sent by moderators.",
        [
            by("target_seq", seq("Which event.").into(), "target_id"),
            by(
                "target_id",
                id("Which event, one of the last minutes.").into(),
                "target_seq",
            ),
        ],
    )
}

fn erase() -> AnySchema {
    let by = |target: &str, schema: AnySchema, other: &str| {
        kind("erase", "", |fields| {
            fields.need(target, schema).may(other, null())
        })
    };
    let seqs = list("Which events.", seq(""))
        .min_items(Some(1))
        .max_items(Some(ERASED_LEN_MAX));
    any_of(
        "Content is blanked wherever it is stored. Sent by backends.",
        [
            by("target_seqs", seqs.into(), "target_user"),
            by("target_user", named("Whose."), "target_seqs"),
        ],
    )
}

fn rules_of_a_room() -> AnySchema {
    let slow = || {
        integer(
            "How long a viewer waits between two comments; 0 for not at all.",
            0..=SLOW_MS_MAX,
        )
    };
    let comments = || word("Whether viewers may comment.", &["open", "closed"]);
    any_of(
        "The room's rules; what is left out stays. Sent by moderators.",
        [
            kind("rules", "", |fields| {
                let fields = fields.need("slow_ms", slow());
                fields.may("comments", nullable(comments()))
            }),
            kind("rules", "", |fields| {
                let fields = fields.may("slow_ms", nullable(slow()));
                fields.need("comments", comments())
            }),
        ],
    )
}

fn reason(fields: Fields) -> Fields {
    fields.may("reason", line("Why: never told to viewers."))
}

/// The name of something, by [`super::text::name`].
fn named(description: &str) -> AnySchema {
    let description = format!("{description} 1 to {NAME_BYTES_MAX} bytes.");
    name(&description, 1..=NAME_BYTES_MAX).into()
}

/// A title or reason, by [`super::text::line`].
fn line(description: &str) -> AnySchema {
    nullable(name(description, 0..=LINE_CHARS_MAX))
}

/// A comment's text, by [`super::text::comment`].
fn comment_text(description: &str) -> AnySchema {
    /// Like any text, and with newlines and tabs, but not of white space alone.
    const PATTERN: &str = r"^[^\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202d\u202e]*[^\s\u0000-\u001f\u007f-\u009f\u202d\u202e][^\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202d\u202e]*$";
    let mut text = text(description);
    text.min_length = Some(1);
    text.max_length = Some(COMMENT_CHARS_MAX);
    text.pattern = Some(PATTERN.to_owned());
    text.into()
}

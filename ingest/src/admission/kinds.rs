//! The fields of each kind, with the contract's limits and defaults.
//!
//! A text that may be empty may also be left out. Fields that a kind does not have are ignored, so
//! that a newer client can talk to an older server.

use danmu_schemas::EventId;
use danmu_schemas::event::{
    AdoptRules, Audience, Body, BroadcastStart, Comment, Custom, Delete, Erase, Gift, GiftReversal,
    Likes, Mode, Mute, Pin, Reason, Rules, Size, Style, Target, Text, Unmute,
};
use danmu_schemas::state::RULES_VERSION_LATEST;

use super::fields::Fields;
use super::{ISSUED_AGO_MS_MAX, ISSUED_AHEAD_MS_MAX, text};

/// The largest count of a gift or of likes.
pub const COUNT_MAX: u32 = 9_999;
/// The largest value of one gift.
pub(super) const UNIT_VALUE_MAX: u32 = 10_000_000;
/// The largest color.
pub(super) const COLOR_MAX: u32 = 0xff_ffff;
/// The most seqs that one erasure names.
pub(super) const ERASED_LEN_MAX: usize = 500;
/// The longest slow mode.
pub(super) const SLOW_MS_MAX: u32 = 120_000;
/// The most viewers that one source can count: what fits an Avro int.
pub(super) const VIEWERS_MAX: u32 = i32::MAX as u32;
/// What a gift is paid in where it does not say.
pub(super) const CURRENCY_DEFAULT: &str = "coin";

/// Stands in for an id that is missing or bad.
const NO_ID: EventId = EventId([0; 16]);

/// The body of an event of `kind`; `None`, and noted, where no such kind is taken.
pub(super) fn body(kind: &str, fields: &mut Fields<'_>, now_ms: i64) -> Option<Body<'static>> {
    Some(match kind {
        "comment" => Body::Comment(comment(fields)),
        "gift" => Body::Gift(gift(fields, now_ms)),
        "gift_reversal" => Body::GiftReversal(GiftReversal {
            target_id: fields.need("target_id", NO_ID, |f| f.id("target_id")),
            reason: line(fields, "reason"),
        }),
        "likes" => Body::Likes(Likes {
            count: count(fields),
            source: name(fields, "source"),
        }),
        "enter" => Body::Enter,
        "leave" => Body::Leave,
        "audience" => Body::Audience(Audience {
            source: name(fields, "source"),
            viewers: fields.need("viewers", 0, |f| f.integer("viewers", 0..=VIEWERS_MAX)),
        }),
        "broadcast_start" => Body::BroadcastStart(BroadcastStart {
            title: line(fields, "title"),
            recorded: fields.boolean("recorded").unwrap_or(false),
            zero_at: fields.moment("zero_at"),
            ext: fields.ext("ext"),
        }),
        "broadcast_end" => Body::BroadcastEnd(reason(fields)),
        "broadcast_interrupt" => Body::BroadcastInterrupt(reason(fields)),
        "broadcast_resume" => Body::BroadcastResume(reason(fields)),
        "delete" => Body::Delete(Delete {
            target: target(fields),
            reason: line(fields, "reason"),
        }),
        "mute" => Body::Mute(Mute {
            target_user: name(fields, "target_user"),
            until_at: fields.moment("until_at"),
            hide_since_at: fields.moment("hide_since_at"),
            reason: line(fields, "reason"),
        }),
        "unmute" => Body::Unmute(Unmute {
            target_user: name(fields, "target_user"),
            reason: line(fields, "reason"),
        }),
        "rules" => Body::Rules(rules(fields)),
        "pin" => Body::Pin(pin(fields)),
        "unpin" => Body::Unpin(pin(fields)),
        "custom" => Body::Custom(Custom {
            name: name(fields, "name"),
            ext: fields.ext("ext"),
        }),
        "adopt_rules" => Body::AdoptRules(AdoptRules {
            version: fields.need("version", 0, |f| {
                f.integer("version", 1..=RULES_VERSION_LATEST)
            }),
        }),
        "erase" => Body::Erase(erase(fields)),
        "reset" => Body::Reset,
        "" => {
            fields.error_unless_any("kind", "is empty");
            return None;
        }
        _ => {
            fields.error("kind", "is not a kind that is known here");
            return None;
        }
    })
}

fn comment(fields: &mut Fields<'_>) -> Comment<'static> {
    Comment {
        text: fields
            .need("text", String::new(), |f| f.text("text", text::comment))
            .into(),
        style: style(fields),
        reply_to: fields.id("reply_to"),
        ext: fields.ext("ext"),
    }
}

fn style(fields: &mut Fields<'_>) -> Style {
    let default = Style::default();
    let Some(mut style) = fields.object("style") else {
        return default;
    };
    Style {
        mode: style.word("mode", Mode::parse).unwrap_or(default.mode),
        color: style
            .integer("color", 0..=COLOR_MAX)
            .unwrap_or(default.color),
        size: style.word("size", Size::parse).unwrap_or(default.size),
    }
}

fn gift(fields: &mut Fields<'_>, now_ms: i64) -> Gift<'static> {
    Gift {
        gift: name(fields, "gift"),
        name: name(fields, "name"),
        count: count(fields),
        unit_value: fields.need("unit_value", 0, |f| {
            f.integer("unit_value", 0..=UNIT_VALUE_MAX)
        }),
        currency: fields
            .text("currency", text::name)
            .map_or(Text::Borrowed(CURRENCY_DEFAULT), Text::Owned),
        text: fields.text("text", text::comment).map(Text::Owned),
        combo: fields.text("combo", text::name).map(Text::Owned),
        issued_at: issued_at(fields, now_ms),
        ext: fields.ext("ext"),
    }
}

fn issued_at(fields: &mut Fields<'_>, now_ms: i64) -> i64 {
    let issued_at = fields.moment("issued_at").unwrap_or(now_ms);
    if issued_at < now_ms - ISSUED_AGO_MS_MAX {
        fields.error("issued_at", "is more than 23 h ago");
    } else if issued_at > now_ms + ISSUED_AHEAD_MS_MAX {
        fields.error("issued_at", "is more than 5 min ahead");
    }
    issued_at
}

fn target(fields: &mut Fields<'_>) -> Target {
    match (fields.has("target_seq"), fields.has("target_id")) {
        (true, false) => Target::Seq(fields.seq("target_seq").unwrap_or_default()),
        (false, true) => Target::Id(fields.id("target_id").unwrap_or(NO_ID)),
        (true, true) => {
            fields.error("target_id", "is given beside target_seq");
            Target::Id(NO_ID)
        }
        (false, false) => {
            fields.error("target_seq", "is missing, as is target_id");
            Target::Id(NO_ID)
        }
    }
}

/// Some events, or everything that a user did.
fn erase(fields: &mut Fields<'_>) -> Erase<'static> {
    match (fields.has("target_seqs"), fields.has("target_user")) {
        (true, true) => fields.error("target_user", "is given beside target_seqs"),
        (false, false) => fields.error("target_seqs", "is missing, as is target_user"),
        _ => {}
    }
    let seqs = fields.seqs("target_seqs", ERASED_LEN_MAX);
    Erase {
        target_seqs: seqs.unwrap_or_default(),
        target_user: fields.text("target_user", text::name).map(Text::Owned),
    }
}

fn rules(fields: &mut Fields<'_>) -> Rules {
    if !fields.has("slow_ms") && !fields.has("comments") {
        fields.error("slow_ms", "is missing, as is comments");
    }
    Rules {
        slow_ms: fields.integer("slow_ms", 0..=SLOW_MS_MAX),
        comments_open: fields.word("comments", |word| match word {
            "open" => Some(true),
            "closed" => Some(false),
            _ => None,
        }),
    }
}

fn pin(fields: &mut Fields<'_>) -> Pin {
    Pin {
        target_seq: fields.need("target_seq", 0, |f| f.seq("target_seq")),
    }
}

fn reason(fields: &mut Fields<'_>) -> Reason<'static> {
    Reason {
        reason: fields.text("reason", text::line).map(Text::Owned),
    }
}

fn count(fields: &mut Fields<'_>) -> u32 {
    fields.need("count", 0, |f| f.integer("count", 1..=COUNT_MAX))
}

fn name(fields: &mut Fields<'_>, field: &'static str) -> Text<'static> {
    fields
        .need(field, String::new(), |f| f.text(field, text::name))
        .into()
}

fn line(fields: &mut Fields<'_>, field: &'static str) -> Text<'static> {
    fields.text(field, text::line).unwrap_or_default().into()
}

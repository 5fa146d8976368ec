//! Settled events as JSON, written straight into a buffer.
//!
//! The public's view: no device, no reason of a moderation act, no position. A hidden event keeps its
//! seq, kind, time and id, and loses everything else. The same event gives the same bytes for every
//! viewer; fields stand in the contract's order.

mod object;

use danmu_schemas::event::{Body, Style, Target, User};
use danmu_schemas::{Role, RoomEvent, Settled};

pub(crate) use object::Object;

/// Where an event is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In a room as it goes on.
    Live,
    /// In a broadcast: with its show time, and with what settle knew of it.
    Replay {
        /// Where the show's time is zero.
        zero_at: i64,
    },
}

/// How a hidden event ends, after what [`event`] says stays of it.
pub(crate) const DELETED: &[u8] = b",\"deleted\":true}";

/// Writes an event; `hidden` where the public may not see its content. Returns how many of the bytes
/// stay, and are followed by [`DELETED`], when the event is hidden later.
pub fn event(
    settled: &Settled,
    event: &RoomEvent<'_>,
    place: Place,
    hidden: bool,
    out: &mut Vec<u8>,
) -> usize {
    let start = out.len();
    let mut object = Object::begin(out);
    object.number("seq", settled.seq.0);
    object.string("kind", event.body.kind());
    object.number("at", settled.at);
    object.string(
        "id",
        event.id.uuid().as_hyphenated().encode_lower(&mut [0; 36]),
    );
    if let Place::Replay { zero_at } = place {
        object.number("show_ms", settled.at - zero_at);
    }
    let kept = object.end_so_far() - start;
    if hidden {
        object.boolean("deleted", true);
        object.end();
        return kept;
    }
    if let Place::Replay { .. } = place {
        object.number("logged_at", settled.logged_at);
        if let Body::Comment(_) = event.body {
            object.number("crowd", settled.crowd);
        }
    }
    if let Some(user) = &event.user {
        object.value("user", |out| write_user(user, out));
    }
    if event.role != Role::Viewer {
        object.string("role", event.role.as_str());
    }
    write_body(settled, &event.body, &mut object);
    object.end();
    kept
}

/// With what the bytes of a live event of that author go on, after what stays of it.
pub(crate) fn author(user: &str) -> Vec<u8> {
    let mut out = b",\"user\":".to_vec();
    let mut object = Object::begin(&mut out);
    object.string("id", user);
    out.push(b',');
    out
}

fn write_user(user: &User<'_>, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.string("id", &user.id);
    object.string("name", &user.name);
    object.ext("ext", &user.ext);
    object.end();
}

fn write_body(settled: &Settled, body: &Body<'_>, object: &mut Object<'_>) {
    match body {
        Body::Comment(comment) => {
            object.string("text", &comment.text);
            object.value("style", |out| write_style(comment.style, out));
            if let Some(id) = comment.reply_to {
                object.string("reply_to", &id.to_string());
            }
            object.ext("ext", &comment.ext);
        }
        Body::Gift(gift) => {
            object.string("gift", &gift.gift);
            object.string("name", &gift.name);
            object.number("count", gift.count);
            object.number("unit_value", gift.unit_value);
            object.string("currency", &gift.currency);
            object.optional_string("text", gift.text.as_deref());
            object.optional_string("combo", gift.combo.as_deref());
            object.optional_number("combo_total", settled.combo_total);
            object.number("issued_at", gift.issued_at);
            object.ext("ext", &gift.ext);
        }
        Body::GiftReversal(reversal) => {
            object.string("target_id", &reversal.target_id.to_string());
            object.optional_number("target_seq", settled.target_seq.map(|seq| seq.0));
        }
        Body::Likes(likes) => object.number("count", likes.count),
        Body::Audience(audience) => object.number("viewers", audience.viewers),
        Body::BroadcastStart(start) => {
            object.string("title", &start.title);
            object.boolean("recorded", start.recorded);
            object.optional_number("zero_at", start.zero_at);
            object.ext("ext", &start.ext);
        }
        Body::Delete(delete) => {
            let target = match delete.target {
                Target::Seq(seq) => Some(seq),
                Target::Id(_) => settled.target_seq.map(|seq| seq.0),
            };
            object.optional_number("target_seq", target);
        }
        Body::Mute(mute) => {
            object.string("target_user", &mute.target_user);
            object.optional_number("until_at", mute.until_at);
            object.optional_number("hide_since_at", mute.hide_since_at);
        }
        Body::Unmute(unmute) => object.string("target_user", &unmute.target_user),
        Body::Rules(rules) => {
            object.optional_number("slow_ms", rules.slow_ms);
            let word = |open| if open { "open" } else { "closed" };
            object.optional_string("comments", rules.comments_open.map(word));
        }
        Body::Pin(pin) | Body::Unpin(pin) => object.number("target_seq", pin.target_seq),
        Body::Custom(custom) => {
            object.string("name", &custom.name);
            object.ext("ext", &custom.ext);
        }
        Body::AdoptRules(adopt) => object.number("version", adopt.version),
        // Whose content was erased is nobody's to know; the others have nothing to show.
        Body::Erase(_)
        | Body::Enter
        | Body::Leave
        | Body::BroadcastEnd(_)
        | Body::BroadcastInterrupt(_)
        | Body::BroadcastResume(_)
        | Body::Reset => {}
    }
}

fn write_style(style: Style, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.string("mode", style.mode.as_str());
    object.number("color", style.color);
    object.string("size", style.size.as_str());
    object.end();
}

#[cfg(test)]
mod tests;

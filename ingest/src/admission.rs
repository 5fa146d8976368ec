//! Admission: what a client's JSON must be to become events of a room.
//!
//! Owns every limit on what is sent and the rules of who may send which kind. Pure: time, ids and
//! the caller come in as arguments. A request is taken whole or not at all, and a refusal names every
//! bad field of every event. Whether the room takes an event (mutes, slow mode, targets) is settle's:
//! that depends on the room's order.

pub(crate) mod description;
pub(crate) mod fields;
mod kinds;
pub(crate) mod text;

use std::ops::RangeInclusive;

use danmu_schemas::event::{Body, Device, User};
use danmu_schemas::problem::FieldError;
use danmu_schemas::{Caller, EventId, Role, RoomEvent, RoomId};
use serde_json::{Map, Value};
use uuid::Uuid;

use fields::{Fields, Findings};
pub use kinds::COUNT_MAX;

/// The most events in one request.
pub const EVENTS_LEN_MAX: usize = 500;
/// The longest `Idempotency-Key`, in bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 128;
/// How old a gift's `issued_at` may be.
pub const ISSUED_AGO_MS_MAX: i64 = 23 * 60 * 60 * 1_000;
/// How far ahead a gift's `issued_at` may be.
pub const ISSUED_AHEAD_MS_MAX: i64 = 5 * 60 * 1_000;

/// What a caller is told whose token names other rooms.
pub(crate) const OTHER_ROOMS: &str = "the token is for other rooms";

/// The namespace of the ids that are made of an `Idempotency-Key`.
const IDEMPOTENCY_NAMESPACE: Uuid = Uuid::from_u128(0x5d1c_9a0e_7f3b_4c58_9e26_41d8_03b7_6fa2);

/// Everything that admission depends on beside the bytes.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The room that the events are for.
    pub room: &'a RoomId,
    /// Who sends them.
    pub caller: &'a Caller,
    /// Now, milliseconds since 1970 UTC.
    pub now_ms: i64,
    /// The `Idempotency-Key`, for a single event.
    pub idempotency_key: Option<&'a str>,
}

/// Why nothing of a request was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// It is no JSON, or neither an event nor an array of events.
    Malformed(String),
    /// These fields are bad.
    Invalid(Vec<FieldError>),
    /// All fields are good, but the caller may not send these.
    Forbidden(Vec<FieldError>),
}

/// Reads one event or an array of up to [`EVENTS_LEN_MAX`], in the order sent.
///
/// `new_id` gives an event its id where the client gave none.
pub fn admit(
    body: &[u8],
    context: Context<'_>,
    mut new_id: impl FnMut() -> EventId,
) -> Result<Vec<RoomEvent<'static>>, Rejection> {
    if !context.caller.may_send_to(context.room) {
        return Err(Rejection::Forbidden(vec![FieldError {
            index: 0,
            field: String::new(),
            reason: OTHER_ROOMS.to_owned(),
        }]));
    }
    let entries = entries(body, context.idempotency_key)?;
    let mut findings = Findings::default();
    let mut events = Vec::with_capacity(entries.len());
    for (index, entry) in entries.into_iter().enumerate() {
        if let Some(fields) = Fields::of_event(index, entry, &mut findings) {
            events.extend(event(fields, context, &mut new_id));
        }
    }
    findings.into_result().map(|()| events)
}

fn entries(body: &[u8], idempotency_key: Option<&str>) -> Result<Vec<Value>, Rejection> {
    let malformed = |why: &str| Err(Rejection::Malformed(why.to_owned()));
    if let Some(key) = idempotency_key
        && (key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES_MAX)
    {
        return malformed("an Idempotency-Key is 1 to 128 bytes");
    }
    match serde_json::from_slice(body) {
        Ok(Value::Array(_)) if idempotency_key.is_some() => {
            malformed("an Idempotency-Key is for a single event, not for an array")
        }
        Ok(Value::Array(entries)) if entries.is_empty() => malformed("the array has no event"),
        Ok(Value::Array(entries)) if entries.len() > EVENTS_LEN_MAX => {
            malformed("an array has at most 500 events")
        }
        Ok(Value::Array(entries)) => Ok(entries),
        Ok(entry) => Ok(vec![entry]),
        Err(error) => malformed(&format!("not JSON: {error}")),
    }
}

/// One event; `None` where something was found wrong with it.
fn event(
    mut fields: Fields<'_>,
    context: Context<'_>,
    new_id: &mut impl FnMut() -> EventId,
) -> Option<RoomEvent<'static>> {
    let caller = context.caller;
    let kind = fields.need("kind", String::new(), |f| f.string("kind"));
    let recorded_at = fields.moment("recorded_at");
    if recorded_at.is_some() && !caller.is(Role::Backend) {
        fields.forbid("recorded_at", "only a backend may send it");
    }
    let role = role(&mut fields, caller, &kind);
    let user = author(&mut fields, caller);
    if user.is_none() && recorded_at.is_none() && needs_author(&kind) {
        fields.error_unless_any("user", "is missing");
    }
    let device = device(&mut fields);
    let id = match (fields.id("id"), context.idempotency_key) {
        (Some(_), Some(_)) => {
            fields.error("id", "is given beside an Idempotency-Key");
            return None;
        }
        (Some(id), None) => id,
        (None, Some(key)) => idempotent_id(user.as_ref(), key),
        (None, None) => new_id(),
    };
    let body = kinds::body(&kind, &mut fields, context.now_ms)?;
    check_sender(&body, caller, &mut fields);
    fields.is_clean().then(|| RoomEvent {
        id,
        room: context.room.as_str().to_owned().into(),
        accepted_at: context.now_ms,
        recorded_at,
        user,
        role,
        device,
        body,
    })
}

/// How many likes a viewer's request brings: within `counts`.
pub(crate) fn like_count(request: Object, counts: RangeInclusive<u32>) -> Result<u32, Rejection> {
    let mut findings = Findings::default();
    let mut fields = Fields::new(0, request, &mut findings);
    let least = *counts.start();
    let count = fields.need("count", least, |fields| fields.integer("count", counts));
    findings.into_result().map(|()| count)
}

/// The role that the author acts in: the caller's highest, or the one that a backend names.
fn role(fields: &mut Fields<'_>, caller: &Caller, kind: &str) -> Role {
    let own = caller.roles.iter().copied().max().unwrap_or(Role::Viewer);
    if kind == "adopt_rules" {
        return own;
    }
    let named = fields.word("role", Role::parse);
    match named {
        Some(Role::Operator) => {
            fields.forbid("role", "nobody acts as an operator here");
            Role::Viewer
        }
        Some(role) if caller.is(Role::Backend) || caller.is(role) => role,
        Some(_) => {
            fields.forbid("role", "only a backend may name a role that is not its own");
            Role::Viewer
        }
        None if caller.is(Role::Backend) => Role::Viewer,
        None => own.min(Role::Backend),
    }
}

/// The caller's own name, or the one that a backend gives.
fn author(fields: &mut Fields<'_>, caller: &Caller) -> Option<User<'static>> {
    let named = user(fields);
    if caller.is(Role::Backend) {
        return named.or_else(|| caller.user.clone());
    }
    let own = caller.user.clone();
    if let Some(named) = named
        && own.as_ref().is_none_or(|own| own.id != named.id)
    {
        fields.forbid("user", "only a backend may name another author");
    }
    own
}

fn user(fields: &mut Fields<'_>) -> Option<User<'static>> {
    let mut user = fields.object("user")?;
    Some(User {
        id: user
            .need("id", String::new(), |f| f.text("id", text::name))
            .into(),
        name: user
            .text("name", text::user_name)
            .unwrap_or_default()
            .into(),
        ext: user.ext("ext"),
    })
}

fn device(fields: &mut Fields<'_>) -> Option<Device<'static>> {
    let mut device = fields.object("device")?;
    let mut field = |name| device.text(name, text::short).unwrap_or_default().into();
    Some(Device {
        id: field("id"),
        kind: field("kind"),
        version: field("version"),
    })
}

/// Whether an event of the kind is something that a viewer did, who must then be named.
fn needs_author(kind: &str) -> bool {
    matches!(kind, "comment" | "gift" | "enter" | "leave")
}

/// Whether an event is what any viewer may say or do. All else comes from few and matters more: it is
/// counted apart, and has a part of the log's queue to itself.
pub(crate) fn is_any_viewers(body: &Body<'_>) -> bool {
    matches!(
        body,
        Body::Comment(_) | Body::Likes(_) | Body::Enter | Body::Leave
    )
}

/// Who may send a kind: a backend all but one, everybody else by role.
fn check_sender(body: &Body<'_>, caller: &Caller, fields: &mut Fields<'_>) {
    let (allowed, who): (&[Role], _) = match body {
        Body::Comment(_) | Body::Enter | Body::Leave => {
            (&[Role::Viewer, Role::Moderator, Role::Host], "a viewer")
        }
        Body::Delete(_)
        | Body::Mute(_)
        | Body::Unmute(_)
        | Body::Rules(_)
        | Body::Pin(_)
        | Body::Unpin(_) => (&[Role::Moderator, Role::Host], "a moderator or a host"),
        Body::BroadcastStart(start) if start.recorded => (&[], "a backend"),
        Body::BroadcastStart(_)
        | Body::BroadcastEnd(_)
        | Body::BroadcastInterrupt(_)
        | Body::BroadcastResume(_)
        | Body::Custom(_) => (&[Role::Host], "a host"),
        Body::Gift(_)
        | Body::GiftReversal(_)
        | Body::Likes(_)
        | Body::Audience(_)
        | Body::Erase(_)
        | Body::Reset => (&[], "a backend"),
        Body::AdoptRules(_) => {
            if !caller.is(Role::Operator) {
                fields.forbid("kind", "only an operator may send it");
            }
            return;
        }
    };
    if !caller.is(Role::Backend) && !allowed.iter().any(|role| caller.is(*role)) {
        fields.forbid("kind", format!("only {who} or a backend may send it"));
    }
}

/// The same id for every try of one user with one key. A user's id holds no control character, so
/// that no two pairs are spelled alike.
fn idempotent_id(user: Option<&User<'_>>, key: &str) -> EventId {
    let user = user.map_or("", |user| &user.id);
    Uuid::new_v5(&IDEMPOTENCY_NAMESPACE, format!("{user}\n{key}").as_bytes()).into()
}

/// A JSON object, as `serde_json` holds it.
type Object = Map<String, Value>;

#[cfg(test)]
mod tests;

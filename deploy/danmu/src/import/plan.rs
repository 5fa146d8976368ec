//! What an import will send: the frame of a recorded broadcast and its events, sorted and named.
//!
//! Sorting is stable: what a file has at the same moment keeps its order. What no server would take is
//! refused here, by the server's own admission. Pure; the clock that gifts need is an argument.

use danmu_ingest::admission::{Context, Rejection, admit};
use danmu_schemas::{Caller, RoomId};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::identity::Identity;
use super::recording::{Entry, Recording, Refused};

/// The longest title that a broadcast may have, in characters.
const TITLE_LEN_MAX: usize = 200;

/// An import, ready to be sent.
#[derive(Debug)]
pub struct Plan {
    /// The room that it goes to is a part of it.
    pub identity: Identity,
    /// The show's title, which may be empty.
    pub title: String,
    /// Where the show's time is zero.
    pub zero_at: i64,
    /// The events, by time.
    pub events: Vec<PlannedEvent>,
    /// What the file has that does not become an event.
    pub refused: Vec<Refused>,
}

/// An event with its identity.
#[derive(Debug, Clone)]
pub struct PlannedEvent {
    /// The entry's place in the file.
    pub index: usize,
    /// Its identity.
    pub id: Uuid,
    /// When it happened, milliseconds since 1970 UTC.
    pub recorded_at: i64,
    fields: Box<str>,
}

/// Neither the file nor the caller says when the show began.
#[derive(Debug, thiserror::Error)]
#[error("the file does not say when the show began: give --started-at")]
pub struct NoStart;

impl Plan {
    /// Plans `recording`; `started_at` goes before what the file says.
    pub fn new(recording: Recording, started_at: Option<i64>) -> Result<Self, NoStart> {
        let zero_at = started_at.or(recording.zero_at).ok_or(NoStart)?;
        let planned = |entry: Entry| PlannedEvent {
            index: entry.index,
            id: entry.id,
            recorded_at: zero_at.saturating_add(entry.show_ms),
            fields: entry.fields,
        };
        let mut events: Vec<_> = recording.entries.into_iter().map(planned).collect();
        events.sort_by_key(|event| event.recorded_at);
        Ok(Self {
            identity: recording.identity,
            title: recording.title.chars().take(TITLE_LEN_MAX).collect(),
            zero_at,
            events,
            refused: recording.refused,
        })
    }

    /// Takes out what a server refuses of an event by itself, so that a file of which nothing is left
    /// opens no broadcast.
    pub fn refuse_inadmissible(&mut self, now_ms: i64) {
        let Self {
            identity,
            events,
            refused,
            ..
        } = self;
        events.retain(|event| {
            let reason = refusal(&identity.room, event, now_ms);
            let admissible = reason.is_none();
            refused.extend(reason.map(|reason| Refused {
                index: event.index,
                reason,
            }));
            admissible
        });
    }

    /// The id of the start of the `attempt`th broadcast that holds this recording.
    pub fn start_id(&self, attempt: u32) -> Uuid {
        self.frame_id("start", attempt)
    }

    /// The id of its end.
    pub fn end_id(&self, attempt: u32) -> Uuid {
        self.frame_id("end", attempt)
    }

    /// The event that opens the broadcast: at the earliest event's time or at zero.
    pub fn start(&self, attempt: u32) -> Value {
        let first_at = self.events.first().map(|event| event.recorded_at);
        json!({
            "kind": "broadcast_start",
            "id": self.start_id(attempt),
            "title": self.title,
            "recorded": true,
            "zero_at": self.zero_at,
            "recorded_at": first_at.map_or(self.zero_at, |at| at.min(self.zero_at)),
            "role": "backend",
        })
    }

    /// The event that ends it, at the last event's time.
    pub fn end(&self, attempt: u32) -> Value {
        let last_at = self.events.last().map(|event| event.recorded_at);
        json!({
            "kind": "broadcast_end",
            "id": self.end_id(attempt),
            "recorded_at": last_at.map_or(self.zero_at, |at| at.max(self.zero_at)),
            "role": "backend",
        })
    }

    fn frame_id(&self, what: &str, attempt: u32) -> Uuid {
        let canonical = format!("{what} {}", self.zero_at);
        self.identity.id(&canonical, attempt)
    }
}

impl PlannedEvent {
    /// The event as a request holds it; a gift is issued at the moment of sending.
    pub fn request(&self, now_ms: i64) -> Value {
        let mut event: Map<String, Value> =
            serde_json::from_str(&self.fields).expect("an entry's fields are an object");
        event.insert("id".into(), self.id.to_string().into());
        event.insert("recorded_at".into(), self.recorded_at.into());
        if event.get("kind") == Some(&Value::from("gift")) {
            event.insert("issued_at".into(), now_ms.into());
        }
        Value::Object(event)
    }
}

fn refusal(room: &RoomId, event: &PlannedEvent, now_ms: i64) -> Option<String> {
    let context = Context {
        room,
        caller: &Caller::unauthenticated_local(),
        now_ms,
        idempotency_key: None,
    };
    let request = event.request(now_ms).to_string();
    match admit(request.as_bytes(), context, || event.id.into()) {
        Ok(_) => None,
        Err(Rejection::Malformed(why)) => Some(why),
        Err(Rejection::Invalid(errors) | Rejection::Forbidden(errors)) => {
            let first = errors.first();
            first.map(|error| format!("{} {}", error.field, error.reason))
        }
    }
}

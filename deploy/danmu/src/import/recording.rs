//! What every format is read into: a recording, its entries and those that could not be read.
//!
//! An entry already holds the event's fields as the server takes them, its place in the show, and its
//! identity. Its fields are text, since a tree of values for each of a million entries would fill the
//! memory. Whether a text is allowed is the server's to say, in one place; refused here is only what
//! cannot be made an event at all. Nothing here does IO.

use std::collections::HashMap;

use danmu_schemas::RoomId;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::format::Format;
use super::identity::Identity;

/// A recorded show as it was found in a file.
#[derive(Debug)]
pub struct Recording {
    /// Of the import that reads it.
    pub identity: Identity,
    /// The show's title, where the file has one.
    pub title: String,
    /// Where the show's time is zero, milliseconds since 1970 UTC, where the file says.
    pub zero_at: Option<i64>,
    /// What can be sent, in the order of the file.
    pub entries: Vec<Entry>,
    /// What cannot, in the order of the file.
    pub refused: Vec<Refused>,
    /// How many entries there are of each canonical text, by the id of the first of them.
    alike: HashMap<Uuid, u32>,
}

/// One event of a recording.
#[derive(Debug)]
pub struct Entry {
    /// Its place in the file, from 0, among all entries.
    pub index: usize,
    /// Its time in the show; negative before the show's zero.
    pub show_ms: i64,
    /// The event's id.
    pub id: Uuid,
    /// The event's fields as they stand in a request, without `id` and times: a JSON object.
    pub fields: Box<str>,
}

/// An entry that does not become an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its place in the file, from 0, among all entries.
    pub index: usize,
    /// Why, in a few words that entries share.
    pub reason: String,
}

impl Recording {
    /// A show of which nothing is read yet.
    pub fn new(room: RoomId, format: Format) -> Self {
        Self {
            identity: Identity { room, format },
            title: String::new(),
            zero_at: None,
            entries: Vec::new(),
            refused: Vec::new(),
            alike: HashMap::new(),
        }
    }

    /// How many entries the file has.
    pub fn len(&self) -> usize {
        self.entries.len() + self.refused.len()
    }

    /// Takes the next entry of the file, or why it is none.
    pub fn take(&mut self, parsed: Result<ParsedEntry, &'static str>) {
        let index = self.len();
        match parsed {
            Ok(ParsedEntry {
                show_ms,
                canonical,
                event,
            }) => {
                let entry = Entry {
                    index,
                    show_ms,
                    id: self.next_id(&canonical),
                    fields: Value::Object(event).to_string().into(),
                };
                self.entries.push(entry);
            }
            Err(reason) => self.refused.push(Refused {
                index,
                reason: reason.to_owned(),
            }),
        }
    }

    /// The id of one more entry with that canonical text.
    fn next_id(&mut self, canonical: &str) -> Uuid {
        let first = self.identity.id(canonical, 0);
        let alike = self.alike.entry(first).or_default();
        let ordinal = *alike;
        *alike += 1;
        match ordinal {
            0 => first,
            _ => self.identity.id(canonical, ordinal),
        }
    }
}

/// An entry before it has its place in the file.
#[derive(Debug)]
pub struct ParsedEntry {
    /// See [`Entry::show_ms`].
    pub show_ms: i64,
    /// The same text for the same entry, however the file spells it: what its id is made of.
    pub canonical: String,
    /// See [`Entry::fields`].
    pub event: Map<String, Value>,
}

/// The earliest moment that is not zero: a zero date is one that the file does not know.
#[derive(Debug, Default)]
pub struct Earliest(Option<i64>);

impl Earliest {
    /// Takes a date into account.
    pub fn see(&mut self, date: i64) {
        if date != 0 {
            self.0 = Some(self.0.map_or(date, |earliest| earliest.min(date)));
        }
    }

    /// The earliest date seen.
    pub fn date(&self) -> Option<i64> {
        self.0
    }
}

/// Builds an `ext`: what the event's own fields cannot hold, within the contract's bounds. What does
/// not fit is named under `left_out`, so that a reader knows of it.
#[derive(Debug, Default)]
pub struct ExtBuilder {
    pairs: Map<String, Value>,
    bytes: usize,
    left_out: Vec<&'static str>,
}

impl ExtBuilder {
    /// Of the contract's 1 KiB, what values may take; the rest is for `left_out`.
    const BYTES_MAX: usize = 896;

    /// Adds a value unless it is empty.
    pub fn add(&mut self, key: &'static str, value: impl Into<String>) {
        let value = value.into();
        if value.is_empty() {
            return;
        }
        let bytes = key.len() + value.len();
        if self.bytes + bytes > Self::BYTES_MAX {
            self.left_out.push(key);
            return;
        }
        self.bytes += bytes;
        self.pairs.insert(key.to_owned(), Value::String(value));
    }

    /// Puts what was added into `event`, unless it is nothing.
    pub fn finish(mut self, event: &mut Map<String, Value>) {
        if !self.left_out.is_empty() {
            let left_out = self.left_out.join(" ");
            self.pairs.insert("left_out".into(), left_out.into());
        }
        if !self.pairs.is_empty() {
            event.insert("ext".into(), Value::Object(self.pairs));
        }
    }
}

/// How a comment is drawn, as far as a file says so. The first word about each counts.
#[derive(Debug, Default)]
pub struct StyleBuilder {
    /// `scroll`, `top`, `bottom` or `reverse`.
    pub mode: Option<&'static str>,
    /// 0–0xFFFFFF.
    pub color: Option<u32>,
    /// `small`, `normal` or `big`.
    pub size: Option<&'static str>,
}

impl StyleBuilder {
    /// Puts the style into `event`, unless nothing was said.
    pub fn finish(self, event: &mut Map<String, Value>) {
        let mut style = Map::new();
        if let Some(mode) = self.mode {
            style.insert("mode".into(), mode.into());
        }
        if let Some(color) = self.color {
            style.insert("color".into(), color.into());
        }
        if let Some(size) = self.size {
            style.insert("size".into(), size.into());
        }
        if !style.is_empty() {
            event.insert("style".into(), Value::Object(style));
        }
    }
}

/// A number or a string as text; nothing for anything else.
pub fn scalar(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

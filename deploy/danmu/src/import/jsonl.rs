//! JSONL: an event a line, as `danmu export` writes them.
//!
//! Comments, gifts, likes and custom events are brought in. The show's zero is the first
//! `broadcast_start`'s `zero_at` or `at`, else the earliest `at`; that line and the end are the frame
//! that an import makes anew, so they are no entries. What names another event by its old number
//! (deletions, pins) or has lost its content cannot be brought in and is refused.

use serde_json::{Map, Value};

use super::recording::{Earliest, ParsedEntry, Recording, scalar};

/// The fields of each kind that an import sends.
const KINDS: [(&str, &[&str]); 4] = [
    ("comment", &["user", "text", "style", "ext"]),
    (
        "gift",
        &[
            "user",
            "gift",
            "name",
            "count",
            "unit_value",
            "currency",
            "text",
            "combo",
            "ext",
        ],
    ),
    ("likes", &["count", "source"]),
    ("custom", &["user", "name", "ext"]),
];

/// Reads a whole file. A line that is no JSON is a refused entry; an empty line is none.
///
/// Goes through it twice: an entry's time is told from the show's zero, which the last line may say.
pub fn read(bytes: &[u8], recording: &mut Recording) {
    let mut earliest = Earliest::default();
    let mut start = None;
    for line in lines(bytes).flatten() {
        at(&line).into_iter().for_each(|at| earliest.see(at));
        if start.is_none() && kind(&line) == "broadcast_start" {
            start = Some(line);
        }
    }
    let start = start.as_ref();
    let zero_at = start.and_then(zero_of).or(earliest.date());
    recording.title = scalar(start.and_then(|start| start.get("title")));
    recording.zero_at = zero_at;
    for line in lines(bytes) {
        match line {
            Some(line) if is_frame(&line) => {}
            Some(line) => recording.take(entry(&line, zero_at)),
            None => recording.take(Err("no JSON")),
        }
    }
}

/// Each line that is not empty, if it is JSON.
fn lines(bytes: &[u8]) -> impl Iterator<Item = Option<Value>> {
    bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.trim_ascii().is_empty())
        .map(|line| serde_json::from_slice(line).ok())
}

fn kind(line: &Value) -> &str {
    line.get("kind")
        .and_then(Value::as_str)
        .unwrap_or("comment")
}

fn is_frame(line: &Value) -> bool {
    matches!(kind(line), "broadcast_start" | "broadcast_end")
}

fn zero_of(start: &Value) -> Option<i64> {
    start
        .get("zero_at")
        .and_then(Value::as_i64)
        .or_else(|| at(start))
}

fn at(line: &Value) -> Option<i64> {
    ["at", "recorded_at"]
        .into_iter()
        .find_map(|key| line.get(key)?.as_i64())
}

fn entry(line: &Value, zero_at: Option<i64>) -> Result<ParsedEntry, &'static str> {
    let fields = line.as_object().ok_or("no object")?;
    if fields.get("deleted") == Some(&Value::Bool(true)) {
        return Err("deleted");
    }
    let (kind, wanted) = KINDS
        .iter()
        .find(|(name, _)| *name == kind(line))
        .ok_or("kind is not imported")?;
    let show_ms = match fields.get("show_ms").and_then(Value::as_i64) {
        Some(show_ms) => show_ms,
        None => at(line)
            .zip(zero_at)
            .and_then(|(at, zero_at)| at.checked_sub(zero_at))
            .ok_or("no time")?,
    };
    let mut event = Map::new();
    event.insert("kind".into(), (*kind).into());
    for key in *wanted {
        if let Some(value) = fields.get(*key).filter(|value| !value.is_null()) {
            event.insert((*key).to_owned(), value.clone());
        }
    }
    Ok(ParsedEntry {
        show_ms,
        canonical: line.to_string(),
        event,
    })
}

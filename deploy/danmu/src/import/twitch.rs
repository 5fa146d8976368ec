//! Twitch VOD JSON: `video` and `comments`, as chat downloaders write it.
//!
//! The show's zero is `video.created_at`. A comment's place is its `content_offset_seconds`, made
//! finer by its `created_at` where the two agree to the second. Bits become a gift with the message as
//! its text; when it was paid is the import's to say. The colour is that of the author's *name*, so it
//! goes, with badges and emotes, into `ext`.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::elements;
use super::recording::{ExtBuilder, ParsedEntry, Recording, scalar};

/// How far a comment's own time may be from its whole-second offset and still refine it.
const REFINE_MS_MAX: i64 = 1_000;

/// A file, whose comments are read one at a time.
#[derive(Deserialize)]
struct File<'a> {
    #[serde(default)]
    video: Value,
    #[serde(borrow)]
    comments: &'a RawValue,
}

/// Reads a whole file.
pub fn read(bytes: &[u8], recording: &mut Recording) -> Result<(), serde_json::Error> {
    let File { video, comments } = serde_json::from_slice(bytes)?;
    recording.title = scalar(video.get("title"));
    recording.zero_at = moment(video.get("created_at"));
    elements::for_each(comments.get().as_bytes(), |comment| {
        recording.take(entry(&comment, recording.zero_at));
    })
}

fn moment(value: Option<&Value>) -> Option<i64> {
    let timestamp: Timestamp = value?.as_str()?.parse().ok()?;
    Some(timestamp.as_millisecond())
}

fn entry(comment: &Value, zero_at: Option<i64>) -> Result<ParsedEntry, &'static str> {
    let message = comment.get("message").ok_or("no message")?;
    let text = message
        .get("body")
        .and_then(Value::as_str)
        .ok_or("no body")?;
    let show_ms = show_ms(comment, zero_at).ok_or("no content_offset_seconds")?;
    let bits = message.get("bits_spent").and_then(Value::as_u64);

    let mut event = Map::new();
    match bits.filter(|bits| *bits > 0) {
        Some(bits) => gift(&mut event, bits),
        None => {
            event.insert("kind".into(), "comment".into());
        }
    }
    event.insert("text".into(), text.into());
    if let Some(user) = user(comment, message) {
        event.insert("user".into(), user);
    }
    let mut ext = ExtBuilder::default();
    ext.add("emotes", emotes(message));
    ext.finish(&mut event);
    Ok(ParsedEntry {
        show_ms,
        canonical: comment.to_string(),
        event,
    })
}

fn show_ms(comment: &Value, zero_at: Option<i64>) -> Option<i64> {
    let offset_s = comment.get("content_offset_seconds")?.as_f64()?;
    let offset_ms = (offset_s * 1_000.0).round() as i64;
    let own_ms = moment(comment.get("created_at"))
        .zip(zero_at)
        .and_then(|(at, zero_at)| at.checked_sub(zero_at));
    Some(match own_ms {
        Some(own_ms) if own_ms.abs_diff(offset_ms) < REFINE_MS_MAX as u64 => own_ms,
        _ => offset_ms,
    })
}

fn gift(event: &mut Map<String, Value>, bits: u64) {
    event.insert("kind".into(), "gift".into());
    event.insert("gift".into(), "bits".into());
    event.insert("name".into(), "Bits".into());
    event.insert("count".into(), 1.into());
    event.insert("unit_value".into(), bits.into());
    event.insert("currency".into(), "bits".into());
}

fn user(comment: &Value, message: &Value) -> Option<Value> {
    let commenter = comment.get("commenter")?;
    let id = scalar(commenter.get("_id"));
    if id.is_empty() {
        return None;
    }
    let name = scalar(
        commenter
            .get("display_name")
            .or_else(|| commenter.get("name")),
    );
    let mut user = Map::new();
    user.insert("id".into(), id.into());
    user.insert("name".into(), name.into());
    let mut ext = ExtBuilder::default();
    ext.add("color", scalar(message.get("user_color")));
    ext.add(
        "badges",
        list(message, "user_badges", |badge| {
            format!(
                "{}/{}",
                scalar(badge.get("_id")),
                scalar(badge.get("version"))
            )
        }),
    );
    ext.add("logo", scalar(commenter.get("logo")));
    ext.finish(&mut user);
    Some(json!(user))
}

fn emotes(message: &Value) -> String {
    list(message, "emoticons", |emote| {
        let [id, begin, end] = ["_id", "begin", "end"].map(|key| scalar(emote.get(key)));
        format!("{id}:{begin}-{end}")
    })
}

/// The elements of the array under `key`, each as text, with commas between.
fn list(message: &Value, key: &str, text: impl Fn(&Value) -> String) -> String {
    let elements = message.get(key).and_then(Value::as_array);
    let texts: Vec<String> = elements.into_iter().flatten().map(text).collect();
    texts.join(",")
}

//! Niconico JSON: an array of comments, bare or each wrapped as `{"chat":…}`.
//!
//! `vpos` is the place in the show in hundredths of a second and may be negative; `date` is when the
//! comment was sent, in seconds. `mail` holds commands, an array or one string with spaces between:
//! place, size and colour become the style, the first of each counts, all others stay in `ext.mail`.
//! The show's zero is the earliest `date` that is not 0.

use serde_json::{Map, Value};

use super::elements;
use super::recording::{Earliest, ExtBuilder, ParsedEntry, Recording, StyleBuilder, scalar};

/// Milliseconds in a hundredth of a second.
const VPOS_MS: i64 = 10;

/// What an element holds that is no comment but the service's own bookkeeping.
const BOOKKEEPING: [&str; 4] = ["ping", "thread", "leaf", "global_num_res"];

/// The colours that have names.
const COLORS: [(&str, u32); 28] = [
    ("white", 0xffffff),
    ("red", 0xff0000),
    ("pink", 0xff8080),
    ("orange", 0xffc000),
    ("yellow", 0xffff00),
    ("green", 0x00ff00),
    ("cyan", 0x00ffff),
    ("blue", 0x0000ff),
    ("purple", 0xc000ff),
    ("black", 0x000000),
    ("white2", 0xcccc99),
    ("niconicowhite", 0xcccc99),
    ("red2", 0xcc0033),
    ("truered", 0xcc0033),
    ("pink2", 0xff33cc),
    ("orange2", 0xff6600),
    ("passionorange", 0xff6600),
    ("yellow2", 0x999900),
    ("madyellow", 0x999900),
    ("green2", 0x00cc66),
    ("elementalgreen", 0x00cc66),
    ("cyan2", 0x00cccc),
    ("blue2", 0x3399ff),
    ("marineblue", 0x3399ff),
    ("purple2", 0x6633cc),
    ("nobleviolet", 0x6633cc),
    ("black2", 0x666666),
    ("niconicoblack", 0x666666),
];

/// Reads a whole file.
pub fn read(bytes: &[u8], recording: &mut Recording) -> Result<(), serde_json::Error> {
    let mut earliest = Earliest::default();
    elements::for_each(bytes, |element| {
        if is_bookkeeping(&element) {
            return;
        }
        let chat = element.get("chat").unwrap_or(&element);
        if let Some(date) = chat.get("date").and_then(Value::as_i64) {
            earliest.see(date);
        }
        recording.take(entry(chat));
    })?;
    recording.zero_at = earliest.date().map(|date| date.saturating_mul(1_000));
    Ok(())
}

fn is_bookkeeping(element: &Value) -> bool {
    BOOKKEEPING.iter().any(|key| {
        element
            .as_object()
            .is_some_and(|o| o.len() == 1 && o.contains_key(*key))
    })
}

fn entry(chat: &Value) -> Result<ParsedEntry, &'static str> {
    let text = chat
        .get("content")
        .and_then(Value::as_str)
        .ok_or("no content")?;
    let vpos = chat.get("vpos").and_then(Value::as_i64).ok_or("no vpos")?;
    let show_ms = vpos.checked_mul(VPOS_MS).ok_or("vpos out of range")?;

    let mut event = Map::new();
    event.insert("kind".into(), "comment".into());
    event.insert("text".into(), text.into());
    let user = scalar(chat.get("user_id"));
    if !user.is_empty() {
        event.insert("user".into(), serde_json::json!({"id": user, "name": ""}));
    }
    let commands = commands(chat.get("mail"));
    let (style, rest) = style(&commands);
    style.finish(&mut event);
    ext(chat, &rest).finish(&mut event);
    Ok(ParsedEntry {
        show_ms,
        canonical: chat.to_string(),
        event,
    })
}

fn commands(mail: Option<&Value>) -> Vec<String> {
    match mail {
        Some(Value::Array(commands)) => commands
            .iter()
            .filter_map(|command| command.as_str())
            .filter(|command| !command.is_empty())
            .map(str::to_owned)
            .collect(),
        Some(Value::String(commands)) => commands.split_whitespace().map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// The style that the commands ask for, and the commands that it does not hold.
fn style(commands: &[String]) -> (StyleBuilder, Vec<&str>) {
    let mut style = StyleBuilder::default();
    let mut rest = Vec::new();
    for command in commands {
        if !take(&mut style, command) {
            rest.push(command.as_str());
        }
    }
    (style, rest)
}

/// Whether the style took the command in.
fn take(style: &mut StyleBuilder, command: &str) -> bool {
    let mode = match command {
        "ue" => Some("top"),
        "naka" => Some("scroll"),
        "shita" => Some("bottom"),
        _ => None,
    };
    let size = match command {
        "big" => Some("big"),
        "medium" => Some("normal"),
        "small" => Some("small"),
        _ => None,
    };
    set(&mut style.mode, mode)
        || set(&mut style.size, size)
        || set(&mut style.color, color(command))
}

fn set<T>(place: &mut Option<T>, value: Option<T>) -> bool {
    let takes = place.is_none() && value.is_some();
    if takes {
        *place = value;
    }
    takes
}

fn color(command: &str) -> Option<u32> {
    if let Some(hex) = command.strip_prefix('#') {
        let is_hex = hex.len() == 6 && hex.bytes().all(|b| b.is_ascii_hexdigit());
        return is_hex.then(|| u32::from_str_radix(hex, 16).ok()).flatten();
    }
    COLORS
        .iter()
        .find(|(name, _)| *name == command)
        .map(|(_, color)| *color)
}

fn ext(chat: &Value, mail: &[&str]) -> ExtBuilder {
    let mut ext = ExtBuilder::default();
    ext.add("no", scalar(chat.get("id").or_else(|| chat.get("no"))));
    ext.add("date", scalar(chat.get("date")));
    for flag in ["owner", "premium"] {
        let set = match chat.get(flag) {
            Some(Value::Bool(set)) => *set,
            Some(Value::Number(number)) => number.as_i64() != Some(0),
            _ => false,
        };
        if set {
            ext.add(flag, "true");
        }
    }
    if let Some(layer) = chat
        .get("layer")
        .and_then(Value::as_i64)
        .filter(|l| *l >= 0)
    {
        ext.add("layer", layer.to_string());
    }
    ext.add("mail", mail.join(" "));
    ext
}

//! Danmaku XML: `<d p="seconds,mode,size,color,date,pool,user,id">text</d>`, as players read it.
//!
//! Modes 1–3 scroll, 4 is the bottom, 5 the top, 6 goes the other way; sizes are 18, 25 and 36. A mode
//! or size that has no name with us is drawn as the nearest and kept in `ext`. The show's zero is the
//! earliest `date` that is not 0. Other elements are the service's own and are passed over.

use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};
use serde_json::{Map, json};

use super::recording::{Earliest, ExtBuilder, ParsedEntry, Recording, StyleBuilder};

/// Reads a whole file.
pub fn read(bytes: &[u8], recording: &mut Recording) -> Result<(), quick_xml::Error> {
    let mut reader = Reader::from_reader(bytes);
    let mut earliest = Earliest::default();
    loop {
        let (attributes, text) = match reader.read_event()? {
            Event::Start(tag) if tag.name().as_ref() == b"d" => {
                (p_attribute(&tag), inner_text(&mut reader)?)
            }
            Event::Empty(tag) if tag.name().as_ref() == b"d" => (p_attribute(&tag), String::new()),
            Event::Eof => break,
            _ => continue,
        };
        let parsed = attributes
            .ok_or("no p attribute")
            .and_then(|p| entry(&p, &text));
        if let Ok((date, _)) = &parsed {
            earliest.see(*date);
        }
        recording.take(parsed.map(|(_, entry)| entry));
    }
    recording.zero_at = earliest.date().map(|date| date.saturating_mul(1_000));
    Ok(())
}

fn p_attribute(tag: &BytesStart<'_>) -> Option<String> {
    let p = tag.try_get_attribute("p").ok()??;
    Some(p.unescape_value().ok()?.into_owned())
}

/// The text up to `</d>`, entities resolved.
fn inner_text(reader: &mut Reader<&[u8]>) -> Result<String, quick_xml::Error> {
    let mut text = String::new();
    loop {
        match reader.read_event()? {
            Event::Text(part) => text.push_str(&part.decode()?),
            Event::CData(part) => text.push_str(&part.decode()?),
            Event::GeneralRef(entity) => push_entity(&mut text, &entity)?,
            Event::End(_) | Event::Eof => return Ok(text),
            _ => {}
        }
    }
}

fn push_entity(text: &mut String, entity: &BytesRef<'_>) -> Result<(), quick_xml::Error> {
    if let Some(character) = entity.resolve_char_ref()? {
        text.push(character);
        return Ok(());
    }
    let name = entity.decode()?;
    match quick_xml::escape::resolve_predefined_entity(&name) {
        Some(resolved) => text.push_str(resolved),
        None => {
            text.push('&');
            text.push_str(&name);
            text.push(';');
        }
    }
    Ok(())
}

/// The entry's date in seconds, and the entry.
fn entry(p: &str, text: &str) -> Result<(i64, ParsedEntry), &'static str> {
    let fields: Vec<&str> = p.split(',').map(str::trim).collect();
    let [seconds, mode, size, color, date, pool, user, no, ..] = fields[..] else {
        return Err("fewer than 8 fields in p");
    };
    let show_ms = show_ms(seconds).ok_or("time is no number")?;
    let color: u32 = color.parse().map_err(|_| "color is no number")?;
    let date: i64 = date.parse().map_err(|_| "date is no number")?;

    let mut event = Map::new();
    event.insert("kind".into(), "comment".into());
    event.insert("text".into(), text.into());
    if !user.is_empty() {
        event.insert("user".into(), json!({"id": user, "name": ""}));
    }
    let mut ext = ExtBuilder::default();
    let style = StyleBuilder {
        mode: Some(mode_name(mode, &mut ext)),
        color: Some(color),
        size: Some(size_name(size, &mut ext)?),
    };
    style.finish(&mut event);
    ext.add("no", no);
    ext.add("date", date.to_string());
    ext.add("pool", if pool == "0" { "" } else { pool });
    ext.finish(&mut event);
    let canonical = format!("{p}\n{text}");
    Ok((
        date,
        ParsedEntry {
            show_ms,
            canonical,
            event,
        },
    ))
}

/// Seconds with a fraction to milliseconds.
fn show_ms(seconds: &str) -> Option<i64> {
    let ms = (seconds.parse::<f64>().ok()? * 1_000.0).round();
    (ms.abs() < i64::MAX as f64).then_some(ms as i64)
}

fn mode_name(mode: &str, ext: &mut ExtBuilder) -> &'static str {
    match mode {
        "1" => "scroll",
        "4" => "bottom",
        "5" => "top",
        "6" => "reverse",
        other => {
            ext.add("mode", other);
            "scroll"
        }
    }
}

fn size_name(size: &str, ext: &mut ExtBuilder) -> Result<&'static str, &'static str> {
    let points: u32 = size.parse().map_err(|_| "size is no number")?;
    if !matches!(points, 18 | 25 | 36) {
        ext.add("size", size);
    }
    Ok(match points {
        0..25 => "small",
        25 => "normal",
        _ => "big",
    })
}

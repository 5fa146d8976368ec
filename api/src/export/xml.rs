//! XML: `<d p="time,mode,size,color,date,pool,user,id">text</d>`, as danmaku players read it.
//!
//! Only comments have a place in it. Time is in seconds, negative before the show's zero, so that an
//! import places it where it was. The user is a hash, the id is the seq. Characters that XML 1.0 cannot
//! hold are left out.

use std::io::Write;

use danmu_schemas::event::{Body, Mode, Size};
use danmu_schemas::{RoomEvent, Settled, UserHash};
use quick_xml::escape::escape;

/// Appends the head.
pub(super) fn begin(title: &str, out: &mut Vec<u8>) {
    put(
        out,
        format_args!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<i>\n  <title>{}</title>\n",
            escape(allowed(title))
        ),
    );
}

/// Appends a comment; other kinds have no place.
pub(super) fn event(settled: &Settled, event: &RoomEvent<'_>, zero_at: i64, out: &mut Vec<u8>) {
    let Body::Comment(comment) = &event.body else {
        return;
    };
    let show_ms = settled.at - zero_at;
    let sign = if show_ms < 0 { "-" } else { "" };
    let user = event
        .user
        .as_ref()
        .map_or(UserHash::NOBODY, |user| UserHash::of(&user.id));
    put(
        out,
        format_args!(
            "  <d p=\"{sign}{}.{:03},{},{},{},{},0,{:016x},{}\">{}</d>\n",
            show_ms.unsigned_abs() / 1_000,
            show_ms.unsigned_abs() % 1_000,
            mode(comment.style.mode),
            size(comment.style.size),
            comment.style.color,
            settled.at.div_euclid(1_000),
            user.0,
            settled.seq,
            escape(allowed(&comment.text)),
        ),
    );
}

/// Appends the end.
pub(super) fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"</i>\n");
}

fn mode(mode: Mode) -> u8 {
    match mode {
        Mode::Scroll => 1,
        Mode::Bottom => 4,
        Mode::Top => 5,
        Mode::Reverse => 6,
    }
}

fn size(size: Size) -> u8 {
    match size {
        Size::Small => 18,
        Size::Normal => 25,
        Size::Big => 36,
    }
}

/// The text without what the `Char` production of XML 1.0 excludes.
fn allowed(text: &str) -> String {
    let is_char = |c: &char| !matches!(c, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}');
    text.chars().filter(is_char).collect()
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a buffer takes everything");
}

//! A made-up recording of any length, and the proof that a room holds it.
//!
//! Its comments are numbered, so a lost, a doubled and a misplaced one all show.

use std::fmt::Write;

use serde_json::Value;

use crate::server::Server;

/// When a recording begins, milliseconds since 1970 UTC.
const BEGIN_AT: u64 = 1_700_000_000_000;
/// The time between two comments.
const COMMENT_EVERY_MS: u64 = 100;

/// A recording of so many comments as JSONL.
pub fn jsonl(comments: usize) -> String {
    let mut lines = String::new();
    for n in 0..comments {
        let at = BEGIN_AT + n as u64 * COMMENT_EVERY_MS;
        let text = text(n);
        writeln!(lines, r#"{{"kind":"comment","at":{at},"text":"{text}"}}"#)
            .expect("a string takes all");
    }
    lines
}

/// Fails unless the room's seqs are dense and its comments are the recording's, in their order.
pub fn assert_whole(server: &Server, room: &str, comments: usize) {
    let events = server.events(room);
    let seqs = events.iter().map(|event| event["seq"].as_u64());
    assert!(seqs.eq((1..=events.len() as u64).map(Some)), "{room}");
    let shown = events.iter().filter(|event| event["kind"] == "comment");
    let texts = shown.map(|event| &event["text"]);
    let expected = (0..comments).map(|n| Value::from(text(n)));
    assert!(texts.eq(expected.collect::<Vec<_>>().iter()), "{room}");
}

fn text(n: usize) -> String {
    format!("comment {n}")
}

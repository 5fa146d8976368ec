//! A chunk of the history: its header on a line, then each of its events on one.

use std::io::Write;

use anyhow::Context;
use danmu_projections::HistoryReader;
use danmu_schemas::chunk::ChunkHeader;
use danmu_schemas::codec::{DecodeError, decode_datum};
use danmu_schemas::{Cursor, RoomId, Settled};
use serde_json::{Value, json};

use crate::engines::History;

/// Prints the chunk that holds the room's event at `cursor`.
pub async fn print(
    history: &HistoryReader<History>,
    room: &RoomId,
    cursor: Cursor,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let chunk = history.chunk(room, cursor).await?;
    let (header, body) =
        chunk.with_context(|| format!("the history has no event {cursor} of {room}"))?;
    writeln!(out, "{}", describe(&header))?;
    for settled in &body.settled {
        writeln!(out, "{}", describe_event(settled)?)?;
    }
    Ok(())
}

fn describe(header: &ChunkHeader) -> Value {
    json!({
        "generation": header.generation.0,
        "epoch": header.epoch,
        "first_seq": header.first_seq.0,
        "count": header.count,
        "first_offset": header.first_offset,
        "last_offset": header.last_offset,
        "last_at": header.last_at,
        "last_logged_at": header.last_logged_at,
    })
}

fn describe_event(settled: &Settled) -> Result<Value, DecodeError> {
    let event = decode_datum(&settled.datum)?;
    Ok(json!({
        "seq": settled.seq.0,
        "offset": settled.offset,
        "at": settled.at,
        "logged_at": settled.logged_at,
        "crowd": settled.crowd,
        "combo_total": settled.combo_total,
        "target_seq": settled.target_seq.map(|seq| seq.0),
        "id": event.id.to_string(),
        "kind": event.body.kind(),
        "event": format!("{event:?}"),
    }))
}

//! A room in the history, as of its slot's watermark, and what the log has of it beyond.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::Write;

use danmu_log::LogReader;
use danmu_projections::{HistoryReader, StoredState};
use danmu_schemas::codec::{self, Datum, DecodeError};
use danmu_schemas::state::{
    BroadcastInfo, Currencies, Field, MutedUsers, OpenCombos, Roster, StateCore, TopGivers,
    ViewerSources,
};
use danmu_schemas::{Partition, Position, RoomId};
use serde_json::{Value, json};

use crate::engines::{History, Log};

/// Prints the room as one object: where its slot stands, how many of its records the history has not
/// settled yet (`unsettled_records`), and its state.
pub async fn print(
    log: &Log,
    history: &HistoryReader<History>,
    room: &RoomId,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let slot = room.slot();
    let partition = Partition(log.routes().route(slot).partition);
    let watermark = history.watermark(slot).await?;
    let state = match watermark {
        Some(at) => history.state(room, at).await?,
        None => None,
    };
    let line = json!({
        "room": room.as_str(),
        "slot": slot.number(),
        "partition": partition.0,
        "watermark": watermark.map(position),
        "unsettled_records": unsettled(log, partition, watermark, room).await?,
        "state": state.map(|(at, state)| describe(at, &state)).transpose()?,
    });
    writeln!(out, "{line}")?;
    Ok(())
}

/// How many records of the room lie past the watermark.
async fn unsettled(
    log: &Log,
    partition: Partition,
    watermark: Option<Position>,
    room: &RoomId,
) -> anyhow::Result<u64> {
    let first = log.reader()?.first_offset(partition).await?;
    let after = watermark.map_or(first, |watermark| watermark.offset + 1);
    let mut count = 0;
    let starts = BTreeMap::from([(partition, after.max(first))]);
    super::log::each(log, starts, |_, record| {
        count += u64::from(super::log::is_of(record, room));
        Ok(())
    })
    .await?;
    Ok(count)
}

fn describe(at: Position, state: &StoredState) -> Result<Value, DecodeError> {
    let core: StateCore = codec::from_stored(&state.core)?;
    let mut fields = serde_json::Map::new();
    for field in Field::ALL {
        let bytes = &state.fields[field.index()];
        let text = match field {
            Field::Broadcast => text::<BroadcastInfo>(bytes),
            Field::Currencies => text::<Currencies>(bytes),
            Field::Muted => text::<MutedUsers>(bytes),
            Field::Combos => text::<OpenCombos>(bytes),
            Field::Givers => text::<TopGivers>(bytes),
            Field::Roster => text::<Roster>(bytes),
            Field::Sources => text::<ViewerSources>(bytes),
        }?;
        fields.insert(format!("{field:?}").to_lowercase(), text);
    }
    Ok(json!({
        "position": position(at),
        "generation": core.generation.0,
        "last_seq": core.last_seq.0,
        "core": format!("{core:?}"),
        "fields": fields,
        "event_memory_blocks": state.event_memory.len(),
        "gift_memory_blocks": state.gift_memory.len(),
    }))
}

/// A field as text; null where it was never stored.
fn text<'a, T: Datum<'a> + Debug>(bytes: &'a [u8]) -> Result<Value, DecodeError> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    codec::from_stored::<T>(bytes).map(|field| format!("{field:?}").into())
}

fn position(position: Position) -> Value {
    json!({"epoch": position.epoch, "offset": position.offset})
}

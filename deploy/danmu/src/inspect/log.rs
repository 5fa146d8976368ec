//! Records of the log, in the order of their partition.
//!
//! One that cannot be decoded is printed with why.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use anyhow::bail;
use danmu_log::{LogReader, ReadEvent, Record};
use danmu_schemas::codec::decode_event;
use danmu_schemas::{Partition, RoomId};
use serde_json::{Value, json};

use crate::engines::Log;

/// How long a read short of the log's end may find nothing.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// Prints every record, or those of one room.
pub async fn print(log: &Log, room: Option<&RoomId>, out: &mut impl Write) -> anyhow::Result<()> {
    let mut reader = log.reader()?;
    let mut starts = BTreeMap::new();
    for partition in reader.partitions() {
        starts.insert(partition, reader.first_offset(partition).await?);
    }
    each(log, starts, |partition, record| {
        if room.is_none_or(|room| is_of(record, room)) {
            writeln!(out, "{}", describe(partition, record))?;
        }
        Ok(())
    })
    .await
}

/// Whether the record is the room's.
pub fn is_of(record: &Record, room: &RoomId) -> bool {
    record.key == room.as_str().as_bytes()
}

/// Shows every record of the partitions in `starts`, each from its offset there to the end.
pub async fn each(
    log: &Log,
    starts: BTreeMap<Partition, i64>,
    mut see: impl FnMut(Partition, &Record) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut reader = log.reader()?;
    let mut left = BTreeMap::new();
    for (partition, start) in &starts {
        let end = reader.end_offset(*partition).await?;
        if *start < end {
            left.insert(*partition, end);
        }
    }
    while !left.is_empty() {
        match reader.next(IDLE_MAX).await? {
            ReadEvent::Assigned(partitions) => {
                for partition in partitions {
                    let from = match starts.get(&partition) {
                        Some(start) => *start,
                        None => reader.end_offset(partition).await?,
                    };
                    reader.seek(partition, from).await?;
                }
            }
            ReadEvent::Records(batch) => {
                for record in &batch.records {
                    see(batch.partition, record)?;
                }
                let read_to = batch.records.last().map_or(-1, |record| record.offset);
                left.retain(|partition, end| *partition != batch.partition || read_to + 1 < *end);
            }
            ReadEvent::Revoked(_) | ReadEvent::Idle => {
                bail!("the log gives no more, short of its end")
            }
        }
    }
    Ok(())
}

fn describe(partition: Partition, record: &Record) -> Value {
    let mut line = json!({
        "partition": partition.0,
        "offset": record.offset,
        "logged_at": record.logged_at,
        "epoch": record.epoch,
        "room": String::from_utf8_lossy(&record.key),
    });
    match decode_event(&record.value) {
        Ok((event, _)) => {
            line["id"] = event.id.to_string().into();
            line["kind"] = event.body.kind().into();
            line["event"] = format!("{event:?}").into();
        }
        Err(error) => line["undecodable"] = error.to_string().into(),
    }
    line
}

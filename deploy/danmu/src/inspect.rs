//! `danmu inspect`: prints what is stored, decoded, of a server that is stopped.
//!
//! Reads only what is there: a directory that is missing is an error, never made. Records are printed
//! as JSON lines in the order of their partition; one that cannot be decoded is printed with why.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use danmu_log::embedded::{EmbeddedLog, Options, wall_clock};
use danmu_log::{LogReader, ReadEvent, Record};
use danmu_schemas::codec::decode_event;
use danmu_schemas::{Partition, RoomId};
use serde_json::{Value, json};

/// How long one read may find nothing before the next partition is asked.
const IDLE_AFTER: Duration = Duration::from_millis(100);

/// What `danmu inspect` is asked to print.
#[derive(Debug, clap::Args)]
pub struct InspectArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Every record of the log
    Log {
        /// The server's data directory
        #[arg(long, default_value = "./danmu-data")]
        data: PathBuf,
        /// Only this room's records
        #[arg(long)]
        room: Option<RoomId>,
    },
}

/// Prints what was asked for.
pub fn run(args: InspectArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match args.what {
        What::Log { data, room } => runtime.block_on(print_log(&data, room.as_ref()))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Opens the log of a stopped server.
pub fn open_log(data: &Path) -> anyhow::Result<EmbeddedLog> {
    let dir = data.join("log");
    if !dir.is_dir() {
        bail!("there is no log in {}", dir.display());
    }
    EmbeddedLog::open(Options::new(&dir, wall_clock()))
        .with_context(|| format!("open the log in {}", dir.display()))
}

async fn print_log(data: &Path, room: Option<&RoomId>) -> anyhow::Result<()> {
    let log = open_log(data)?;
    let mut reader = log.reader();
    let mut out = std::io::stdout().lock();
    let partitions = reader.partitions();
    let mut left = Vec::new();
    for partition in partitions {
        left.push((partition, reader.end_offset(partition).await?));
    }
    left.retain(|(_, end)| *end > 0);
    while !left.is_empty() {
        match reader.next(IDLE_AFTER).await? {
            ReadEvent::Assigned(partitions) => {
                for partition in partitions {
                    let first = reader.first_offset(partition).await?;
                    reader.seek(partition, first).await?;
                }
            }
            ReadEvent::Records(batch) => {
                for record in &batch.records {
                    if room.is_none_or(|room| record.key == room.as_str().as_bytes()) {
                        writeln!(out, "{}", describe(batch.partition, record))?;
                    }
                }
                let read_to = batch.records.last().map_or(-1, |record| record.offset);
                left.retain(|(partition, end)| *partition != batch.partition || read_to + 1 < *end);
            }
            ReadEvent::Revoked(_) | ReadEvent::Idle => break,
        }
    }
    log.close().await;
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

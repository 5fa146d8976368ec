//! `danmu rebuild`: builds a read model of a stopped server again from its log.
//!
//! The new history is built beside the old one, which is renamed, not removed, when the new one is whole:
//! what the log can no longer give back is never destroyed. Refused before anything is made: a log
//! without its first records, and one that the old history does not belong to or is ahead of. A rebuild
//! that was cut off goes on where it was.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use danmu_log::LogReader;
use danmu_log::embedded::EmbeddedLog;
use danmu_processors::{DeadLetters, rebuild};
use danmu_projections::{EmbeddedHistory, HistoryReader, HistoryWriter};
use danmu_schemas::{Partition, Slot};

use crate::config::StoreArgs;
use crate::stopped::Stopped;

/// What `danmu rebuild` is asked to do.
#[derive(Debug, clap::Args)]
pub struct RebuildArgs {
    /// The read model
    what: ReadModel,
    #[command(flatten)]
    stores: StoreArgs,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum ReadModel {
    /// Kept in memory by this build: each start fills them
    Windows,
    /// Everything since each room began
    History,
}

/// Rebuilds a read model.
pub fn run(args: RebuildArgs) -> anyhow::Result<ExitCode> {
    let stopped = Stopped::find(args.stores)?;
    let told = match args.what {
        ReadModel::Windows => {
            "nothing to do: the windows are in memory, and every start fills them from the history \
             and the log"
                .to_owned()
        }
        ReadModel::History => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(rebuild_history(&stopped))?,
    };
    writeln!(std::io::stdout(), "{told}")?;
    Ok(ExitCode::SUCCESS)
}

/// Rebuilds and switches; what to tell about it.
async fn rebuild_history(stopped: &Stopped) -> anyhow::Result<String> {
    let current = stopped.history_dir();
    let [beside, replaced] = [".rebuilding", ".replaced"].map(|suffix| beside(current, suffix));
    if current.exists() && replaced.exists() {
        bail!(
            "{} is in the way: it is the history that an earlier rebuild replaced; look at it, then \
             move it",
            replaced.display()
        );
    }
    let log = stopped.open_log()?;
    check_start(&log).await?;
    if current.exists() {
        check_reach(&stopped.open_history(&log)?, &log).await?;
    }
    let letters = DeadLetters::open(&stopped.dead_letters(), log.identity())?;
    let rows = EmbeddedHistory::open(&beside)
        .with_context(|| format!("the history in {}", beside.display()))?;
    let writer = HistoryWriter::new(rows, log.identity());
    let built = rebuild::rebuild(writer, log.reader(), log.routes().clone(), letters).await?;
    drop(built);
    log.close().await;
    if current.exists() {
        rename(current, &replaced)?;
    }
    rename(&beside, current)?;
    let (current, replaced) = (current.display(), replaced.display());
    Ok(format!(
        "{current} is rebuilt; what was there is {replaced}"
    ))
}

/// A path of the same name with a suffix.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Whether the log still has its first records.
async fn check_start(log: &EmbeddedLog) -> anyhow::Result<()> {
    let mut reader = log.reader();
    for partition in reader.partitions() {
        let first = reader.first_offset(partition).await?;
        if first > 0 {
            bail!(
                "the log no longer has its start (partition {partition} begins at {first}): a \
                 history cannot be built from it again"
            );
        }
    }
    Ok(())
}

/// Whether the log has everything that the history was made from.
async fn check_reach(
    history: &HistoryReader<EmbeddedHistory>,
    log: &EmbeddedLog,
) -> anyhow::Result<()> {
    let mut reader = log.reader();
    for slot in Slot::all() {
        let Some(watermark) = history.watermark(slot).await? else {
            continue;
        };
        let partition = Partition(log.routes().route(slot).partition);
        let end = reader.end_offset(partition).await?;
        if watermark.offset >= end {
            bail!(
                "the history of slot {slot} stands at {watermark}, past the log's end {end}: the log \
                 would give back less"
            );
        }
    }
    Ok(())
}

fn rename(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::rename(from, to)
        .with_context(|| format!("rename {} to {}", from.display(), to.display()))
}

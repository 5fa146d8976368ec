//! `danmu rebuild`: builds a read model of a stopped server again from its log.
//!
//! The new one is built beside the old one, which is renamed, not removed, when the new one is whole:
//! what the log can no longer give back is never destroyed. A log without its first records is refused
//! by the loop. An interrupted rebuild goes on where it was.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use danmu_processors::{DeadLetters, rebuild};
use danmu_projections::{EmbeddedHistory, HistoryWriter};

use crate::inspect::open_log;

/// What `danmu rebuild` is asked to do.
#[derive(Debug, clap::Args)]
pub struct RebuildArgs {
    /// The read model
    what: ReadModel,
    /// The server's data directory
    #[arg(long, default_value = "./danmu-data")]
    data: PathBuf,
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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match args.what {
        ReadModel::Windows => bail!("the windows are in memory: every start builds them again"),
        ReadModel::History => runtime.block_on(rebuild_history(&args.data))?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn rebuild_history(data: &Path) -> anyhow::Result<()> {
    let [current, beside, replaced] =
        ["history", "history.rebuilding", "history.replaced"].map(|name| data.join(name));
    if replaced.exists() {
        bail!(
            "{} is in the way: look at it, then move it",
            replaced.display()
        );
    }
    let log = open_log(data)?;
    let letters = DeadLetters::open(&data.join("dead-letters.jsonl"), log.identity())?;
    let writer = HistoryWriter::new(EmbeddedHistory::open(&beside)?, log.identity());
    let built = rebuild::rebuild(writer, log.reader(), log.routes().clone(), letters).await?;
    drop(built);
    log.close().await;
    if current.exists() {
        rename(&current, &replaced)?;
    }
    rename(&beside, &current)
}

fn rename(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::rename(from, to)
        .with_context(|| format!("rename {} to {}", from.display(), to.display()))
}

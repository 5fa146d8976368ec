//! `danmu rebuild`: builds a read model again from its log.
//!
//! A new history is built beside the old one, which stays when the new one is whole: what the log can no
//! longer give back is never destroyed. In a directory it then takes the old one's name; a keyspace has
//! no other name, so the new one is named by `--into` and the servers are pointed at it. Refused before
//! anything is made: a log without its first records, and one that the old history does not belong to or
//! is ahead of. A rebuild that was cut off goes on where it was. Windows that processes share are lost on
//! purpose, a slot at a time: whoever projects them fills each again from the history and the log.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use danmu_log::LogReader;
use danmu_processors::rebuild;
#[cfg(feature = "cluster")]
use danmu_projections::history::cql::{CqlAddress, CqlOptions};
use danmu_projections::{HistoryReader, HistoryWriter};
use danmu_schemas::{Partition, Slot};

use crate::config::{HistoryUrl, StoreArgs};
use crate::engines::{History, Log};
use crate::stopped::Stopped;

/// What `danmu rebuild` is asked to do.
#[derive(Debug, clap::Args)]
pub struct RebuildArgs {
    /// The read model
    what: ReadModel,
    #[command(flatten)]
    stores: StoreArgs,
    /// Where the new history is built, where the old one is a keyspace: cql://HOST:PORT/KEYSPACE
    #[cfg(feature = "cluster")]
    #[arg(long, value_parser = CqlAddress::parse)]
    into: Option<CqlAddress>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum ReadModel {
    /// The last part of every room
    Windows,
    /// Everything since each room began
    History,
}

/// Rebuilds a read model.
pub fn run(args: RebuildArgs) -> anyhow::Result<ExitCode> {
    let stopped = Stopped::find(args.stores)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let told = runtime.block_on(async {
        match (args.what, stopped.history()) {
            (ReadModel::Windows, _) => rebuild_windows(&stopped).await,
            #[cfg(feature = "cluster")]
            (ReadModel::History, HistoryUrl::Cql(old)) => {
                let Some(address) = args.into else {
                    bail!("name the keyspace that the new history is built in: --into");
                };
                let new = CqlOptions {
                    address,
                    ..old.clone()
                };
                rebuild_keyspace(&stopped, new).await
            }
            (ReadModel::History, HistoryUrl::Embedded(dir)) => {
                #[cfg(feature = "cluster")]
                if args.into.is_some() {
                    bail!("--into is for a history in a keyspace");
                }
                rebuild_directory(&stopped, dir).await
            }
        }
    })?;
    writeln!(std::io::stdout(), "{told}")?;
    Ok(ExitCode::SUCCESS)
}

/// Loses every slot that can be filled again, which the processes that project the windows then do.
async fn rebuild_windows(stopped: &Stopped) -> anyhow::Result<String> {
    let Some(windows) = stopped.open_windows().await? else {
        return Ok(
            "nothing to do: the windows are in memory, and every start fills them from the \
                   history and the log"
                .to_owned(),
        );
    };
    let log = stopped.open_log().await?;
    let history = stopped.open_history(&log).await?;
    let log_is_whole = check_start(&log).await.is_ok();
    for slot in Slot::all() {
        if !log_is_whole && history.watermark(slot).await?.is_none() {
            bail!("slot {slot} is not in the history, and the log no longer has its start");
        }
        windows.wipe(slot).await?;
    }
    log.close().await;
    Ok("every slot is wiped; the processes with the role windows fill them now".to_owned())
}

/// Builds a history in a directory beside the old one and switches; what to tell about it.
async fn rebuild_directory(stopped: &Stopped, current: &Path) -> anyhow::Result<String> {
    let [beside, replaced] = [".rebuilding", ".replaced"].map(|suffix| beside(current, suffix));
    if current.exists() && replaced.exists() {
        bail!(
            "{} is in the way: it is the history that an earlier rebuild replaced; look at it, then \
             move it",
            replaced.display()
        );
    }
    let log = stopped.open_log().await?;
    check_start(&log).await?;
    if current.exists() {
        check_reach(&stopped.open_history(&log).await?, &log).await?;
    }
    build(stopped, &log, &HistoryUrl::Embedded(beside.clone())).await?;
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

/// Builds a history in another keyspace; what to tell about it.
#[cfg(feature = "cluster")]
async fn rebuild_keyspace(stopped: &Stopped, new: CqlOptions) -> anyhow::Result<String> {
    let HistoryUrl::Cql(old) = stopped.history() else {
        bail!("the old history is in no keyspace");
    };
    if new.address.keyspace == old.address.keyspace && new.address.servers == old.address.servers {
        bail!("the new history must have a keyspace of its own");
    }
    let log = stopped.open_log().await?;
    check_start(&log).await?;
    check_reach(&stopped.open_history(&log).await?, &log).await?;
    let address = new.address.clone();
    build(stopped, &log, &HistoryUrl::Cql(new)).await?;
    log.close().await;
    Ok(format!(
        "the history is rebuilt in {address}: give it to the servers, which then go on from there"
    ))
}

/// Settles the whole log into the history at `url`.
async fn build(stopped: &Stopped, log: &Log, url: &HistoryUrl) -> anyhow::Result<()> {
    let letters = log.dead_letters(&stopped.dead_letters()).await?;
    let writer = HistoryWriter::new(History::open(url, true).await?, log.identity());
    rebuild::rebuild(writer, log.reader()?, log.routes().clone(), letters).await?;
    Ok(())
}

/// A path of the same name with a suffix.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Whether the log still has its first records.
async fn check_start(log: &Log) -> anyhow::Result<()> {
    let mut reader = log.reader()?;
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
async fn check_reach(history: &HistoryReader<History>, log: &Log) -> anyhow::Result<()> {
    let mut reader = log.reader()?;
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

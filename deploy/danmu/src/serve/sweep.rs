//! Makes erasures true at rest: sweeps the history while the server runs.
//!
//! Reads show nothing of what was erased from the moment of the erasure; here its rows are rewritten
//! and their old values taken off the disk. That takes all of the history through the machine, so it
//! is done once for all erasures of a while. A failure is told and tried again: it ends nothing.

use std::time::{Duration, Instant};

use danmu_processors::Standing;
use danmu_projections::history::store::{HistoryStore, Purged};
use danmu_projections::history::{Sweep, Swept};
use danmu_projections::projection::StoreError;
use danmu_schemas::Partition;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often it is looked for erasures that are not swept yet.
const EVERY: Duration = Duration::from_secs(2);
/// How long after the last time old values are taken off the disk again.
const PURGED_EVERY: Duration = Duration::from_secs(10 * 60);

/// Sweeps until `stop`, while the history's loop, which stands at `standing`, has the first partition:
/// of all processes that share the log, one.
pub async fn run<S: HistoryStore>(
    mut sweep: Sweep<S>,
    standing: watch::Receiver<Standing>,
    stop: CancellationToken,
) {
    let mut purged = None;
    let pause = || stop.run_until_cancelled(tokio::time::sleep(EVERY));
    while pause().await.is_some() {
        if !standing.borrow().partitions.contains_key(&Partition(0)) {
            continue;
        }
        if let Err(error) = turn(&mut sweep, &mut purged, &stop).await {
            tracing::error!(%error, "what was erased is not swept: tried again");
        }
    }
}

async fn turn<S: HistoryStore>(
    sweep: &mut Sweep<S>,
    purged: &mut Option<Instant>,
    stop: &CancellationToken,
) -> Result<(), StoreError> {
    while sweep.step().await? == Swept::More {
        if stop.is_cancelled() {
            return Ok(());
        }
    }
    let is_due = purged.is_none_or(|at: Instant| at.elapsed() >= PURGED_EVERY);
    if sweep.owes_purge() && is_due {
        tracing::info!("what was erased is being taken out of the history's files");
        // A stop does not wait for it: what it did not finish is owed again at the next start.
        let Some(done) = stop.run_until_cancelled(sweep.purge()).await else {
            return Ok(());
        };
        let done = done?;
        *purged = Some(Instant::now());
        match done {
            Purged::Gone => tracing::info!("what was erased is gone from the history's files"),
            Purged::LeftToOperator => tracing::info!(
                "what was erased is gone from the history's rows, and from its files once its tables are compacted"
            ),
        }
    }
    Ok(())
}

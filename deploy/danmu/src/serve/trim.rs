//! Lets the log and the windows forget what the history holds for good.
//!
//! Each second the history's watermark of every partition goes to the log, which keeps what is newer
//! than its retention all the same, and to the windows. Neither of them knows the history.

use std::time::Duration;

use danmu_log::LogWriter;
use danmu_log::embedded::EmbeddedLog;
use danmu_processors::Standing;
use danmu_projections::MemoryWindows;
use danmu_schemas::{Partition, Position};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often the watermark is handed on.
const EVERY: Duration = Duration::from_secs(1);

/// Hands on what `history` has checkpointed, until `stop`.
pub async fn below_watermark(
    log: EmbeddedLog,
    windows: MemoryWindows,
    history: watch::Receiver<Standing>,
    stop: CancellationToken,
) {
    let pause = || stop.run_until_cancelled(tokio::time::sleep(EVERY));
    while pause().await.is_some() {
        let standing = history.borrow().clone();
        for (partition, standing) in standing.partitions {
            if let Some(to) = standing.checkpointed_to.filter(|to| *to >= 0) {
                hand_on(&log, &windows, partition, to).await;
            }
        }
    }
}

/// Everything at or before `to` in the partition is in the history, whatever slot it is of.
async fn hand_on(log: &EmbeddedLog, windows: &MemoryWindows, partition: Partition, to: i64) {
    let routes = log.routes();
    for slot in routes.slots_of(partition) {
        windows.set_watermark(slot, Position::new(routes.route(slot).epoch, to));
    }
    if let Err(error) = log.trim(partition, to + 1).await {
        tracing::warn!(%partition, %error, "the log was not trimmed");
    }
}

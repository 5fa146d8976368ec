//! Lets the log and the windows forget what the history holds for good.
//!
//! Each second the history's watermark of every slot that the windows' loop has goes to the windows, and
//! of every partition the lowest to the log, which keeps what is newer than its retention all the same.
//! Neither of them knows the history. What the windows let go of can be read there; what the log lets go of
//! is gone, so it waits until no crash of the history's servers can take the watermark back.

use std::time::Duration;

use danmu_log::LogWriter;
use danmu_processors::Standing;
use danmu_projections::history::Lasting;
use danmu_projections::{HistoryReader, StoreError};
use danmu_schemas::Partition;
use futures_util::stream::{self, StreamExt};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::engines::{History, Log, Windows};

/// How often the watermark is handed on.
const EVERY: Duration = Duration::from_secs(1);
/// How many slots are asked for at once.
const ASKED_AT_ONCE: usize = 32;

/// Hands the watermark on.
pub struct Trim {
    log: Log,
    windows: Windows,
    history: HistoryReader<History>,
    standing: watch::Receiver<Standing>,
}

impl Trim {
    /// For the partitions that the windows' loop has, which stands at `standing`.
    pub fn new(
        log: Log,
        windows: Windows,
        history: HistoryReader<History>,
        standing: watch::Receiver<Standing>,
    ) -> Self {
        Self {
            log,
            windows,
            history,
            standing,
        }
    }

    /// Goes on until `stop`. A failure is told, and ends nothing: it only means that more is kept.
    pub async fn run(self, stop: CancellationToken) {
        let mut lasting = Lasting::default();
        let pause = || stop.run_until_cancelled(tokio::time::sleep(EVERY));
        while pause().await.is_some() {
            match self.history.durability().await {
                Ok(durability) => lasting.look(durability),
                Err(error) => {
                    tracing::warn!(%error, "the watermarks were not handed on");
                    continue;
                }
            }
            let standing = self.standing.borrow().clone();
            for partition in standing.partitions.into_keys() {
                if let Err(error) = self.below_watermark(partition, &mut lasting).await {
                    tracing::warn!(%partition, %error, "the watermark was not handed on");
                }
            }
        }
    }

    /// Everything at or before the lowest watermark in the partition is in the history, whatever slot
    /// it is of; nothing may go while a slot has no watermark.
    async fn below_watermark(
        &self,
        partition: Partition,
        lasting: &mut Lasting<Partition, i64>,
    ) -> Result<(), StoreError> {
        let mut lowest = Some(i64::MAX);
        let slots = stream::iter(self.log.routes().slots_of(partition));
        let mut watermarks = slots
            .map(async |slot| (slot, self.history.watermark(slot).await))
            .buffer_unordered(ASKED_AT_ONCE);
        while let Some((slot, watermark)) = watermarks.next().await {
            let watermark = watermark?;
            if let Some(watermark) = watermark {
                self.windows.set_watermark(slot, watermark);
            }
            lowest = lowest.min(watermark.map(|position| position.offset));
        }
        let lowest = lowest.filter(|to| (0..i64::MAX).contains(to));
        if let Some(to) = lowest.and_then(|to| lasting.read(partition, to, Instant::now()))
            && let Err(error) = self.log.trim(partition, to + 1).await
        {
            tracing::warn!(%partition, %error, "the log was not trimmed");
        }
        Ok(())
    }
}

//! The engines that a process works on, chosen by URL: one type a port.
//!
//! Everything above a port is built once, over these types; which engine is behind one is a `match`
//! here. A process opens only the engines that its roles need. What an engine alone can tell (bytes on
//! the disk, why a log takes no more) is asked here too, and an engine that cannot tell says nothing.

mod history;
mod log;
mod windows;

use anyhow::Context;
use danmu_projections::{HistoryReader, StoreError, WindowStore};
use danmu_schemas::Slot;
use futures_util::stream::{self, StreamExt};

pub use self::history::History;
pub use self::log::{Log, Reader};
pub use self::windows::Windows;
use crate::config::{HistoryUrl, LogUrl, Role, Roles, WindowsUrl};

/// How many slots are compared at once at the start.
const COMPARED_AT_ONCE: usize = 16;

/// Which engine is where.
#[derive(Debug, Clone)]
pub struct Urls {
    /// The log.
    pub log: LogUrl,
    /// The windows.
    pub windows: WindowsUrl,
    /// The history.
    pub history: HistoryUrl,
}

/// The engines of a process; those that none of its roles needs are not opened.
pub struct Engines {
    /// Where events are appended and read.
    pub log: Option<Log>,
    /// Where settled events are published, by whoever records the history of a log that has such a topic.
    pub settled: Option<Log>,
    /// The last part of every room.
    pub windows: Option<Windows>,
    /// Everything.
    pub history: Option<History>,
}

impl Engines {
    /// Opens what `roles` need. An engine that cannot be opened is an error that names it.
    pub async fn open(urls: &Urls, roles: Roles) -> anyhow::Result<Self> {
        let log = match roles.has_any(Role::OF_LOG) {
            true => Some(Log::open(&urls.log).await?),
            false => None,
        };
        let settled = match log.as_ref().filter(|_| roles.has(Role::History)) {
            Some(log) => log.settled().await?,
            None => None,
        };
        let windows = match roles.has_any(Role::OF_WINDOWS) {
            true => Some(Windows::open(&urls.windows, roles.has(Role::Windows)).await?),
            false => None,
        };
        let history = match roles.has_any(Role::OF_HISTORY) {
            true => Some(History::open(&urls.history, roles.has(Role::History)).await?),
            false => None,
        };
        let engines = Self {
            log,
            settled,
            windows,
            history,
        };
        engines.check_same_log().await?;
        Ok(engines)
    }

    /// Refuses windows and a history of different logs, where no log of the process's own tells. The
    /// first slot that both have anything of is enough: each is of one log as a whole.
    async fn check_same_log(&self) -> anyhow::Result<()> {
        let (None, Some(windows), Some(history)) = (&self.log, &self.windows, &self.history) else {
            return Ok(());
        };
        let compare = async |slot| {
            let Some((_, log)) = windows.position(slot).await? else {
                return Ok(false);
            };
            let history = HistoryReader::new(history.clone(), log);
            Ok(history.watermark(slot).await?.is_some())
        };
        let mut compared = stream::iter(Slot::all())
            .map(compare)
            .buffered(COMPARED_AT_ONCE);
        while let Some(compared) = compared.next().await {
            let compared: Result<bool, StoreError> = compared;
            if compared.context("comparing the log of the windows with that of the history")? {
                break;
            }
        }
        Ok(())
    }

    /// Ends when another log was found in the place of the process's own.
    pub async fn replaced(&self) {
        match &self.log {
            Some(log) => log.replaced().await,
            None => std::future::pending().await,
        }
    }

    /// Finishes what the logs have accepted, once nobody appends any more.
    pub async fn close(self) {
        for log in [self.log, self.settled].into_iter().flatten() {
            log.close().await;
        }
    }

    /// Reads the history. A process that does not know the log takes it as it is, once it was found to be
    /// of the same log as the windows.
    pub fn history_reader(&self) -> Option<HistoryReader<History>> {
        let history = self.history.clone()?;
        Some(match &self.log {
            Some(log) => HistoryReader::new(history, log.identity()),
            None => HistoryReader::of_any_log(history),
        })
    }
}

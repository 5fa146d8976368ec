//! What a stopped server left: its log and its history, for the commands that work on them.
//!
//! They are where the server's own settings say: the same file, variables and flags. Nothing is made: a
//! directory that is missing is an error, and so is one that a running server holds.

use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};
use danmu_log::embedded::OpenError;
use danmu_projections::HistoryReader;

use crate::config::{self, Config, HistoryUrl, Problems, StoreArgs};
use crate::engines::{History, Log, Windows};

/// A server that is stopped, as far as its settings tell.
#[derive(Debug)]
pub struct Stopped {
    config: Config,
}

impl Stopped {
    /// The server of these flags and of this process's environment.
    pub fn find(args: StoreArgs) -> Result<Self, Problems> {
        let config = config::load(&args.into(), config::variables())?;
        Ok(Self { config })
    }

    /// Where its dead letters are, if its log is embedded.
    pub fn dead_letters(&self) -> PathBuf {
        self.config.dead_letters()
    }

    /// Where its history is.
    pub fn history(&self) -> &HistoryUrl {
        &self.config.engines.history
    }

    /// Opens its log.
    pub async fn open_log(&self) -> anyhow::Result<Log> {
        let url = &self.config.engines.log;
        check_there("log", url.directory())?;
        Log::open(url)
            .await
            .map_err(|error| match error.downcast() {
                Ok(error @ OpenError::Locked(_)) => {
                    anyhow!("{error}: stop the server that holds it first")
                }
                Ok(error) => error.into(),
                Err(error) => error,
            })
    }

    /// Opens its history, which must belong to `log`.
    pub async fn open_history(&self, log: &Log) -> anyhow::Result<HistoryReader<History>> {
        let url = &self.config.engines.history;
        check_there("history", url.directory())?;
        let history = History::open(url, false).await?;
        Ok(HistoryReader::new(history, log.identity()))
    }

    /// Opens its windows, where they outlive a process.
    pub async fn open_windows(&self) -> anyhow::Result<Option<Windows>> {
        let url = &self.config.engines.windows;
        Ok(match url.is_of_one_process() {
            true => None,
            false => Some(Windows::open(url, false).await?),
        })
    }
}

/// Whether the directory of an engine is there, where it has one.
fn check_there(what: &str, directory: Option<&Path>) -> anyhow::Result<()> {
    match directory.filter(|directory| !directory.is_dir()) {
        Some(directory) => bail!("there is no {what} in {}", directory.display()),
        None => Ok(()),
    }
}

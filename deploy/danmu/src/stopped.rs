//! What a stopped server left: its log and its history, for the commands that work on them.
//!
//! They are where the server's own settings say: the same file, variables and flags. Nothing is made: a
//! directory that is missing is an error, and so is one that a running server holds.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use danmu_log::embedded::{EmbeddedLog, OpenError, Options, wall_clock};
use danmu_projections::{EmbeddedHistory, HistoryReader};

use crate::config::{self, Config, Problems, StoreArgs};

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

    /// Where its history is.
    pub fn history_dir(&self) -> &Path {
        &self.config.history
    }

    /// Where its dead letters are.
    pub fn dead_letters(&self) -> PathBuf {
        self.config.dead_letters()
    }

    /// Opens its log.
    pub fn open_log(&self) -> anyhow::Result<EmbeddedLog> {
        let dir = &self.config.log;
        if !dir.is_dir() {
            bail!("there is no log in {}", dir.display());
        }
        EmbeddedLog::open(Options::new(dir, wall_clock())).map_err(|error| match error {
            OpenError::Locked(_) => anyhow!("{error}: stop the server that holds it first"),
            _ => error.into(),
        })
    }

    /// Opens its history, which must belong to `log`.
    pub fn open_history(
        &self,
        log: &EmbeddedLog,
    ) -> anyhow::Result<HistoryReader<EmbeddedHistory>> {
        let dir = self.history_dir();
        if !dir.is_dir() {
            bail!("there is no history in {}", dir.display());
        }
        let rows = EmbeddedHistory::open(dir)
            .with_context(|| format!("the history in {}", dir.display()))?;
        Ok(HistoryReader::new(rows, log.identity()))
    }
}

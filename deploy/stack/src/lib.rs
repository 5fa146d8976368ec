//! The real servers that danmu scales out on, started on this machine without containers.
//!
//! Owns how each [`Engine`] is installed, configured, launched and found ready. A [`Server`] is one
//! process that its owner may kill, restart and wipe, as a test does; [`shared`] is the stack that
//! stands between commands, as a developer wants it. Everything listens on the loopback only, on
//! ports that are free; data goes where the caller says; what a server prints is kept in a file.
//!
//! Nothing of danmu itself is known here.

mod cassandra;
mod engine;
mod etcd;
mod install;
mod kafka;
mod process;
mod redis;
mod server;
pub mod shared;
mod wire;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub use engine::Engine;
pub use install::{library, program};
pub use kafka::tool as kafka_tool;
pub use process::Process;
pub use server::{Options, Server, start_all};

/// Where what was installed is kept from run to run: `$XTASK_CACHE`, else `~/.cache/danmu`.
pub fn cache() -> Result<PathBuf> {
    if let Some(directory) = std::env::var_os("XTASK_CACHE") {
        return Ok(directory.into());
    }
    let home = std::env::var_os("HOME").context("neither XTASK_CACHE nor HOME is set")?;
    Ok(Path::new(&home).join(".cache/danmu"))
}

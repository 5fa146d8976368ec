//! The real servers of a bench: started for it alone, gone with it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use danmu_stack::{Engine, Options, Server};

use crate::process;

/// The partitions of a log that a bench makes.
pub const PARTITIONS: u32 = 4;

/// Starts a server that keeps what it has in `directory`, under its own name.
pub fn start(engine: Engine, directory: &Path) -> Result<Server> {
    Server::start(engine, Options::new(directory.join(engine.name())))
}

/// User and system time of a server so far.
pub fn cpu(server: &Server) -> Result<Duration> {
    let process = server.process().context("the server has ended")?;
    process::cpu_of(process.pid)
}

/// Makes the topics of a new log and gives the log's address.
pub fn new_log(binary: &Path, kafka: &Server) -> Result<String> {
    let log = format!("kafka://{}/bench-{:x}", kafka.address(), fastrand::u64(..));
    let partitions = PARTITIONS.to_string();
    let flags = [
        "topics",
        "create",
        "--log",
        &log,
        "--partitions",
        &partitions,
    ];
    run(binary, &flags)?;
    Ok(log)
}

/// Makes the tables of a new history and gives its address.
pub fn new_history(binary: &Path, cassandra: &Server) -> Result<String> {
    let history = format!(
        "cql://{}/bench_{:x}",
        cassandra.address(),
        fastrand::u64(..)
    );
    run(binary, &["history", "migrate", "--history", &history])?;
    Ok(history)
}

fn run(binary: &Path, flags: &[&str]) -> Result<()> {
    let output = Command::new(binary).args(flags).output();
    let output = output.with_context(|| format!("run {flags:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{flags:?} failed: {said}");
    Ok(())
}

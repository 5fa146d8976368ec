//! The stack that stands on this machine between commands: `cargo xtask stack`.
//!
//! Which servers stand, and where, is kept in `stack/servers.json` in the cache; tests and tools ask
//! [`address`]. A server that the environment names (`XTASK_KAFKA` and so on) is taken as it is and
//! never ended; of the others only the very processes that were started are ended. Data is in a
//! temporary directory and goes when a server is taken down; what it printed stays in `stack/logs`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::net::ToSocketAddrs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::cache;
use crate::engine::Engine;
use crate::process::Process;
use crate::server::{STOP_WITHIN, start_all};

/// A server of the stack.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Standing {
    /// Where clients reach it, as `host:port`.
    pub address: String,
    /// Ours, or nothing where the environment named it.
    pub own: Option<Own>,
}

/// What is ours of a server, and ends with it.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Own {
    /// The process.
    pub process: Process,
    /// Its data.
    pub directory: PathBuf,
}

impl Standing {
    /// Whether it can be used. What the environment names is for the environment to keep up.
    pub fn stands(&self) -> bool {
        self.own.as_ref().is_none_or(|own| own.process.is_running())
    }
}

/// The servers of the stack, by engine.
pub type Stack = BTreeMap<Engine, Standing>;

/// Brings up those of `engines` that do not stand, and gives all that do.
pub fn up(engines: &[Engine]) -> Result<Stack> {
    let _lock = lock()?;
    let mut stack = recorded()?;
    for engine in engines {
        if let Some(address) = named_by_environment(*engine) {
            ensure!(
                answers(*engine, &address),
                "no {} serves at {address}",
                engine.name()
            );
            take_down(&mut stack, *engine)?;
            stack.insert(*engine, Standing { address, own: None });
        } else if stack
            .get(engine)
            .is_some_and(|one| one.own.is_none() || !one.stands())
        {
            take_down(&mut stack, *engine)?;
        }
        record(&stack)?;
    }
    let missing = engines
        .iter()
        .copied()
        .filter(|engine| !stack.contains_key(engine));
    let missing: Vec<_> = missing.collect();
    let data = tempfile::Builder::new().prefix("danmu-stack-").tempdir()?;
    let logs = directory()?.join("logs");
    let started = start_all(&missing, data.path(), &logs)?;
    if !started.is_empty() {
        let data = data.keep();
        for server in started {
            let (engine, address) = (server.engine(), server.address());
            let directory = data.join(engine.name());
            let process = server.leave()?;
            let own = Some(Own { process, directory });
            stack.insert(engine, Standing { address, own });
        }
        record(&stack)?;
    }
    Ok(stack)
}

/// Takes down all that was started, and forgets the rest.
pub fn down() -> Result<()> {
    let _lock = lock()?;
    let mut stack = recorded()?;
    for engine in Engine::ALL {
        take_down(&mut stack, engine)?;
        record(&stack)?;
    }
    Ok(())
}

/// What is recorded, standing or not.
pub fn recorded() -> Result<Stack> {
    match fs::read(directory()?.join("servers.json")) {
        Ok(text) => serde_json::from_slice(&text).context("reading the stack's record"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Stack::new()),
        Err(error) => Err(error).context("reading the stack's record"),
    }
}

/// Where a server of the engine is: the environment's, else the stack's.
pub fn address(engine: Engine) -> Result<String> {
    if let Some(address) = named_by_environment(engine) {
        return Ok(address);
    }
    let standing = recorded()?.remove(&engine).filter(Standing::stands);
    let standing = standing.with_context(|| {
        let (name, variable) = (engine.name(), engine.variable());
        format!("no {name} stands: `cargo xtask stack up {name}`, or name one in {variable}")
    })?;
    Ok(standing.address)
}

/// The server that the environment names.
pub fn named_by_environment(engine: Engine) -> Option<String> {
    std::env::var(engine.variable()).ok()
}

fn answers(engine: Engine, address: &str) -> bool {
    let first = address.split(',').next().unwrap_or_default();
    let sockets = first.to_socket_addrs().into_iter().flatten();
    sockets
        .into_iter()
        .any(|socket| engine.is_ready(socket).unwrap_or(false))
}

fn take_down(stack: &mut Stack, engine: Engine) -> Result<()> {
    let Some(Standing { own: Some(own), .. }) = stack.get(&engine) else {
        stack.remove(&engine);
        return Ok(());
    };
    own.process.end(STOP_WITHIN)?;
    if own.directory.exists() {
        fs::remove_dir_all(&own.directory)?;
    }
    // The last server's directory was the last thing in the common one.
    if let Some(common) = own.directory.parent() {
        let _ = fs::remove_dir(common);
    }
    stack.remove(&engine);
    Ok(())
}

fn record(stack: &Stack) -> Result<()> {
    let directory = directory()?;
    let written = tempfile::NamedTempFile::new_in(&directory)?;
    serde_json::to_writer_pretty(&written, stack)?;
    written.persist(directory.join("servers.json"))?;
    Ok(())
}

/// Held while the stack changes.
fn lock() -> Result<File> {
    let file = File::create(directory()?.join("lock"))?;
    file.lock()?;
    Ok(file)
}

fn directory() -> Result<PathBuf> {
    let directory = cache()?.join("stack");
    fs::create_dir_all(&directory)?;
    Ok(directory)
}

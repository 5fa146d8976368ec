//! One server: a process with a directory, its ports and a file for what it prints.
//!
//! It keeps its ports over restarts, so clients find it again. Dropping it kills it; what it stored
//! stays in its directory, which is its owner's.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::engine::{Engine, Place};
use crate::process::Process;

/// How long a server may take until it serves, on a machine that does much else.
const READY_WITHIN: Duration = Duration::from_secs(240);

/// How long a server may take to end when it is asked to.
pub(crate) const STOP_WITHIN: Duration = Duration::from_secs(60);

const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Below what systems hand out to connections, so that nothing takes a port while its server is down.
const PORTS: std::ops::Range<u16> = 10_000..30_000;

/// How often other ports are tried, where another process takes one at the same moment.
const PORT_TRIES: u32 = 5;

/// How many of its last lines an error shows.
const LINES_SHOWN: usize = 20;

/// How to start a server.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it stores; made if it is not there. No other server may use it.
    pub directory: PathBuf,
    /// The file that what it prints is added to.
    pub log: PathBuf,
    /// What shall differ from the defaults, in the engine's own words.
    pub settings: Vec<(String, String)>,
}

impl Options {
    /// With everything in one directory, and the defaults.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        let directory = directory.into();
        let log = directory.join("printed.log");
        Self {
            directory,
            log,
            settings: Vec::new(),
        }
    }

    /// With one setting more.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A server that we started. Every call blocks until it is done.
#[derive(Debug)]
pub struct Server {
    engine: Engine,
    options: Options,
    port: u16,
    peer_port: u16,
    child: Option<Child>,
}

impl Server {
    /// Starts a server on free ports and waits until it serves.
    pub fn start(engine: Engine, options: Options) -> Result<Self> {
        let mut tries = 1;
        loop {
            let mut server = Self {
                engine,
                options: options.clone(),
                port: free_port()?,
                peer_port: free_port()?,
                child: None,
            };
            match server.restart() {
                Ok(()) => return Ok(server),
                Err(_) if tries < PORT_TRIES && server.lost_its_port() => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Where clients reach it, as `host:port`.
    pub fn address(&self) -> String {
        self.socket().to_string()
    }

    /// Which engine it is.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Starts it again after [`Self::kill`] or [`Self::stop`], with what it stored and the same ports.
    pub fn restart(&mut self) -> Result<()> {
        assert!(self.child.is_none(), "it was killed or stopped before");
        let name = self.engine.name();
        let Options {
            directory,
            log,
            settings,
        } = &self.options;
        for directory in [Some(directory.as_path()), log.parent()]
            .into_iter()
            .flatten()
        {
            fs::create_dir_all(directory)?;
        }
        let place = Place {
            directory,
            port: self.port,
            peer_port: self.peer_port,
            settings,
        };
        let log = File::options().create(true).append(true).open(log)?;
        let child = self
            .engine
            .command(&place)?
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // What a terminal sends to us is not meant for a server that outlives us.
            .process_group(0)
            .spawn();
        self.child = Some(child.with_context(|| format!("starting {name}"))?);
        self.wait_until_ready().inspect_err(|_| self.kill())
    }

    /// Ends it as a crash would. Nothing happens if it does not run.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Either fails only where it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks it to end and waits for that.
    pub fn stop(&mut self) -> Result<()> {
        if let (Some(process), Some(mut child)) = (self.process(), self.child.take()) {
            process.end(STOP_WITHIN)?;
            child.wait()?;
        }
        Ok(())
    }

    /// Removes all that it stored; it must not run.
    pub fn wipe(&mut self) -> Result<()> {
        assert!(self.child.is_none(), "it was killed or stopped before");
        for entry in fs::read_dir(&self.options.directory)? {
            let path = entry?.path();
            if path.is_dir() {
                fs::remove_dir_all(path)?;
            } else if path != self.options.log {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// The process, while it runs.
    pub fn process(&self) -> Option<Process> {
        Process::of(self.child.as_ref()?.id())
    }

    /// Leaves it to itself.
    pub(crate) fn leave(mut self) -> Result<Process> {
        let process = self.process().context("the server has ended")?;
        self.child = None;
        Ok(process)
    }

    fn socket(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let (name, socket) = (self.engine.name(), self.socket());
        let deadline = Instant::now() + READY_WITHIN;
        while !self.engine.is_ready(socket).unwrap_or(false) {
            let ended = self
                .child
                .as_mut()
                .map(Child::try_wait)
                .transpose()?
                .flatten();
            if let Some(status) = ended {
                bail!(
                    "{name} ended before it served ({status}):\n{}",
                    self.last_lines()
                );
            }
            ensure!(
                Instant::now() < deadline,
                "{name} does not serve after {READY_WITHIN:?}:\n{}",
                self.last_lines()
            );
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    fn last_lines(&self) -> String {
        let text = fs::read(&self.options.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().rev().take(LINES_SHOWN).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    fn lost_its_port(&self) -> bool {
        self.last_lines().contains("in use")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts servers side by side, each in a directory of its name below `directory`, its output in
/// `NAME.log` below `logs`. If one fails, none is left.
pub fn start_all(engines: &[Engine], directory: &Path, logs: &Path) -> Result<Vec<Server>> {
    let start = |engine: Engine| {
        let options = Options {
            log: logs.join(format!("{}.log", engine.name())),
            ..Options::new(directory.join(engine.name()))
        };
        Server::start(engine, options)
    };
    thread::scope(|scope| {
        let starts = engines
            .iter()
            .map(|engine| scope.spawn(move || start(*engine)));
        let starts: Vec<_> = starts.collect();
        let started = starts
            .into_iter()
            .map(|start| start.join().expect("starting never panics"));
        started.collect::<Vec<_>>().into_iter().collect()
    })
}

fn free_port() -> Result<u16> {
    for _ in 0..1_000 {
        let port = fastrand::u16(PORTS);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port in {PORTS:?} is free")
}

//! A server in a process of its own, on a core of its own, and what it costs.
//!
//! A server says in its first log lines where it listens (`listen=HOST:PORT`); ours also where its admin
//! listener is. The process dies with its handle. Costs are read from `/proc`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::io::Errno;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::load;

/// The core that servers run on.
const SERVER_CORE: usize = 0;
/// The core that the load comes from.
const LOAD_CORE: usize = 1;

/// How long a server may take until it is ready or shows what was written.
const WAIT_MAX: Duration = Duration::from_secs(600);
/// How often it is asked.
const ASKED_EVERY: Duration = Duration::from_millis(5);

/// A running server.
pub struct Process {
    child: Child,
    /// Where it answers.
    pub address: SocketAddr,
    /// Where it says how it is, if it has such a listener.
    pub admin: Option<SocketAddr>,
}

impl Process {
    /// Starts the `danmu` binary over `data`, on ports that the system chooses, with more flags.
    pub fn danmu(binary: &Path, data: &Path, flags: &[&str]) -> Result<Self> {
        let mut command = Command::new(binary);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .arg("--data")
            .arg(data)
            .args(flags);
        Self::start(command)
    }

    /// Starts a program that says where it listens, on the servers' core.
    pub fn start(mut command: Command) -> Result<Self> {
        command.stderr(Stdio::piped()).stdin(Stdio::null());
        let mut child = on_core(SERVER_CORE, || command.spawn())?
            .with_context(|| format!("start {:?}", command.get_program()))?;
        let stderr = child.stderr.take().context("it is piped")?;
        let mut lines = BufReader::new(stderr).lines();
        let mut said = Vec::new();
        let line = loop {
            match lines.next().transpose()? {
                Some(line) if line.contains("listen=") => break line,
                Some(line) => said.push(line),
                None => anyhow::bail!("a server ended at its start: {}", said.join("\n")),
            }
        };
        // What is not read would block the server once the pipe is full.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self {
            child,
            address: address(&line, "listen=").context("no address")?,
            admin: address(&line, "admin="),
        })
    }

    /// Waits until it says that it is ready.
    pub fn wait_until_ready(&self) -> Result<()> {
        let admin = self.admin.context("it has no admin listener")?;
        wait_until(admin, &load::get("/readyz"), |_| true)
    }

    /// Waits until the body of its answer to a request is `right`.
    pub fn wait_until(&self, request: &[u8], right: impl Fn(&[u8]) -> bool) -> Result<()> {
        wait_until(self.address, request, right)
    }

    /// User and system time so far.
    pub fn cpu(&self) -> Result<Duration> {
        cpu_of(self.child.id())
    }

    /// User and system time so far of the threads that are there, without those whose name begins with
    /// one of `without`.
    pub fn cpu_without(&self, without: &[&str]) -> Result<Duration> {
        let mut sum = Duration::ZERO;
        for thread in fs::read_dir(self.proc("task"))? {
            // A thread may have ended meanwhile.
            let Ok(stat) = fs::read_to_string(thread?.path().join("stat")) else {
                continue;
            };
            let name = stat.split(['(', ')']).nth(1).unwrap_or_default();
            if !without.iter().any(|prefix| name.starts_with(prefix)) {
                sum += ticks(&stat, OWN)?;
            }
        }
        Ok(sum)
    }

    /// Resident memory, in bytes.
    pub fn resident_bytes(&self) -> Result<u64> {
        self.status_bytes("VmRSS:")
    }

    /// The most that its resident memory has been, in bytes.
    pub fn resident_bytes_max(&self) -> Result<u64> {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(&self, name: &str) -> Result<u64> {
        let status = fs::read_to_string(self.proc("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.split_whitespace().next());
        Ok(kib.context("no such line")?.parse::<u64>()? * 1_024)
    }

    /// Ends it as a power cut would.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended already cannot be killed again, which is as it should be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// User and system time of a process so far.
pub fn cpu_of(pid: u32) -> Result<Duration> {
    ticks(&fs::read_to_string(format!("/proc/{pid}/stat"))?, OWN)
}

/// User and system time of our children that have ended.
#[cfg(feature = "cluster")]
pub fn ended_children_cpu() -> Result<Duration> {
    ticks(&fs::read_to_string("/proc/self/stat")?, CHILDREN)
}

/// Keeps this process, which makes the load, off the servers' core.
pub fn pin_load() -> Result<()> {
    pin(LOAD_CORE)
}

/// Does something on a core, whose children stay there.
fn on_core<T>(core: usize, act: impl FnOnce() -> T) -> Result<T> {
    let before = sched_getaffinity(None)?;
    pin(core)?;
    let done = act();
    sched_setaffinity(None, &before)?;
    Ok(done)
}

fn pin(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    match sched_setaffinity(None, &set) {
        // A machine without that core: load and server share what there is.
        Err(Errno::INVAL) => Ok(()),
        pinned => pinned.with_context(|| format!("run on core {core}")),
    }
}

fn wait_until(address: SocketAddr, request: &[u8], right: impl Fn(&[u8]) -> bool) -> Result<()> {
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        match load::ask_once(address, request) {
            Ok((_, body)) if right(&body) => return Ok(()),
            Ok(_) => ensure!(Instant::now() < deadline, "the answer stays another"),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => {}
        }
        std::thread::sleep(ASKED_EVERY);
    }
}

fn address(line: &str, name: &str) -> Option<SocketAddr> {
    let after = line.split_once(&format!(" {name}"))?.1;
    after.split_whitespace().next()?.parse().ok()
}

/// Where a `stat` line has the user time of the process, and after it the system time, counted from the
/// name in brackets on; of its children that have ended.
const OWN: usize = 11;
#[cfg(feature = "cluster")]
const CHILDREN: usize = 13;

fn ticks(stat: &str, user: usize) -> Result<Duration> {
    let after_name = stat.rsplit_once(')').context("no stat line")?.1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    ensure!(fields.len() > user + 1, "a short stat line");
    let ticks = fields[user].parse::<u64>()? + fields[user + 1].parse::<u64>()?;
    let per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
}

//! The server of a simulation as a process: one of its own, started for it, or any on this machine, and
//! what it costs, from `/proc`.

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use tempfile::TempDir;

use crate::client::Server;

/// How long a server may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// What the names of the variables of a configuration begin with.
const VARIABLES: &str = "DANMU_";

/// A server of the simulation's own, which goes with it and leaves nothing behind.
pub struct OwnServer {
    child: Child,
    /// Its public address.
    pub base: String,
    _data: TempDir,
}

/// What a process has taken so far.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// User and system time.
    pub cpu: Duration,
    /// Memory that it holds.
    pub rss_bytes: u64,
    /// The most that it held.
    pub rss_bytes_max: u64,
}

impl OwnServer {
    /// Starts this binary's `serve` with its defaults on free ports and waits until it is ready.
    pub fn start() -> anyhow::Result<Self> {
        let data = tempfile::Builder::new()
            .prefix("danmu-simulate-")
            .tempdir()?;
        let mut command = Command::new(std::env::current_exe()?);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with(VARIABLES) {
                command.env_remove(name);
            }
        }
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(["--log-format", "json", "--data"])
            .arg(data.path())
            .env("RUST_LOG", "info")
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().context("start a server")?;
        let stderr = child.stderr.take().context("it is piped")?;
        let mut server = Self {
            child,
            base: String::new(),
            _data: data,
        };
        let admin = server.wait_for_addresses(BufReader::new(stderr).lines())?;
        let answer = Server::new(&admin, None)
            .patient_for(READY_WITHIN)
            .get("/readyz")?;
        if answer.status != 200 {
            bail!("the server is not ready: {}", answer.body);
        }
        Ok(server)
    }

    /// Its process's id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Reads where it listens, and passes on what it complains of from then on.
    fn wait_for_addresses(
        &mut self,
        mut lines: Lines<BufReader<ChildStderr>>,
    ) -> anyhow::Result<String> {
        for line in lines.by_ref() {
            let line = line?;
            let told: Value = serde_json::from_str(&line).unwrap_or_default();
            if let (Some(listen), Some(admin)) = (told["listen"].as_str(), told["admin"].as_str()) {
                self.base = format!("http://{listen}");
                let admin = format!("http://{admin}");
                std::thread::spawn(move || lines.map_while(Result::ok).for_each(complain));
                return Ok(admin);
            }
            complain(line);
        }
        bail!("the server ended at its start")
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        // Its data goes with it. One that has ended cannot be killed again, which is as it should be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn complain(line: String) {
    if !line.contains("\"level\":\"INFO\"") {
        eprintln!("server: {line}");
    }
}

impl Usage {
    /// Of a process of this machine.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let read = |name| {
            let path = format!("/proc/{pid}/{name}");
            fs::read_to_string(&path).with_context(|| format!("read {path}"))
        };
        let (stat, status) = (read("stat")?, read("status")?);
        let usage = Self::parse(&stat, &status);
        usage.context("what the system tells of the process is not understood")
    }

    fn parse(stat: &str, status: &str) -> Option<Self> {
        // The times are the 14th and 15th field; the second, in brackets, may hold anything.
        let (_, after_name) = stat.rsplit_once(')')?;
        let mut fields = after_name.split_whitespace().skip(11);
        let mut ticks = || fields.next()?.parse::<u64>().ok();
        let ticks = ticks()? + ticks()?;
        let per_s = rustix::param::clock_ticks_per_second();
        let bytes = |name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
            Some(kib * 1_024)
        };
        Some(Self {
            cpu: Duration::from_secs_f64(ticks as f64 / per_s as f64),
            rss_bytes: bytes("VmRSS:")?,
            rss_bytes_max: bytes("VmHWM:")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_what_the_system_tells() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 900 0 0 0 150 50 0 0 20 0 9 0 100 1 1";
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        let usage = Usage::parse(stat, status).expect("it is understood");
        let per_s = rustix::param::clock_ticks_per_second() as f64;
        assert_eq!(usage.cpu, Duration::from_secs_f64(200.0 / per_s));
        assert_eq!((usage.rss_bytes, usage.rss_bytes_max), (1 << 20, 2 << 20));
        assert!(Usage::parse("7 (x) S 1", status).is_none());
        assert!(
            Usage::of(std::process::id())
                .expect("it is there")
                .rss_bytes
                > 0
        );
    }
}

//! A process that is known beyond its number, so that no other one is ever ended in its place.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// How long a process that was killed may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(30);

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// One process. Numbers are given again, but not with the same time of starting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it started, in the kernel's ticks since it booted.
    pub started_ticks: u64,
}

impl Process {
    /// The process that has the number now, unless there is none or it has ended.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold anything; what follows it is fields and spaces.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?;
        let started_ticks = fields.nth(18)?.parse().ok()?;
        let has_ended = matches!(state, "Z" | "X");
        (!has_ended).then_some(Self { pid, started_ticks })
    }

    /// Whether it still runs.
    pub fn is_running(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Asks it to end, kills it if it has not done so `within` that time, and waits until it is gone.
    /// Nothing happens if it runs no more.
    pub fn end(self, within: Duration) -> Result<()> {
        if !self.signal(Signal::TERM)? || self.is_gone(within) {
            return Ok(());
        }
        self.signal(Signal::KILL)?;
        ensure!(
            self.is_gone(GONE_WITHIN),
            "process {} cannot be killed",
            self.pid
        );
        Ok(())
    }

    /// Whether there was a process to send it to.
    fn signal(self, signal: Signal) -> Result<bool> {
        if !self.is_running() {
            return Ok(false);
        }
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let pid = pid.context("a process has a number above 0")?;
        match kill_process(pid, signal) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(error) => Err(error).with_context(|| format!("ending process {}", self.pid)),
        }
    }

    fn is_gone(self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        while self.is_running() {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        true
    }
}

#[cfg(test)]
mod tests;

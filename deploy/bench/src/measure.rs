//! What a run of work took, and the ratio of ours to a peer's over interleaved runs.
//!
//! Absolute times mean nothing on a shared machine, so the two are run in turn, A B A B, after one run of
//! each that is not counted. The headline is CPU time (user and system of whoever does the work); the
//! wall clock stands beside it.

use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// A run of some units of work: events, requests.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// How much was done.
    pub units: u64,
    /// CPU time of the thread or process that did it.
    pub cpu: Duration,
    /// How long it took.
    pub wall: Duration,
}

impl Run {
    /// Does the work on this thread, which does nothing else meanwhile. It gives its units.
    pub fn of(work: impl FnOnce() -> Result<u64>) -> Result<Self> {
        let (started, cpu_before) = (Instant::now(), thread_cpu());
        let units = work()?;
        Ok(Self {
            units,
            cpu: thread_cpu() - cpu_before,
            wall: started.elapsed(),
        })
    }

    fn per_cpu_second(&self) -> f64 {
        self.units as f64 / self.cpu.as_secs_f64()
    }

    fn per_second(&self) -> f64 {
        self.units as f64 / self.wall.as_secs_f64()
    }
}

fn thread_cpu() -> Duration {
    cpu(ClockId::ThreadCPUTime)
}

/// User and system time of this process so far.
#[cfg(feature = "cluster")]
pub fn process_cpu() -> Duration {
    cpu(ClockId::ProcessCPUTime)
}

fn cpu(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// Runs of ours and of the peer's, in the order in which they were made.
#[derive(Debug, Clone, Default)]
pub struct Pairs(Vec<(Run, Run)>);

impl Pairs {
    /// Runs the two in turn, `count` times, and once before that is not counted.
    pub fn interleave(
        count: usize,
        mut ours: impl FnMut() -> Result<Run>,
        mut peer: impl FnMut() -> Result<Run>,
    ) -> Result<Self> {
        ours()?;
        peer()?;
        let mut pairs = Self::default();
        for _ in 0..count {
            pairs.push(ours()?, peer()?);
        }
        Ok(pairs)
    }

    /// Adds a pair.
    pub fn push(&mut self, ours: Run, peer: Run) {
        self.0.push((ours, peer));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Our units per CPU-second.
    pub fn ours(&self) -> Spread {
        Spread::of(self.0.iter().map(|(ours, _)| ours.per_cpu_second()))
    }

    /// The peer's units per CPU-second.
    pub fn peer(&self) -> Spread {
        Spread::of(self.0.iter().map(|(_, peer)| peer.per_cpu_second()))
    }

    /// Ours over the peer's, per CPU-second.
    pub fn cpu_ratio(&self) -> Spread {
        let ratio = |(ours, peer): &(Run, Run)| ours.per_cpu_second() / peer.per_cpu_second();
        Spread::of(self.0.iter().map(ratio))
    }

    /// Ours over the peer's, per second of wall clock.
    pub fn wall_ratio(&self) -> Spread {
        let ratio = |(ours, peer): &(Run, Run)| ours.per_second() / peer.per_second();
        Spread::of(self.0.iter().map(ratio))
    }
}

/// The middle, the least and the largest of what was measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The middle one, the higher of two.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of at least one value.
    pub fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        Self {
            median: at(values.len() / 2),
            min: at(0),
            max: at(values.len().saturating_sub(1)),
        }
    }

    /// One over each.
    pub fn inverted(self) -> Self {
        Self {
            median: 1.0 / self.median,
            min: 1.0 / self.max,
            max: 1.0 / self.min,
        }
    }
}

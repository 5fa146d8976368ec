//! What a simulation tells at its end, to people and as JSON.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use super::plan::{Scale, Way};
use super::process::Usage;
use super::tally::{Percentiles, Tally};

/// How many violations are told one by one.
const TOLD_MAX: usize = 20;
/// A mebibyte.
const MIB: f64 = 1_048_576.0;

/// The report.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Whether nothing was found.
    pub passed: bool,
    violations_found: usize,
    /// The first of them.
    violations: Vec<Found>,
    seed: u64,
    seconds: u64,
    rooms: u64,
    readers: usize,
    sent: u64,
    acknowledged: u64,
    unknown: u64,
    refused: BTreeMap<String, u64>,
    withheld: u64,
    resumed: u64,
    delays: BTreeMap<&'static str, Percentiles>,
    server: Option<Cost>,
}

#[derive(Debug, Serialize)]
struct Found {
    by: String,
    what: String,
}

/// What the server took.
#[derive(Debug, Clone, Serialize)]
pub struct Cost {
    /// CPU time while events were sent.
    pub cpu_s: f64,
    /// Memory before anybody was connected, with everybody, and at most.
    pub rss_bytes_before: u64,
    pub rss_bytes_connected: u64,
    pub rss_bytes_max: u64,
    /// What each reader added before anything was sent.
    pub rss_bytes_per_reader: u64,
}

impl Cost {
    /// From what a process took before the readers came, when they had come and nothing was sent yet,
    /// and at the end.
    pub fn between([before, connected, end]: [Usage; 3], readers: usize) -> Self {
        let added = connected.rss_bytes.saturating_sub(before.rss_bytes);
        Self {
            cpu_s: end.cpu.saturating_sub(connected.cpu).as_secs_f64(),
            rss_bytes_before: before.rss_bytes,
            rss_bytes_connected: connected.rss_bytes,
            // The system counts the most a little later than what there is.
            rss_bytes_max: end.rss_bytes_max.max(connected.rss_bytes),
            rss_bytes_per_reader: added / readers.max(1) as u64,
        }
    }
}

impl Report {
    /// Of what was measured.
    pub fn new(scale: &Scale, tally: &Tally, server: Option<Cost>) -> Self {
        let acknowledged = tally.acknowledged.percentiles();
        let by_way = Way::ALL.map(|way| (way.name(), &tally.delivered[way as usize]));
        let delays = [("acknowledged", &tally.acknowledged)]
            .into_iter()
            .chain(by_way)
            .chain([("slow", &tally.delivered_slowly)])
            .filter_map(|(name, delays)| Some((name, delays.percentiles()?)))
            .collect();
        let told = tally.violations.iter().take(TOLD_MAX);
        let found = told.map(|(by, what)| Found {
            by: by.clone(),
            what: what.to_string(),
        });
        Self {
            passed: tally.violations.is_empty(),
            violations_found: tally.violations.len(),
            violations: found.collect(),
            seed: scale.seed,
            seconds: scale.seconds,
            rooms: scale.rooms,
            readers: Way::ALL.iter().map(|way| scale.readers_by(*way)).sum(),
            sent: tally.sent,
            acknowledged: acknowledged.map_or(0, |of| of.count()),
            unknown: tally.unknown,
            refused: tally.refused.clone(),
            withheld: tally.withheld,
            resumed: tally.resumed,
            delays,
            server,
        }
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            seconds,
            rooms,
            readers,
            ..
        } = self;
        writeln!(
            f,
            "seed {seed}, {seconds} s, {rooms} rooms, {readers} readers"
        )?;
        let Self {
            sent,
            acknowledged,
            unknown,
            ..
        } = self;
        writeln!(
            f,
            "sent {sent}: acknowledged {acknowledged}, unknown {unknown}"
        )?;
        for (reason, count) in &self.refused {
            writeln!(f, "refused {count}: {reason}")?;
        }
        writeln!(f, "withheld {}, resumed {}", self.withheld, self.resumed)?;
        let heading = ["count", "p50", "p90", "p99", "p99.9", "max"];
        let heading = heading.map(|name| format!("{name:>9}")).join(" ");
        writeln!(f, "\nms after it was due {heading}")?;
        for (name, delays) in &self.delays {
            writeln!(f, "{name:<19}{}", delays.line())?;
        }
        if let Some(cost) = &self.server {
            let mib = |bytes: u64| bytes as f64 / MIB;
            writeln!(
                f,
                "\nserver: {:.2} s of CPU time; memory {:.1} MiB, with all readers {:.1} MiB ({:.1} KiB \
                 each), at most {:.1} MiB",
                cost.cpu_s,
                mib(cost.rss_bytes_before),
                mib(cost.rss_bytes_connected),
                cost.rss_bytes_per_reader as f64 / 1_024.0,
                mib(cost.rss_bytes_max),
            )?;
        }
        writeln!(f)?;
        for Found { by, what } in &self.violations {
            writeln!(f, "{by}: {what}")?;
        }
        match self.violations_found {
            0 => writeln!(
                f,
                "passed: nothing lost, repeated, out of order or left out in silence"
            ),
            found => writeln!(f, "failed: {found} violations"),
        }
    }
}

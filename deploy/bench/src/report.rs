//! What a bench found, kept in `bench.json` and printed as a table.
//!
//! A run replaces the figures that it measured and leaves the others, so the file holds the last of
//! each. A ratio is of rates where the target is a floor, of costs where it is a ceiling.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::measure::{Pairs, Spread};

/// The figure to reach.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Target {
    /// Our rate over the peer's is at least this.
    AtLeast(f64),
    /// Our cost over the peer's is at most this.
    AtMost(f64),
}

/// A ratio of ours to a peer's.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figure {
    what: String,
    target: Target,
    by_cpu: Spread,
    by_wall: Spread,
    ours_per_cpu_s: Spread,
    peer_per_cpu_s: Spread,
    pairs: usize,
}

impl Figure {
    /// What the pairs say of the thing that `what` names.
    pub fn new(what: impl Into<String>, target: Target, pairs: &Pairs) -> Self {
        let (by_cpu, by_wall) = match target {
            Target::AtLeast(_) => (pairs.cpu_ratio(), pairs.wall_ratio()),
            Target::AtMost(_) => (pairs.cpu_ratio().inverted(), pairs.wall_ratio().inverted()),
        };
        Self {
            what: what.into(),
            target,
            by_cpu,
            by_wall,
            ours_per_cpu_s: pairs.ours(),
            peer_per_cpu_s: pairs.peer(),
            pairs: pairs.len(),
        }
    }
}

/// A number that has no peer: a time, a size.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Measure {
    what: String,
    value: f64,
    unit: String,
}

impl Measure {
    /// So many of `unit`.
    pub fn new(what: impl Into<String>, value: f64, unit: &str) -> Self {
        Self {
            what: what.into(),
            value,
            unit: unit.to_owned(),
        }
    }
}

/// What one bench found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Findings {
    /// Ratios.
    pub figures: Vec<Figure>,
    /// Numbers without a peer.
    pub measures: Vec<Measure>,
    /// When: RFC 3339, to the second.
    pub measured_at: String,
}

/// The last findings of each bench, by its name.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report(BTreeMap<String, Findings>);

impl Report {
    /// The one in `file`; empty where there is none.
    pub fn read(file: &Path) -> Result<Self> {
        match fs::read(file) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("{} is no report: remove it", file.display())),
            Err(_) => Ok(Self::default()),
        }
    }

    /// Replaces the findings of a bench.
    pub fn put(&mut self, name: &str, findings: Findings) {
        self.0.insert(name.to_owned(), findings);
    }

    /// Writes it to `file`.
    pub fn write(&self, file: &Path) -> Result<()> {
        fs::write(file, serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("write {}", file.display()))
    }

    /// It as Markdown tables.
    pub fn table(&self) -> String {
        let mut out = String::from(
            "| bench | figure | target | by CPU: median (min–max) | by wall | ours per CPU-s | \
             peer per CPU-s | pairs | measured |\n|---|---|---|---|---|---|---|---|---|\n",
        );
        for (name, findings) in &self.0 {
            for figure in &findings.figures {
                figure.row(name, &findings.measured_at, &mut out);
            }
        }
        if self.0.values().any(|found| !found.measures.is_empty()) {
            out.push_str("\n| bench | measure | value | measured |\n|---|---|---|---|\n");
        }
        for (name, findings) in &self.0 {
            for Measure { what, value, unit } in &findings.measures {
                let at = &findings.measured_at;
                let _ = writeln!(
                    out,
                    "| {name} | {what} | {} {unit} | {at} |",
                    number(*value)
                );
            }
        }
        out
    }
}

impl Figure {
    fn row(&self, name: &str, measured_at: &str, out: &mut String) {
        let target = match self.target {
            Target::AtLeast(floor) => format!("≥ {floor}"),
            Target::AtMost(ceiling) => format!("≤ {ceiling}"),
        };
        let Spread { median, min, max } = self.by_cpu;
        let _ = writeln!(
            out,
            "| {name} | {} | {target} | **{median:.2}** ({min:.2}–{max:.2}) | {:.2} | {} | {} | {} | \
             {measured_at} |",
            self.what,
            self.by_wall.median,
            number(self.ours_per_cpu_s.median),
            number(self.peer_per_cpu_s.median),
            self.pairs,
        );
    }
}

/// Large numbers without their fraction and in groups of three digits, small ones with two places.
fn number(value: f64) -> String {
    if value.abs() < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

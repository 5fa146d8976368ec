//! What a simulation measures: delays in milliseconds, counts, and the violations that it found.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::plan::Way;
use super::violation::Violation;

/// Three digits of a delay matter.
const DIGITS: u8 = 3;
/// The longest delay that is told apart from longer ones.
const DELAY_US_MAX: u64 = 600_000_000;

/// Delays, from the time at which an event was to be sent.
#[derive(Debug)]
pub struct Delays(Histogram<u64>);

/// Some of them, in milliseconds.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Percentiles {
    count: u64,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    max_ms: f64,
}

/// All that is measured.
#[derive(Debug, Default)]
pub struct Tally {
    /// Until the log had an event.
    pub acknowledged: Delays,
    /// Until a reader was shown it, by way.
    pub delivered: [Delays; Way::ALL.len()],
    /// Until a slow reader was.
    pub delivered_slowly: Delays,
    /// Requests that were sent.
    pub sent: u64,
    /// Requests whose outcome is not known.
    pub unknown: u64,
    /// Events that were refused, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Events that pages left out, counted.
    pub withheld: u64,
    /// How often a reader came back to go on.
    pub resumed: u64,
    /// What was found, and by whom.
    pub violations: Vec<(String, Violation)>,
}

impl Tally {
    /// Notes a violation and tells it at once.
    pub fn violated(&mut self, by: String, violation: Violation) {
        eprintln!("{by}: {violation}");
        self.violations.push((by, violation));
    }
}

impl Default for Delays {
    fn default() -> Self {
        let histogram = Histogram::new_with_max(DELAY_US_MAX, DIGITS);
        Self(histogram.expect("the bounds are those of a histogram"))
    }
}

impl Delays {
    /// Another one.
    pub fn add(&mut self, delay: Duration) {
        let us = u64::try_from(delay.as_micros()).unwrap_or(DELAY_US_MAX);
        self.0.saturating_record(us);
    }

    /// How long most of them are at most; `None` where there is none.
    pub fn percentiles(&self) -> Option<Percentiles> {
        let ms = |us: u64| us as f64 / 1_000.0;
        let at = |quantile| ms(self.0.value_at_quantile(quantile));
        (!self.0.is_empty()).then(|| Percentiles {
            count: self.0.len(),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: ms(self.0.max()),
        })
    }
}

impl Percentiles {
    /// Of how many delays.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// As a line of a table.
    pub fn line(&self) -> String {
        format!(
            "{:>9} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>9.1}",
            self.count, self.p50_ms, self.p90_ms, self.p99_ms, self.p999_ms, self.max_ms
        )
    }
}

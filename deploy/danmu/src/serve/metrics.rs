//! What the process measures, as Prometheus reads it.
//!
//! The recorder is this server's own, not the process's: whatever is built inside [`Metrics::measuring`]
//! counts here, so that two servers of one process do not mix. Counters and histograms are pushed by
//! those who know; what can be looked up at any moment (sizes, queues, lags) is looked up when somebody
//! asks, by [`Gauges`]. docs/METRICS.md lists every metric, and a test compares it with what is served.

use std::sync::Arc;
use std::time::Duration;

use danmu_log::embedded::EmbeddedLog;
use danmu_processors::Standing;
use danmu_projections::EmbeddedHistory;
use metrics::{Gauge, Unit, describe_gauge, gauge};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Upper bounds of the buckets of every time, in seconds: from a page in memory to a hanging disk.
const SECONDS_BUCKETS: [f64; 16] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 10.0,
];

/// How often recorded times are put into their buckets; until then each takes memory.
const UPKEEP_EVERY: Duration = Duration::from_secs(1);

/// A server's metrics. Clones are the same.
#[derive(Clone)]
pub struct Metrics {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
}

impl Metrics {
    /// Nothing measured yet.
    pub fn new() -> Self {
        let builder = PrometheusBuilder::new();
        let seconds = Matcher::Suffix("_seconds".to_owned());
        let recorder = builder
            .set_buckets_for_metric(seconds, &SECONDS_BUCKETS)
            .expect("there are buckets")
            .build_recorder();
        let handle = recorder.handle();
        Self {
            recorder: Arc::new(recorder),
            handle,
        }
    }

    /// Builds something that counts here.
    pub fn measuring<T>(&self, build: impl FnOnce() -> T) -> T {
        metrics::with_local_recorder(&*self.recorder, build)
    }

    /// Everything, in Prometheus' text format.
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Keeps what is recorded but not yet counted small, until `stop`.
    pub async fn upkeep(self, stop: CancellationToken) {
        let pause = || stop.run_until_cancelled(tokio::time::sleep(UPKEEP_EVERY));
        while pause().await.is_some() {
            self.handle.run_upkeep();
        }
    }
}

/// The number of open connections of a listener.
pub fn connections(listener: &'static str) -> Gauge {
    const CONNECTIONS: &str = "danmu_http_connections";
    describe_gauge!(CONNECTIONS, "open connections");
    gauge!(CONNECTIONS, "listener" => listener)
}

/// What is looked up when somebody asks.
pub struct Gauges {
    log: EmbeddedLog,
    history: EmbeddedHistory,
    groups: [Group; 2],
    log_bytes: Gauge,
    waiting_records: Gauge,
    waiting_bytes: Gauge,
    history_bytes: Gauge,
}

/// How far behind a loop is.
struct Group {
    standing: watch::Receiver<Standing>,
    lag_records: Gauge,
    lag_seconds: Gauge,
}

impl Gauges {
    /// The gauges of a log, a history, and the two loops between them.
    pub fn new(
        log: EmbeddedLog,
        history: EmbeddedHistory,
        windows_loop: watch::Receiver<Standing>,
        history_loop: watch::Receiver<Standing>,
    ) -> Self {
        const LOG: &str = "danmu_log_bytes";
        const RECORDS: &str = "danmu_log_waiting_records";
        const BYTES: &str = "danmu_log_waiting_bytes";
        const HISTORY: &str = "danmu_history_bytes";
        const BUILD: &str = "danmu_build_info";
        describe_gauge!(LOG, Unit::Bytes, "bytes of the log's segments");
        describe_gauge!(RECORDS, "records that wait for the log's writer");
        describe_gauge!(BYTES, Unit::Bytes, "bytes that wait for the log's writer");
        describe_gauge!(HISTORY, Unit::Bytes, "bytes of the history on the disk");
        describe_gauge!(BUILD, "always 1; the label tells the build's version");
        gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1);
        let groups = [("windows", windows_loop), ("history", history_loop)];
        Self {
            log,
            history,
            groups: groups.map(|(name, standing)| Group::new(name, standing)),
            log_bytes: gauge!(LOG),
            waiting_records: gauge!(RECORDS),
            waiting_bytes: gauge!(BYTES),
            history_bytes: gauge!(HISTORY),
        }
    }

    /// Looks everything up; `now_ms` is by the log's clock.
    pub fn update(&self, now_ms: i64) {
        let figures = self.log.figures();
        self.log_bytes.set(figures.bytes as f64);
        self.waiting_records.set(figures.waiting_records as f64);
        self.waiting_bytes.set(figures.waiting_bytes as f64);
        match self.history.disk_bytes() {
            Ok(bytes) => self.history_bytes.set(bytes as f64),
            Err(error) => tracing::warn!(%error, "the history was not measured"),
        }
        for group in &self.groups {
            group.update(&self.log, now_ms);
        }
    }
}

impl Group {
    fn new(name: &'static str, standing: watch::Receiver<Standing>) -> Self {
        const RECORDS: &str = "danmu_lag_records";
        const SECONDS: &str = "danmu_lag_seconds";
        describe_gauge!(RECORDS, "records of the log that the group has not settled");
        describe_gauge!(SECONDS, Unit::Seconds, "age of the oldest of them");
        Self {
            standing,
            lag_records: gauge!(RECORDS, "group" => name),
            lag_seconds: gauge!(SECONDS, "group" => name),
        }
    }

    fn update(&self, log: &EmbeddedLog, now_ms: i64) {
        let (mut records, mut age_ms) = (0, 0);
        for (partition, standing) in &self.standing.borrow().partitions {
            let next = standing.read_to + 1;
            records += (log.end_offset(*partition) - next).max(0);
            let logged_at = log.logged_at(*partition, next);
            age_ms = age_ms.max(logged_at.map_or(0, |logged_at| now_ms - logged_at));
        }
        self.lag_records.set(records as f64);
        self.lag_seconds.set(age_ms as f64 / 1_000.0);
    }
}

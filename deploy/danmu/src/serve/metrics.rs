//! What the process measures, as Prometheus reads it.
//!
//! The recorder is this server's own, not the process's: whatever is built inside [`Metrics::measuring`]
//! counts here, so that two servers of one process do not mix. Counters and histograms are pushed by
//! those who know; what can be looked up at any moment (sizes, queues, lags) is looked up when somebody
//! asks, by [`Gauges`]. docs/METRICS.md lists every metric, and a test compares it with what is served.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use metrics::{Gauge, Unit, describe_gauge, gauge};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use tokio_util::sync::CancellationToken;

use super::lag::Lag;
use super::projecting::Standings;
use crate::engines::{Engines, History, Log};

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

    /// Has whatever the future builds count here.
    pub async fn measured<F: Future>(&self, building: F) -> F::Output {
        let mut building = pin!(building);
        poll_fn(|context| self.measuring(|| building.as_mut().poll(context))).await
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

/// What is looked up when somebody asks, of the engines and the loops that the process has.
pub struct Gauges {
    log: Option<LogGauges>,
    history: Option<(History, Gauge)>,
    groups: Vec<Group>,
}

/// How much a log keeps and how much waits for it.
struct LogGauges {
    log: Log,
    bytes: Gauge,
    waiting_records: Gauge,
    waiting_bytes: Gauge,
}

/// How far behind a loop is.
struct Group {
    lag: Lag,
    records: Gauge,
    seconds: Gauge,
}

impl Gauges {
    /// The gauges of a process with these engines and loops.
    pub fn new(engines: &Engines, standings: &Standings) -> Self {
        const HISTORY: &str = "danmu_history_bytes";
        const BUILD: &str = "danmu_build_info";
        describe_gauge!(HISTORY, Unit::Bytes, "bytes of the history on the disk");
        describe_gauge!(BUILD, "always 1; the label tells the build's version");
        gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1);
        let loops = [
            ("windows", &standings.windows),
            ("history", &standings.history),
        ];
        let groups = loops.into_iter().filter_map(|(name, standing)| {
            let lag = Lag::new(engines.log.clone()?, standing.clone()?);
            Some(Group::new(name, lag))
        });
        Self {
            log: engines.log.clone().map(LogGauges::new),
            history: engines
                .history
                .clone()
                .map(|history| (history, gauge!(HISTORY))),
            groups: groups.collect(),
        }
    }

    /// Looks everything up; `now_ms` is by the log's clock.
    pub fn update(&self, now_ms: i64) {
        if let Some(log) = &self.log {
            log.update();
        }
        if let Some((history, bytes)) = &self.history {
            match history.disk_bytes() {
                Ok(Some(on_disk)) => bytes.set(on_disk as f64),
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "the history was not measured"),
            }
        }
        for group in &self.groups {
            group.update(now_ms);
        }
    }
}

impl LogGauges {
    fn new(log: Log) -> Self {
        const LOG: &str = "danmu_log_bytes";
        const RECORDS: &str = "danmu_log_waiting_records";
        const BYTES: &str = "danmu_log_waiting_bytes";
        describe_gauge!(LOG, Unit::Bytes, "bytes of the log's segments");
        describe_gauge!(RECORDS, "records that wait for the log to take them");
        describe_gauge!(BYTES, Unit::Bytes, "their bytes");
        Self {
            log,
            bytes: gauge!(LOG),
            waiting_records: gauge!(RECORDS),
            waiting_bytes: gauge!(BYTES),
        }
    }

    fn update(&self) {
        let figures = self.log.figures();
        if let Some(bytes) = figures.disk_bytes {
            self.bytes.set(bytes as f64);
        }
        self.waiting_records.set(figures.waiting_records as f64);
        self.waiting_bytes.set(figures.waiting_bytes as f64);
    }
}

impl Group {
    fn new(name: &'static str, lag: Lag) -> Self {
        const RECORDS: &str = "danmu_lag_records";
        const SECONDS: &str = "danmu_lag_seconds";
        describe_gauge!(RECORDS, "records of the log that the group has not settled");
        describe_gauge!(SECONDS, Unit::Seconds, "age of the oldest of them");
        Self {
            lag,
            records: gauge!(RECORDS, "group" => name),
            seconds: gauge!(SECONDS, "group" => name),
        }
    }

    fn update(&self, now_ms: i64) {
        let behind = self.lag.look(now_ms);
        self.records.set(behind.records as f64);
        self.seconds.set(behind.age_ms as f64 / 1_000.0);
    }
}

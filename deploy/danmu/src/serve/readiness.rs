//! Whether the process can answer, and why not.
//!
//! It has started once the windows' loop stands where the log ended when it began to read: before
//! that, a viewer could be told that a room is empty which is not. Until then the public listener
//! answers `starting`. Being ready, which a load balancer asks for, also ends with a stop, with a
//! partition that the loop can read no further, and with a log that takes no more events until the
//! process is started again; what is already known is still answered then. A loop whose group has no
//! partition left for it stands by, and is ready.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use danmu_ingest::http::Refused;
use danmu_processors::projector::{PartitionStanding, Standing};
use danmu_schemas::problem::{Problem, ProblemType};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::engines::Log;

/// When to come again while the process starts, in seconds.
const STARTING_RETRY_S: u32 = 1;

/// What readiness is told from. Clones look at the same log and loop.
#[derive(Clone)]
pub struct Readiness {
    log: Option<Log>,
    windows: Option<watch::Receiver<Standing>>,
    stop: CancellationToken,
    /// Whether the windows stood there once; that cannot be undone.
    has_started: Arc<AtomicBool>,
}

impl Readiness {
    /// The readiness of a process that works on `log`, whose windows' loop stands at `windows`, where
    /// it has such, and that ends with `stop`.
    pub fn new(
        log: Option<Log>,
        windows: Option<watch::Receiver<Standing>>,
        stop: CancellationToken,
    ) -> Self {
        let has_started = Arc::default();
        Self {
            log,
            windows,
            stop,
            has_started,
        }
    }

    /// Whether the windows ever stood at the log's end.
    pub fn has_started(&self) -> bool {
        if self.has_started.load(Ordering::Relaxed) {
            return true;
        }
        let is_ready = |windows: &watch::Receiver<Standing>| windows.borrow().is_ready();
        let is_ready = self.windows.as_ref().is_none_or(is_ready);
        if is_ready {
            self.has_started.store(true, Ordering::Relaxed);
        }
        is_ready
    }

    /// Why no requests should be sent here; nothing if they should.
    pub fn why_not(&self) -> Option<String> {
        if self.stop.is_cancelled() {
            return Some("stopping".to_owned());
        }
        if let Some(why) = self.log.as_ref().and_then(Log::refusal) {
            return Some(format!("log: {why}"));
        }
        let standing = self.windows.as_ref()?.borrow();
        if !standing.is_assigned {
            return Some("windows: no partition is assigned yet".to_owned());
        }
        let waiting = standing.partitions.iter().filter_map(|(partition, at)| {
            partition_why_not(at).map(|why| format!("windows: partition {partition}: {why}"))
        });
        let waiting: Vec<String> = waiting.collect();
        (!waiting.is_empty()).then(|| waiting.join("\n"))
    }
}

/// Why a partition's rooms cannot be told; nothing if they can.
fn partition_why_not(at: &PartitionStanding) -> Option<String> {
    if let Some(why) = &at.halted {
        return Some(format!("halted: {why}"));
    }
    match at.records_to_go {
        Some(0) => None,
        Some(records) => Some(format!("{records} records behind")),
        None if at.slots_open < at.slots => {
            let refilled = at.slots - at.slots_open;
            Some(format!(
                "{refilled} of {} slots are being refilled",
                at.slots
            ))
        }
        None => Some("the log is being sought".to_owned()),
    }
}

/// The router, answering `starting` until the process has started.
pub fn gated(router: Router, readiness: Readiness) -> Router {
    router.layer(middleware::from_fn_with_state(readiness, gate))
}

async fn gate(State(readiness): State<Readiness>, request: Request, next: Next) -> Response {
    if readiness.has_started() {
        next.run(request).await
    } else {
        starting()
    }
}

fn starting() -> Response {
    let problem = Problem::new(ProblemType::Starting).retry_after_s(STARTING_RETRY_S);
    Refused::from(problem).into_response()
}

#[cfg(test)]
mod tests;

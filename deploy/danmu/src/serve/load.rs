//! How loaded the process is, told to its read side once a second.
//!
//! Three figures make the load: the age of what the windows have not settled, how full the log's queue is,
//! and how late timers of this process are. A timer is late for a moment whenever the machine is busy, so
//! it is the least of several that counts. What an engine cannot tell counts as rest.

use std::time::Duration;

use danmu_api::{Level, Load};
use danmu_processors::Standing;
use metrics::{Gauge, describe_gauge, gauge};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::lag::Lag;
use crate::engines::Log;

/// How often one looks.
const LOOKED_EVERY: Duration = Duration::from_secs(1);
/// How many timers in a row have to be late.
const LATE_LOOKS: usize = 5;

/// What the load is told from.
pub struct Loads {
    log: Option<Log>,
    windows: Option<Lag>,
    level: Gauge,
}

impl Loads {
    /// The load of a process that has this log and this loop of the windows, as far as it has them.
    pub fn new(log: Option<Log>, windows: Option<watch::Receiver<Standing>>) -> Self {
        const LEVEL: &str = "danmu_load_level";
        describe_gauge!(
            LEVEL,
            "how loaded the process is: 0 at rest to 3 at its limit"
        );
        let level = gauge!(LEVEL);
        let windows = log.clone().zip(windows);
        let windows = windows.map(|(log, standing)| Lag::new(log, standing));
        Self {
            log,
            windows,
            level,
        }
    }

    /// Tells the level once a second, until `stop`.
    pub async fn tell(self, set: impl Fn(Level), now_ms: fn() -> i64, stop: CancellationToken) {
        let mut level = Level::default();
        let mut late_ms = [0; LATE_LOOKS];
        for look in 0.. {
            let due = Instant::now() + LOOKED_EVERY;
            if stop.run_until_cancelled(sleep_until(due)).await.is_none() {
                return;
            }
            late_ms[look % LATE_LOOKS] = due.elapsed().as_millis() as u64;
            let late_ms = late_ms.into_iter().min().unwrap_or_default();
            level = level.next(self.load(late_ms, now_ms()));
            self.level.set(f64::from(level as u8));
            set(level);
        }
    }

    fn load(&self, late_ms: u64, now_ms: i64) -> Load {
        let figures = self.log.as_ref().map(Log::figures);
        let behind = self.windows.as_ref().map(|lag| lag.look(now_ms));
        let age_ms = behind.map_or(0, |behind| behind.age_ms);
        Load {
            lag_ms: u64::try_from(age_ms).unwrap_or_default(),
            queue_percent: figures.map_or(0, |figures| figures.queue_percent),
            late_ms,
        }
    }
}

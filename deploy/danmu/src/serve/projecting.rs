//! The loops of a process: which projections it feeds, and what works beside them.
//!
//! The windows' loop and the history's do not wait for each other. Beside the history's the sweep makes
//! erasures true at rest; beside the windows' the watermark goes to whoever may forget what lies below
//! it. A process without the role has no such loop.

use std::time::Duration;

use danmu_log::{DeadLetters, LogReader};
use danmu_processors::Published;
use danmu_processors::projector::{Options as LoopOptions, Projector, Standing};
use danmu_projections::windows::RefillOptions;
use danmu_projections::{HistoryReader, HistoryWriter, Projection, Sweep, Windows};
use tokio::sync::watch;

use super::loops::Loops;
use super::metrics::Metrics;
use super::{Options, sweep, trim};
use crate::config::Role;
use crate::engines::{Engines, Log, Reader};

/// The most events of a room that a start copies from the history into its window.
const REFILL_EVENTS_MAX: usize = 2_048;

/// How long another process that lost its share of the log may take to notice while it writes: far longer
/// than a session, for one that stands still.
const LATE_FOR: Duration = Duration::from_secs(60 * 60);

/// How far the loops of the process are, those that it has.
#[derive(Debug, Default)]
pub struct Standings {
    /// The windows' loop.
    pub windows: Option<watch::Receiver<Standing>>,
    /// The history's loop.
    pub history: Option<watch::Receiver<Standing>>,
}

/// Starts the loops of the process's roles.
pub async fn start(
    loops: &mut Loops,
    engines: &Engines,
    options: &Options,
    metrics: &Metrics,
) -> anyhow::Result<Standings> {
    let mut standings = Standings::default();
    let Some((log, history)) = engines.log.as_ref().zip(engines.history.as_ref()) else {
        return Ok(standings);
    };
    let identity = log.identity();
    let reader = HistoryReader::new(history.clone(), identity.clone());
    if let Some(windows) = engines
        .windows
        .as_ref()
        .filter(|_| options.roles.has(Role::Windows))
    {
        let filled = Windows::new(
            windows.clone(),
            reader.clone(),
            identity.clone(),
            refill_options(log).await?,
        );
        let filling = projector(filled, log, "windows")?;
        let filling = metrics.measuring(|| filling.metered("windows"));
        let standing = filling.standing();
        loops.start("windows", filling)?;
        let trimming = trim::Trim::new(log.clone(), windows.clone(), reader, standing.clone());
        loops.also("trim", |stop| trimming.run(stop))?;
        standings.windows = Some(standing);
    }
    if options.roles.has(Role::History) {
        let letters = log.dead_letters(&options.dead_letters).await?;
        let written = HistoryWriter::new(history.clone(), identity.clone());
        let standing = match &engines.settled {
            Some(topic) => {
                let published = Published::new(written, topic.clone(), log.routes().clone());
                record(loops, published, log, letters, metrics)?
            }
            None => record(loops, written, log, letters, metrics)?,
        };
        let sweeping = Sweep::new(history.clone(), identity);
        let sweeping = match history.is_shared() {
            true => sweeping.among_late_writers(LATE_FOR),
            false => sweeping,
        };
        let while_ours = standing.clone();
        loops.also("sweep", |stop| sweep::run(sweeping, while_ours, stop))?;
        standings.history = Some(standing);
    }
    Ok(standings)
}

/// Starts the history's loop, which keeps what it cannot decode.
fn record<P: Projection + 'static>(
    loops: &mut Loops,
    projection: P,
    log: &Log,
    letters: Box<dyn DeadLetters>,
    metrics: &Metrics,
) -> anyhow::Result<watch::Receiver<Standing>> {
    let recording = projector(projection, log, "history")?.keeping(letters);
    let recording = metrics.measuring(|| recording.metered("history"));
    let standing = recording.standing();
    loops.start("history", recording)?;
    Ok(standing)
}

/// The loop over this process's share of the log among all of its group.
fn projector<P: Projection>(
    projection: P,
    log: &Log,
    group: &str,
) -> anyhow::Result<Projector<P, Reader>> {
    let (reader, routes) = (log.member_of(group)?, log.routes().clone());
    Ok(Projector::new(
        projection,
        reader,
        routes,
        LoopOptions::default(),
    ))
}

async fn refill_options(log: &Log) -> anyhow::Result<RefillOptions> {
    let mut reader = log.reader()?;
    let mut log_is_whole = true;
    for partition in reader.partitions() {
        log_is_whole &= reader.first_offset(partition).await? == 0;
    }
    Ok(RefillOptions {
        owner: uuid::Uuid::new_v4().as_u64_pair().0,
        log_is_whole,
        events_max: REFILL_EVENTS_MAX,
    })
}

//! The server: every role in one process, on the embedded engines.
//!
//! `run` is the whole of it, given its listeners, its directories and its stop: it opens the log, the
//! history and the windows, starts the two loops, answers on both listeners and hands the watermark to
//! whoever may forget what lies below it. A stop goes the way of the events: not ready, no new
//! connections, what was accepted is finished, the loops checkpoint, the log is sealed.

mod accept;
mod admin;
mod answers;
mod command;
mod document;
mod key_set;
mod loops;
mod metrics;
mod readiness;
mod requests;
mod sweep;
#[cfg(test)]
mod tests;
mod trim;
mod verify;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use axum::Router;
use danmu_api::{Api, FeedLimits};
use danmu_ingest::{Guard, Identity, Ingest, Origins, likes};
use danmu_log::LogReader;
use danmu_log::embedded::{self, EmbeddedLog};
use danmu_processors::dead_letter::DeadLetters;
use danmu_processors::projector::{self, Projector};
use danmu_projections::windows::{RefillOptions, WindowLimits};
use danmu_projections::{
    EmbeddedHistory, HistoryReader, HistoryWriter, MemoryWindows, Sweep, Windows,
};
use danmu_schemas::EventId;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Access, Tokens};
use accept::{Bounds, accept};
use admin::Admin;
use answers::Answers;
pub use command::{Bound, ServeArgs, command, finish, signalled};
use document::documented;
use key_set::KeySetFile;
use loops::Loops;
use metrics::{Gauges, Metrics, connections};
use readiness::{Readiness, gated};
use requests::{counted, counted_ready};
use verify::Verifications;

/// How long likes are summed.
const LIKES_FLUSH_AFTER: std::time::Duration = std::time::Duration::from_millis(200);

/// The most events of a room that a start copies from the history into its window.
const REFILL_EVENTS_MAX: usize = 2_048;

/// Where a server keeps what it must not lose.
#[derive(Debug, Clone)]
pub struct Options {
    /// The log's directory.
    pub log: PathBuf,
    /// The history's directory.
    pub history: PathBuf,
    /// The file of records that nobody could decode.
    pub dead_letters: PathBuf,
    /// Who may call.
    pub access: Access,
}

/// Serves until `stop`, or until a loop cannot go on.
pub async fn run(
    public: TcpListener,
    admin: TcpListener,
    options: Options,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let metrics = Metrics::new();
    let followers = TaskTracker::new();
    let identity = identity(&options.access, &followers, &stop)?;
    let log_options = embedded::Options::new(&options.log, embedded::wall_clock());
    let log = metrics.measuring(|| EmbeddedLog::open(log_options))?;
    let history = EmbeddedHistory::open(&options.history)
        .with_context(|| format!("history in {}", options.history.display()))?;
    let windows = MemoryWindows::new(WindowLimits::default());
    let letters = DeadLetters::open(&options.dead_letters, log.identity())?;

    let filling = Projector::new(
        Windows::new(
            windows.clone(),
            HistoryReader::new(history.clone(), log.identity()),
            log.identity(),
            refill_options(&log).await?,
        ),
        log.reader(),
        log.routes().clone(),
        projector::Options::default(),
    );
    let filling = metrics.measuring(|| filling.metered("windows"));
    let recording = Projector::new(
        HistoryWriter::new(history.clone(), log.identity()),
        log.reader(),
        log.routes().clone(),
        projector::Options::default(),
    )
    .keeping(letters);
    let recording = metrics.measuring(|| recording.metered("history"));
    let readiness = Readiness::new(log.clone(), filling.standing(), stop.clone());
    let recorded = recording.standing();
    let gauges = metrics.measuring(|| {
        let (log, history) = (log.clone(), history.clone());
        Gauges::new(log, history, filling.standing(), recorded.clone())
    });
    let mut loops = Loops::new();
    loops.start("windows", filling)?;
    loops.start("history", recording)?;
    let sweeping = Sweep::new(history.clone(), log.identity());
    loops.also("sweep", |stop| sweep::run(sweeping, stop))?;

    let ingest = Ingest::new(log.clone(), log.routes().clone(), likes_options());
    let ingest = Arc::new(ingest.limited(options.access.limits));
    let verifications = Verifications::new(
        log.clone(),
        HistoryReader::new(history.clone(), log.identity()),
        windows.clone(),
        stop.clone(),
    );
    let api = Api::new(
        windows.clone(),
        HistoryReader::new(history, log.identity()),
        FeedLimits::default(),
        stop.clone(),
    );
    let write_side = danmu_ingest::router(Arc::clone(&ingest));
    let routes = documented(write_side.merge(danmu_api::router(api.clone())))?;
    let router = guarded(routes, identity, &options.access, readiness.clone())?;
    let router = metrics.measuring(|| counted(router));
    let answers = metrics.measuring(|| answers(router, api.clone(), &options.access));
    let admin_stop = CancellationToken::new();
    let admin_router = admin::router(Admin {
        readiness,
        metrics: metrics.clone(),
        gauges: Arc::new(gauges),
        verifications: verifications.clone(),
    });
    let upkeep = tokio::spawn(metrics.clone().upkeep(admin_stop.clone()));
    let admin = tokio::spawn(accept(
        admin,
        admin_router,
        Bounds::default(),
        admin_stop.clone(),
        metrics.measuring(|| connections("admin")),
    ));
    let public = tokio::spawn(accept(
        public,
        answers,
        Bounds {
            trust_forwarded: options.access.trust_forwarded,
            ..Bounds::default()
        },
        stop.clone(),
        metrics.measuring(|| connections("public")),
    ));
    let trim = tokio::spawn(trim::below_watermark(
        log.clone(),
        windows,
        recorded,
        stop.clone(),
    ));

    tokio::select! {
        () = stop.cancelled() => {}
        () = loops.ended() => stop.cancel(),
    }
    public.await?;
    api.closed().await;
    trim.await?;
    followers.close();
    followers.wait().await;
    ingest.close().await;
    let finished = loops.finish().await;
    verifications.ended().await;
    log.close().await;
    admin_stop.cancel();
    admin.await?;
    upkeep.await?;
    finished
}

/// What stands before the public routes: which pages may ask, whether there is an answer yet, who calls.
fn guarded(
    routes: Router,
    identity: Option<Arc<Identity>>,
    access: &Access,
    readiness: Readiness,
) -> anyhow::Result<Router> {
    let guard = Guard {
        identity,
        private_reads: access.private_reads,
        now_ms,
    };
    let origins = access.allow_origin.iter().map(String::as_str);
    let origins = Origins::parse(origins).map_err(anyhow::Error::msg)?;
    Ok(origins.before(gated(guard.before(routes), readiness)))
}

/// What the public listener answers. Pages that lie ready pass by the guard, so there are none where
/// a read needs a token.
fn answers(router: Router, api: Api<MemoryWindows, EmbeddedHistory>, access: &Access) -> Answers {
    if access.private_reads {
        return router.into();
    }
    Answers::new(router, counted_ready(move |request| api.ready(request)))
}

/// What checks tokens, and keeps up with its file. Without it every caller is trusted, which is why
/// such a server listens on loopback unless it is told otherwise.
fn identity(
    access: &Access,
    followers: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Arc<Identity>>> {
    Ok(match &access.tokens {
        None => None,
        Some(Tokens::Secrets(secrets)) => Some(Arc::new(Identity::of_secrets(secrets))),
        Some(Tokens::KeySet(path)) => {
            let key_set = KeySetFile::open(path.clone())?;
            let identity = key_set.identity();
            followers.spawn(key_set.follow(key_set::CHECKED_EVERY, stop.clone()));
            Some(identity)
        }
    })
}

async fn refill_options(log: &EmbeddedLog) -> anyhow::Result<RefillOptions> {
    let mut reader = log.reader();
    let mut log_is_whole = true;
    for partition in log.partitions() {
        log_is_whole &= reader.first_offset(partition).await? == 0;
    }
    Ok(RefillOptions {
        owner: uuid::Uuid::new_v4().as_u64_pair().0,
        log_is_whole,
        events_max: REFILL_EVENTS_MAX,
    })
}

fn likes_options() -> likes::Options {
    likes::Options {
        flush_after: LIKES_FLUSH_AFTER,
        source: format!("danmu-{}", uuid::Uuid::now_v7()),
        now_ms,
        new_id: || EventId::from(uuid::Uuid::now_v7()),
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}

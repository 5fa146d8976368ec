//! The server: the roles that it is given, on the engines that those need.
//!
//! `run` is the whole of it, given its listeners, its engines and its stop: it opens the engines, starts
//! the loops and answers on both listeners. A stop goes the way of the events: not ready, no new
//! connections, what was accepted is finished, streams and sockets are closed with a reason, the loops
//! checkpoint, the log is sealed.

mod accept;
mod admin;
mod answers;
mod command;
mod document;
mod key_set;
mod lag;
mod load;
mod loops;
mod metrics;
mod projecting;
mod readiness;
mod requests;
mod sweep;
#[cfg(test)]
mod tests;
mod trim;
mod verify;
mod write_side;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::ensure;
use axum::Router;
use danmu_api::{Api, FeedLimits};
use danmu_ingest::{Guard, Identity, Ingest, Origins, likes};
use danmu_schemas::EventId;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use utoipa_axum::router::OpenApiRouter;

use crate::config::{Access, Role, Roles, Tokens};
use crate::engines::{Engines, History, Log, Urls, Windows};
use accept::{Bounds, accept};
use admin::Admin;
use answers::Answers;
pub use command::{Bound, ServeArgs, command, finish, signalled};
use document::documented;
use key_set::KeySetFile;
use load::Loads;
use loops::Loops;
use metrics::{Gauges, Metrics, connections};
use readiness::{Readiness, gated};
use requests::{counted, counted_ready};
use verify::Verifications;
use write_side::Handover;

/// How long likes are summed.
const LIKES_FLUSH_AFTER: Duration = Duration::from_millis(200);
/// How long after a loop has failed it is still looked whether another log is there: longer than from one
/// look at the topic's id to the next.
const REPLACED_WITHIN: Duration = Duration::from_secs(3);

/// What a process does and where it keeps what it must not lose.
#[derive(Debug, Clone)]
pub struct Options {
    /// What it does.
    pub roles: Roles,
    /// Where the engines are.
    pub engines: Urls,
    /// The file of records of an embedded log that nobody could decode.
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
    let opening = Engines::open(&options.engines, options.roles);
    let engines = metrics.measured(opening).await?;
    let mut loops = Loops::new();
    let standings = projecting::start(&mut loops, &engines, &options, &metrics).await?;

    let readiness = Readiness::new(engines.log.clone(), standings.windows.clone(), stop.clone());
    let gauges = metrics.measuring(|| Gauges::new(&engines, &standings));
    let verifications = Verifications::new(&engines, stop.clone());
    let ingest = ingest(&engines, &options);
    let handover = Handover {
        ingest: ingest.clone(),
        identity: identity.clone(),
        now_ms,
    };
    let api = metrics.measuring(|| api(&engines, &options, handover, &stop));
    let loads = metrics.measuring(|| Loads::new(engines.log.clone(), standings.windows.clone()));
    let mut routes = OpenApiRouter::new();
    if let Some(ingest) = &ingest {
        routes = routes.merge(danmu_ingest::router(Arc::clone(ingest)));
    }
    if let Some(api) = &api {
        routes = routes.merge(danmu_api::router(api.clone()));
    }
    let mut routes = documented(routes)?;
    if api.is_some() {
        routes = routes.merge(danmu_api::web::router());
    }
    let router = guarded(routes, identity, &options.access, readiness.clone())?;
    let router = metrics.measuring(|| counted(router));
    let answers = metrics.measuring(|| answers(router, api.clone(), &options.access));
    if let Some(api) = api.clone() {
        let tell = loads.tell(move |level| api.set_level(level), now_ms, stop.clone());
        followers.spawn(tell);
    }
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

    let is_replaced = tokio::select! {
        () = stop.cancelled() => false,
        () = loops.ended() => is_replaced(&engines).await,
        () = engines.replaced() => true,
    };
    stop.cancel();
    public.await?;
    if let Some(api) = api {
        api.closed().await;
    }
    followers.close();
    followers.wait().await;
    if let Some(ingest) = ingest {
        ingest.close().await;
    }
    let finished = loops.finish().await;
    verifications.ended().await;
    engines.close().await;
    admin_stop.cancel();
    admin.await?;
    upkeep.await?;
    // Whatever a loop stumbled over then comes of it.
    ensure!(!is_replaced, "another log is at {}", options.engines.log);
    finished
}

/// Whether another log stands where the process's own was: a loop may meet it before it is known for
/// another.
async fn is_replaced(engines: &Engines) -> bool {
    timeout(REPLACED_WITHIN, engines.replaced()).await.is_ok()
}

/// The write side, where the process has it.
fn ingest(engines: &Engines, options: &Options) -> Option<Arc<Ingest<Log>>> {
    let log = engines.log.clone();
    let log = log.filter(|_| options.roles.has(Role::Ingest))?;
    let routes = log.routes().clone();
    let ingest = Ingest::new(log, routes, likes_options());
    Some(Arc::new(ingest.limited(options.access.limits)))
}

/// The read side, where the process has it.
fn api(
    engines: &Engines,
    options: &Options,
    handover: Handover,
    stop: &CancellationToken,
) -> Option<Api<Windows, History>> {
    let stores = engines.windows.clone().zip(engines.history_reader());
    let (windows, history) = stores.filter(|_| options.roles.has(Role::Api))?;
    let options = danmu_api::Options {
        limits: FeedLimits::default(),
        writes: Arc::new(handover),
        now_ms,
    };
    Some(Api::new(windows, history, options, stop.clone()))
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
fn answers(router: Router, api: Option<Api<Windows, History>>, access: &Access) -> Answers {
    match api {
        Some(api) if !access.private_reads => {
            Answers::new(router, counted_ready(move |request| api.ready(request)))
        }
        _ => router.into(),
    }
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

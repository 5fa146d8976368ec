//! `danmu simulate`: load on a server, and whether it does under it what it promises.
//!
//! Open loop with a seed. [`plan`] draws rooms, readers and what is sent when; [`crew`] sends it over the
//! public API and [`reader`]s read it in every way. Every page is checked as it comes: a [`transcript`]
//! must be dense or say what it leaves out, and a room's [`record`] must be the same for all its readers,
//! have all that was acknowledged, and be the history in the end. What a violation is, is decided in
//! [`page`], [`transcript`] and [`record`], which are pure, as is [`plan`].

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::serve::signalled;
use audience::Audience;
use crew::Crew;
use link::Target;
use plan::Scale;
use process::{OwnServer, Usage};
use report::{Cost, Report};

mod audience;
mod crew;
mod frames;
mod link;
mod page;
mod plan;
mod process;
mod reader;
mod record;
mod report;
mod tally;
mod transcript;
mod violation;

/// How long readers may take until all have connected once.
const JOINED_WITHIN: Duration = Duration::from_secs(120);
/// How long readers may take to read what is left when nothing is sent any more.
const READ_WITHIN: Duration = Duration::from_secs(120);
/// How long they may take to say that they could not.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// What `danmu simulate` is asked to do.
#[derive(Debug, clap::Args)]
pub struct SimulateArgs {
    /// The server's address; left out, a server is started that goes with the simulation
    #[arg(long)]
    to: Option<String>,
    /// A backend's token
    #[arg(long, env = "DANMU_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The server's process, if it is on this machine: what it takes is told
    #[arg(long, requires = "to")]
    pid: Option<u32>,
    #[command(flatten)]
    scale: Scale,
    /// Tell the result as JSON
    #[arg(long)]
    json: bool,
}

/// Simulates; the code is 0 if nothing was found.
pub fn run(args: SimulateArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let simulated = runtime.block_on(simulate(&args));
    runtime.shutdown_background();
    let report = simulated?;
    let mut out = std::io::stdout().lock();
    match args.json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
        false => write!(out, "{report}")?,
    }
    Ok(match report.passed {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

async fn simulate(args: &SimulateArgs) -> anyhow::Result<Report> {
    let stop = stopped_by_signal()?;
    let own = match args.to {
        Some(_) => None,
        None => Some(spawn_blocking(OwnServer::start).await??),
    };
    let base = args.to.as_deref().or(own.as_ref().map(|own| &*own.base));
    let base = base.context("there is a server")?;
    let pid = args.pid.or(own.as_ref().map(OwnServer::pid));
    let usage = || pid.map(Usage::of).transpose();

    let run = Uuid::now_v7();
    let names = (0..args.scale.rooms).map(|room| format!("sim-{}-{room}", run.simple()));
    let target = target(base, args.token.clone()).await?;
    let audience = Arc::new(Audience::new(target, names));
    let crew = Crew::new(Arc::clone(&audience), base, args.token.clone(), run);
    let crew = Arc::new(crew);
    let before = usage()?;
    blocking(&crew, Crew::open_rooms).await??;
    let mut readers = join(&audience, &args.scale).await?;
    let connected = usage()?;

    audience.begin();
    let cutting = cut_every(Arc::clone(&audience), args.scale.reset_every);
    let cutting = AbortOnDropHandle::new(tokio::spawn(cutting));
    let sends = args.scale.sends(run);
    blocking(&crew, move |crew| crew.send(sends, &stop)).await?;
    drop(cutting);
    let end = usage()?;
    blocking(&crew, Crew::close_rooms).await??;
    blocking(&crew, Crew::settle_rest).await??;
    blocking(&crew, Crew::conclude).await??;
    audience.ending.cancel();
    finish(&audience, &mut readers).await?;

    let usages = before.zip(connected).zip(end);
    let cost = usages.map(|((before, connected), end)| {
        Cost::between(
            [before, connected, end],
            audience.joined.available_permits(),
        )
    });
    Ok(Report::new(&args.scale, &audience.tally(), cost))
}

/// Does a part of the crew's work where it may block.
async fn blocking<T: Send + 'static>(
    crew: &Arc<Crew>,
    work: impl FnOnce(&Crew) -> T + Send + 'static,
) -> anyhow::Result<T> {
    let crew = Arc::clone(crew);
    Ok(spawn_blocking(move || work(&crew)).await?)
}

/// Has all readers come, and waits until each is there.
async fn join(audience: &Arc<Audience>, scale: &Scale) -> anyhow::Result<JoinSet<()>> {
    let mut readers = JoinSet::new();
    let plans = scale.readers();
    let expected = plans.len();
    for (nth, plan) in plans.into_iter().enumerate() {
        readers.spawn(reader::read(Arc::clone(audience), plan, nth));
    }
    let all = audience.joined.acquire_many(u32::try_from(expected)?);
    let joined = timeout(JOINED_WITHIN, all).await;
    if joined.is_err() {
        let joined = audience.joined.available_permits();
        bail!("{joined} of {expected} readers could connect");
    }
    Ok(readers)
}

/// Waits until all readers have read everything, or their time is over.
async fn finish(audience: &Audience, readers: &mut JoinSet<()>) -> anyhow::Result<()> {
    let all = async |readers: &mut JoinSet<()>| -> anyhow::Result<()> {
        while let Some(read) = readers.join_next().await {
            read?;
        }
        Ok(())
    };
    match timeout(READ_WITHIN, all(readers)).await {
        Ok(read) => read,
        Err(_) => {
            audience.over.cancel();
            timeout(TOLD_WITHIN, all(readers)).await?
        }
    }
}

async fn cut_every(audience: Arc<Audience>, every_s: Option<u64>) {
    let Some(every_s) = every_s else {
        return;
    };
    let mut ticks = interval(Duration::from_secs(every_s));
    ticks.tick().await;
    loop {
        ticks.tick().await;
        audience.resets.send_modify(|resets| *resets += 1);
    }
}

async fn target(base: &str, token: Option<String>) -> anyhow::Result<Target> {
    let host = base.trim_end_matches('/').strip_prefix("http://");
    let host = host.with_context(|| format!("{base} is no address like http://host:port"))?;
    let with_port = match host.rsplit_once(':') {
        Some(_) => host.to_owned(),
        None => format!("{host}:80"),
    };
    let mut found = tokio::net::lookup_host(&with_port)
        .await
        .context(with_port.clone())?;
    Ok(Target {
        address: found.next().with_context(|| format!("{host} is nowhere"))?,
        host: host.to_owned(),
        token,
    })
}

/// A stop that SIGTERM or SIGINT gives: what was sent until then is still checked.
fn stopped_by_signal() -> anyhow::Result<CancellationToken> {
    let (signalled, stop) = (signalled()?, CancellationToken::new());
    let stopped = stop.clone();
    tokio::spawn(async move {
        signalled.await;
        stopped.cancel();
    });
    Ok(stop)
}

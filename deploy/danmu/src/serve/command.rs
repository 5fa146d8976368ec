//! `danmu serve`: from flags to a running server and its exit code.
//!
//! Reads the configuration, binds both listeners (so that an address in use is known before anything is
//! opened), and turns SIGTERM and SIGINT into the stop.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Options, run};
use crate::config::{self, Config, ConfigArgs};
use crate::logging;

/// How long a stop may take before the process ends all the same.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// What `danmu serve` is asked to do.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print the configuration that the file, the environment and the flags give, and exit
    #[arg(long)]
    print_config: bool,
}

/// Serves until a signal ends it.
pub fn command(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let config = match config::load(&args.config, variables) {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("danmu: {problems}");
            return Ok(ExitCode::from(problems.exit_code()));
        }
    };
    if args.print_config {
        write!(std::io::stdout(), "{}", config.to_toml())?;
        return Ok(ExitCode::SUCCESS);
    }
    logging::start(config.log_format)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let served = runtime.block_on(serve(config));
    runtime.shutdown_background();
    served.map(|()| ExitCode::SUCCESS)
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let public = bind("listen", config.listen).await?;
    let admin = bind("admin", config.admin).await?;
    std::fs::create_dir_all(&config.data)
        .with_context(|| format!("make {}", config.data.display()))?;
    tracing::info!(listen = %public.local_addr()?, admin = %admin.local_addr()?, "serving");
    let options = Options {
        log: config.log,
        history: config.history,
        dead_letters: config.data.join("dead-letters.jsonl"),
        access: config.access,
    };
    let stop = CancellationToken::new();
    let mut server = std::pin::pin!(run(public, admin, options, stop.clone()));
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        served = &mut server => return served,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    stop.cancel();
    tokio::time::timeout(STOP_WITHIN, server)
        .await
        .context("the stop took too long")?
}

async fn bind(key: &str, address: std::net::SocketAddr) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.with_context(|| format!("{key} {address}"))
}

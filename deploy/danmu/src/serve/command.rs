//! `danmu serve`: from flags to a running server and its exit code.
//!
//! Reads the configuration, binds both listeners (so that an address in use is known before anything is
//! opened), and turns SIGTERM and SIGINT into the stop.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
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
    let config = config::load(&args.config, config::variables())?;
    if args.print_config {
        write!(std::io::stdout(), "{}", config.to_toml())?;
        return Ok(ExitCode::SUCCESS);
    }
    logging::start(config.log_format, "info")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let served = runtime.block_on(serve(config));
    runtime.shutdown_background();
    served.map(|()| ExitCode::SUCCESS)
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let signalled = signalled()?;
    let bound = Bound::new(config).await?;
    let (listen, admin) = bound.addresses()?;
    tracing::info!(%listen, %admin, "serving");
    let stop = CancellationToken::new();
    let mut server = tokio::spawn(bound.run(stop.clone()));
    tokio::select! {
        served = &mut server => return served?,
        () = signalled => {}
    }
    tracing::info!("stopping");
    finish(server, stop).await
}

/// A server that has its addresses and has not opened anything yet.
pub struct Bound {
    public: TcpListener,
    admin: TcpListener,
    options: Options,
}

impl Bound {
    /// Binds both listeners and makes the data directory, where there will be anything in it.
    pub async fn new(config: Config) -> anyhow::Result<Self> {
        let public = bind("listen", config.listen).await?;
        let admin = bind("admin", config.admin).await?;
        if config.keeps_data() {
            std::fs::create_dir_all(&config.data)
                .with_context(|| format!("make {}", config.data.display()))?;
        }
        let options = Options {
            dead_letters: config.dead_letters(),
            roles: config.roles,
            engines: config.engines,
            access: config.access,
        };
        Ok(Self {
            public,
            admin,
            options,
        })
    }

    /// Where the public and the admin listener are.
    pub fn addresses(&self) -> io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.public.local_addr()?, self.admin.local_addr()?))
    }

    /// Serves until `stop`, or until a loop cannot go on.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        run(self.public, self.admin, self.options, stop).await
    }
}

/// Ends when the process is asked to stop, by SIGTERM or SIGINT, from this call on: before it, a
/// signal kills.
pub fn signalled() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Stops a server that runs, which may take a while but not for ever.
pub async fn finish(
    server: JoinHandle<anyhow::Result<()>>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    stop.cancel();
    let served = tokio::time::timeout(STOP_WITHIN, server).await;
    served.context("the stop took too long")??
}

async fn bind(key: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.with_context(|| format!("{key} {address}"))
}

//! Which servers windows are kept on: one that is there, with the functions of this build.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};
use danmu_projections::projection::StoreError;
use danmu_projections::windows::redis::{ConnectError, LibraryRole, RedisOptions, RedisWindows};
use danmu_projections::windows::{RefillToken, WindowLimits, WindowStore};
use danmu_schemas::Slot;
use danmu_tests::conformance::projection::windows::WindowEnvironment;

use tempfile::TempDir;
use tokio::time::timeout;

use super::{PATIENCE, Redis};

fn slot() -> Slot {
    Slot::of("a room")
}

async fn refused(options: RedisOptions) -> anyhow::Result<ConnectError> {
    let connected = RedisWindows::connect(options).await;
    connected.err().context("it connected")
}

#[tokio::test]
async fn an_unreachable_server_is_named() -> anyhow::Result<()> {
    let redis = Redis::start();
    let options = redis.options();
    redis.server().kill();
    let error = refused(options.clone()).await?;
    ensure!(
        matches!(error, ConnectError::Unreachable { .. }),
        "{error:?}"
    );
    let told = error.to_string();
    let address = options.address.to_string();
    ensure!(told.contains(&address) && !told.contains('\n'), "{told}");
    Ok(())
}

#[tokio::test]
async fn a_server_that_wants_a_password_gets_it() -> anyhow::Result<()> {
    let redis = Redis::start();
    redis
        .command(&["CONFIG", "SET", "requirepass", "secret"])
        .await?;
    let error = refused(redis.options()).await?;
    ensure!(matches!(error, ConnectError::Refused { .. }), "{error:?}");
    let options = RedisOptions {
        password: Some("wrong".to_owned().into()),
        ..redis.options()
    };
    let error = refused(options).await?;
    ensure!(matches!(error, ConnectError::Refused { .. }), "{error:?}");
    ensure!(!error.to_string().contains("wrong"), "{error}");
    let options = RedisOptions {
        password: Some("secret".to_owned().into()),
        ..redis.options()
    };
    let windows = redis.connected(options).await?;
    ensure!(windows.position(slot()).await?.is_none(), "a position");
    Ok(())
}

/// Who may not load the functions says that they are missing, or others; who may puts them right.
#[tokio::test]
async fn the_functions_must_be_those_of_the_build() -> anyhow::Result<()> {
    const OTHER: &str = "#!lua name=danmu_windows_1\n\
        redis.register_function('danmu_windows_1_position', function() return {} end)";
    let redis = Redis::start();
    let loads = redis.options();
    let checks = RedisOptions {
        library: LibraryRole::Checks,
        ..redis.options()
    };
    let error = refused(checks.clone()).await?;
    ensure!(matches!(error, ConnectError::Library { .. }), "{error:?}");
    redis.command(&["FUNCTION", "LOAD", OTHER]).await?;
    let error = refused(checks.clone()).await?;
    ensure!(matches!(error, ConnectError::Library { .. }), "{error:?}");
    redis.connected(loads).await?;
    redis.connected(checks).await?;
    Ok(())
}

/// A server that has lost them gets them again from who may load them, and from nobody else.
#[tokio::test]
async fn lost_functions_are_loaded_again() -> anyhow::Result<()> {
    let redis = Redis::start();
    let loading = redis.windows(WindowLimits::default()).await?;
    let checking = RedisOptions {
        library: LibraryRole::Checks,
        ..redis.options()
    };
    let checking = redis.connected(checking).await?;
    redis.command(&["FUNCTION", "FLUSH"]).await?;
    let error = checking.position(slot()).await.err();
    ensure!(
        matches!(error, Some(StoreError::Unavailable { .. })),
        "{error:?}"
    );
    ensure!(loading.position(slot()).await?.is_none(), "a position");
    ensure!(checking.position(slot()).await?.is_none(), "a position");
    Ok(())
}

/// A sentinel that watches over a server, and ends with this.
struct Sentinel {
    process: Child,
    address: String,
    _directory: TempDir,
}

impl Sentinel {
    fn over(server: &str) -> anyhow::Result<Self> {
        let directory = TempDir::new()?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        drop(listener);
        let (host, port) = server.split_once(':').context("host:port")?;
        let settings = format!(
            "bind 127.0.0.1\nport {}\nsentinel monitor main {host} {port} 1\n",
            address.port()
        );
        let file = directory.path().join("sentinel.conf");
        fs::write(&file, settings)?;
        let process = Command::new("redis-server")
            .arg(&file)
            .arg("--sentinel")
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self {
            process,
            address: address.to_string(),
            _directory: directory,
        })
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        // Either fails only where it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The server that a sentinel names is found, and found again after it was gone.
#[tokio::test]
async fn sentinels_say_where_the_server_is() -> anyhow::Result<()> {
    let redis = Redis::start();
    let server = redis.server().address();
    let sentinel = Sentinel::over(&server)?;
    let address = format!("redis+sentinel://{}/main/1", sentinel.address);
    let options = RedisOptions {
        address: address.parse()?,
        ..redis.options()
    };
    let connected = async {
        loop {
            // Nobody listens before the sentinel has read its file.
            match RedisWindows::connect(options.clone()).await {
                Err(ConnectError::Unreachable { .. }) => tokio::task::yield_now().await,
                connected => return connected,
            }
        }
    };
    let windows = timeout(PATIENCE, connected).await??;
    let token = RefillToken(7);
    ensure!(windows.begin(slot(), token).await?, "a new slot");
    redis.server().stop()?;
    redis.server().restart()?;
    let found_again = async {
        loop {
            match windows.begin(slot(), token).await {
                Err(_) => tokio::task::yield_now().await,
                begun => return begun,
            }
        }
    };
    ensure!(timeout(PATIENCE, found_again).await??, "a new slot");
    Ok(())
}

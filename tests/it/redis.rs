//! The windows on Redis, over real servers: the suite of their port, and what befalls a server.
//!
//! Each test has a server of its own, which ends with it.

mod losses;
mod servers;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use danmu_projections::EmbeddedHistory;
use danmu_projections::windows::WindowLimits;
use danmu_projections::windows::redis::{RedisAddress, RedisOptions, RedisWindows};
use danmu_schemas::{Position, Slot};
use danmu_stack::{Engine, Options, Server, shared};
use danmu_tests::conformance::projection::history::HistoryEnvironment;
use danmu_tests::conformance::projection::windows::WindowEnvironment;
use tempfile::TempDir;

use super::projection::embedded::Embedded;

/// Longer than any call takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server, and a history in a directory to refill from.
struct Redis {
    history: Embedded,
    server: Mutex<Server>,
    /// Where it is for clients, but for its address: what stands before and after.
    url: (&'static str, &'static str),
    /// How many windows have begun on the server, each under a prefix of its own.
    begun: AtomicU64,
    _directory: TempDir,
}

impl Redis {
    fn start() -> Self {
        Self::with(&[])
    }

    /// With settings of the server's.
    fn with(settings: &[(&str, &str)]) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let options = Options::new(directory.path());
        let options = settings
            .iter()
            .fold(options, |options, (name, value)| options.with(name, value));
        let server = Server::start(Engine::Redis, options);
        Self {
            history: Embedded::new(),
            server: Mutex::new(server.expect("a server")),
            url: ("redis://", "/1"),
            begun: AtomicU64::new(0),
            _directory: directory,
        }
    }

    /// A cluster of one node.
    fn cluster() -> Self {
        let redis = Self {
            url: ("redis+cluster://", ""),
            ..Self::with(&[("cluster-enabled", "yes")])
        };
        let client = redis::Client::open(format!("redis://{}", redis.server().address()));
        let mut node = client
            .and_then(|client| client.get_connection())
            .expect("a connection");
        let mut take = redis::cmd("CLUSTER");
        take.arg("ADDSLOTSRANGE").arg(0).arg(16_383);
        take.exec(&mut node).expect("it takes all slots");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let info: String = redis::cmd("CLUSTER")
                .arg("INFO")
                .query(&mut node)
                .expect("the state of the cluster");
            if info.contains("cluster_state:ok") {
                return redis;
            }
            assert!(Instant::now() < deadline, "no cluster: {info}");
            thread::yield_now();
        }
    }

    fn server(&self) -> MutexGuard<'_, Server> {
        self.server.lock().expect("no test goes on after a panic")
    }

    /// Those that began last.
    fn options(&self) -> RedisOptions {
        let (before, after) = self.url;
        let address = format!("{before}{}{after}", self.server().address());
        RedisOptions {
            prefix: format!("test-{}", self.begun.load(Ordering::Relaxed)),
            connect_timeout: PATIENCE,
            response_timeout: PATIENCE,
            compare_every: Duration::from_millis(200),
            ..RedisOptions::at(address.parse().expect("an address"))
        }
    }

    async fn connected(&self, options: RedisOptions) -> anyhow::Result<RedisWindows> {
        RedisWindows::connect(options).await.context("connecting")
    }

    /// Sends the server a command of its own.
    async fn command(&self, words: &[&str]) -> anyhow::Result<redis::Value> {
        let address = format!("redis://{}/1", self.server().address());
        let client = redis::Client::open(address)?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        Ok(command.query_async(&mut connection).await?)
    }
}

impl HistoryEnvironment for Redis {
    type History = EmbeddedHistory;

    async fn history(&self) -> anyhow::Result<EmbeddedHistory> {
        self.history.history().await
    }

    async fn restart_history(&self, history: EmbeddedHistory) -> anyhow::Result<EmbeddedHistory> {
        self.history.restart_history(history).await
    }
}

impl WindowEnvironment for Redis {
    type Windows = RedisWindows;

    async fn windows(&self, limits: WindowLimits) -> anyhow::Result<RedisWindows> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        let options = RedisOptions {
            limits,
            ..self.options()
        };
        self.connected(options).await
    }

    async fn restart(&self, windows: RedisWindows) -> anyhow::Result<RedisWindows> {
        drop(windows);
        self.server().stop()?;
        self.server().restart()?;
        self.connected(self.options()).await
    }

    async fn set_watermark(
        windows: &RedisWindows,
        slot: Slot,
        watermark: Position,
    ) -> anyhow::Result<()> {
        windows.set_watermark(slot, watermark);
        Ok(())
    }

    async fn wipe(windows: &RedisWindows, slot: Slot) -> anyhow::Result<()> {
        Ok(windows.wipe(slot).await?)
    }
}

/// Windows without any slot on the Redis that stands on this machine.
pub async fn anew(limits: WindowLimits) -> RedisWindows {
    static BEGUN: AtomicU64 = AtomicU64::new(0);
    static ADDRESS: OnceLock<RedisAddress> = OnceLock::new();
    let address = ADDRESS.get_or_init(|| {
        let redis = shared::address(Engine::Redis).expect("Redis stands");
        format!("redis://{redis}").parse().expect("an address")
    });
    let begun = BEGUN.fetch_add(1, Ordering::Relaxed);
    let options = RedisOptions {
        prefix: format!("it-{}-{begun}", std::process::id()),
        limits,
        connect_timeout: PATIENCE,
        response_timeout: PATIENCE,
        ..RedisOptions::at(address.clone())
    };
    RedisWindows::connect(options).await.expect("it connects")
}

mod suite {
    danmu_tests::window_conformance!(super::Redis::start());
}

mod suite_in_a_cluster {
    danmu_tests::window_conformance!(super::Redis::cluster());
}

//! Keyspaces of the developer's Cassandra: making one takes seconds, so they are emptied and lent again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use anyhow::Context;
use danmu_projections::history::CqlHistory;
use danmu_projections::history::cql::{self, CommitLog, CqlAddress, CqlOptions};
use danmu_stack::{Engine, shared};
use danmu_tests::conformance::projection::history::HistoryEnvironment;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use tokio::sync::OnceCell;

/// Those that no test has at the moment.
static FREE: Mutex<Vec<String>> = Mutex::new(Vec::new());
static MADE: AtomicUsize = AtomicUsize::new(0);

/// A keyspace without rows, for one test.
pub struct Keyspace {
    name: String,
    ready: OnceCell<()>,
}

impl Keyspace {
    pub fn new() -> Self {
        let free = FREE.lock().unwrap().pop();
        let made = || {
            let number = MADE.fetch_add(1, Ordering::Relaxed);
            format!("it_{}_{number}", std::process::id())
        };
        Self {
            name: free.unwrap_or_else(made),
            ready: OnceCell::new(),
        }
    }

    async fn prepare(&self) -> anyhow::Result<()> {
        cql::migrate(&options(&server(), &self.name)).await?;
        empty(&session(&server()).await?, &self.name).await
    }
}

impl Drop for Keyspace {
    fn drop(&mut self) {
        FREE.lock().unwrap().push(std::mem::take(&mut self.name));
    }
}

impl HistoryEnvironment for Keyspace {
    type History = CqlHistory;

    async fn history(&self) -> anyhow::Result<CqlHistory> {
        self.ready.get_or_try_init(|| self.prepare()).await?;
        let options = options(&server(), &self.name);
        CqlHistory::connect(&options).await.context("connecting")
    }

    async fn restart_history(&self, history: CqlHistory) -> anyhow::Result<CqlHistory> {
        drop(history);
        self.history().await
    }
}

/// A keyspace of a server, for whoever the server lets in.
pub fn options(server: &str, keyspace: &str) -> CqlOptions {
    let address = CqlAddress {
        servers: vec![server.to_owned()],
        keyspace: keyspace.to_owned(),
    };
    CqlOptions {
        address,
        credentials: None,
        commit_log: CommitLog::default(),
    }
}

/// For what an operator does to a server.
pub async fn session(server: &str) -> anyhow::Result<Session> {
    let builder = SessionBuilder::new().known_node(server);
    builder.build().await.context("connecting as an operator")
}

/// The Cassandra that stands on this machine.
pub fn server() -> String {
    static SERVER: OnceLock<String> = OnceLock::new();
    let address = || shared::address(Engine::Cassandra).expect("Cassandra stands");
    SERVER.get_or_init(address).clone()
}

/// Truncates the tables that ever had a row: what was removed would hide what is written again.
async fn empty(session: &Session, keyspace: &str) -> anyhow::Result<()> {
    let asked = format!("SELECT DISTINCT family, slot FROM {keyspace}.shelves");
    let shelves = session.query_unpaged(asked, ()).await?.into_rows_result()?;
    let mut tables: Vec<String> = Vec::new();
    for shelf in shelves.rows::<(String, i16)>()? {
        tables.push(shelf?.0);
    }
    tables.sort();
    tables.dedup();
    tables.push("shelves".to_owned());
    for table in tables {
        let truncate = format!("TRUNCATE {keyspace}.{table}");
        session.query_unpaged(truncate, ()).await?;
    }
    Ok(())
}

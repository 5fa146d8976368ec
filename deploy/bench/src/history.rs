//! H1: writing the history to Cassandra, against one `INSERT` a comment by the same driver to the same
//! server.
//!
//! Both wait until what they wrote is acknowledged. The CPU time is this process's, which is what a
//! processor pays; the target is of the wall clock, where the server is what both wait for.

use std::time::Instant;

use anyhow::Result;
use danmu_projections::Projection;
use danmu_projections::history::cql::{self, CommitLog, CqlAddress, CqlOptions};
use danmu_projections::history::{CqlHistory, HistoryWriter};
use danmu_schemas::LogIdentity;
use danmu_schemas::codec::to_wire;
use danmu_stack::{Engine, Server};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use tokio::runtime::Runtime;

use crate::measure::{Pairs, Run, process_cpu};
use crate::report::{Figure, Findings, Target};
use crate::steps::{self, Rooms};
use crate::{Size, engines, sample};

const TARGET: Target = Target::AtLeast(20.0);
const ROOMS: usize = 16;
/// Comments of a room's step.
const COMMENTS: usize = 64;
/// Steps from one checkpoint to the next.
const CHECKPOINT_AFTER: usize = 16;
/// How many `INSERT`s are under way at once.
const INSERTS_AT_ONCE: usize = 256;
const KEYSPACE: &str = "bench";

/// Busy rooms.
pub fn run(size: Size) -> Result<Findings> {
    let directory = tempfile::tempdir()?;
    let cassandra = engines::start(Engine::Cassandra, directory.path())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let mut rooms = Rooms::new(ROOMS)?;
    let mut writer = runtime.block_on(writer(&cassandra, &rooms))?;
    let session = runtime.block_on(session(&cassandra))?;
    let checkpoints = size.of(8, 1);
    let ours = || write(&runtime, &mut writer, &mut rooms, checkpoints);
    let inserts = size.of(40_000, 200);
    let peer = || insert(&runtime, &session, inserts);
    let pairs = Pairs::interleave(size.pairs, ours, peer)?;
    let what = "H1 history: events over an INSERT each";
    Ok(Findings {
        figures: vec![Figure::new(what, TARGET, &pairs)],
        ..Findings::default()
    })
}

async fn writer(cassandra: &Server, rooms: &Rooms) -> Result<HistoryWriter<CqlHistory>> {
    let options = CqlOptions {
        address: CqlAddress {
            servers: vec![cassandra.address()],
            keyspace: KEYSPACE.to_owned(),
        },
        credentials: None,
        commit_log: CommitLog::default(),
    };
    cql::migrate(&options).await?;
    let history = CqlHistory::connect(&options).await?;
    let mut writer = HistoryWriter::new(history, LogIdentity("bench".to_owned()));
    steps::open(&mut writer, rooms).await?;
    Ok(writer)
}

fn write(
    runtime: &Runtime,
    writer: &mut HistoryWriter<CqlHistory>,
    rooms: &mut Rooms,
    checkpoints: usize,
) -> Result<Run> {
    let mut work = Vec::with_capacity(checkpoints);
    for _ in 0..checkpoints {
        let steps = (0..CHECKPOINT_AFTER).map(|_| rooms.steps(COMMENTS));
        work.push((steps.collect::<Result<Vec<_>>>()?, rooms.reached()));
    }
    let units = checkpoints * CHECKPOINT_AFTER * ROOMS * COMMENTS;
    cost(units, || {
        runtime.block_on(async {
            for (steps, reached) in work {
                for steps in steps {
                    steps::append(writer, steps).await?;
                }
                for stored in writer.checkpoint_all(&reached).await {
                    stored?;
                }
            }
            Ok(())
        })
    })
}

/// A session, and a table of comments.
async fn session(cassandra: &Server) -> Result<Session> {
    let builder = SessionBuilder::new().known_node(cassandra.address());
    let session = builder.build().await?;
    let table = format!(
        "CREATE TABLE {KEYSPACE}.comments (room text, seq bigint, body blob, PRIMARY KEY (room, seq))"
    );
    session.query_unpaged(table, ()).await?;
    Ok(session)
}

fn insert(runtime: &Runtime, session: &Session, count: usize) -> Result<Run> {
    let mut random = fastrand::Rng::with_seed(7);
    let comments = (0..count as i64).map(|n| {
        let room = format!("stage-{}", n % ROOMS as i64);
        let body = to_wire(&sample::comment(&mut random, &room, n));
        (room, n, body)
    });
    let comments: Vec<_> = comments.collect();
    let text = format!("INSERT INTO {KEYSPACE}.comments (room, seq, body) VALUES (?, ?, ?)");
    let statement = runtime.block_on(session.prepare(text))?;
    cost(count, || {
        let inserts = comments
            .iter()
            .map(|comment| session.execute_unpaged(&statement, comment));
        let inserted = stream::iter(inserts).buffer_unordered(INSERTS_AT_ONCE);
        runtime.block_on(inserted.try_for_each(async |_| Ok(())))?;
        Ok(())
    })
}

/// What `units` of work cost this process.
fn cost(units: usize, work: impl FnOnce() -> Result<()>) -> Result<Run> {
    let (before, started) = (process_cpu(), Instant::now());
    work()?;
    Ok(Run {
        units: units as u64,
        wall: started.elapsed(),
        cpu: process_cpu() - before,
    })
}

//! A server that syncs its commit log once a period: what it acknowledged last is lost when it is killed,
//! and nothing is missing afterwards.

use std::time::Duration;

use anyhow::ensure;
use bytes::Bytes;
use danmu_processors::projector::{Options as LoopOptions, Projector};
use danmu_projections::history::cql::{self, CommitLog, CqlOptions};
use danmu_projections::history::layout::{self, MemoryKind};
use danmu_projections::history::store::{Durability, HistoryStore, Row};
use danmu_projections::history::{CqlHistory, HistoryReader, HistoryWriter};
use danmu_schemas::{Generation, Position, RoomId, Seq};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::servers::{Own, ROOM, log_identity, open_log, say, until};

/// A Cassandra that loses what it acknowledged last when it is killed: segments that are compressed are in
/// memory alone until they are synced. Others are in the kernel's too, which survives a process, but not
/// its machine.
pub const LAZY: [(&str, &str); 3] = [
    ("commitlog_sync", "periodic"),
    ("commitlog_sync_period", "3s"),
    ("commitlog_compression", "[{class_name: LZ4Compressor}]"),
];
/// How often it must have lost something.
const LOSSES: usize = 2;
/// How often it may be killed right after a sync.
const TRIES_MAX: usize = 10;
/// How many rows are written just before it is killed.
const PROBES: i64 = 64;

fn options(own: &Own) -> CqlOptions {
    CqlOptions {
        commit_log: CommitLog::Periodic,
        ..own.options()
    }
}

/// A row that no loop writes again.
fn probe(n: i64) -> Row {
    let room = RoomId::parse("probes").unwrap();
    layout::memory_row(
        &room,
        MemoryKind::Gifts,
        Position::new(0, n),
        n,
        Bytes::from(format!("probe {n}")),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missing_though_a_server_lost_what_it_acknowledged() -> anyhow::Result<()> {
    let mut own = Own::start(&LAZY)?;
    cql::migrate(&own.options()).await?;
    let store = CqlHistory::connect(&options(&own)).await?;
    let directory = TempDir::new()?;
    let log = open_log(directory.path())?;
    let reader = HistoryReader::new(store.clone(), log_identity(&log));
    let loop_options = LoopOptions {
        checkpoint_every: Duration::from_millis(200),
        ..LoopOptions::default()
    };
    let writer = HistoryWriter::new(store.clone(), log_identity(&log));
    let projector = Projector::new(writer, log.reader(), log.routes().clone(), loop_options);
    let stop = CancellationToken::new();
    let running = tokio::spawn(projector.run(stop.clone()));
    let room = RoomId::parse(ROOM)?;
    let stored = async || {
        let events = reader
            .events(&room, Generation::FIRST, Seq::ZERO, 9_999)
            .await;
        events.map(|events| events.len() as u64).unwrap_or_default()
    };
    let stands_at = async |offset: i64| {
        let at = Position::new(0, offset);
        let watermark = reader.watermark(room.slot()).await;
        watermark.is_ok_and(|watermark| watermark >= Some(at))
    };

    let (mut said, mut losses, mut tries) = (0, 0, 0);
    while losses < LOSSES {
        ensure!(tries < TRIES_MAX, "it lost something {losses} times");
        tries += 1;
        let last = said + 19;
        say(&log, said as u128..last as u128 + 1).await?;
        said = last + 1;
        until(async || Ok(stored().await == said as u64)).await?;
        let waited = !stands_at(last).await;
        let probes: Vec<i64> = (tries as i64 * PROBES..).take(PROBES as usize).collect();
        store
            .write(probes.iter().map(|n| probe(*n)).collect())
            .await?;
        own.server.kill();
        own.server.restart()?;
        until(async || Ok(store.get(probe(0).key).await.is_ok())).await?;
        let mut lost = 0;
        for n in probes {
            lost += usize::from(store.get(probe(n).key).await?.is_none());
        }
        losses += usize::from(waited && lost > 0);
        until(async || Ok(stands_at(last).await)).await?;
        let events = stored().await;
        ensure!(events == said as u64, "{events} of {said} events");
    }
    let seqs = reader
        .events(&room, Generation::FIRST, Seq::ZERO, 9_999)
        .await?;
    let seqs: Vec<u64> = seqs.iter().map(|event| event.seq.0).collect();
    ensure!(seqs == (1..=said as u64).collect::<Vec<_>>(), "{seqs:?}");
    ensure!(!running.is_finished(), "the loop has ended");
    stop.cancel();
    running.await??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_of_a_server_is_seen() -> anyhow::Result<()> {
    let mut own = Own::start(&LAZY)?;
    cql::migrate(&own.options()).await?;
    let store = CqlHistory::connect(&options(&own)).await?;
    let before = store.durability().await?;
    let Durability::Lazy { horizon, starts } = &before else {
        anyhow::bail!("{before:?}");
    };
    ensure!(*horizon == Duration::from_secs(9), "{before:?}");
    ensure!(starts.len() == 1, "{before:?}");
    ensure!(store.durability().await? == before, "nothing has happened");
    own.server.kill();
    ensure!(store.durability().await.is_err(), "it does not run");
    own.server.restart()?;
    until(async || Ok(store.durability().await.is_ok())).await?;
    let after = store.durability().await?;
    ensure!(after != before, "{after:?} before and after");
    Ok(())
}

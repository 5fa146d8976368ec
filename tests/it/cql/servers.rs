//! Servers that die and go away.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::ensure;
use bytes::Bytes;
use danmu_log::embedded::{self, EmbeddedLog};
use danmu_log::{Lane, LogReader, LogWriter, NewRecord};
use danmu_processors::projector::{Options as LoopOptions, Projector};
use danmu_projections::history::cql::{self, CqlOptions};
use danmu_projections::history::layout::{self, MemoryKind};
use danmu_projections::history::store::{HistoryStore, Row};
use danmu_projections::history::{CqlHistory, HistoryReader, HistoryWriter};
use danmu_projections::projection::StoreError;
use danmu_schemas::event::{Body, Comment, RoomEvent, Style, User};
use danmu_schemas::{
    EventId, Generation, LogIdentity, Partition, Position, Role, RoomId, Seq, codec,
};
use danmu_stack::{Engine, Options, Server};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::keyspace::options;

pub const ROOM: &str = "room";
/// How long anything may take on a machine that does much else.
const WITHIN: Duration = Duration::from_secs(180);
const LOOKED_EVERY: Duration = Duration::from_millis(20);

/// A Cassandra of a test's own.
pub struct Own {
    pub server: Server,
    _directory: TempDir,
}

impl Own {
    pub fn start(settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let directory = TempDir::new()?;
        let mut options = Options::new(directory.path());
        for (name, value) in settings {
            options = options.with(name, value);
        }
        Ok(Self {
            server: Server::start(Engine::Cassandra, options)?,
            _directory: directory,
        })
    }

    pub fn options(&self) -> CqlOptions {
        options(&self.server.address(), "danmu")
    }
}

fn row(n: i64) -> Row {
    let room = RoomId::parse(ROOM).unwrap();
    let body = Bytes::from(format!("row {n}"));
    layout::memory_row(&room, MemoryKind::Gifts, Position::new(0, n), n, body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_server_is_killed() -> anyhow::Result<()> {
    let mut own = Own::start(&[])?;
    cql::migrate(&own.options()).await?;
    let store = CqlHistory::connect(&own.options()).await?;
    let acknowledged = Arc::new(AtomicI64::new(0));
    let writer = {
        let (store, acknowledged) = (store.clone(), acknowledged.clone());
        tokio::spawn(async move {
            for n in 0.. {
                if let Err(error) = store.write(vec![row(n)]).await {
                    return error;
                }
                acknowledged.store(n + 1, Ordering::Release);
            }
            unreachable!("rows do not end")
        })
    };
    until(async || Ok(acknowledged.load(Ordering::Acquire) > 200)).await?;
    own.server.kill();
    let error = writer.await?;
    ensure!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    own.server.restart()?;
    until(async || Ok(store.get(row(0).key).await.is_ok())).await?;
    for n in 0..acknowledged.load(Ordering::Acquire) {
        let read = store.get(row(n).key).await?;
        ensure!(read == Some(row(n)), "row {n} is {read:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loop_waits_for_a_server_that_is_away() -> anyhow::Result<()> {
    let mut own = Own::start(&[])?;
    cql::migrate(&own.options()).await?;
    let store = CqlHistory::connect(&own.options()).await?;
    let directory = TempDir::new()?;
    let log = open_log(directory.path())?;
    let reader = HistoryReader::new(store.clone(), log_identity(&log));
    let loop_options = LoopOptions {
        checkpoint_every: Duration::from_millis(200),
        ..LoopOptions::default()
    };
    let writer = HistoryWriter::new(store, log_identity(&log));
    let projector = Projector::new(writer, log.reader(), log.routes().clone(), loop_options);
    let stop = CancellationToken::new();
    let running = tokio::spawn(projector.run(stop.clone()));

    let slot = RoomId::parse(ROOM)?.slot();
    let reaches = async |offset: i64| {
        let at = Position::new(0, offset);
        until(async || {
            Ok(reader
                .watermark(slot)
                .await
                .is_ok_and(|mark| mark >= Some(at)))
        })
        .await
    };
    say(&log, 0..10).await?;
    reaches(9).await?;
    own.server.kill();
    say(&log, 10..30).await?;
    let away = reader.watermark(slot).await;
    ensure!(
        matches!(away, Err(StoreError::Unavailable { .. })),
        "{away:?}"
    );
    ensure!(!running.is_finished(), "the loop has ended");
    own.server.restart()?;
    reaches(29).await?;
    let room = RoomId::parse(ROOM)?;
    let events = reader
        .events(&room, Generation::FIRST, Seq::ZERO, 99)
        .await?;
    let seqs: Vec<u64> = events.iter().map(|event| event.seq.0).collect();
    ensure!(seqs == (1..=30).collect::<Vec<_>>(), "{seqs:?}");
    stop.cancel();
    running.await??;
    Ok(())
}

pub async fn until(mut is_so: impl AsyncFnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let deadline = Instant::now() + WITHIN;
    while !is_so().await? {
        ensure!(Instant::now() < deadline, "it is not so after {WITHIN:?}");
        sleep(LOOKED_EVERY).await;
    }
    Ok(())
}

pub fn open_log(directory: &Path) -> anyhow::Result<EmbeddedLog> {
    let ticks = AtomicI64::new(1_700_000_000_000);
    let clock = Arc::new(move || ticks.fetch_add(7, Ordering::Relaxed));
    let mut options = embedded::Options::new(directory.join("log"), clock);
    options.partitions = 1.try_into()?;
    Ok(EmbeddedLog::open(options)?)
}

pub fn log_identity(log: &EmbeddedLog) -> LogIdentity {
    log.reader().identity()
}

pub async fn say(log: &EmbeddedLog, numbers: std::ops::Range<u128>) -> anyhow::Result<()> {
    let records = numbers.map(|number| {
        let event = RoomEvent {
            id: EventId((number + 1).to_be_bytes()),
            room: ROOM.into(),
            accepted_at: 0,
            recorded_at: None,
            user: Some(User {
                id: "ann".into(),
                name: "Ann".into(),
                ext: Vec::new(),
            }),
            role: Role::Backend,
            device: None,
            body: Body::Comment(Comment {
                text: format!("comment {number}").into(),
                style: Style::default(),
                reply_to: None,
                ext: Vec::new(),
            }),
        };
        NewRecord {
            epoch: 0,
            lane: Lane::Viewers,
            key: Bytes::from_static(ROOM.as_bytes()),
            value: codec::to_wire(&event).into(),
            traceparent: None,
        }
    });
    log.append(Partition(0), records.collect()).await?;
    Ok(())
}

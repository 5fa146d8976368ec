//! Ports that do what the real one does, at moments and with outcomes that a seed draws.
//!
//! Each call may give the turn away before and after it happens, so that processors interleave at every
//! call; it may be held up for long, it may fail undone, and it may be done and answer with an error.
//! What is stored and how is the real adapter's alone.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;
use std::time::Duration;

use danmu_log::embedded::EmbeddedReader;
use danmu_log::{LogReader, ReadError, ReadEvent};
use danmu_projections::history::layout::{Key, KeyRange, Table};
use danmu_projections::history::store::{Durability, HistoryStore, Order, Purged, Row};
use danmu_projections::projection::StoreError;
use danmu_schemas::{LogIdentity, Partition, Position, RoomId};
use fastrand::Rng;

use super::super::model::world::{chance, pause};
use super::engines::AnyHistory;

/// How often a call gives its turn away, before and after it happens.
const PAUSED: f64 = 0.3;
/// How often it is held up, and for how many turns at most.
const HELD_UP: f64 = 0.004;
const HELD_UP_MAX: u32 = 80;

/// Draws what befalls the calls of one world.
#[derive(Clone)]
pub struct Fate {
    draws: Arc<Mutex<Draws>>,
}

struct Draws {
    rng: Rng,
    /// How often the outcome of a call is an error.
    failing: f64,
    is_quiet: bool,
}

impl Fate {
    pub fn new(rng: Rng, failing: f64) -> Fate {
        let draws = Draws {
            rng,
            failing,
            is_quiet: false,
        };
        Fate {
            draws: Arc::new(Mutex::new(draws)),
        }
    }

    /// From now on everything happens at once and nothing fails.
    pub fn be_quiet(&self) {
        self.draws().is_quiet = true;
    }

    pub fn chance(&self, p: f64) -> bool {
        let mut draws = self.draws();
        !draws.is_quiet && chance(&mut draws.rng, p)
    }

    fn draws(&self) -> MutexGuard<'_, Draws> {
        self.draws.lock().unwrap()
    }

    fn fails(&self) -> bool {
        let failing = self.draws().failing;
        self.chance(failing)
    }

    async fn give_way(&self) {
        if self.chance(HELD_UP) {
            let turns = self.draws().rng.u32(1..=HELD_UP_MAX);
            for _ in 0..turns {
                pause().await;
            }
        } else if self.chance(PAUSED) {
            pause().await;
        }
    }

    /// Has a store do something.
    pub async fn call<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.give_way().await;
        let fails = self.fails();
        if fails && self.chance(0.5) {
            return Err(unknown());
        }
        let done = work.await;
        self.give_way().await;
        if fails { Err(unknown()) } else { done }
    }
}

fn unknown() -> StoreError {
    StoreError::Unavailable {
        what: "a call",
        source: "its outcome is not known".into(),
    }
}

/// The history under a fate.
#[derive(Clone)]
pub struct FatefulHistory {
    pub store: AnyHistory,
    pub fate: Fate,
}

impl HistoryStore for FatefulHistory {
    async fn write(&self, rows: Vec<Row>) -> Result<(), StoreError> {
        self.fate.call(self.store.write(rows)).await
    }

    async fn rewrite(&self, rows: Vec<Row>, erased_to: Position) -> Result<(), StoreError> {
        self.fate.call(self.store.rewrite(rows, erased_to)).await
    }

    async fn remove(&self, keys: Vec<Key>) -> Result<(), StoreError> {
        self.fate.call(self.store.remove(keys)).await
    }

    async fn durability(&self) -> Result<Durability, StoreError> {
        self.fate.call(self.store.durability()).await
    }

    async fn get(&self, key: Key) -> Result<Option<Row>, StoreError> {
        self.fate.call(self.store.get(key)).await
    }

    async fn purge(&self) -> Result<Purged, StoreError> {
        self.fate.call(self.store.purge()).await
    }

    async fn room_past(
        &self,
        table: Table,
        past: Option<&RoomId>,
    ) -> Result<Option<RoomId>, StoreError> {
        self.fate.call(self.store.room_past(table, past)).await
    }

    async fn scan(
        &self,
        range: KeyRange,
        order: Order,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.fate.call(self.store.scan(range, order, limit)).await
    }
}

/// A reader of the embedded log to which only some partitions are assigned, under a fate. It never
/// waits for records, and brings as many at once as the fate says.
pub struct FatefulReader {
    pub reader: EmbeddedReader,
    pub assigned: Vec<Partition>,
    pub fate: Fate,
}

impl FatefulReader {
    async fn shortened(&mut self, event: ReadEvent) -> Result<ReadEvent, ReadError> {
        let ReadEvent::Records(mut batch) = event else {
            return Ok(event);
        };
        if batch.records.len() > 1 && self.fate.chance(0.6) {
            let len = self.fate.draws().rng.usize(1..batch.records.len());
            batch.records.truncate(len.min(12));
            let last = batch.records[batch.records.len() - 1].offset;
            self.reader.seek(batch.partition, last + 1).await?;
        }
        Ok(ReadEvent::Records(batch))
    }
}

impl LogReader for FatefulReader {
    fn identity(&self) -> LogIdentity {
        self.reader.identity()
    }

    async fn next(&mut self, _wait: Duration) -> Result<ReadEvent, ReadError> {
        self.fate.give_way().await;
        if self.fate.fails() {
            return Err(ReadError::Unavailable("a read failed".into()));
        }
        match next_at_once(&mut self.reader).await? {
            ReadEvent::Assigned(_) => Ok(ReadEvent::Assigned(self.assigned.clone())),
            event => self.shortened(event).await,
        }
    }

    async fn seek(&mut self, partition: Partition, offset: i64) -> Result<(), ReadError> {
        self.reader.seek(partition, offset).await
    }

    async fn first_offset(&mut self, partition: Partition) -> Result<i64, ReadError> {
        self.reader.first_offset(partition).await
    }

    async fn end_offset(&mut self, partition: Partition) -> Result<i64, ReadError> {
        self.fate.give_way().await;
        self.reader.end_offset(partition).await
    }

    fn partitions(&self) -> Vec<Partition> {
        self.assigned.clone()
    }
}

/// What a reader has now.
pub async fn next_at_once(reader: &mut EmbeddedReader) -> Result<ReadEvent, ReadError> {
    let mut next = pin!(reader.next(Duration::ZERO));
    let polled = std::future::poll_fn(|context| Poll::Ready(next.as_mut().poll(context)));
    match polled.await {
        Poll::Ready(event) => event,
        Poll::Pending => Ok(ReadEvent::Idle),
    }
}

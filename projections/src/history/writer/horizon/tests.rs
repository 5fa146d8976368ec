use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use danmu_schemas::{Position, RoomId};
use tokio::time::advance;

use super::*;
use crate::history::EmbeddedHistory;
use crate::history::layout::{Key, KeyRange, Table};
use crate::history::store::{Order, Purged, Row, Starts};
use crate::projection::{Appended, Projection, SlotStep};
use crate::sample::{self, at, log, room, slot, step};

const HORIZON: Duration = Duration::from_secs(30);

/// An embedded history that says of itself what lazy servers do.
#[derive(Clone)]
struct Lazy {
    history: EmbeddedHistory,
    started: Arc<AtomicI32>,
}

impl HistoryStore for Lazy {
    async fn write(&self, rows: Vec<Row>) -> Result<(), StoreError> {
        self.history.write(rows).await
    }

    async fn rewrite(&self, rows: Vec<Row>, erased_to: Position) -> Result<(), StoreError> {
        self.history.rewrite(rows, erased_to).await
    }

    async fn remove(&self, keys: Vec<Key>) -> Result<(), StoreError> {
        self.history.remove(keys).await
    }

    async fn durability(&self) -> Result<Durability, StoreError> {
        let started = self.started.load(Ordering::Relaxed);
        Ok(Durability::Lazy {
            horizon: HORIZON,
            starts: Starts::from([(1, Some(started))]),
        })
    }

    async fn get(&self, key: Key) -> Result<Option<Row>, StoreError> {
        self.history.get(key).await
    }

    async fn purge(&self) -> Result<Purged, StoreError> {
        self.history.purge().await
    }

    async fn room_past(
        &self,
        table: Table,
        past: Option<&RoomId>,
    ) -> Result<Option<RoomId>, StoreError> {
        self.history.room_past(table, past).await
    }

    async fn scan(
        &self,
        range: KeyRange,
        order: Order,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.history.scan(range, order, limit).await
    }
}

/// A writer that has written six records and checkpointed after the third and the sixth.
struct Written {
    writer: HistoryWriter<Lazy>,
    started: Arc<AtomicI32>,
    _directory: tempfile::TempDir,
}

impl Written {
    async fn new() -> Self {
        let directory = sample::directory();
        let started = Arc::new(AtomicI32::new(7));
        let store = Lazy {
            history: EmbeddedHistory::open(directory.path()).expect("a history"),
            started: started.clone(),
        };
        let mut written = Self {
            writer: HistoryWriter::new(store, log()),
            started,
            _directory: directory,
        };
        let opened = written.writer.open_all(&[slot()]).await.remove(0);
        assert_eq!(opened.expect("a new slot"), at(-1));
        for (first, last) in [(1, 3), (4, 6)] {
            assert_eq!(written.append(step(first, last)).await, Appended::Stored);
            let reached = [(slot(), at(last as i64 - 1))];
            let checkpointed = written.writer.checkpoint_all(&reached).await;
            assert!(checkpointed.into_iter().all(|done| done.is_ok()));
            advance(HORIZON / 3).await;
        }
        written
    }

    async fn append(&mut self, step: SlotStep) -> Appended {
        let appended = self.writer.append_all(vec![step]).await.remove(0);
        appended.expect("an append")
    }

    /// What a loop does each second.
    async fn compare(&mut self) -> Appended {
        let step = SlotStep {
            slot: slot(),
            expected: at(5),
            to: at(5),
            changes: vec![],
        };
        self.append(step).await
    }

    async fn watermark(&self) -> Option<Position> {
        let watermark = self.writer.reader().watermark(slot()).await;
        watermark.expect("a watermark, or none")
    }

    async fn states(&self) -> usize {
        let all = layout::states_until(&room(), at(99));
        let states = self.writer.store.scan(all, Order::Ascending, 99).await;
        states.expect("the states").len()
    }
}

#[tokio::test(start_paused = true)]
async fn watermarks_move_a_horizon_after_their_checkpoints() {
    let mut written = Written::new().await;
    assert_eq!(written.watermark().await, None);
    for (seconds, watermark, states) in [
        (9, None, 2),
        (1, Some(at(2)), 2),
        (9, Some(at(2)), 2),
        (2, Some(at(5)), 2),
        (28, Some(at(5)), 2),
        (4, Some(at(5)), 1),
    ] {
        advance(Duration::from_secs(seconds)).await;
        assert_eq!(written.compare().await, Appended::Stored);
        assert_eq!(written.watermark().await, watermark, "{seconds} s later");
        assert_eq!(written.states().await, states, "{seconds} s later");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_start_every_slot_begins_at_its_watermark() {
    let mut written = Written::new().await;
    advance(HORIZON / 3).await;
    assert_eq!(written.compare().await, Appended::Stored);
    assert_eq!(written.watermark().await, Some(at(2)));
    written.started.store(8, Ordering::Relaxed);
    advance(HORIZON).await;
    assert_eq!(written.compare().await, Appended::Other(None));
    assert_eq!(written.watermark().await, Some(at(2)));
    let opened = written.writer.open_all(&[slot()]).await.remove(0);
    assert_eq!(opened.expect("it is there"), at(2));
    assert_eq!(written.append(step(4, 6)).await, Appended::Stored);
    let reached = [(slot(), at(5))];
    let checkpointed = written.writer.checkpoint_all(&reached).await.remove(0);
    checkpointed.expect("a checkpoint");
    advance(HORIZON).await;
    assert_eq!(written.compare().await, Appended::Stored);
    assert_eq!(written.watermark().await, Some(at(5)));
}

/// A room that left memory is loaded as it was written, past the watermark, unless that may be lost.
#[tokio::test(start_paused = true)]
async fn a_load_is_of_what_was_written_if_no_server_has_started() {
    let mut written = Written::new().await;
    let wanted = [(slot(), vec![room()])];
    let loaded = written.writer.load_all(&wanted).await.remove(0);
    let loaded = loaded.expect("a load");
    assert_eq!(loaded.position, Some(at(5)));
    let state = loaded.states[0].as_ref().expect("the room");
    assert_eq!(state.core, step(4, 6).changes[0].state.core);
    written.started.store(8, Ordering::Relaxed);
    let loaded = written.writer.load_all(&wanted).await.remove(0);
    assert_eq!(loaded.expect("a load").position, None);
}

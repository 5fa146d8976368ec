//! The sweep among everybody else: it goes on whatever befalls the others, and what it did must last.
//!
//! Zombies write for long what they settled before an erasure, so no mark is kept and every turn begins
//! anew. At the end, when nobody writes any more, one sweep to its end must leave nothing erased in any
//! row, and every row what the log says otherwise.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use danmu_projections::erasures::Erasures;
use danmu_projections::history::layout::{self, FactKind, Key, KeyRange, Table};
use danmu_projections::history::store::{Durability, HistoryStore, Order, Purged, Row};
use danmu_projections::history::{Sweep, Swept};
use danmu_projections::projection::{StoreError, StoredState};
use danmu_schemas::chunk::Unpacker;
use danmu_schemas::fact::{Fact, FactBody};
use danmu_schemas::{Cursor, LogIdentity, Position, RoomId};

use super::super::model::world::{Walk, chance, done, pause};
use super::broadcasts;
use super::checks::Wrong;
use super::engines::AnyHistory;
use super::faults::FatefulHistory;
use super::script::{ROOMS, SLOTS};
use super::truth::RoomTruth;
use super::world::World;

/// After every record.
pub const END: Position = Position {
    epoch: u32::MAX,
    offset: i64::MAX,
};

/// Longer than any world lasts.
const FOR_EVER: Duration = Duration::from_secs(1 << 32);

/// The rows that were swept, as they were left. Clones share them.
#[derive(Clone, Default)]
pub struct SweptRows {
    rows: Arc<Mutex<BTreeMap<Key, Row>>>,
}

impl SweptRows {
    fn rows(&self) -> MutexGuard<'_, BTreeMap<Key, Row>> {
        self.rows.lock().unwrap()
    }

    /// A row that was swept and came back as it was, if there is one. Only a row of later records may
    /// have taken its place.
    pub fn undone(&self, history: &AnyHistory) -> Option<String> {
        let rows = self.rows();
        let is_undone = |left: &&Row| {
            let stored = done(history.get(left.key.clone())).unwrap();
            let stored = stored.expect("such rows are never removed");
            stored.timestamp <= left.timestamp && stored != **left
        };
        rows.values()
            .find(is_undone)
            .map(|row| layout::describe(&row.key))
    }
}

/// The history as the sweep has it: what it rewrites is remembered.
#[derive(Clone)]
struct SweptHistory {
    history: FatefulHistory,
    swept: SweptRows,
}

impl SweptHistory {
    fn of(world: &World) -> SweptHistory {
        SweptHistory {
            history: world.history(),
            swept: world.swept.clone(),
        }
    }
}

impl HistoryStore for SweptHistory {
    async fn write(&self, rows: Vec<Row>) -> Result<(), StoreError> {
        self.history.write(rows).await
    }

    /// States may be removed and written again, so they are not remembered.
    async fn rewrite(&self, rows: Vec<Row>, erased_to: Position) -> Result<(), StoreError> {
        let mut left = rows.clone();
        left.retain(|row| !ROOMS.iter().any(|room| is_state(room, &row.key)));
        self.swept
            .rows()
            .retain(|key, _| left.iter().all(|row| row.key != *key));
        self.history.rewrite(rows, erased_to).await?;
        let left = left.into_iter().map(|row| (row.key.clone(), row));
        self.swept.rows().extend(left);
        Ok(())
    }

    async fn remove(&self, keys: Vec<Key>) -> Result<(), StoreError> {
        self.history.remove(keys).await
    }

    async fn durability(&self) -> Result<Durability, StoreError> {
        self.history.durability().await
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

fn is_state(room: &RoomId, key: &Key) -> bool {
    layout::rows_of(Table::States, room).contains(key)
}

/// The process's sweep.
pub struct Sweeper {
    walk: Option<Walk<StoreError>>,
}

impl Sweeper {
    pub fn start(world: &World) -> Sweeper {
        let (history, log) = (SweptHistory::of(world), world.identity());
        Sweeper {
            walk: world.plan.has_sweep.then(|| Walk::new(run(history, log))),
        }
    }

    /// It dies with its process.
    pub fn stop(&mut self) {
        self.walk = None;
    }

    pub fn turn(&mut self, world: &mut World) {
        if let Some(walk) = &mut self.walk
            && chance(&mut world.rng, 0.5)
            && let Some(error) = walk.step()
        {
            world.found("the sweep stopped by itself", error);
        }
    }
}

fn sweep<S: HistoryStore>(history: S, log: LogIdentity) -> Sweep<S> {
    Sweep::new(history, log).of_slots(SLOTS.to_vec())
}

async fn run<S: HistoryStore>(history: S, log: LogIdentity) -> StoreError {
    let anew = || sweep(history.clone(), log.clone()).among_late_writers(FOR_EVER);
    let mut sweep = anew();
    loop {
        match sweep.step().await {
            Ok(Swept::Done) => {
                sweep = anew();
                pause().await;
            }
            Ok(Swept::More) | Err(StoreError::Unavailable { .. }) => pause().await,
            Err(error) => return error,
        }
    }
}

/// Sweeps to the end, when nobody writes any more; then no row has anything that was erased.
pub fn finish(world: &mut World) {
    let history = world.stores().history.clone();
    let mut sweep = sweep(SweptHistory::of(world), world.identity());
    while done(sweep.step()).unwrap() == Swept::More {}
    for (index, room) in ROOMS.iter().enumerate() {
        if let Err((what, why)) = rows_are_left(&history, room, world.truth.room(index)) {
            world.found(what, format!("{room}: {why}"));
        }
    }
}

fn rows_are_left(history: &AnyHistory, room: &RoomId, truth: &RoomTruth) -> Result<(), Wrong> {
    let erasures = truth.erasures(END);
    chunks_are_left(history, room, truth)?;
    for kind in FactKind::ALL {
        for row in rows(history, Table::Facts(kind), room) {
            let fact = layout::read_fact(room, kind, &row).unwrap();
            if !fact_is_left(&fact, room, truth, &erasures) {
                return Err((
                    "a fact is not what is left of it",
                    layout::describe(&row.key),
                ));
            }
        }
    }
    for row in rows(history, Table::States, room) {
        let (_, at) = layout::read_state_key(&row.key).unwrap();
        let stored = layout::read_state(&row.body).unwrap();
        let (core, fields) = truth.state(at).unwrap().clone();
        let mut left = StoredState {
            core,
            fields,
            ..StoredState::default()
        };
        let open = danmu_projections::erasures::open_broadcast(&left).unwrap();
        let starter = open.and_then(|open| starter(truth, open));
        erasures
            .blank_state(at, &mut left, starter.as_deref())
            .unwrap();
        if stored != left {
            return Err(("a state is not what is left of it", at.to_string()));
        }
    }
    Ok(())
}

fn chunks_are_left(history: &AnyHistory, room: &RoomId, truth: &RoomTruth) -> Result<(), Wrong> {
    let left = truth.events_left(END).into_iter();
    let left: BTreeMap<_, _> = left
        .map(|(generation, event)| ((generation, event.seq), event))
        .collect();
    let mut unpacker = Unpacker::new();
    for row in rows(history, Table::Chunks, room) {
        let (header, body) = unpacker.unpack(&row.body).unwrap();
        for event in body.settled {
            if left.get(&(header.generation, event.seq)) != Some(&event) {
                let place = format!("{}:{}", header.generation, event.seq);
                return Err(("an event is not what is left of it", place));
            }
        }
    }
    Ok(())
}

fn fact_is_left(fact: &Fact, room: &RoomId, truth: &RoomTruth, erasures: &Erasures) -> bool {
    let key = layout::fact_row(room, fact).key;
    let mut own = truth.facts.iter();
    own.find(|own| layout::fact_row(room, own).key == key)
        .is_some_and(|own| {
            let mut left = own.clone();
            if let FactBody::BroadcastStarted { broadcast, .. }
            | FactBody::SegmentOpened { broadcast, .. } = own.body
            {
                let starter = starter(truth, broadcast);
                erasures.blank_fact(&mut left, starter.as_deref());
            }
            left == *fact
        })
}

/// Who did the event at a cursor.
pub fn starter(truth: &RoomTruth, cursor: Cursor) -> Option<String> {
    let before = danmu_schemas::Seq(cursor.seq.0 - 1);
    let events = truth.events_after(cursor.generation, before);
    events.first().map(|(_, event)| broadcasts::author(event))
}

fn rows(history: &AnyHistory, table: Table, room: &RoomId) -> Vec<Row> {
    let all = history.scan(layout::rows_of(table, room), Order::Ascending, usize::MAX);
    done(all).unwrap()
}

//! Reads the history: watermarks and states here; `events`, `broadcasts`, `tally` and `segments` the rest.
//!
//! Events are facts and are read wherever the watermark is; everything that a later row could
//! complete is read up to a watermark that was read first. Bytes are checked when read.

use bytes::Bytes;
use danmu_schemas::codec::{self, Datum, DecodeError};
use danmu_schemas::{LogIdentity, Position, RoomId, Slot};

use super::layout::{self, MemoryKind, just_after};
use super::store::{Durability, HistoryStore, Order, Row};
use crate::projection::{StoreError, StoredState};

mod authors;
mod broadcasts;
mod events;
mod rows;
mod segments;
mod tally;

use authors::Authors;
pub use broadcasts::Broadcast;
pub use events::{LATER_SEQS, ModerationRow};
pub use tally::{HeatBucket, Tally};

/// How many rows are read at once where one does not know how many there are.
const PAGE_ROWS: usize = 256;

/// How often a read begins again because the watermark moved meanwhile.
const READ_TRIES_MAX: usize = 8;

/// Reads what [`super::HistoryWriter`] wrote.
#[derive(Clone)]
pub struct HistoryReader<S> {
    store: S,
    /// The log that it must belong to; nothing where any will do.
    log: Option<LogIdentity>,
    authors: Authors,
}

impl<S: HistoryStore> HistoryReader<S> {
    /// A reader of what belongs to a log.
    pub fn new(store: S, log: LogIdentity) -> Self {
        Self {
            log: Some(log),
            ..Self::of_any_log(store)
        }
    }

    /// A reader that does not know the log: what it reads belongs to whichever its writers follow.
    pub fn of_any_log(store: S) -> Self {
        Self {
            store,
            log: None,
            authors: Authors::default(),
        }
    }

    /// When what is read here lasts.
    pub async fn durability(&self) -> Result<Durability, StoreError> {
        self.store.durability().await
    }

    /// Up to where a slot is complete and durable; `None` where nothing of it ever was.
    pub async fn watermark(&self, slot: Slot) -> Result<Option<Position>, StoreError> {
        let Some(row) = self.store.get(layout::watermark_key(slot)).await? else {
            return Ok(None);
        };
        let (position, log) =
            layout::read_watermark(&row.body).map_err(|e| damaged(&row.key, e))?;
        match &self.log {
            Some(ours) if *ours != log => Err(StoreError::OtherLog {
                slot,
                stored: log.0,
                ours: ours.0.clone(),
            }),
            _ => Ok(Some(position)),
        }
    }

    /// The rooms that have a state at or below a position, by name.
    pub async fn rooms(&self, slot: Slot, at: Position) -> Result<Vec<RoomId>, StoreError> {
        let mut rooms = Vec::new();
        let mut past: Option<RoomId> = None;
        loop {
            let range = layout::states_past(slot, past.as_ref());
            let Some(row) = self.first(range, Order::Ascending).await? else {
                return Ok(rooms);
            };
            let (room, position) =
                layout::read_state_key(&row.key).map_err(|e| damaged(&row.key, e))?;
            if position <= at {
                rooms.push(room.clone());
            }
            past = Some(room);
        }
    }

    /// A room's newest state at or below a position, with its memory, and that state's position.
    ///
    /// Whoever resumes from it reads the slot's watermark before and after.
    pub async fn state(
        &self,
        room: &RoomId,
        at: Position,
    ) -> Result<Option<(Position, StoredState)>, StoreError> {
        let Some((position, standing)) = self.standing(room, at).await? else {
            return Ok(None);
        };
        let state = StoredState {
            core: standing.core,
            fields: standing.fields,
            ..self.remembered(room, at).await?
        };
        Ok(Some((position, state)))
    }

    /// The same without the memory: what the room shows.
    pub async fn standing(
        &self,
        room: &RoomId,
        at: Position,
    ) -> Result<Option<(Position, StoredState)>, StoreError> {
        let range = layout::states_until(room, at);
        let Some(row) = self.first(range, Order::Descending).await? else {
            return Ok(None);
        };
        let wrong = |e| damaged(&row.key, e);
        let (_, position) = layout::read_state_key(&row.key).map_err(wrong)?;
        let state = layout::read_state(&row.body).map_err(wrong)?;
        Ok(Some((position, state)))
    }

    /// The memory that goes with a room's state at a position, and nothing else of the state.
    pub async fn remembered(&self, room: &RoomId, at: Position) -> Result<StoredState, StoreError> {
        let events = self.memory(room, MemoryKind::Events, at).await?;
        let gifts = self.memory(room, MemoryKind::Gifts, at).await?;
        Ok(StoredState {
            event_memory: events.into_iter().map(|row| row.body).collect(),
            gift_memory: gifts.into_iter().map(|row| row.body).collect(),
            ..StoredState::default()
        })
    }

    /// Blocks of a room's memory that begin at or below a position, oldest first.
    pub(crate) async fn memory(
        &self,
        room: &RoomId,
        kind: MemoryKind,
        at: Position,
    ) -> Result<Vec<Row>, StoreError> {
        self.every(layout::memory_until(room, kind, at)).await
    }

    async fn first(
        &self,
        range: layout::KeyRange,
        order: Order,
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.store.scan(range, order, 1).await?.pop())
    }

    async fn every(&self, mut range: layout::KeyRange) -> Result<Vec<Row>, StoreError> {
        let mut all: Vec<Row> = Vec::new();
        loop {
            let rows = self
                .store
                .scan(range.clone(), Order::Ascending, PAGE_ROWS)
                .await?;
            let is_last = rows.len() < PAGE_ROWS;
            all.extend(rows);
            match all.last() {
                Some(row) if !is_last => range.start = just_after(row.key.clone()),
                _ => return Ok(all),
            }
        }
    }
}

fn read_number(row: &Row) -> Result<i64, StoreError> {
    layout::read_part_key(&row.key).map_err(|e| damaged(&row.key, e))
}

fn read_body<T: for<'a> Datum<'a>>(row: &Row) -> Result<T, StoreError> {
    let body: &Bytes = &row.body;
    codec::from_stored(body).map_err(|e| damaged(&row.key, e))
}

pub(crate) fn damaged(key: &[u8], source: DecodeError) -> StoreError {
    StoreError::Damaged {
        what: layout::describe(key),
        source,
    }
}

//! Reads the history: states, events, moderation, broadcasts and their parts.
//!
//! Events are facts and are read wherever the watermark is; everything that a later row could
//! complete (broadcasts, segments, heat) is read up to a watermark that was read first. Events are
//! dense: reading stops at one that is missing and never skips it. Bytes are checked when read.

use std::ops::Range;

use bytes::Bytes;
use danmu_schemas::chunk::{CHUNK_LEN_MAX, Unpacker};
use danmu_schemas::codec::{self, Datum, DecodeError};
use danmu_schemas::fact::{BroadcastEnded, BroadcastStarted, HeatMark, Interruption, Moderation};
use danmu_schemas::{Cursor, Generation, LogIdentity, Position, RoomId, Seq, Settled, Slot};

use super::layout::{self, BroadcastPart, Key, MemoryKind};
use super::store::{HistoryStore, Order, Row};
use crate::projection::{StoreError, StoredState};
use crate::segments::{self, Opening, Segment, SegmentContent, Subject};

/// How many rows are read at once where one does not know how many there are.
const PAGE_ROWS: usize = 256;
/// How many chunks are read at once.
const PAGE_CHUNKS: usize = 16;
/// The most events of one segment or broadcast that are read at once.
const PAGE_EVENTS: usize = 4_096;

/// Reads what [`super::HistoryWriter`] wrote.
#[derive(Clone)]
pub struct HistoryReader<S> {
    store: S,
    log: LogIdentity,
}

/// A moderation act or an erasure, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModerationRow {
    /// The seq of the event that did it.
    pub by: Seq,
    /// That event's position.
    pub position: Position,
    /// What it did.
    pub moderation: Moderation,
}

/// A broadcast, as far as the watermark tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broadcast {
    /// Its name: the cursor of its first event.
    pub cursor: Cursor,
    /// How it began.
    pub started: BroadcastStarted,
    /// How it ended, if it did.
    pub ended: Option<BroadcastEnded>,
    /// The position of its end.
    pub ended_position: Option<Position>,
}

/// A settled event and the epoch of its offset.
pub(crate) type InEpoch = (u32, Settled);

impl<S: HistoryStore> HistoryReader<S> {
    /// A reader of what belongs to a log.
    pub fn new(store: S, log: LogIdentity) -> Self {
        Self { store, log }
    }

    /// Up to where a slot is complete and durable; `None` where nothing of it ever was.
    pub async fn watermark(&self, slot: Slot) -> Result<Option<Position>, StoreError> {
        let Some(row) = self.store.get(layout::watermark_key(slot)).await? else {
            return Ok(None);
        };
        let (position, log) =
            layout::read_watermark(&row.body).map_err(|e| damaged(&row.key, e))?;
        if log == self.log {
            return Ok(Some(position));
        }
        Err(StoreError::OtherLog {
            slot,
            stored: log.0,
            ours: self.log.0.clone(),
        })
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
        let range = layout::states_until(room, at);
        let Some(row) = self.first(range, Order::Descending).await? else {
            return Ok(None);
        };
        let wrong = |e| damaged(&row.key, e);
        let (_, position) = layout::read_state_key(&row.key).map_err(wrong)?;
        let mut state = layout::read_state(&row.body).map_err(wrong)?;
        let events = self.memory(room, MemoryKind::Events, at).await?;
        let gifts = self.memory(room, MemoryKind::Gifts, at).await?;
        state.event_memory = events.into_iter().map(|row| row.body).collect();
        state.gift_memory = gifts.into_iter().map(|row| row.body).collect();
        Ok(Some((position, state)))
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

    /// At most `limit` visible events after `after`, dense; fewer where one is missing.
    pub async fn events(
        &self,
        room: &RoomId,
        generation: Generation,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<Settled>, StoreError> {
        let events = self.dense(room, generation, after, limit).await?;
        Ok(events.into_iter().map(|(_, settled)| settled).collect())
    }

    /// The last events up to and with `last`: at most `limit`, without a hole among them.
    pub(crate) async fn tail(
        &self,
        room: &RoomId,
        generation: Generation,
        last: Seq,
        limit: usize,
    ) -> Result<Vec<InEpoch>, StoreError> {
        let mut after = Seq(last.0.saturating_sub(limit as u64));
        let mut tail = Vec::new();
        while after < last {
            let wanted = (last.0 - after.0) as usize;
            let run = self.dense(room, generation, after, wanted).await?;
            match run.last() {
                Some((_, settled)) => {
                    after = settled.seq;
                    tail.extend(run);
                }
                None => {
                    tail.clear();
                    after = after.next();
                }
            }
        }
        Ok(tail)
    }

    /// Starts one chunk length before its first event: a chunk that holds it cannot begin earlier.
    async fn dense(
        &self,
        room: &RoomId,
        generation: Generation,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<InEpoch>, StoreError> {
        let mut unpacker = Unpacker::new();
        let mut events: Vec<InEpoch> = Vec::new();
        let mut next = after.next();
        let from = Seq(next.0.saturating_sub(CHUNK_LEN_MAX as u64));
        let mut range = layout::chunks_from(room, generation, from);
        loop {
            let rows = self
                .store
                .scan(range.clone(), Order::Ascending, PAGE_CHUNKS)
                .await?;
            for row in &rows {
                let (header, body) = unpacker
                    .unpack(&row.body)
                    .map_err(|e| damaged(&row.key, e))?;
                if events.len() >= limit || header.first_seq > next {
                    return Ok(events);
                }
                let unseen = body.settled.into_iter().filter(|event| event.seq >= next);
                let room_left = limit - events.len();
                events.extend(unseen.take(room_left).map(|event| (header.epoch, event)));
                if let Some((_, last)) = events.last() {
                    next = last.seq.next();
                }
            }
            match rows.into_iter().next_back() {
                Some(row) => range.start = just_after(row.key),
                None => return Ok(events),
            }
        }
    }

    /// What events with seqs from `from` to `to`, both included, moderated; ascending. Rows above
    /// the watermark may be among them, and may be missing.
    pub async fn moderation(
        &self,
        room: &RoomId,
        generation: Generation,
        from: Seq,
        to: Seq,
    ) -> Result<Vec<ModerationRow>, StoreError> {
        let rows = self
            .every(layout::moderation_range(room, generation, from, to))
            .await?;
        rows.iter()
            .map(|row| {
                Ok(ModerationRow {
                    by: layout::read_moderation_key(room, &row.key)
                        .map_err(|e| damaged(&row.key, e))?,
                    position: layout::fact_position(row),
                    moderation: read_body(row)?,
                })
            })
            .collect()
    }

    /// The room's broadcasts that began before a cursor, newest first, up to the watermark.
    pub async fn broadcasts(
        &self,
        room: &RoomId,
        before: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<Broadcast>, StoreError> {
        let Some(watermark) = self.watermark(room.slot()).await? else {
            return Ok(Vec::new());
        };
        let mut range = layout::broadcasts_before(room, before);
        let mut broadcasts = Vec::new();
        let mut end = None;
        loop {
            let rows = self
                .store
                .scan(range.clone(), Order::Descending, PAGE_ROWS)
                .await?;
            for row in &rows {
                if broadcasts.len() >= limit {
                    return Ok(broadcasts);
                }
                let (cursor, is_start) =
                    layout::read_broadcast_key(&row.key).map_err(|e| damaged(&row.key, e))?;
                if layout::fact_position(row) > watermark {
                    continue;
                }
                if is_start {
                    let end = end.take().filter(|(of, _)| *of == cursor);
                    broadcasts.push(broadcast(cursor, row, end.map(|(_, row)| row))?);
                } else {
                    end = Some((cursor, row.clone()));
                }
            }
            match rows.into_iter().next_back() {
                Some(row) => range.end = row.key,
                None => return Ok(broadcasts),
            }
        }
    }

    /// One broadcast, if it began at or below the watermark.
    pub async fn broadcast(
        &self,
        room: &RoomId,
        cursor: Cursor,
    ) -> Result<Option<Broadcast>, StoreError> {
        let watermark = self.watermark(room.slot()).await?;
        self.broadcast_at(room, cursor, watermark).await
    }

    async fn broadcast_at(
        &self,
        room: &RoomId,
        cursor: Cursor,
        watermark: Option<Position>,
    ) -> Result<Option<Broadcast>, StoreError> {
        let known = |row: &Row| Some(layout::fact_position(row)) <= watermark;
        let started = self.store.get(layout::started_key(room, cursor)).await?;
        let Some(started) = started.filter(known) else {
            return Ok(None);
        };
        let ended = self.store.get(layout::ended_key(room, cursor)).await?;
        broadcast(cursor, &started, ended.filter(known)).map(Some)
    }

    /// The closed segments of a broadcast whose numbers are in a range, ascending.
    pub async fn segments(
        &self,
        room: &RoomId,
        cursor: Cursor,
        numbers: Range<i64>,
    ) -> Result<Vec<Segment>, StoreError> {
        let Some(show) = self.show(room, cursor).await? else {
            return Ok(Vec::new());
        };
        let openings = self.openings(room, cursor, &numbers).await?;
        let mut closed = Vec::new();
        for (i, opening) in openings.iter().enumerate() {
            let next = openings.get(i + 1);
            if !numbers.contains(&opening.n) {
                break;
            }
            let Some(last_seq) = show.closed_by(opening, next) else {
                break;
            };
            let subjects = if segments::asks_for_users(&show.moderation) {
                let events = self.whole(room, cursor, opening, last_seq).await?;
                subjects(room, &events)?
            } else {
                segments::nameless(opening.opened.first_seq.0..=last_seq.0)
            };
            let changes = show.changes(&subjects, opening);
            closed.push(segment(opening, last_seq, segments::revision(&changes)));
        }
        Ok(closed)
    }

    /// A closed segment with its content.
    pub async fn segment(
        &self,
        room: &RoomId,
        cursor: Cursor,
        n: i64,
    ) -> Result<Option<SegmentContent>, StoreError> {
        let Some(show) = self.show(room, cursor).await? else {
            return Ok(None);
        };
        let numbers = n..n.saturating_add(1);
        let mut openings = self.openings(room, cursor, &numbers).await?.into_iter();
        let Some(opening) = openings.next().filter(|opening| opening.n == n) else {
            return Ok(None);
        };
        let Some(last_seq) = show.closed_by(&opening, openings.next().as_ref()) else {
            return Ok(None);
        };
        let events = self.whole(room, cursor, &opening, last_seq).await?;
        let moderation = show.changes(&subjects(room, &events)?, &opening);
        Ok(Some(SegmentContent {
            segment: segment(&opening, last_seq, segments::revision(&moderation)),
            snapshot: opening.opened.snapshot,
            events,
            moderation,
        }))
    }

    /// Heat buckets of a broadcast whose numbers are in a range, up to the watermark: the room's
    /// totals just before each bucket's first event.
    pub async fn heat(
        &self,
        room: &RoomId,
        cursor: Cursor,
        numbers: Range<i64>,
    ) -> Result<Vec<(i64, HeatMark)>, StoreError> {
        self.parts(room, cursor, BroadcastPart::Heat, numbers).await
    }

    /// When a broadcast was interrupted and went on, up to the watermark, by the events' seqs.
    pub async fn interruptions(
        &self,
        room: &RoomId,
        cursor: Cursor,
    ) -> Result<Vec<(Seq, Interruption)>, StoreError> {
        let all = 0..i64::MAX;
        let parts = self
            .parts(room, cursor, BroadcastPart::Interruptions, all)
            .await?;
        Ok(parts
            .into_iter()
            .map(|(seq, part)| (Seq(seq as u64), part))
            .collect())
    }

    async fn parts<T: for<'a> Datum<'a>>(
        &self,
        room: &RoomId,
        cursor: Cursor,
        part: BroadcastPart,
        numbers: Range<i64>,
    ) -> Result<Vec<(i64, T)>, StoreError> {
        let watermark = self.watermark(room.slot()).await?;
        let rows = self
            .every(layout::part_range(room, cursor, part, numbers))
            .await?;
        rows.iter()
            .filter(|row| Some(layout::fact_position(row)) <= watermark)
            .map(|row| Ok((read_number(row)?, read_body(row)?)))
            .collect()
    }

    /// What decides about a broadcast's segments; its watermark is read before everything else.
    async fn show(&self, room: &RoomId, cursor: Cursor) -> Result<Option<Show>, StoreError> {
        let Some(watermark) = self.watermark(room.slot()).await? else {
            return Ok(None);
        };
        let Some(broadcast) = self.broadcast_at(room, cursor, Some(watermark)).await? else {
            return Ok(None);
        };
        let generation = cursor.generation;
        let moderation = self
            .moderation(room, generation, cursor.seq, Seq(u64::MAX))
            .await?;
        let end = broadcast.ended_position.zip(broadcast.ended);
        Ok(Some(Show {
            watermark,
            ended: end.map(|(position, ended)| (position, ended.last_seq)),
            moderation,
        }))
    }

    /// The openings in a range of numbers and the one after them.
    async fn openings(
        &self,
        room: &RoomId,
        cursor: Cursor,
        numbers: &Range<i64>,
    ) -> Result<Vec<Opening>, StoreError> {
        let part = BroadcastPart::Segments;
        let inside = layout::part_range(room, cursor, part, numbers.clone());
        let beyond = layout::part_range(room, cursor, part, numbers.end..i64::MAX);
        let mut rows = self.every(inside).await?;
        rows.extend(self.first(beyond, Order::Ascending).await?);
        rows.iter()
            .map(|row| {
                Ok(Opening {
                    n: read_number(row)?,
                    position: layout::fact_position(row),
                    opened: read_body(row)?,
                })
            })
            .collect()
    }

    /// All events of a closed segment. They are below the watermark, so a hole is a fault.
    async fn whole(
        &self,
        room: &RoomId,
        cursor: Cursor,
        opening: &Opening,
        last_seq: Seq,
    ) -> Result<Vec<Settled>, StoreError> {
        let first = opening.opened.first_seq;
        let mut events: Vec<Settled> = Vec::new();
        loop {
            let have = events.last().map_or(Seq(first.0 - 1), |event| event.seq);
            if have >= last_seq {
                return Ok(events);
            }
            let limit = PAGE_EVENTS.min((last_seq.0 - have.0) as usize);
            let more = self.events(room, cursor.generation, have, limit).await?;
            if more.is_empty() {
                return Err(StoreError::Unavailable {
                    what: "reading a closed segment",
                    source: format!("{room:?} lacks event {}", have.next()).into(),
                });
            }
            events.extend(more);
        }
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

/// What decides about the segments of one broadcast.
struct Show {
    watermark: Position,
    ended: Option<(Position, Seq)>,
    moderation: Vec<ModerationRow>,
}

impl Show {
    fn closed_by(&self, opening: &Opening, next: Option<&Opening>) -> Option<Seq> {
        if opening.position > self.watermark {
            return None;
        }
        segments::closed_by(next, self.ended, self.watermark)
    }

    fn changes(&self, subjects: &[Subject], opening: &Opening) -> Vec<ModerationRow> {
        let snapshot = &opening.opened.snapshot;
        segments::changes(&self.moderation, subjects, snapshot, self.watermark)
    }
}

fn segment(opening: &Opening, last_seq: Seq, revision: Seq) -> Segment {
    Segment {
        n: opening.n,
        first_seq: opening.opened.first_seq,
        last_seq,
        revision,
    }
}

fn subjects(room: &RoomId, events: &[Settled]) -> Result<Vec<Subject>, StoreError> {
    events
        .iter()
        .map(|event| {
            Subject::of(event).map_err(|source| StoreError::Damaged {
                what: format!("event {} of {room:?}", event.seq),
                source,
            })
        })
        .collect()
}

fn broadcast(cursor: Cursor, started: &Row, ended: Option<Row>) -> Result<Broadcast, StoreError> {
    Ok(Broadcast {
        cursor,
        started: read_body(started)?,
        ended_position: ended.as_ref().map(layout::fact_position),
        ended: ended.as_ref().map(read_body).transpose()?,
    })
}

fn read_number(row: &Row) -> Result<i64, StoreError> {
    layout::read_part_key(&row.key).map_err(|e| damaged(&row.key, e))
}

fn read_body<T: for<'a> Datum<'a>>(row: &Row) -> Result<T, StoreError> {
    let body: &Bytes = &row.body;
    codec::from_stored(body).map_err(|e| damaged(&row.key, e))
}

/// The least key that is greater.
fn just_after(mut key: Key) -> Key {
    key.push(0);
    key
}

pub(crate) fn damaged(key: &[u8], source: DecodeError) -> StoreError {
    StoreError::Damaged {
        what: layout::describe(key),
        source,
    }
}

//! Events of a room, and what was moderated among them.
//!
//! Events are facts and are read wherever the watermark is. They come dense: reading stops at one that
//! is missing and never skips it. Chunks may overlap, with other borders; their events are the same.

use danmu_schemas::chunk::{self, CHUNK_LEN_MAX, ChunkBody, ChunkHeader, Unpacker};
use danmu_schemas::codec;
use danmu_schemas::fact::{FactBody, Moderation};
use danmu_schemas::{Cursor, Generation, Position, RoomId, Seq, Settled};

use super::{HistoryReader, PAGE_ROWS, damaged, just_after, read_body};
use crate::erasures::Erasures;
use crate::history::layout::{self, FactKind, Table};
use crate::history::store::{HistoryStore, Order};
use crate::projection::StoreError;
#[cfg(feature = "shortcuts")]
use crate::shortcuts::{Shortcut, takes};

/// How many chunks are read at once.
const PAGE_CHUNKS: usize = 16;

/// More than the seqs of any generation, and few enough that a revision made of them is exact in a
/// client's floating-point number for 8,000 generations.
pub const LATER_SEQS: u64 = 1 << 40;

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

/// A settled event and the epoch of its offset.
pub(crate) type InEpoch = (u32, Settled);

impl<S: HistoryStore> HistoryReader<S> {
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

    /// The user who did the event at a cursor, where there is one.
    pub async fn author(
        &self,
        room: &RoomId,
        cursor: Cursor,
    ) -> Result<Option<String>, StoreError> {
        let before = Seq(cursor.seq.0.saturating_sub(1));
        let events = self.events(room, cursor.generation, before, 1).await?;
        let Some(settled) = events.first() else {
            return Ok(None);
        };
        let event = codec::decode_datum(&settled.datum).map_err(|source| StoreError::Damaged {
            what: format!("event {cursor} of {room:?}"),
            source,
        })?;
        Ok(event.user.map(|user| user.id.into_owned()))
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
        #[cfg(feature = "shortcuts")]
        if takes(Shortcut::SeekToLastChunk) {
            let past = layout::chunks_from(room, generation, next.next()).start;
            let last = self
                .first(range.start.clone()..past, Order::Descending)
                .await?;
            range.start = last.map_or(range.start, |row| row.key);
        }
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

    /// The chunk that holds an event, as it is stored; the first where several do.
    pub async fn chunk(
        &self,
        room: &RoomId,
        cursor: Cursor,
    ) -> Result<Option<(ChunkHeader, ChunkBody)>, StoreError> {
        let from = Seq(cursor.seq.0.saturating_sub(CHUNK_LEN_MAX as u64));
        let mut range = layout::chunks_from(room, cursor.generation, from);
        let mut unpacker = Unpacker::new();
        loop {
            let rows = self
                .store
                .scan(range.clone(), Order::Ascending, PAGE_CHUNKS)
                .await?;
            for row in &rows {
                let wrong = |e| damaged(&row.key, e);
                let header = chunk::header(&row.body).map_err(wrong)?;
                if header.first_seq > cursor.seq {
                    return Ok(None);
                }
                if cursor.seq.0 < header.first_seq.0 + u64::from(header.count) {
                    return unpacker.unpack(&row.body).map(Some).map_err(wrong);
                }
            }
            match rows.into_iter().next_back() {
                Some(row) => range.start = just_after(row.key),
                None => return Ok(None),
            }
        }
    }

    /// What was taken from a generation's events since `from`: what the events from there on
    /// moderated, and the users whom later generations erased. These stand after every seq: theirs go
    /// on from [`LATER_SEQS`] for each generation between. Watermarks as in [`Self::moderation`].
    pub async fn taken_since(
        &self,
        room: &RoomId,
        generation: Generation,
        from: Seq,
    ) -> Result<Vec<ModerationRow>, StoreError> {
        let mut taken = self
            .moderation(room, generation, from, Seq(u64::MAX))
            .await?;
        for row in self
            .every(layout::moderation_after(room, generation))
            .await?
        {
            let later = layout::read_moderation_key(room, &row.key);
            let later = later.map_err(|e| damaged(&row.key, e))?;
            let between = u64::from(later.generation.0 - generation.0);
            let moderation = read_body(&row)?;
            if let Moderation::UserErased { .. } = moderation {
                taken.push(ModerationRow {
                    by: Seq(between * LATER_SEQS + later.seq.0),
                    position: layout::fact_position(&row),
                    moderation,
                });
            }
        }
        Ok(taken)
    }

    /// What was erased in a room up to a position.
    pub async fn erasures(&self, room: &RoomId, until: Position) -> Result<Erasures, StoreError> {
        let kind = FactKind::Moderation;
        let mut range = layout::rows_of(Table::Facts(kind), room);
        let mut erasures = Erasures::default();
        loop {
            let rows = self
                .store
                .scan(range.clone(), Order::Ascending, PAGE_ROWS)
                .await?;
            for row in &rows {
                let fact = layout::read_fact(room, kind, row);
                let fact = fact.map_err(|e| damaged(&row.key, e))?;
                if let FactBody::Moderated { by, moderation } = &fact.body
                    && fact.position <= until
                {
                    erasures.add(*by, fact.position, moderation);
                }
            }
            match rows.into_iter().next_back() {
                Some(row) => range.start = just_after(row.key),
                None => return Ok(erasures),
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
                        .map_err(|e| damaged(&row.key, e))?
                        .seq,
                    position: layout::fact_position(row),
                    moderation: read_body(row)?,
                })
            })
            .collect()
    }
}

//! Broadcasts as far as the watermark tells: their beginnings and ends, when they stood still, and
//! whether their texts may be shown.

use std::collections::BTreeSet;

use danmu_schemas::fact::{BroadcastEnded, BroadcastStarted, Interruption};
use danmu_schemas::{Cursor, Position, RoomId, Seq};

use super::{HistoryReader, PAGE_ROWS, damaged, read_body, read_number};
use crate::history::layout::{self, BroadcastPart};
use crate::history::store::{HistoryStore, Order, Row};
use crate::projection::StoreError;
use crate::segments::{self, View};

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

impl<S: HistoryStore> HistoryReader<S> {
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

    pub(super) async fn broadcast_at(
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

    /// When a broadcast was interrupted and went on, up to the watermark, by the events' seqs.
    pub async fn interruptions(
        &self,
        room: &RoomId,
        cursor: Cursor,
    ) -> Result<Vec<(Seq, Interruption)>, StoreError> {
        let watermark = self.watermark(room.slot()).await?;
        let part = BroadcastPart::Interruptions;
        let rows = layout::part_range(room, cursor, part, 0..i64::MAX);
        let rows = self.every(rows).await?;
        rows.iter()
            .filter(|row| Some(layout::fact_position(row)) <= watermark)
            .map(|row| Ok((Seq(read_number(row)? as u64), read_body(row)?)))
            .collect()
    }

    /// Those of the broadcasts, newest first, whose texts moderation took from such a viewer.
    pub async fn without_texts(
        &self,
        room: &RoomId,
        broadcasts: &[Broadcast],
        view: View,
    ) -> Result<BTreeSet<Cursor>, StoreError> {
        let mut without = BTreeSet::new();
        let is_same = |a: &Broadcast, b: &Broadcast| a.cursor.generation == b.cursor.generation;
        for of_generation in broadcasts.chunk_by(is_same) {
            let Some(Broadcast { cursor: oldest, .. }) = of_generation.last() else {
                continue;
            };
            let rows = self
                .taken_since(room, oldest.generation, oldest.seq)
                .await?;
            let rows = view.lacking(&rows);
            let erases_users = segments::erases_users(&rows);
            for Broadcast { cursor, .. } in of_generation {
                let starter = match erases_users {
                    true => self.author(room, *cursor).await?,
                    false => None,
                };
                if segments::hides_texts(&rows, cursor.seq, starter.as_deref()) {
                    without.insert(*cursor);
                }
            }
        }
        Ok(without)
    }
}

fn broadcast(cursor: Cursor, started: &Row, ended: Option<Row>) -> Result<Broadcast, StoreError> {
    Ok(Broadcast {
        cursor,
        started: read_body(started)?,
        ended_position: ended.as_ref().map(layout::fact_position),
        ended: ended.as_ref().map(read_body).transpose()?,
    })
}

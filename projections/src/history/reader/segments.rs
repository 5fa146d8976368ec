//! Segments that are closed at or below the watermark, which is read before everything else.
//!
//! What closes one and what changes it is decided in [`crate::segments`]; here its rows are read.

use std::ops::Range;

use danmu_schemas::{Cursor, Position, RoomId, Seq, Settled};

use super::{HistoryReader, ModerationRow, read_body, read_number};
use crate::history::layout::{self, BroadcastPart};
use crate::history::store::{HistoryStore, Order};
use crate::projection::StoreError;
use crate::segments::{self, Opening, Segment, SegmentContent, Subject};

/// The most events of a segment that are read at once.
const PAGE_EVENTS: usize = 4_096;

impl<S: HistoryStore> HistoryReader<S> {
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

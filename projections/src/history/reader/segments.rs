//! Segments that are closed at or below the watermark, which is read before everything else.
//!
//! What closes one and what changes it is decided in [`crate::segments`]; here its rows are read.

use std::ops::Range;

use danmu_schemas::fact::SEGMENT_MS;
use danmu_schemas::{Cursor, Generation, Position, RoomId, Seq, Settled, UserHash};

use super::authors::Key;
use super::{HistoryReader, ModerationRow, read_body, read_number};
use crate::history::layout::{self, BroadcastPart};
use crate::history::store::{HistoryStore, Order};
use crate::projection::StoreError;
use crate::segments::{self, Opening, Segment, SegmentContent, Shown, Subject, View};
#[cfg(feature = "shortcuts")]
use crate::shortcuts::{Shortcut, takes};

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
            let key = (
                room.clone(),
                cursor.generation,
                opening.opened.first_seq,
                last_seq,
            );
            let subjects = self.subjects(key, &show.asked_users(opening)).await?;
            let changes = show.changes(&subjects, opening);
            closed.push(segment(opening, last_seq, show.revision(&changes)));
        }
        Ok(closed)
    }

    /// A closed segment with its content; its snapshot is what such a viewer may see.
    pub async fn segment(
        &self,
        room: &RoomId,
        cursor: Cursor,
        n: i64,
        view: View,
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
        let first_seq = opening.opened.first_seq;
        let events = self
            .whole(room, cursor.generation, first_seq, last_seq)
            .await?;
        let moderation = show.changes(&subjects(room, &events)?, &opening);
        let mut snapshot = opening.opened.snapshot.clone();
        let lacking = view.lacking(&moderation);
        segments::blank(&mut snapshot, show.starter.as_deref(), &lacking);
        Ok(Some(SegmentContent {
            segment: segment(&opening, last_seq, show.revision(&moderation)),
            snapshot,
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
        let moderation = self.taken_since(room, generation, cursor.seq).await?;
        let starter = match segments::erases_users(&moderation) {
            true => self.author(room, cursor).await?,
            false => None,
        };
        let end = broadcast.ended_position.zip(broadcast.ended);
        Ok(Some(Show {
            watermark,
            zero_at: broadcast.started.zero_at,
            starter,
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

    /// What moderation looks at in a segment. Its events are read only where one of `users` may have
    /// written in it.
    async fn subjects(&self, key: Key, users: &[UserHash]) -> Result<Vec<Subject>, StoreError> {
        let (room, generation, first_seq, last_seq) = &key;
        if users.is_empty() || self.authors.may_include(&key, users) == Some(false) {
            return Ok(segments::nameless(first_seq.0..=last_seq.0));
        }
        let events = self.whole(room, *generation, *first_seq, *last_seq).await?;
        let subjects = subjects(room, &events)?;
        self.authors.learn(key, &subjects);
        Ok(subjects)
    }

    /// All events of a closed segment. They are below the watermark, so a hole is a fault.
    async fn whole(
        &self,
        room: &RoomId,
        generation: Generation,
        first: Seq,
        last_seq: Seq,
    ) -> Result<Vec<Settled>, StoreError> {
        let mut events: Vec<Settled> = Vec::new();
        loop {
            let have = events.last().map_or(Seq(first.0 - 1), |event| event.seq);
            if have >= last_seq {
                return Ok(events);
            }
            let limit = PAGE_EVENTS.min((last_seq.0 - have.0) as usize);
            let more = self.events(room, generation, have, limit).await?;
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
    zero_at: i64,
    /// Who did its first event, where a user was erased.
    starter: Option<String>,
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
        let shown = Shown {
            subjects,
            snapshot: &opening.opened.snapshot,
            starter: self.starter.as_deref(),
        };
        segments::changes(&self.moderation, shown, self.watermark)
    }

    fn asked_users(&self, opening: &Opening) -> Vec<UserHash> {
        let length_ms = SEGMENT_MS.saturating_mul(opening.n.saturating_add(1));
        let until_at = self.zero_at.saturating_add(length_ms);
        let first_seq = opening.opened.first_seq;
        segments::asked_users(&self.moderation, first_seq, until_at, self.watermark)
    }

    fn revision(&self, changes: &[ModerationRow]) -> Seq {
        #[cfg(feature = "shortcuts")]
        if takes(Shortcut::RevisionsCounted) {
            return Seq(self.moderation.len() as u64);
        }
        segments::revision(changes)
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

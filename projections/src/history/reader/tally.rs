//! What a broadcast amounts to: at its end, or so far.

use std::ops::Range;

use danmu_schemas::codec::{self, DecodeError};
use danmu_schemas::fact::{BroadcastEnded, HeatMark};
use danmu_schemas::state::{Currencies, Field, OpenBroadcast, StateCore, Totals};
use danmu_schemas::{Cursor, Position, RoomId, Seq};

use super::{Broadcast, HistoryReader, READ_TRIES_MAX, read_body, read_number};
use crate::history::layout::{self, BroadcastPart};
use crate::history::store::{HistoryStore, Order, Row};
use crate::projection::{StoreError, StoredState};

/// What a broadcast amounts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Up to where it was counted: the broadcast's end, or the watermark while it goes on.
    pub position: Position,
    /// Its last event.
    pub last_seq: Seq,
    /// Its own totals.
    pub totals: Totals,
    /// The names of the currencies in `totals`.
    pub currencies: Currencies,
}

/// What happened in ten seconds of a broadcast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeatBucket {
    /// Its number: `⌊show_ms / 10,000⌋`.
    pub n: i64,
    /// As [`Totals::comments`].
    pub comments: u64,
    /// As [`Totals::likes`].
    pub likes: u64,
    /// As [`Totals::gifts`].
    pub gifts: u64,
}

impl<S: HistoryStore> HistoryReader<S> {
    /// What a broadcast amounts to; so far, where it has not ended.
    pub async fn tally(&self, room: &RoomId, broadcast: &Broadcast) -> Result<Tally, StoreError> {
        let cursor = broadcast.cursor;
        if let (Some(ended), Some(position)) = (&broadcast.ended, broadcast.ended_position) {
            return Ok(Tally::at_end(ended.clone(), position));
        }
        for _ in 0..READ_TRIES_MAX {
            let watermark = self.watermark(room.slot()).await?;
            let now = self.broadcast_at(room, cursor, watermark).await?;
            if let Some((ended, position)) = now.and_then(|now| now.ended.zip(now.ended_position)) {
                return Ok(Tally::at_end(ended, position));
            }
            let at = watermark.unwrap_or(Position::BEGIN);
            let state = self.standing(room, at).await?;
            if self.watermark(room.slot()).await? != watermark {
                continue;
            }
            let so_far = state.map(|(_, state)| Tally::so_far(&state, cursor, at));
            let so_far = so_far.transpose().map_err(|source| StoreError::Damaged {
                what: format!("the state of {room:?}"),
                source,
            })?;
            return so_far.flatten().ok_or_else(|| StoreError::Unavailable {
                what: "counting a broadcast",
                source: format!("{cursor} of {room:?} neither goes on nor has ended").into(),
            });
        }
        Err(StoreError::Unavailable {
            what: "counting a broadcast",
            source: "the watermark moves whenever it is read".into(),
        })
    }

    /// The heat of a broadcast as far as it was counted, in buckets whose numbers are in a range,
    /// ascending; empty ones do not exist.
    pub async fn heat(
        &self,
        room: &RoomId,
        cursor: Cursor,
        tally: &Tally,
        numbers: Range<i64>,
    ) -> Result<Vec<HeatBucket>, StoreError> {
        let range = |numbers| layout::part_range(room, cursor, BroadcastPart::Heat, numbers);
        let whole = i64::MIN..i64::MAX;
        let Some(first) = self.first(range(whole), Order::Ascending).await? else {
            return Ok(Vec::new());
        };
        let beyond = range(numbers.end..i64::MAX);
        let mut rows = self.every(range(numbers.clone())).await?;
        rows.extend(self.first(beyond, Order::Ascending).await?);
        rows.retain(|row| layout::fact_position(row) <= tally.position);
        let mut marks: Vec<(i64, HeatMark)> = rows
            .iter()
            .map(|row| Ok((read_number(row)?, read_body(row)?)))
            .collect::<Result<_, StoreError>>()?;
        marks.push((i64::MAX, end_mark(&first, tally)?));
        Ok(marks
            .windows(2)
            .filter(|two| numbers.contains(&two[0].0))
            .map(|two| bucket(two[0], two[1].1))
            .collect())
    }
}

impl Tally {
    fn at_end(ended: BroadcastEnded, position: Position) -> Self {
        Self {
            position,
            last_seq: ended.last_seq,
            totals: ended.totals,
            currencies: ended.currencies,
        }
    }

    /// From the room's state at the watermark; `None` where another broadcast is open in it, or none.
    fn so_far(
        state: &StoredState,
        cursor: Cursor,
        watermark: Position,
    ) -> Result<Option<Self>, DecodeError> {
        let core: StateCore = codec::from_stored(&state.core)?;
        let is_it = |open: &&OpenBroadcast| {
            open.first_seq == cursor.seq && core.generation == cursor.generation
        };
        let Some(open) = core.broadcast.as_ref().filter(is_it) else {
            return Ok(None);
        };
        let currencies = &state.fields[Field::Currencies.index()];
        Ok(Some(Self {
            position: watermark,
            last_seq: core.last_seq,
            totals: core.totals.since(&open.before),
            currencies: match currencies.is_empty() {
                true => Currencies::default(),
                false => codec::from_stored(currencies)?,
            },
        }))
    }
}

/// The room's totals after the last event that was counted.
fn end_mark(first: &Row, tally: &Tally) -> Result<HeatMark, StoreError> {
    let before: HeatMark = read_body(first)?;
    Ok(HeatMark {
        first_seq: tally.last_seq.next(),
        comments: before.comments + tally.totals.comments,
        likes: before.likes + tally.totals.likes,
        gifts: before.gifts + tally.totals.gifts,
    })
}

fn bucket((n, before): (i64, HeatMark), after: HeatMark) -> HeatBucket {
    HeatBucket {
        n,
        comments: after.comments - before.comments,
        likes: after.likes - before.likes,
        gifts: after.gifts - before.gifts,
    }
}

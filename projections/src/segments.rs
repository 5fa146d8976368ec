//! Segments of a broadcast: which are closed, what changes them, and their revision.
//!
//! Plain functions over rows that were read at or below one watermark, which was read first. The
//! same rows always give the same answer, so a segment and its revision may be cached for ever:
//! moderation that arrives later has a higher seq and gives another revision.

use std::ops::RangeInclusive;

use danmu_schemas::codec::{self, DecodeError};
use danmu_schemas::fact::{Moderation, SEGMENT_MS, SegmentOpened, Snapshot};
use danmu_schemas::{Body, Position, Seq, Settled};

use crate::history::ModerationRow;

/// A closed segment as the manifest names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Its number: `⌊show_ms / 30,000⌋`.
    pub n: i64,
    /// Its first event.
    pub first_seq: Seq,
    /// Its last event.
    pub last_seq: Seq,
    /// The seq of the last moderation that changed anything shown; 0 where there is none.
    pub revision: Seq,
}

impl Segment {
    /// Where it begins, in show time.
    pub fn from_ms(&self) -> i64 {
        self.n * SEGMENT_MS
    }

    /// Where it ends, exclusively.
    pub fn to_ms(&self) -> i64 {
        (self.n + 1) * SEGMENT_MS
    }

    /// How many events it holds.
    pub fn count(&self) -> u64 {
        self.last_seq.0 + 1 - self.first_seq.0
    }
}

/// A closed segment's content, as it was live, and what has changed it since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentContent {
    /// What the manifest says of it.
    pub segment: Segment,
    /// The room just before its first event.
    pub snapshot: Snapshot,
    /// Its events.
    pub events: Vec<Settled>,
    /// Exactly what changes the events or the snapshot, ascending; the last is the revision.
    pub moderation: Vec<ModerationRow>,
}

/// The opening of a segment, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The segment's number.
    pub n: i64,
    /// The record that opened it.
    pub position: Position,
    /// What is stored of it.
    pub opened: SegmentOpened,
}

/// The last event of a segment, if it is closed: the next one opened, or the broadcast ended.
///
/// Both must be at or below the watermark. `ended` is the end's position and the last event.
pub fn closed_by(
    next: Option<&Opening>,
    ended: Option<(Position, Seq)>,
    watermark: Position,
) -> Option<Seq> {
    let next = next.filter(|next| next.position <= watermark);
    let ended = ended.filter(|(position, _)| *position <= watermark);
    match (next, ended) {
        (Some(next), _) => Some(Seq(next.opened.first_seq.0 - 1)),
        (None, Some((_, last_seq))) => Some(last_seq),
        (None, None) => None,
    }
}

/// What moderation looks at in an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    seq: Seq,
    at: i64,
    user: Option<String>,
    is_comment: bool,
}

impl Subject {
    /// Of a settled event.
    pub fn of(settled: &Settled) -> Result<Self, DecodeError> {
        let event = codec::decode_datum(&settled.datum)?;
        Ok(Self {
            seq: settled.seq,
            at: settled.at,
            is_comment: matches!(event.body, Body::Comment(_)),
            user: event.user.map(|user| user.id.into_owned()),
        })
    }

    fn is_changed_by(&self, by: Seq, moderation: &Moderation) -> bool {
        let is_by = |user: &String| self.user.as_ref() == Some(user) && self.seq < by;
        match moderation {
            Moderation::Deleted { target } | Moderation::Erased { target } => *target == self.seq,
            Moderation::Hidden { user, since_at } => {
                self.is_comment && self.at >= *since_at && is_by(user)
            }
            Moderation::UserErased { user } => is_by(user),
        }
    }
}

/// The moderation, at or below the watermark, that changes anything a segment shows.
///
/// A snapshot names the pinned comment by its seq alone, so only the erasure of a user whom it names
/// changes it.
pub fn changes(
    rows: &[ModerationRow],
    subjects: &[Subject],
    snapshot: &Snapshot,
    watermark: Position,
) -> Vec<ModerationRow> {
    rows.iter()
        .filter(|row| row.position <= watermark)
        .filter(|row| {
            names(snapshot, row)
                || subjects
                    .iter()
                    .any(|subject| subject.is_changed_by(row.by, &row.moderation))
        })
        .cloned()
        .collect()
}

/// The seq of the last of the changes; 0 where there are none.
pub fn revision(changes: &[ModerationRow]) -> Seq {
    changes.iter().map(|row| row.by).max().unwrap_or(Seq::ZERO)
}

/// Whether some moderation asks who wrote an event, so that the events themselves must be read.
pub fn asks_for_users(rows: &[ModerationRow]) -> bool {
    rows.iter().any(|row| {
        matches!(
            row.moderation,
            Moderation::Hidden { .. } | Moderation::UserErased { .. }
        )
    })
}

/// Subjects known by their seqs alone: enough where no moderation asks for users.
pub fn nameless(seqs: RangeInclusive<u64>) -> Vec<Subject> {
    seqs.map(|seq| Subject {
        seq: Seq(seq),
        at: 0,
        user: None,
        is_comment: false,
    })
    .collect()
}

/// Whether an erasure after the snapshot is of a user whom it names; what came before it, the state
/// had already followed.
fn names(snapshot: &Snapshot, row: &ModerationRow) -> bool {
    let Moderation::UserErased { user } = &row.moderation else {
        return false;
    };
    if row.by <= snapshot.core.last_seq {
        return false;
    }
    let mut givers = snapshot.givers.by_currency.iter().flatten();
    givers.any(|giver| giver.user == *user)
        || snapshot.combos.combos.iter().any(|c| c.user == *user)
        || snapshot.roster.entrants.iter().any(|e| e.user == *user)
}

#[cfg(test)]
mod tests;

//! Segments of a broadcast: which are closed, what changes them, and their revision.
//!
//! Plain functions over rows that were read at or below one watermark, which was read first. The
//! same rows always give the same answer, so a segment and its revision may be cached for ever:
//! moderation that arrives later has a higher seq and gives another revision.

use std::ops::RangeInclusive;

use danmu_schemas::codec::{self, DecodeError};
use danmu_schemas::fact::{Moderation, SEGMENT_MS, SegmentOpened, Snapshot};
use danmu_schemas::state::{BroadcastInfo, Giver};
use danmu_schemas::{Body, Position, Seq, Settled, UserHash};

use crate::history::ModerationRow;

/// Who looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum View {
    /// Everybody: nothing that moderation took.
    Public,
    /// Who may moderate: a room as it was live, without what was erased.
    Live,
}

impl View {
    /// Whether such a viewer does not see what the moderation took.
    fn lacks(self, moderation: &Moderation) -> bool {
        match moderation {
            Moderation::Deleted { .. } | Moderation::Hidden { .. } => self == Self::Public,
            Moderation::Erased { .. } | Moderation::UserErased { .. } => true,
        }
    }

    /// Those of the rows that take something from such a viewer.
    pub fn lacking(self, rows: &[ModerationRow]) -> Vec<ModerationRow> {
        let lacks = |row: &&ModerationRow| self.lacks(&row.moderation);
        rows.iter().filter(lacks).cloned().collect()
    }
}

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
    /// The room just before its first event, without what was taken from the viewer since.
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

    /// Who did it, as far as it is known.
    pub fn user(&self) -> Option<UserHash> {
        self.user.as_deref().map(UserHash::of)
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

/// What a segment shows.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// Its events.
    pub subjects: &'a [Subject],
    /// The room just before the first of them.
    pub snapshot: &'a Snapshot,
    /// Who did the broadcast's first event; needed only where a user was erased.
    pub starter: Option<&'a str>,
}

/// The moderation, at or below the watermark, that changes anything a segment shows.
pub fn changes(
    rows: &[ModerationRow],
    shown: Shown<'_>,
    watermark: Position,
) -> Vec<ModerationRow> {
    let changes = |row: &&ModerationRow| {
        takes_texts(shown.snapshot, shown.starter, row)
            || takes_name(shown.snapshot, row)
            || shown
                .subjects
                .iter()
                .any(|subject| subject.is_changed_by(row.by, &row.moderation))
    };
    rows.iter()
        .filter(|row| row.position <= watermark)
        .filter(changes)
        .cloned()
        .collect()
}

/// The seq of the last of the changes; 0 where there are none.
pub fn revision(changes: &[ModerationRow]) -> Seq {
    changes.iter().map(|row| row.by).max().unwrap_or(Seq::ZERO)
}

/// Takes out of a snapshot what moderation took: the texts of the broadcast, the names of users.
pub fn blank(snapshot: &mut Snapshot, starter: Option<&str>, rows: &[ModerationRow]) {
    for row in rows {
        if takes_texts(snapshot, starter, row) {
            snapshot.broadcast = BroadcastInfo::default();
        }
        if takes_name(snapshot, row) {
            let givers = snapshot.givers.by_currency.iter_mut().flatten();
            for giver in givers.filter(|giver| unnames(&row.moderation, giver)) {
                giver.name.clear();
            }
            let entrants = &mut snapshot.roster.entrants;
            entrants.retain(|entrant| !erases_user(&row.moderation, &entrant.user));
        }
    }
}

/// Whether moderation took a broadcast's texts: its first event was deleted or erased, or whoever did
/// it was erased since.
pub fn hides_texts(rows: &[ModerationRow], first_seq: Seq, starter: Option<&str>) -> bool {
    rows.iter().any(|row| match &row.moderation {
        Moderation::Deleted { target } | Moderation::Erased { target } => *target == first_seq,
        Moderation::UserErased { user } => starter == Some(user) && row.by > first_seq,
        Moderation::Hidden { .. } => false,
    })
}

/// Whether some moderation erased a user, so that the starter of a broadcast must be known.
pub fn erases_users(rows: &[ModerationRow]) -> bool {
    let erases = |row: &ModerationRow| matches!(row.moderation, Moderation::UserErased { .. });
    rows.iter().any(erases)
}

/// The users of whom moderation may have taken something from a segment that begins with `first_seq`
/// and whose events are before `until_at`: only where one of them wrote must its events be read.
pub fn asked_users(
    rows: &[ModerationRow],
    first_seq: Seq,
    until_at: i64,
    watermark: Position,
) -> Vec<UserHash> {
    rows.iter()
        .filter(|row| row.by > first_seq && row.position <= watermark)
        .filter_map(|row| match &row.moderation {
            Moderation::Hidden { user, since_at } if *since_at < until_at => Some(user),
            Moderation::UserErased { user } => Some(user),
            _ => None,
        })
        .map(|user| UserHash::of(user))
        .collect()
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

/// Whether moderation after the snapshot took the texts of its broadcast; what came before it, the
/// state had already followed. Texts and names are not looked at here and
/// below: what is gone at rest still changed the segment.
fn takes_texts(snapshot: &Snapshot, starter: Option<&str>, row: &ModerationRow) -> bool {
    let Some(open) = &snapshot.core.broadcast else {
        return false;
    };
    row.by > snapshot.core.last_seq
        && hides_texts(std::slice::from_ref(row), open.first_seq, starter)
}

/// Whether an erasure after the snapshot took a name that it has.
fn takes_name(snapshot: &Snapshot, row: &ModerationRow) -> bool {
    let mut givers = snapshot.givers.by_currency.iter().flatten();
    let mut entrants = snapshot.roster.entrants.iter();
    row.by > snapshot.core.last_seq
        && (givers.any(|giver| unnames(&row.moderation, giver))
            || entrants.any(|entrant| erases_user(&row.moderation, &entrant.user)))
}

/// Whether the gift that a giver's name came with was erased, or the giver.
fn unnames(moderation: &Moderation, giver: &Giver) -> bool {
    match moderation {
        Moderation::Erased { target } => giver.named_by == *target,
        _ => erases_user(moderation, &giver.user),
    }
}

fn erases_user(moderation: &Moderation, user: &str) -> bool {
    matches!(moderation, Moderation::UserErased { user: erased } if erased == user)
}

#[cfg(test)]
mod tests;

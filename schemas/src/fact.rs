//! Facts: what the history keeps of a room beside its events and states.
//!
//! A fact follows from the log alone, so whoever settles the log derives the same ones and writing
//! one again changes nothing. Each belongs to a position: the record that made it true.

use crate::ids::{Cursor, Seq};
use crate::position::Position;
use crate::state::{
    BroadcastInfo, Currencies, OpenCombos, Roster, StateCore, TopGivers, Totals, ViewerSources,
};

/// The length of a segment in show time.
pub const SEGMENT_MS: i64 = 30_000;
/// The length of a heat bucket in show time. A segment holds a whole number of them.
pub const HEAT_BUCKET_MS: i64 = 10_000;

/// Something that became true in a room at a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// The record that made it true.
    pub position: Position,
    /// What.
    pub body: FactBody,
}

/// What became true. `broadcast` is the cursor of a broadcast's first event: its name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant says what its struct documents")]
#[expect(
    clippy::large_enum_variant,
    reason = "a room has a fact every ten seconds, and each is encoded at once"
)]
pub enum FactBody {
    BroadcastStarted {
        broadcast: Cursor,
        started: BroadcastStarted,
    },
    BroadcastEnded {
        broadcast: Cursor,
        ended: BroadcastEnded,
    },
    Interruption {
        broadcast: Cursor,
        by_seq: Seq,
        interruption: Interruption,
    },
    SegmentOpened {
        broadcast: Cursor,
        n: i64,
        segment: SegmentOpened,
    },
    HeatBucketOpened {
        broadcast: Cursor,
        n: i64,
        before: HeatMark,
    },
    Moderated {
        by: Cursor,
        moderation: Moderation,
    },
}

/// A broadcast began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BroadcastStarted {
    /// Its texts.
    pub info: BroadcastInfo,
    /// Event time of its first event.
    pub started_at: i64,
    /// Where its show time is zero.
    pub zero_at: i64,
    /// Whether it brings an old show in.
    pub recorded: bool,
}

/// A broadcast ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BroadcastEnded {
    /// Event time of its last event.
    pub ended_at: i64,
    /// Its last event.
    pub last_seq: Seq,
    /// Its own totals.
    pub totals: Totals,
    /// The names of the currencies in `totals`.
    pub currencies: Currencies,
}

/// A broadcast was interrupted, or went on: to align it with its recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interruption {
    /// Show time of the event.
    pub show_ms: i64,
    /// Whether it went on again.
    pub resumed: bool,
}

/// The first visible event whose show time lies in a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentOpened {
    /// That event.
    pub first_seq: Seq,
    /// The room just before it.
    pub snapshot: Snapshot,
}

/// The room's totals just before the first visible event of a heat bucket: a bucket's own counts are
/// the difference to the next one, so no half-counted bucket has to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeatMark {
    /// The bucket's first event.
    pub first_seq: Seq,
    /// As [`Totals::comments`].
    pub comments: u64,
    /// As [`Totals::likes`].
    pub likes: u64,
    /// As [`Totals::gifts`].
    pub gifts: u64,
}

/// A room's state as a replay shows it: everything but its memory and who is muted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The core.
    pub core: StateCore,
    /// The open broadcast's texts.
    pub broadcast: BroadcastInfo,
    /// The names of the currencies.
    pub currencies: Currencies,
    /// Open combos.
    pub combos: OpenCombos,
    /// Top givers.
    pub givers: TopGivers,
    /// The latest entrants.
    pub roster: Roster,
    /// Viewers, by who counts them.
    pub sources: ViewerSources,
}

/// What a moderation event or an erasure does to events before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moderation {
    /// The event of that seq is deleted: hidden from the public.
    Deleted {
        /// Which.
        target: Seq,
    },
    /// What the user said from then on, up to the moderation event, is hidden from the public.
    Hidden {
        /// Who.
        user: String,
        /// Since which event time.
        since_at: i64,
    },
    /// The content of the event of that seq is gone for everybody.
    Erased {
        /// Which.
        target: Seq,
    },
    /// The content of everything that the user did before is gone for everybody.
    UserErased {
        /// Who.
        user: String,
    },
}

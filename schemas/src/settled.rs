//! What settle decided: events with their seq, and those that got none.

use bytes::Bytes;

use crate::event::RoomEvent;
use crate::ids::{EventId, Generation, Seq};

/// What became of a record in its room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It stands in the room's order.
    Visible {
        /// Its place.
        seq: Seq,
    },
    /// It changed the room's state and has no place in its order: entries, departures, audiences.
    Absorbed,
    /// Its id became visible before, within the memory's span.
    Duplicate {
        /// The seq that the id has; `None` where it stands in an earlier generation.
        first: Option<Seq>,
    },
    /// The room's rules do not take it.
    Refused {
        /// Why.
        reason: Refusal,
        /// Until when, where time heals it: milliseconds since 1970 UTC, by the room's log clock.
        until_at: Option<i64>,
    },
}

/// Why settle refused an event. The names are told to senders; the order is that of the counters in
/// the room's stored state, so new ones go last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// The author is muted.
    Muted,
    /// The author commented less than the room's `slow_ms` ago.
    SlowMode,
    /// The room takes no comments.
    CommentsClosed,
    /// The target does not exist, or its id is no longer remembered.
    TargetUnknown,
    /// The event carries `recorded_at` and no recorded broadcast is open.
    NotRecorded,
    /// The gift was issued more than 23 h ago: its first try can no longer be told from it.
    IssuedTooLongAgo,
    /// The gift was issued more than 5 min ahead of the log clock.
    IssuedInFuture,
    /// The room cannot remember one more gift for a day, or one more currency.
    RoomBusy,
    /// There is no broadcast to end, interrupt or resume.
    NoBroadcast,
}

impl Refusal {
    /// Every reason, in the order of its counter.
    pub const ALL: [Self; 9] = [
        Self::Muted,
        Self::SlowMode,
        Self::CommentsClosed,
        Self::TargetUnknown,
        Self::NotRecorded,
        Self::IssuedTooLongAgo,
        Self::IssuedInFuture,
        Self::RoomBusy,
        Self::NoBroadcast,
    ];

    /// The reason's name on every wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Muted => "muted",
            Self::SlowMode => "slow-mode",
            Self::CommentsClosed => "comments-closed",
            Self::TargetUnknown => "target-unknown",
            Self::NotRecorded => "not-recorded",
            Self::IssuedTooLongAgo => "issued-too-long-ago",
            Self::IssuedInFuture => "issued-in-future",
            Self::RoomBusy => "room-busy",
            Self::NoBroadcast => "no-broadcast",
        }
    }

    /// The reason of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

/// A visible event: the log's bytes as they are, and what settle adds to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Its record's offset in the slot's log.
    pub offset: i64,
    /// Its place in the room.
    pub seq: Seq,
    /// Event time: the log clock, or in a recorded broadcast the recording's own.
    pub at: i64,
    /// The room's log clock at the record.
    pub logged_at: i64,
    /// For a comment: the visible comments of the second before its own. 0 for every other kind.
    pub crowd: u32,
    /// For a gift in a combo: the combo's count so far, this gift included.
    pub combo_total: Option<u64>,
    /// Where the event named its target by id: the seq that the id stood for.
    pub target_seq: Option<Seq>,
    /// The event: an Avro datum of the current `RoomEvent` schema, without its wire header.
    pub datum: Bytes,
}

/// A visible event as it is published to whoever analyses: one record that says all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettledEvent<'a> {
    /// Where settle put it.
    pub seat: Seat,
    /// The event.
    pub event: RoomEvent<'a>,
}

/// What a published event says beside the event itself: everything of [`Settled`] but the place in
/// the log, which is nobody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// The numbering of its seq.
    pub generation: Generation,
    /// As in [`Settled`], like the rest.
    pub seq: Seq,
    /// Event time.
    pub at: i64,
    /// The room's log clock.
    pub logged_at: i64,
    /// For a comment: how many came in the second before.
    pub crowd: u32,
    /// For a gift in a combo: the combo's count so far.
    pub combo_total: Option<u64>,
    /// Where the target was named by id: its seq.
    pub target_seq: Option<Seq>,
}

impl Seat {
    /// The seat of a settled event.
    pub fn of(generation: Generation, settled: &Settled) -> Self {
        Self {
            generation,
            seq: settled.seq,
            at: settled.at,
            logged_at: settled.logged_at,
            crowd: settled.crowd,
            combo_total: settled.combo_total,
            target_seq: settled.target_seq,
        }
    }
}

/// An event that got no seq and whose sender is told so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsettled {
    /// Its record's offset in the slot's log.
    pub offset: i64,
    /// The room's log clock at the record.
    pub logged_at: i64,
    /// The event's id.
    pub id: EventId,
    /// Why it got none.
    pub why: Unseated,
}

/// Why an event has no place in the room's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unseated {
    /// As [`Verdict::Duplicate`].
    Duplicate {
        /// The seq that the id has.
        first: Option<Seq>,
    },
    /// As [`Verdict::Refused`].
    Refused {
        /// Why.
        reason: Refusal,
        /// Until when.
        until_at: Option<i64>,
    },
}

//! What a server must never do, as a simulation finds it.

use danmu_schemas::Cursor;
use uuid::Uuid;

/// Something that was promised and is not so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A reader was told what is no page.
    #[error("no page was told: {0}")]
    NoPage(String),
    /// A reader was told of a room that it did not ask for.
    #[error("the page is of room {0}")]
    OtherRoom(String),
    /// Seqs are missing, and no page says so.
    #[error("a hole: after {cursor} came a page from {from}")]
    Hole { cursor: Cursor, from: u64 },
    /// A reader was told again what it had.
    #[error("a repeat: after {cursor} came a page from {from}")]
    Repeat { cursor: Cursor, from: u64 },
    /// A page's cursor is not its end in the numbering that the reader is in.
    #[error("the cursor {told:?} does not end a page after {cursor} to {to}")]
    WrongCursor {
        cursor: Cursor,
        told: String,
        to: u64,
    },
    /// A page's events are not in the order of their seqs, or one is there twice.
    #[error("out of order: seq {seq} after {before}")]
    OutOfOrder { seq: u64, before: u64 },
    /// An event is not one of those that its page covers.
    #[error("seq {seq} in a page from {from} to {to}")]
    Outside { seq: u64, from: u64, to: u64 },
    /// What a page leaves out is not what it says.
    #[error("{missing} events are left out of a page from {from} to {to} that says {told}")]
    WronglyWithheld {
        from: u64,
        to: u64,
        missing: u64,
        told: u64,
    },
    /// Less was answered to who asked for everything.
    #[error("{count} events are withheld in an answer at full density")]
    Thinned { count: u64 },
    /// An event of a kind that density never leaves out was left out for it.
    #[error("seq {seq}, a {kind}, was left out for density")]
    NeverThinned { seq: u64, kind: String },
    /// Two were told that different events have a seq.
    #[error("seq {seq} is {id} here and {other} elsewhere")]
    Disagrees { seq: u64, id: Uuid, other: Uuid },
    /// An event has two seqs.
    #[error("{id} is seq {first} and seq {second}")]
    Twice { id: Uuid, first: u64, second: u64 },
    /// Nobody sent it.
    #[error("seq {seq} is a {kind} that nobody sent: {id}")]
    Foreign { seq: u64, kind: String, id: Uuid },
    /// It was acknowledged and not refused, and the history does not have it.
    #[error("lost: {id} was acknowledged")]
    Lost { id: Uuid },
    /// It was refused, and the history has it.
    #[error("{id} was refused ({reason}) and is seq {seq}")]
    RefusedShown { id: Uuid, reason: String, seq: u64 },
    /// The history does not begin with seq 1 or leaves one out.
    #[error("the history has seq {found} where {expected} should be")]
    HistoryHole { expected: u64, found: u64 },
    /// The history ends before what a reader was told.
    #[error("the history ends at {head}, and a reader was told seq {seq}")]
    HistoryShort { head: u64, seq: u64 },
    /// The likes do not add up.
    #[error("{total} likes, but {acknowledged} were acknowledged and {unknown} may be")]
    Likes {
        total: u64,
        acknowledged: u64,
        unknown: u64,
    },
    /// A reader was not told everything in time.
    #[error("at {cursor} when the room had {head} events and time was up")]
    Behind { cursor: Cursor, head: u64 },
    /// An answer that a healthy server does not give.
    #[error("the server answered {0}")]
    Answered(String),
    /// No answer in all the time that there was.
    #[error("no answer for {within_s} s, at last: {last}")]
    Unreachable { within_s: u64, last: String },
}

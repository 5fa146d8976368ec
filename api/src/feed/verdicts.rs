//! What became of a room's newest events, by their ids, for those who sent them.
//!
//! The latest record of an id counts: who sends a refused event again is told of the second try.
//! Verdicts are kept for two minutes of the room's log clock, the newest ones if there are too many.

use std::collections::{HashMap, VecDeque};

use danmu_schemas::settled::Unseated;
use danmu_schemas::{EventId, Position, Seq, Settled, Unsettled};

use crate::render::Object;

/// How long a verdict is kept, by the log clock.
const KEPT_MS: i64 = 2 * 60 * 1_000;
/// The most verdicts of a room.
pub(super) const KEPT_LEN_MAX: usize = 262_144;

/// The verdicts of a room.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    by_id: HashMap<EventId, Known>,
    /// In the order of the log: when, and whose.
    order: VecDeque<(i64, EventId)>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    position: Position,
    logged_at: i64,
    verdict: Verdict,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Visible(Seq),
    Unseated(Unseated),
}

impl Verdicts {
    /// A visible event and its id.
    pub(crate) fn visible(&mut self, settled: &Settled, id: EventId, epoch: u32) {
        let known = Known {
            position: Position::new(epoch, settled.offset),
            logged_at: settled.logged_at,
            verdict: Verdict::Visible(settled.seq),
        };
        self.add(id, known);
    }

    /// An event that got no seq.
    pub(crate) fn unsettled(&mut self, event: &Unsettled, epoch: u32) {
        let known = Known {
            position: Position::new(epoch, event.offset),
            logged_at: event.logged_at,
            verdict: Verdict::Unseated(event.why),
        };
        self.add(event.id, known);
    }

    /// Forgets what is too old at the log clock `clock`. An id that was settled again since stays
    /// with its latest verdict.
    pub(crate) fn forget(&mut self, clock: i64) {
        while let Some(&(logged_at, id)) = self.order.front() {
            if clock - logged_at <= KEPT_MS && self.order.len() <= KEPT_LEN_MAX {
                return;
            }
            self.order.pop_front();
            if let Some(known) = self.by_id.get(&id)
                && known.logged_at <= logged_at
            {
                self.by_id.remove(&id);
            }
        }
    }

    /// Whether what became of the event is known.
    pub(crate) fn knows(&self, id: EventId) -> bool {
        self.by_id.contains_key(&id)
    }

    /// Writes what is known of an event.
    pub(crate) fn write(&self, id: EventId, out: &mut Vec<u8>) {
        let mut object = Object::begin(out);
        object.string("id", &id.to_string());
        match self.by_id.get(&id).map(|known| known.verdict) {
            None => object.string("verdict", "pending"),
            Some(Verdict::Visible(seq)) => {
                object.string("verdict", "visible");
                object.number("seq", seq);
            }
            Some(Verdict::Unseated(Unseated::Duplicate { first })) => {
                object.string("verdict", "duplicate");
                object.optional_number("seq", first);
            }
            Some(Verdict::Unseated(Unseated::Refused { reason, until_at })) => {
                object.string("verdict", "refused");
                object.string("reason", reason.as_str());
                object.optional_number("until_at", until_at);
            }
        }
        object.end();
    }

    fn add(&mut self, id: EventId, known: Known) {
        let latest = self.by_id.get(&id).map(|other| other.position);
        if latest.is_none_or(|latest| latest < known.position) {
            self.order.push_back((known.logged_at, id));
            self.by_id.insert(id, known);
        }
    }
}

//! Rooms, events and steps for this crate's tests: one visible comment a record.

use std::borrow::Cow;

use bytes::Bytes;
use danmu_schemas::codec::{self, Datum};
use danmu_schemas::event::{Comment, Style, User};
use danmu_schemas::fact::{Fact, FactBody, SegmentOpened, Snapshot};
use danmu_schemas::state::*;
use danmu_schemas::{
    Body, Cursor, EventId, Generation, LogIdentity, Position, Role, RoomEvent, RoomId, Seq,
    Settled, Slot, UserHash,
};

use crate::projection::{RoomChange, SettledRun, SlotStep, StateChange};

pub(crate) fn room() -> RoomId {
    RoomId::parse("a").expect("a room's name")
}

pub(crate) fn slot() -> Slot {
    room().slot()
}

pub(crate) fn log() -> LogIdentity {
    LogIdentity("log".into())
}

pub(crate) fn at(offset: i64) -> Position {
    Position::new(0, offset)
}

pub(crate) const BROADCAST: Cursor = Cursor {
    generation: Generation::FIRST,
    seq: Seq(1),
};

/// Seq n is the record n - 1, ten seconds after the one before.
pub(crate) fn event(seq: u64) -> Settled {
    let id = EventId((seq as u128).to_be_bytes());
    let event = RoomEvent {
        id,
        room: "a".into(),
        accepted_at: 0,
        recorded_at: None,
        user: Some(User {
            id: Cow::Owned(format!("user-{}", seq % 3)),
            name: "".into(),
            ext: vec![],
        }),
        role: Role::Viewer,
        device: None,
        body: Body::Comment(Comment {
            text: Cow::Owned(format!("comment {seq}")),
            style: Style::default(),
            reply_to: None,
            ext: vec![],
        }),
    };
    let mut datum = Vec::new();
    event.encode(&mut datum);
    Settled {
        offset: seq as i64 - 1,
        seq: Seq(seq),
        at: seq as i64 * 10_000,
        logged_at: seq as i64 * 10_000,
        crowd: 0,
        combo_total: None,
        target_seq: None,
        datum: datum.into(),
    }
}

pub(crate) fn core(last: u64) -> StateCore {
    StateCore {
        generation: Generation::FIRST,
        rules_version: 1,
        last_seq: Seq(last),
        clock: last as i64 * 10_000,
        at: last as i64 * 10_000,
        broadcast: None,
        opened_once: true,
        totals: Totals::default(),
        crowd: CrowdSecond::default(),
        slow_ms: 0,
        comments_open: true,
        pinned: None,
        duplicates: 0,
        refused: vec![],
    }
}

pub(crate) fn snapshot(last: u64) -> Snapshot {
    Snapshot {
        core: core(last),
        broadcast: BroadcastInfo::default(),
        currencies: Currencies::default(),
        combos: OpenCombos::default(),
        givers: TopGivers::default(),
        roster: Roster::default(),
        sources: ViewerSources::default(),
    }
}

/// The fact that segment `n` opened with event `seq`.
pub(crate) fn segment_opened(n: i64, seq: u64) -> Fact {
    Fact {
        position: at(seq as i64 - 1),
        body: FactBody::SegmentOpened {
            broadcast: BROADCAST,
            n,
            segment: SegmentOpened {
                first_seq: Seq(seq),
                snapshot: snapshot(seq - 1),
            },
        },
    }
}

/// What the records of the events `first..=last` change.
pub(crate) fn change(first: u64, last: u64) -> RoomChange {
    let entries = (first..=last).map(|seq| EventMemory {
        offset: seq as i64 - 1,
        id: EventId((seq as u128).to_be_bytes()),
        clock: seq as i64 * 10_000,
        user: UserHash::NOBODY,
    });
    let block = EventMemoryBlock {
        generation: Generation::FIRST,
        epoch: 0,
        first_seq: Seq(first),
        entries: entries.collect(),
    };
    RoomChange {
        room: room(),
        position: at(last as i64 - 1),
        state: StateChange {
            core: codec::to_stored(&core(last)),
            fields: std::array::from_fn(|_| Bytes::new()),
            changed: [false; Field::COUNT],
            event_memory: vec![codec::to_stored(&block)],
            gift_memory: None,
            event_memory_since: last as i64 * 10_000,
            gift_memory_since: 0,
        },
        runs: vec![SettledRun {
            generation: Generation::FIRST,
            first_seq: Seq(first),
            settled: (first..=last).map(event).collect(),
            unsettled: vec![],
        }],
        facts: vec![],
    }
}

/// The step over the records of the events `first..=last`.
pub(crate) fn step(first: u64, last: u64) -> SlotStep {
    SlotStep {
        slot: slot(),
        expected: match first {
            1 => Position::BEGIN,
            _ => at(first as i64 - 2),
        },
        to: at(last as i64 - 1),
        changes: vec![change(first, last)],
    }
}

/// A directory of its own, in memory where the machine has such a place.
pub(crate) fn directory() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() {
        return tempfile::tempdir_in(memory).expect("a directory in memory");
    }
    tempfile::tempdir().expect("a directory")
}

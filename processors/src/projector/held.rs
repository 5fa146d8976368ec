//! What the loop holds between turns: the partitions that are its own, their open slots, and the
//! rooms met in these. Everything here can be dropped at any moment: the projection gives it again.

use std::collections::BTreeMap;
use std::time::Duration;

use danmu_schemas::{Position, RoomId};

use super::Options;
use crate::settle::Room;

/// A partition that is ours.
#[derive(Debug)]
pub(super) struct Owned {
    pub followed: Followed,
    /// Everything at or before this offset is settled in all of its open slots.
    pub read_to: i64,
    /// When the log took the record there, where it was read since this loop has the partition.
    pub read_to_logged_at: Option<i64>,
    /// The offset of the next record when reading began at its place.
    pub end_at_start: i64,
    /// Failures in a row.
    pub failures: u32,
}

/// Whether records of a partition are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Followed {
    /// They are.
    Following,
    /// Not before its slots are open and it has a place again, which is tried at `retry_at_ms`.
    Waiting { retry_at_ms: u64 },
    /// Never again by this build.
    Halted { why: String },
}

impl Owned {
    /// A partition that still needs a place.
    pub fn new(now_ms: u64) -> Self {
        Self {
            followed: Followed::Waiting {
                retry_at_ms: now_ms,
            },
            read_to: Position::BEGIN.offset,
            read_to_logged_at: None,
            end_at_start: i64::MAX,
            failures: 0,
        }
    }

    /// Whether the loop stands where the log ended when it began to read here.
    pub fn is_ready(&self) -> bool {
        self.records_to_go() == Some(0)
    }

    /// How many records are between the loop and where the log ended when it began to read here;
    /// nothing while it does not read.
    pub fn records_to_go(&self) -> Option<u64> {
        let to_go = self.end_at_start.saturating_sub(self.read_to + 1);
        (self.followed == Followed::Following).then_some(to_go.max(0).unsigned_abs())
    }
}

/// An open slot.
#[derive(Debug)]
pub(super) struct HeldSlot {
    /// The position of the last append.
    pub at: Position,
    /// What `open` would go on from.
    pub checkpointed: Position,
    pub checkpoint_due_ms: u64,
    pub rooms: BTreeMap<RoomId, HeldRoom>,
}

/// A room of an open slot.
#[derive(Debug)]
pub(super) struct HeldRoom {
    pub room: Room,
    /// Its last record that an append covers. It may leave once that is checkpointed.
    pub changed_at: Position,
    pub used_at_ms: u64,
}

impl HeldSlot {
    pub fn new(at: Position, now_ms: u64, options: &Options) -> Self {
        Self {
            at,
            checkpointed: at,
            checkpoint_due_ms: now_ms + millis(options.quiet_checkpoint_every),
            rooms: BTreeMap::new(),
        }
    }

    /// The append up to `to` is stored. What it changed must be checkpointed within `due_after`;
    /// `None` where it only moved the slot.
    pub fn was_appended(&mut self, to: Position, now_ms: u64, due_after: Option<Duration>) {
        self.at = to;
        if let Some(due_after) = due_after {
            self.checkpoint_due_ms = self.checkpoint_due_ms.min(now_ms + millis(due_after));
        }
    }

    pub fn was_checkpointed(&mut self, now_ms: u64, options: &Options) {
        self.checkpointed = self.at;
        self.checkpoint_due_ms = now_ms + millis(options.quiet_checkpoint_every);
    }

    pub fn is_clean(&self, room: &HeldRoom) -> bool {
        room.changed_at <= self.checkpointed
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    duration.as_millis() as u64
}

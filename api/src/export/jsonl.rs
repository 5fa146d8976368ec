//! JSONL: every event as a replay shows it, one a line. The form that loses nothing public.

use danmu_schemas::{RoomEvent, Settled};

use crate::render::{self, Place};

/// Appends an event's line.
pub(super) fn event(
    settled: &Settled,
    event: &RoomEvent<'_>,
    zero_at: i64,
    hidden: bool,
    out: &mut Vec<u8>,
) {
    render::event(settled, event, Place::Replay { zero_at }, hidden, out);
    out.push(b'\n');
}

//! Comparing per room: what an append would be if a slot were only a name for some rooms.

use danmu_schemas::{LogIdentity, Position, RoomId};

use super::{MemoryWindows, SlotWindow};
use crate::projection::Appended;
use crate::windows::additions::Additions;

impl MemoryWindows {
    /// Stores the rooms that had no change after `expected`; moves the slot if these are all.
    pub(super) fn append_by_room(
        &self,
        held: &mut SlotWindow,
        expected: Position,
        at: (Position, LogIdentity),
        additions: Vec<(RoomId, Additions)>,
    ) -> Appended {
        let position = held.position.as_ref().map(|(position, _)| *position);
        let mut is_whole = true;
        for (room, additions) in additions {
            if held.rooms_at.get(&room).is_some_and(|at| *at > expected) {
                is_whole = false;
                continue;
            }
            held.rooms_at.insert(room.clone(), at.0);
            self.add(held, room, additions);
        }
        if !is_whole {
            return Appended::Other(position);
        }
        held.position = position.max(Some(at.0)).map(|to| (to, at.1));
        Appended::Stored
    }
}

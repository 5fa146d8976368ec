//! A stored state and the position that it is as of.

use bytes::Bytes;
use danmu_projections::erasures::Erasures;
use danmu_projections::projection::{StateChange, StoredState};
use danmu_schemas::state::Field;
use danmu_schemas::{Position, RoomId};

use super::report::Report;

/// What may be gone from a state: erasures, and who did the first event of the open broadcast.
#[derive(Default)]
pub(super) struct Gone<'a> {
    pub erasures: Option<&'a Erasures>,
    pub starter: Option<String>,
}

/// A state as a store had it. Its memory is compared elsewhere.
pub(super) struct PinnedState {
    /// As of which position it is.
    pub at: Position,
    core: Bytes,
    fields: [Bytes; Field::COUNT],
}

impl PinnedState {
    pub fn new(at: Position, state: &StoredState) -> Self {
        Self {
            at,
            core: state.core.clone(),
            fields: state.fields.clone(),
        }
    }

    pub fn held_bytes(&self) -> usize {
        self.core.len() + self.fields.iter().map(Bytes::len).sum::<usize>()
    }
}

/// Compares what a store has of a room with what the log says: nothing where it has no record yet.
pub(super) fn compare(
    pinned: Option<&PinnedState>,
    expected: Option<&StateChange>,
    gone: &Gone<'_>,
    what: &str,
    room: &RoomId,
    report: &mut Report,
) {
    let (pinned, expected) = match (pinned, expected) {
        (None, None) => return,
        (Some(_), None) => return report.differ(room, what, "is not in the log"),
        (None, Some(_)) => return report.differ(room, what, "is missing"),
        (Some(pinned), Some(expected)) => (pinned, expected),
    };
    report.states += 1;
    if pinned.core != expected.core {
        return report.differ(room, what, "has another core");
    }
    if pinned.fields == expected.fields {
        return;
    }
    let (ours, theirs) = (
        gone.blanked(pinned.at, &expected.core, &expected.fields),
        gone.blanked(pinned.at, &pinned.core, &pinned.fields),
    );
    for field in Field::ALL {
        if ours[field.index()] != theirs[field.index()] {
            let why = format!("has another field {field:?}");
            return report.differ(room, what, why);
        }
    }
}

impl Gone<'_> {
    /// Fields as of a position, without what was erased after it; damaged ones as they are.
    fn blanked(
        &self,
        at: Position,
        core: &Bytes,
        fields: &[Bytes; Field::COUNT],
    ) -> [Bytes; Field::COUNT] {
        let mut state = StoredState {
            core: core.clone(),
            fields: fields.clone(),
            ..StoredState::default()
        };
        let blanked = self
            .erasures
            .map(|erasures| erasures.blank_state(at, &mut state, self.starter.as_deref()));
        match blanked {
            Some(Ok(_)) => state.fields,
            _ => fields.clone(),
        }
    }
}

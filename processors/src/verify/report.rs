//! What a verification counts, and the first thing that is not equal.

use danmu_schemas::RoomId;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// What was compared, and what is not equal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Records settled again.
    pub records: u64,
    /// Rooms compared.
    pub rooms: u64,
    /// Visible events compared with the history.
    pub events: u64,
    /// Facts compared: broadcasts, segments with their states, heat, interruptions, moderation.
    pub facts: u64,
    /// States compared, of the history and of the windows.
    pub states: u64,
    /// Remembered events and gifts compared, likewise.
    pub remembered: u64,
    /// Visible and unsettled events compared with the windows.
    pub window_events: u64,
    /// Rooms whose windows were lost or being refilled, so that they were not compared.
    pub windows_unknown: u64,
    /// How often the log was read: more than once where it has many rooms.
    pub passes: u32,
    /// A sum of hashes of everything settled again: equal wherever the same log was verified.
    pub digest: u64,
    /// How often something was not equal.
    pub differences: u64,
    /// The first of them: by slot and name of the room, then by position.
    pub first_difference: Option<Difference>,
}

/// Something stored that is not what the log says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// In which room.
    #[serde(with = "room_name")]
    pub room: RoomId,
    /// What: an event, a state, a fact, by its store and name.
    pub what: String,
    /// What is wrong with it.
    pub why: String,
}

impl Report {
    /// Counts a difference and keeps the first.
    pub(super) fn differ(
        &mut self,
        room: &RoomId,
        what: impl Into<String>,
        why: impl Into<String>,
    ) {
        self.differences += 1;
        self.first_difference.get_or_insert_with(|| Difference {
            room: room.clone(),
            what: what.into(),
            why: why.into(),
        });
    }

    /// Adds to the digest; the order does not matter.
    pub(super) fn digest(&mut self, parts: &[&[u8]]) {
        self.digest = self.digest.wrapping_add(xxh3_64(&parts.concat()));
    }

    /// Adds what a room's own report says.
    pub(super) fn take_in(&mut self, room: Self) {
        self.records += room.records;
        self.rooms += room.rooms;
        self.events += room.events;
        self.facts += room.facts;
        self.states += room.states;
        self.remembered += room.remembered;
        self.window_events += room.window_events;
        self.windows_unknown += room.windows_unknown;
        self.digest = self.digest.wrapping_add(room.digest);
        self.differences += room.differences;
        if self.first_difference.is_none() {
            self.first_difference = room.first_difference;
        }
    }
}

/// A room by its name.
mod room_name {
    use danmu_schemas::RoomId;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(room: &RoomId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(room.as_str())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RoomId, D::Error> {
        let name = String::deserialize(deserializer)?;
        RoomId::parse(&name).map_err(de::Error::custom)
    }
}

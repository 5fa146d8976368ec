//! The ids of what an import makes of a file in a room.
//!
//! UUIDv5 of (room, format, canonical entry, ordinal among identical entries), so a second import of the
//! same file sends the same ids, and two equal comments stay two. Pure.

use danmu_schemas::RoomId;
use uuid::Uuid;

use super::format::Format;

/// The namespace of every id that an import makes.
const NAMESPACE: Uuid = Uuid::from_u128(0x6d1f_6c6e_0b5c_4d0e_9b64_2a8d_9f43_71c5);

/// What the ids of one import have in common.
#[derive(Debug)]
pub struct Identity {
    /// The room that it goes to.
    pub room: RoomId,
    /// The format of its file.
    pub format: Format,
}

impl Identity {
    /// The id of the `ordinal`th entry, from 0, of those with this canonical text.
    pub fn id(&self, canonical: &str, ordinal: u32) -> Uuid {
        let Self { room, format } = self;
        let name = format!("{room}\0{}\0{canonical}\0{ordinal}", format.as_str());
        Uuid::new_v5(&NAMESPACE, name.as_bytes())
    }
}

//! Settle: decides an event's fate in its room, as a plain function over plain values.
//!
//! Owns the rules by which a log becomes a room's truth. The same state and records always give the
//! same verdicts, the same facts and the same stored bytes: whoever settles them, whenever, in
//! whatever batches, and however often the room is restored from what was stored in between.
//! Rules are versioned: the code of every released version stays, a room names the one in force.
//! Reading the log, loading and storing rooms is the loop's; no clock, randomness or
//! waiting lives here.

mod memory;
mod pending;
mod room;
mod v1;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use danmu_schemas::state::RULES_VERSION_LATEST;
use danmu_schemas::{Body, Position, RoomEvent, Verdict};

pub use room::Room;

/// The version of the rules that a new room settles by.
const RULES_VERSION_FIRST: u32 = 1;

/// A record of the room's log.
#[derive(Debug, Clone)]
pub struct Input<'a> {
    /// Where it stands; records of a room are settled in the order of their positions.
    pub position: Position,
    /// The log's time of it, milliseconds since 1970 UTC.
    pub logged_at: i64,
    /// What it says.
    pub event: &'a RoomEvent<'a>,
    /// The same as an Avro datum of the current schema: kept with a visible event as it is.
    pub datum: Bytes,
}

/// This build cannot settle the room further: a newer one must. The room is as it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// The rules in force, or the rules that the record puts in force, are of a newer build.
    #[error("rules version {version} is not known to this build")]
    UnknownRules {
        /// Which.
        version: u32,
    },
}

/// Decides what a record means in its room, and keeps what it changed for [`Room::take_change`].
pub fn settle(room: &mut Room, input: Input<'_>) -> Result<Verdict, Halt> {
    let adopted = match &input.event.body {
        Body::AdoptRules(adopt) => Some(adopt.version),
        _ => None,
    };
    if let Some(version) = adopted.filter(|version| !knows_rules(*version)) {
        return Err(Halt::UnknownRules { version });
    }
    match room.core.rules_version {
        RULES_VERSION_FIRST => Ok(v1::settle(room, input)),
        version => Err(Halt::UnknownRules { version }),
    }
}

fn knows_rules(version: u32) -> bool {
    (RULES_VERSION_FIRST..=RULES_VERSION_LATEST).contains(&version)
}

//! How a client should connect: which ways there are, where, and how it comes back.

use danmu_schemas::RoomId;
use serde_json::{Value, json};

use crate::pace::Level;

/// The least time before a client that was cut off comes back.
const BACKOFF_MS_MIN: u32 = 1_000;
/// The longest.
const BACKOFF_MS_MAX: u32 = 30_000;
/// After so many failures a client takes the next way.
const ATTEMPTS: u32 = 3;

/// The advice, the best way first. A process at its limit has new clients poll.
pub(super) fn advice(room: &RoomId, level: Level) -> String {
    advised(room, level).to_string()
}

pub(super) fn advised(room: &RoomId, level: Level) -> Value {
    let (transports, rule) = match level {
        Level::Limit => (&["poll"][..], "load"),
        _ => (&["socket", "stream", "poll"][..], "default"),
    };
    let of_room = |name: &str| format!("/v1/rooms/{room}/{name}");
    json!({
        "transports": transports,
        "urls": {
            "socket": of_room("socket"),
            "stream": of_room("stream"),
            "poll": of_room("events"),
        },
        "backoff": {"min_ms": BACKOFF_MS_MIN, "max_ms": BACKOFF_MS_MAX, "attempts": ATTEMPTS},
        "rule": rule,
    })
}

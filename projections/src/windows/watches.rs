//! Who waits for a room to change: one channel a watched room, gone with its last watch.

use std::collections::HashMap;

use danmu_schemas::RoomId;
use tokio::sync::watch;

/// The watched rooms of a slot.
#[derive(Default)]
pub(super) struct Watches {
    versions: HashMap<RoomId, watch::Sender<u64>>,
}

impl Watches {
    /// A watch of a room that has `version` now. Rooms that nobody watches any more are forgotten.
    pub(super) fn begin(&mut self, room: &RoomId, version: u64) -> watch::Receiver<u64> {
        self.forget();
        let sender = self
            .versions
            .entry(room.clone())
            .or_insert_with(|| watch::Sender::new(version));
        sender.subscribe()
    }

    /// Forgets the rooms that nobody watches any more; whether none is left.
    pub(super) fn forget(&mut self) -> bool {
        self.versions.retain(|_, sender| !sender.is_closed());
        self.versions.is_empty()
    }

    /// Tells which version a room has now, also where it was told before.
    pub(super) fn tell(&self, room: &RoomId, version: u64) {
        if let Some(sender) = self.versions.get(room) {
            sender.send_replace(version);
        }
    }

    pub(super) fn rooms(&self) -> impl Iterator<Item = &RoomId> {
        self.versions.keys()
    }
}

//! Who waits for a room to change: one channel a watched room, gone with its last watch.

use std::collections::HashMap;

use danmu_schemas::RoomId;
use tokio::sync::watch;

use crate::projection::StoreError;
use crate::windows::store::RoomWatch;

/// The watched rooms of a slot.
#[derive(Default)]
pub(super) struct Watches {
    versions: HashMap<RoomId, watch::Sender<u64>>,
}

/// Hears of a room of [`super::MemoryWindows`].
#[derive(Debug)]
pub struct MemoryWatch {
    version: watch::Receiver<u64>,
}

impl Watches {
    /// A watch of a room that has `version` now. Rooms that nobody watches any more are forgotten.
    pub(super) fn begin(&mut self, room: &RoomId, version: u64) -> MemoryWatch {
        self.versions.retain(|_, sender| !sender.is_closed());
        let sender = self
            .versions
            .entry(room.clone())
            .or_insert_with(|| watch::Sender::new(version));
        MemoryWatch {
            version: sender.subscribe(),
        }
    }

    pub(super) fn tell(&self, room: &RoomId, version: u64) {
        if let Some(sender) = self.versions.get(room) {
            sender.send_replace(version);
        }
    }

    pub(super) fn rooms(&self) -> impl Iterator<Item = &RoomId> {
        self.versions.keys()
    }
}

impl RoomWatch for MemoryWatch {
    async fn changed(&mut self, seen: u64) -> Result<(), StoreError> {
        let told = self.version.wait_for(|version| *version != seen).await;
        told.map(drop).map_err(|gone| StoreError::Unavailable {
            what: "watching a room",
            source: Box::new(gone),
        })
    }
}

//! Filling a slot without a position from the history.
//!
//! The watermark is read first and again before the end; every write carries the refill's token and
//! counter. So of two refills that race, or of one that a wipe overtakes, at most one ends, and what
//! it ends with is all rooms as of one watermark. The history may not be swept that far: what was
//! erased up to there is left out while copying; states have followed their erasures themselves.

use danmu_schemas::chunk::{CHUNK_LEN_MAX, ChunkBody};
use danmu_schemas::codec;
use danmu_schemas::state::StateCore;
use danmu_schemas::{Position, RoomId, Slot};

use super::store::{PackedChunk, RoomCopy, WindowStore};
use super::{Windows, pack};
#[cfg(feature = "shortcuts")]
use crate::erasures::Erasures;
use crate::history::HistoryStore;
use crate::projection::StoreError;
#[cfg(feature = "shortcuts")]
use crate::shortcuts::{Shortcut, takes};

/// How often a refill starts over before its owner is told to wait.
const REFILL_TRIES_MAX: usize = 16;

impl<S: WindowStore, H: HistoryStore> Windows<S, H> {
    /// Fills the slot, or finds that another one did; gives its position.
    pub(super) async fn refill(&self, slot: Slot) -> Result<Position, StoreError> {
        for _ in 0..REFILL_TRIES_MAX {
            if let Some(position) = self.position(slot).await? {
                return Ok(position);
            }
            if let Some(position) = self.refill_once(slot).await? {
                return Ok(position);
            }
        }
        Err(StoreError::Unavailable {
            what: "refilling a slot",
            source: "others write to it, or its watermark moves all the time".into(),
        })
    }

    async fn refill_once(&self, slot: Slot) -> Result<Option<Position>, StoreError> {
        #[cfg(feature = "shortcuts")]
        let listed = match takes(Shortcut::RoomsListedFirst) {
            true => Some(self.history.rooms(slot, Position::new(u32::MAX, 0)).await?),
            false => None,
        };
        let watermark = self.history.watermark(slot).await?;
        if watermark.is_none() && !self.options.log_is_whole {
            return Err(StoreError::CannotRefill { slot });
        }
        let token = self.next_refill();
        if !self.store.begin(slot, token).await? {
            return Ok(None);
        }
        let at = watermark.unwrap_or(Position::BEGIN);
        let rooms = match watermark {
            Some(at) => self.history.rooms(slot, at).await?,
            None => Vec::new(),
        };
        #[cfg(feature = "shortcuts")]
        let rooms = listed.unwrap_or(rooms);
        let mut n = 0;
        for room in rooms {
            let Some(copy) = self.copy(room, at).await? else {
                return Ok(None);
            };
            if !self.store.put(slot, token, n, copy).await? {
                return Ok(None);
            }
            n += 1;
        }
        if self.history.watermark(slot).await? != watermark {
            return Ok(None);
        }
        let at_log = (at, self.log.clone());
        let ended = self.store.end(slot, token, n, at_log).await?;
        tracing::debug!(%slot, rooms = n, %at, ended, "the slot was refilled from the history");
        Ok(ended.then_some(at))
    }

    /// `None` where the state is gone because the watermark moved on meanwhile.
    async fn copy(&self, room: RoomId, at: Position) -> Result<Option<RoomCopy>, StoreError> {
        let Some((_, state)) = self.history.state(&room, at).await? else {
            return Ok(None);
        };
        let core: StateCore =
            codec::from_stored(&state.core).map_err(|source| StoreError::Damaged {
                what: format!("the state of {room:?}"),
                source,
            })?;
        let chunks = self.newest_chunks(&room, &core, at).await?;
        Ok(Some(RoomCopy {
            room,
            state,
            chunks,
        }))
    }

    async fn newest_chunks(
        &self,
        room: &RoomId,
        core: &StateCore,
        at: Position,
    ) -> Result<Vec<PackedChunk>, StoreError> {
        let (generation, limit) = (core.generation, self.options.events_max);
        let history = &self.history;
        let mut tail = history.tail(room, generation, core.last_seq, limit).await?;
        let erasures = history.erasures(room, at).await?;
        #[cfg(feature = "shortcuts")]
        let erasures = match takes(Shortcut::RefillNotBlanked) {
            true => Erasures::default(),
            false => erasures,
        };
        for (_, event) in &mut tail {
            let blanked = erasures.blank_event(generation, event);
            blanked.map_err(|source| StoreError::Damaged {
                what: format!("event {} of {room:?}", event.seq),
                source,
            })?;
        }
        let mut chunks = Vec::new();
        for run in tail.chunk_by(|(a, _), (b, _)| a == b) {
            for part in run.chunks(CHUNK_LEN_MAX) {
                let (epoch, first) = &part[0];
                let body = ChunkBody {
                    settled: part.iter().map(|(_, event)| event.clone()).collect(),
                    unsettled: Vec::new(),
                };
                let packer = &mut self.packer();
                chunks.extend(pack(packer, generation, *epoch, first.seq, body));
            }
        }
        Ok(chunks)
    }
}

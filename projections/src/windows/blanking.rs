//! Taking out of a room's window what a step erases, in the very append that stores the step.
//!
//! The chunks that are stored are read as of the position that the step expects, and go back under the
//! same header with the step: the store takes all of it or nothing, so there is no moment at which a
//! slot has the erasure and still what it erased. A window is bounded, and so is what is read.

use danmu_schemas::codec::DecodeError;
use danmu_schemas::{Position, RoomId};

use super::Windows;
use super::store::{PackedChunk, WindowRead};
use crate::erasures::Erasures;
use crate::history::HistoryStore;
use crate::projection::{RoomChange, StoreError};
#[cfg(feature = "shortcuts")]
use crate::shortcuts::{Shortcut, takes};

/// What is left of the stored chunks of a room.
pub(super) enum Blanked {
    /// Those that the erasure changed.
    Chunks(Vec<PackedChunk>),
    /// The slot is not where the step expects it.
    Elsewhere(Option<Position>),
}

impl<S: WindowRead, H: HistoryStore> Windows<S, H> {
    /// Blanks what a step's change erases, in the change itself; what it leaves of stored chunks.
    pub(super) async fn blank(
        &mut self,
        change: &mut RoomChange,
        expected: Position,
    ) -> Result<Blanked, StoreError> {
        let erasures = Erasures::of_facts(&change.facts);
        #[cfg(feature = "shortcuts")]
        if takes(Shortcut::WindowsNotBlanked) {
            return Ok(Blanked::Chunks(Vec::new()));
        }
        if erasures.is_empty() {
            return Ok(Blanked::Chunks(Vec::new()));
        }
        let room = change.room.clone();
        for run in &mut change.runs {
            for event in &mut run.settled {
                erasures
                    .blank_event(run.generation, event)
                    .map_err(|e| damaged(&room, e))?;
            }
        }
        let window = self.store.room(&room).await?;
        if window.slot_position != Some(expected) {
            return Ok(Blanked::Elsewhere(window.slot_position));
        }
        let mut blanked = Vec::new();
        for chunk in &window.chunks {
            let left = self.blank_chunk(chunk, &erasures);
            blanked.extend(left.map_err(|e| damaged(&room, e))?);
        }
        Ok(Blanked::Chunks(blanked))
    }

    /// What is left of a chunk; `None` where nothing of it was erased.
    fn blank_chunk(
        &mut self,
        chunk: &PackedChunk,
        erasures: &Erasures,
    ) -> Result<Option<PackedChunk>, DecodeError> {
        if !erasures.may_take_of(&chunk.header) {
            return Ok(None);
        }
        let (header, mut body) = self.unpacker.unpack(&chunk.bytes)?;
        let mut is_changed = false;
        for event in &mut body.settled {
            is_changed |= erasures.blank_event(header.generation, event)?;
        }
        Ok(is_changed.then(|| PackedChunk {
            header,
            bytes: self.packer().pack(&header, &body),
        }))
    }
}

fn damaged(room: &RoomId, source: DecodeError) -> StoreError {
    StoreError::Damaged {
        what: format!("the window of {room:?}"),
        source,
    }
}

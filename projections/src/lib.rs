//! Projections: read models fed from the log, and their one rule.
//!
//! Owns the port [`Projection`] and what stands behind it: the *windows* (the last part of every
//! room) and the *history* (everything), with their readers. A projection stores what settle decided
//! and never decides; it knows neither the log nor HTTP.

pub mod erasures;
pub mod history;
pub mod projection;
pub mod segments;
#[cfg(feature = "shortcuts")]
pub mod shortcuts;
pub mod windows;

#[cfg(test)]
mod sample;

pub use history::{EmbeddedHistory, HistoryReader, HistoryStore, HistoryWriter, Sweep};
pub use projection::{
    Appended, Loaded, Projection, RoomChange, SettledRun, SlotStep, StateChange, StoreError,
    StoredState,
};
pub use windows::{
    MemoryWindows, PackedChunk, RoomWatch, RoomWindow, WindowRead, WindowStore, Windows,
};

//! Projections: read models fed from the log, and their one rule.
//!
//! Owns the port [`Projection`] and what stands behind it: the *windows* (the last part of every
//! room) and the *history* (everything), with their readers. A projection stores what settle decided
//! and never decides; it knows neither the log nor HTTP.

pub mod projection;

pub use projection::{
    Appended, Loaded, Projection, RoomChange, SlotStep, StateChange, StoreError, StoredState,
};

//! The read side: what viewers are told of a room, live and afterwards.
//!
//! It reads projections and decides nothing about events. [`render`] writes settled events as JSON,
//! [`overlay`] hides what moderation took from the public, [`export`] writes a broadcast for other
//! players.

pub mod export;
pub mod overlay;
pub mod render;

//! The read side: what viewers are told of a room, live and afterwards.
//!
//! It reads projections and decides nothing about events. [`render`] writes settled events as JSON,
//! [`overlay`] hides what moderation took from the public, [`export`] writes a broadcast for other
//! players; `poll` cuts a room's pages and `replay` its broadcasts; [`http`] gives them addresses.

mod answer;
pub mod export;
mod feed;
pub mod http;
pub mod overlay;
mod poll;
pub mod render;
mod replay;

pub use http::{Api, router};

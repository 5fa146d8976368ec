//! The read side: what viewers are told of a room, live and afterwards.
//!
//! It reads projections and decides nothing about events. `feed` holds the rooms that are watched,
//! rendered once; `poll`, `overview` and `directory` read it, `live` goes on reading it for `stream` and
//! `socket`, [`ready`](Api::ready) answers a poll before any router. [`render`] writes settled events as
//! JSON, [`overlay`] hides what moderation took, `pace` says how much of it is shown and how often, `older`
//! pages through the history, `replay` and [`export`] show broadcasts afterwards; [`http`] gives them
//! addresses, [`web`] serves the page that shows it all to people. What is said over sockets leaves by
//! `write_side`.

mod answer;
mod connections;
mod directory;
pub mod export;
mod feed;
pub mod http;
mod live;
mod older;
pub mod overlay;
mod overview;
mod pace;
mod page;
mod poll;
mod ready;
pub mod render;
mod replay;
mod socket;
mod stream;
mod totals;
pub mod web;
mod write_side;

pub use feed::FeedLimits;
pub use http::{Api, Options, router};
pub use pace::{Level, Load};
pub use write_side::{Said, Speaker, WriteSide};

//! What the read side hands to the write side: what is said over sockets.
//!
//! This crate knows no log. Whoever wires a process gives it a [`WriteSide`]; each thing that is said
//! over a socket then takes the same way as over HTTP, limits and all.

use std::net::IpAddr;

use danmu_schemas::problem::Problem;
use danmu_schemas::{Caller, EventId, RoomId};
use futures_util::future::BoxFuture;

/// Who says something, and where.
#[derive(Debug, Clone)]
pub struct Speaker {
    /// In which room.
    pub room: RoomId,
    /// Who.
    pub caller: Caller,
    /// From which address, where that is known.
    pub address: Option<IpAddr>,
}

/// What is said.
#[derive(Debug, Clone)]
pub enum Said {
    /// An event, as JSON; as a publish's body.
    Event(String),
    /// Likes, as the body of their request.
    Likes(String),
}

/// Takes what is said over sockets.
pub trait WriteSide: Send + Sync + 'static {
    /// Takes it, by the rules of a request over HTTP; the events' ids once the log has them. Likes have
    /// none. A future that is dropped may have been taken.
    fn say(&self, speaker: Speaker, said: Said) -> BoxFuture<'_, Result<Vec<EventId>, Problem>>;

    /// Who a token proves somebody to be.
    fn caller(&self, token: &str) -> Result<Caller, Problem>;
}

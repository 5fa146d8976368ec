//! The integration tests, through the public surfaces only: one binary.

#![expect(
    clippy::unwrap_used,
    reason = "all of this binary is tests, not only its `#[test]` functions"
)]

mod campaign;
#[cfg(feature = "cluster")]
mod cluster;
#[cfg(feature = "cluster")]
mod cql;
mod demo;
#[cfg(feature = "cluster")]
mod deployment;
mod hostile;
mod import;
mod kills;
mod likes;
mod live;
mod log;
mod model;
mod moderation;
mod mutated;
mod openapi;
mod operation;
mod overload;
mod page;
mod projection;
#[cfg(feature = "cluster")]
mod redis;
mod schemathesis;
#[cfg(feature = "cluster")]
mod settled;
mod simulate;
#[cfg(feature = "cluster")]
mod stack;
mod stalled;
mod statuses;
mod stopped;
mod streams;
mod tidy;
mod transfer;
mod verdicts;
mod verify;

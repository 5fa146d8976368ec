//! What the tests of the whole share: the conformance suites that every adapter of a port passes, the
//! product as a process, what may stand before it, and recordings to bring in.
//!
//! The integration tests themselves are in `it`, which uses the public surfaces only.

pub mod conformance;
pub mod connection;
pub mod load;
pub mod proxy;
pub mod recording;
pub mod server;

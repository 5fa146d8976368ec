//! What the tests of the whole share: the conformance suites that every adapter of a port passes.
//!
//! The integration tests themselves are in `it`, which uses the public surfaces only.

pub mod conformance;
pub mod server;

//! What turns the log into rooms: settle, which decides, and the one loop that feeds projections.
//!
//! Settle is plain functions over plain values; the loop does the reading, loading and storing.
//! Neither knows an engine: logs and projections come in through their ports.

pub mod settle;

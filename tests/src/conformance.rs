//! One suite a port, run over each of its adapters.
//!
//! A suite is generic over an environment that opens the adapter, and is what the port's comment
//! promises, sentence by sentence. What only one adapter promises is tested beside it.

pub mod dead_letters;
pub mod log;
pub mod projection;

//! The integration tests, through the public surfaces only: one binary.

mod log;
mod model;
mod tidy;

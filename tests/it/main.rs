//! The integration tests, through the public surfaces only: one binary.

mod import;
mod log;
mod model;
mod tidy;

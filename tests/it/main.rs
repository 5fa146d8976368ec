//! The integration tests, through the public surfaces only: one binary.

mod model;
mod tidy;

//! Settle's tests: tables of a log and its verdicts, laws over generated logs, and the bounds.

mod bounds;
mod laws;
mod script;
mod tables;

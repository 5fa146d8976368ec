//! A small pure model of the projection rule: logs, stores, processors, readers, and everything
//! that may befall them.
//!
//! Each part runs the rule of the design over thousands of seeded worlds with crashes, zombies,
//! unknown outcomes, lost writes and roll-backs, and asserts that not one comes out wrong. Then it
//! takes each shortcut that suggests itself and asserts that some worlds do come out wrong: a
//! shortcut that never fails would mean that the model cannot see. Nothing here touches the real
//! crates; the conformance suites run the real adapters.

mod history;
mod readers;
mod refill;
mod segments;
mod windows;
pub mod world;

//! The history over a real Cassandra: the suite of its port, what befalls servers, and the command that
//! makes the tables.

mod command;
pub mod horizon;
pub mod keyspace;
mod servers;
mod swept;

mod history {
    danmu_tests::history_conformance!(super::keyspace::Keyspace::new());
}

//! The history over a real Cassandra: the suite of its port, and what befalls servers.

mod keyspace;
mod servers;

mod history {
    danmu_tests::history_conformance!(super::keyspace::Keyspace::new());
}

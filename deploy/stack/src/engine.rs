//! The engines, by name, and where the knowledge of each is.
//!
//! An engine's module says two things: the command that runs it in a [`Place`], and whether a server
//! at an address answers as one that is ready for clients.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::{cassandra, etcd, kafka, redis};

/// A server that danmu can use.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// The log.
    Kafka,
    /// The windows.
    Redis,
    /// The history: Cassandra, which speaks the same CQL as ScyllaDB.
    Cassandra,
    /// Discovery.
    Etcd,
}

impl Engine {
    /// Every engine.
    pub const ALL: [Self; 4] = [Self::Kafka, Self::Redis, Self::Cassandra, Self::Etcd];

    /// Its name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Redis => "redis",
            Self::Cassandra => "cassandra",
            Self::Etcd => "etcd",
        }
    }

    /// The variable of the environment that names a server to use instead of one of ours.
    pub fn variable(self) -> &'static str {
        match self {
            Self::Kafka => "XTASK_KAFKA",
            Self::Redis => "XTASK_REDIS",
            Self::Cassandra => "XTASK_CQL",
            Self::Etcd => "XTASK_ETCD",
        }
    }

    /// The engine of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|engine| engine.name() == name)
    }

    /// What runs it; writes its settings into the place. Installs what is missing.
    pub(crate) fn command(self, place: &Place<'_>) -> Result<Command> {
        match self {
            Self::Kafka => kafka::command(place),
            Self::Redis => redis::command(place),
            Self::Cassandra => cassandra::command(place),
            Self::Etcd => etcd::command(place),
        }
    }

    /// Whether the server at `address` serves clients; an error as long as nothing answers.
    pub(crate) fn is_ready(self, address: SocketAddr) -> io::Result<bool> {
        match self {
            Self::Kafka => kafka::is_ready(address),
            Self::Redis => redis::is_ready(address),
            Self::Cassandra => cassandra::is_ready(address),
            Self::Etcd => etcd::is_ready(address),
        }
    }
}

/// Where one server runs.
pub(crate) struct Place<'a> {
    /// An existing directory of its own.
    pub directory: &'a Path,
    /// Where clients reach it.
    pub port: u16,
    /// Where its like would reach it.
    pub peer_port: u16,
    /// What shall differ from the engine's defaults here, in its own words.
    pub settings: &'a [(String, String)],
}

impl Place<'_> {
    /// The settings, those of the place before `defaults` of the same name.
    pub fn settings_over(&self, defaults: &[(&str, String)]) -> Vec<(String, String)> {
        let given = |name: &str| self.settings.iter().any(|(given, _)| given == name);
        let defaults = defaults.iter().filter(|(name, _)| !given(name));
        let owned = |(name, value): &(&str, String)| ((*name).to_owned(), value.clone());
        defaults
            .map(owned)
            .chain(self.settings.iter().cloned())
            .collect()
    }
}

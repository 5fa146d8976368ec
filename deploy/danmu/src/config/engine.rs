//! Engines by their URL: `embedded:DIR`, `memory:`, and with the feature `cluster` `kafka://…`,
//! `redis://…` and `cql://…`.
//!
//! A URL of a known engine that is not built in is told apart from one that nobody knows, because the
//! remedy differs. Neither is ever replaced by another engine. A URL is logged and printed, so what must
//! stay secret comes beside it (`secrets`).

use std::fmt;
use std::path::{Path, PathBuf};

#[cfg(feature = "cluster")]
use danmu_log::kafka;
#[cfg(feature = "cluster")]
use danmu_projections::history::cql::{CommitLog, CqlAddress, CqlOptions};
#[cfg(feature = "cluster")]
use danmu_projections::windows::redis::RedisAddress;
#[cfg(feature = "cluster")]
use secrecy::SecretString;

/// Schemes of engines that need the `cluster` feature, with which all of their kind begin.
const CLUSTER_SCHEMES: [&str; 3] = ["kafka", "redis", "cql"];

/// Where the log is.
#[derive(Debug, Clone)]
pub enum LogUrl {
    /// Files in a directory of this machine, which one process holds.
    Embedded(PathBuf),
    /// A topic.
    #[cfg(feature = "cluster")]
    Kafka {
        /// Where and how.
        options: kafka::Options,
        /// What this process is called among the readers of a group, the same after a restart; a
        /// reader without a name leaves the group when it ends.
        member: Option<String>,
    },
}

/// Where the windows are.
#[derive(Debug, Clone)]
pub enum WindowsUrl {
    /// In the process's memory.
    Memory,
    /// In a Redis.
    #[cfg(feature = "cluster")]
    Redis {
        /// Where.
        address: RedisAddress,
        /// What it wants to hear from us.
        password: Option<SecretString>,
    },
}

/// Where the history is.
#[derive(Debug, Clone)]
pub enum HistoryUrl {
    /// Files in a directory of this machine, which one process holds.
    Embedded(PathBuf),
    /// Tables of ScyllaDB or Cassandra.
    #[cfg(feature = "cluster")]
    Cql(CqlOptions),
}

impl LogUrl {
    /// The log of a URL.
    pub fn parse(url: &str) -> Result<Self, String> {
        match split(url)? {
            #[cfg(feature = "cluster")]
            ("kafka", _) => Ok(Self::Kafka {
                options: kafka::Options::at(url)?,
                member: None,
            }),
            _ => embedded(url).map(Self::Embedded),
        }
    }

    /// The directory that it is in, where it is in one.
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Self::Embedded(dir) => Some(dir),
            #[cfg(feature = "cluster")]
            Self::Kafka { .. } => None,
        }
    }

    /// Whether one process alone can have it.
    pub fn is_of_one_process(&self) -> bool {
        self.directory().is_some()
    }
}

impl WindowsUrl {
    /// The windows of a URL.
    pub fn parse(url: &str) -> Result<Self, String> {
        match split(url)? {
            ("memory", "") => Ok(Self::Memory),
            ("embedded", _) => Err("windows of one process are kept in memory:".to_owned()),
            #[cfg(feature = "cluster")]
            (scheme, _) if scheme.starts_with("redis") => Ok(Self::Redis {
                address: url.parse().map_err(|error| format!("{error}"))?,
                password: None,
            }),
            (scheme, _) => Err(unknown(scheme)),
        }
    }

    /// Whether one process alone can have them.
    pub fn is_of_one_process(&self) -> bool {
        match self {
            Self::Memory => true,
            #[cfg(feature = "cluster")]
            Self::Redis { .. } => false,
        }
    }
}

impl HistoryUrl {
    /// The history of a URL.
    pub fn parse(url: &str) -> Result<Self, String> {
        match split(url)? {
            #[cfg(feature = "cluster")]
            ("cql", _) => Ok(Self::Cql(CqlOptions {
                address: CqlAddress::parse(url)?,
                credentials: None,
                commit_log: CommitLog::default(),
            })),
            _ => embedded(url).map(Self::Embedded),
        }
    }

    /// The directory that it is in, where it is in one.
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Self::Embedded(dir) => Some(dir),
            #[cfg(feature = "cluster")]
            Self::Cql(_) => None,
        }
    }

    /// Whether one process alone can have it.
    pub fn is_of_one_process(&self) -> bool {
        self.directory().is_some()
    }
}

impl fmt::Display for LogUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded(dir) => write!(f, "embedded:{}", dir.display()),
            #[cfg(feature = "cluster")]
            Self::Kafka { options, .. } => options.fmt(f),
        }
    }
}

impl fmt::Display for WindowsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            #[cfg(feature = "cluster")]
            Self::Redis { address, .. } => address.fmt(f),
        }
    }
}

impl fmt::Display for HistoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded(dir) => write!(f, "embedded:{}", dir.display()),
            #[cfg(feature = "cluster")]
            Self::Cql(options) => options.address.fmt(f),
        }
    }
}

fn split(url: &str) -> Result<(&str, &str), String> {
    let parts = url.split_once(':');
    parts.ok_or_else(|| format!("{url:?} is no engine like embedded:DIR or memory:"))
}

/// The directory of an engine that is embedded.
fn embedded(url: &str) -> Result<PathBuf, String> {
    match split(url)? {
        ("embedded", "") => Err("embedded: needs a directory".to_owned()),
        ("embedded", dir) => Ok(dir.into()),
        ("memory", "") => {
            Err("memory: would lose what was accepted: it needs embedded:DIR".to_owned())
        }
        (scheme, _) => Err(unknown(scheme)),
    }
}

/// Why there is no such engine here.
fn unknown(scheme: &str) -> String {
    let is_of_cluster = CLUSTER_SCHEMES
        .iter()
        .any(|known| scheme.starts_with(known));
    if is_of_cluster && cfg!(not(feature = "cluster")) {
        format!("this build has no {scheme} engine: it needs the feature `cluster`")
    } else if is_of_cluster {
        format!("{scheme} is an engine of something else")
    } else {
        format!("there is no engine {scheme:?}")
    }
}

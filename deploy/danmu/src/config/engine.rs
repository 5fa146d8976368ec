//! Engines by their URL: `embedded:DIR`, `memory:`, and the ones that this build does not have.
//!
//! A URL of a known engine that is not built in is told apart from one that nobody knows, because the
//! remedy differs. Neither is ever replaced by another engine.

use std::path::PathBuf;

/// Schemes of engines that need the `cluster` feature.
const CLUSTER_SCHEMES: [&str; 7] = [
    "kafka",
    "redis",
    "rediss",
    "redis+sentinel",
    "redis+cluster",
    "cql",
    "etcd",
];

/// An engine that this build has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Engine {
    /// Files in a directory of this machine.
    Embedded(PathBuf),
    /// This process's memory.
    Memory,
}

impl Engine {
    /// The engine of a URL.
    pub fn parse(url: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = url.split_once(':') else {
            return Err(format!("{url:?} is no engine like embedded:DIR or memory:"));
        };
        match (scheme, rest) {
            ("embedded", "") => Err("embedded: needs a directory".to_owned()),
            ("embedded", dir) => Ok(Self::Embedded(dir.into())),
            ("memory", "") => Ok(Self::Memory),
            _ if CLUSTER_SCHEMES.contains(&scheme) => Err(format!(
                "this build has no {scheme} engine: it needs the feature `cluster`"
            )),
            _ => Err(format!("there is no engine {scheme:?}")),
        }
    }

    /// The directory of an engine that must be embedded.
    pub fn embedded(url: &str) -> Result<PathBuf, String> {
        match Self::parse(url)? {
            Self::Embedded(dir) => Ok(dir),
            Self::Memory => {
                Err("memory: would lose what was accepted: it needs embedded:DIR".into())
            }
        }
    }

    /// Checks an engine that must be this process's memory.
    pub fn memory(url: &str) -> Result<(), String> {
        match Self::parse(url)? {
            Self::Memory => Ok(()),
            Self::Embedded(_) => Err("windows are kept in memory: by this build".into()),
        }
    }
}

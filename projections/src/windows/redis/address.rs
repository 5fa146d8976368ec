//! Where a Redis is: a URL without secrets.
//!
//! `redis://host:port/db`, `redis+sentinel://host:port,host:port/name/db` (the sentinels, and the name
//! under which they know the server) or `redis+cluster://host:port,host:port`; `rediss` instead of
//! `redis` for TLS. 6379 (26379 for sentinels) and 0 where left out, a user where the server has one. A URL may be logged,
//! so one that carries a password is refused.

use std::fmt;
use std::str::FromStr;

const PORT: u16 = 6_379;
const SENTINEL_PORT: u16 = 26_379;

/// One Redis, however many servers it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisAddress {
    /// What its nodes are.
    pub topology: Topology,
    /// Their names or IP addresses, with their ports; at least one.
    pub nodes: Vec<(String, u16)>,
    /// Which of its databases.
    pub database: u16,
    /// Who we are there; the server's default user where left out.
    pub user: Option<String>,
    /// Whether it is spoken to by TLS, with the system's certificates.
    pub is_tls: bool,
}

/// What the nodes of an address are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topology {
    /// The server itself.
    Single,
    /// Sentinels, who know where the server of that name is.
    Sentinel {
        /// The server's name.
        name: String,
    },
    /// Some of a cluster, who know the others.
    Cluster,
}

/// What is wrong with a URL. None repeats it whole, because it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is no URL, or one of something else.
    #[error(
        "not an address of a redis: it is redis://host:port/db, redis+sentinel://host:port/name/db \
         or redis+cluster://host:port, with rediss for TLS"
    )]
    Malformed,
    /// It has a password.
    #[error("a password has no place in a URL, which is logged: give it by file or environment")]
    HasPassword,
    /// More than one node where there can be only one.
    #[error("redis:// names one server; several are redis+sentinel:// or redis+cluster://")]
    SeveralNodes,
    /// Its path is no database.
    #[error("the path of a redis URL ends with the number of a database, not {0:?}")]
    Database(String),
    /// A cluster has one database only.
    #[error("a cluster has one database, which is not named")]
    ClusterDatabase,
    /// The sentinels would not know which server is meant.
    #[error("redis+sentinel:// needs the name of the server after the sentinels")]
    NoName,
    /// It has a query or a fragment.
    #[error("a redis URL has no options")]
    HasOptions,
}

impl FromStr for RedisAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (scheme, rest) = text.split_once("://").ok_or(AddressError::Malformed)?;
        let (base, topology) = scheme.split_once('+').unwrap_or((scheme, ""));
        let is_tls = match base {
            "redis" => false,
            "rediss" => true,
            _ => return Err(AddressError::Malformed),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, nodes) = authority.rsplit_once('@').unwrap_or(("", authority));
        if user.contains(':') {
            return Err(AddressError::HasPassword);
        }
        if rest.contains(['?', '#']) {
            return Err(AddressError::HasOptions);
        }
        let (topology, database) = topology_of(topology, path)?;
        let port = match topology {
            Topology::Sentinel { .. } => SENTINEL_PORT,
            Topology::Single | Topology::Cluster => PORT,
        };
        let nodes = nodes.split(',').map(|node| parse_node(node, port));
        let nodes: Vec<(String, u16)> = nodes
            .collect::<Option<_>>()
            .ok_or(AddressError::Malformed)?;
        if topology == Topology::Single && nodes.len() > 1 {
            return Err(AddressError::SeveralNodes);
        }
        Ok(Self {
            topology,
            nodes,
            database,
            user: Some(user.to_owned()).filter(|user| !user.is_empty()),
            is_tls,
        })
    }
}

fn topology_of(name: &str, path: &str) -> Result<(Topology, u16), AddressError> {
    match name {
        "" => Ok((Topology::Single, parse_database(path)?)),
        "cluster" if path.is_empty() => Ok((Topology::Cluster, 0)),
        "cluster" => Err(AddressError::ClusterDatabase),
        "sentinel" => {
            let (name, database) = path.split_once('/').unwrap_or((path, ""));
            if name.is_empty() {
                return Err(AddressError::NoName);
            }
            let name = name.to_owned();
            Ok((Topology::Sentinel { name }, parse_database(database)?))
        }
        _ => Err(AddressError::Malformed),
    }
}

fn parse_database(text: &str) -> Result<u16, AddressError> {
    match text {
        "" => Ok(0),
        number => number
            .parse()
            .map_err(|_| AddressError::Database(number.to_owned())),
    }
}

/// `host`, `host:port` or `[ip6]:port`.
fn parse_node(node: &str, default_port: u16) -> Option<(String, u16)> {
    let (host, port) = match node.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => node.split_at(node.find(':').unwrap_or(node.len())),
    };
    let port = match port {
        "" => default_port,
        port => port.strip_prefix(':')?.parse().ok()?,
    };
    let is_clean = |c: char| c.is_ascii_alphanumeric() || "._-:%".contains(c);
    let is_host = !host.is_empty() && host.chars().all(is_clean);
    is_host.then(|| (host.to_owned(), port))
}

/// As its URL.
impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_tls { "rediss" } else { "redis" })?;
        match self.topology {
            Topology::Single => f.write_str("://")?,
            Topology::Sentinel { .. } => f.write_str("+sentinel://")?,
            Topology::Cluster => f.write_str("+cluster://")?,
        }
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        for (n, (host, port)) in self.nodes.iter().enumerate() {
            let comma = if n > 0 { "," } else { "" };
            match host.contains(':') {
                true => write!(f, "{comma}[{host}]:{port}")?,
                false => write!(f, "{comma}{host}:{port}")?,
            }
        }
        match &self.topology {
            Topology::Single => write!(f, "/{}", self.database),
            Topology::Sentinel { name } => write!(f, "/{name}/{}", self.database),
            Topology::Cluster => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;

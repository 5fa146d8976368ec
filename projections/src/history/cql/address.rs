//! Where a history is: `cql://host:port,host:port/keyspace`. Names and passwords are never part of it.

use std::fmt;

const SCHEME: &str = "cql://";
const DEFAULT_PORT: u16 = 9042;
/// The longest name of a keyspace, as the servers have it.
const KEYSPACE_BYTES_MAX: usize = 48;

/// Servers to begin with, and a keyspace. The other servers are found through these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CqlAddress {
    /// As `host:port`; at least one.
    pub servers: Vec<String>,
    /// Lower-case letters, digits and underscores.
    pub keyspace: String,
}

impl CqlAddress {
    /// The address in a URL, or what is wrong with it, without repeating what may be secret.
    pub fn parse(url: &str) -> Result<Self, String> {
        let rest = url
            .strip_prefix(SCHEME)
            .ok_or("a history's address is cql://HOST:PORT,HOST:PORT/KEYSPACE")?;
        if rest.contains('@') {
            return Err("a cql: address has no user or password in it".to_owned());
        }
        let (servers, keyspace) = rest
            .split_once('/')
            .ok_or("a cql: address ends with /KEYSPACE")?;
        if !is_keyspace(keyspace) {
            return Err(format!(
                "{keyspace:?} is no keyspace: a letter, then letters, digits and _, all lower case"
            ));
        }
        Ok(Self {
            servers: servers.split(',').map(server).collect::<Result<_, _>>()?,
            keyspace: keyspace.to_owned(),
        })
    }
}

impl fmt::Display for CqlAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.servers.join(","), self.keyspace)
    }
}

/// A server with its port; an IPv6 address stands in brackets.
fn server(text: &str) -> Result<String, String> {
    let end_of_host = text.rfind(']').map_or(0, |end| end + 1);
    let (host, port) = match text[end_of_host..].rfind(':') {
        Some(colon) => text.split_at(end_of_host + colon),
        None => (text, ""),
    };
    let is_port = port.is_empty() || port[1..].parse().is_ok_and(|port: u16| port > 0);
    if host.is_empty() || !is_port || (host.contains(':') && !host.starts_with('[')) {
        return Err(format!("{text:?} is no server like HOST:PORT"));
    }
    Ok(match port {
        "" => format!("{host}:{DEFAULT_PORT}"),
        _ => text.to_owned(),
    })
}

fn is_keyspace(name: &str) -> bool {
    let is_inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    name.len() <= KEYSPACE_BYTES_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(is_inside)
}

#[cfg(test)]
mod tests;

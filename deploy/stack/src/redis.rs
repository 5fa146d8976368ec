//! Redis, from its package: appends every write to a file, synced each second.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::process::Command;

use anyhow::Result;

use crate::engine::Place;
use crate::{install, wire};

pub fn command(place: &Place<'_>) -> Result<Command> {
    let settings = place.settings_over(&[
        ("bind", "127.0.0.1".to_owned()),
        ("port", place.port.to_string()),
        ("dir", format!("{:?}", place.directory)),
        ("save", "\"\"".to_owned()),
        ("appendonly", "yes".to_owned()),
        ("appendfsync", "everysec".to_owned()),
    ]);
    let lines = settings
        .iter()
        .map(|(name, value)| format!("{name} {value}\n"));
    let file = place.directory.join("redis.conf");
    fs::write(&file, lines.collect::<String>())?;
    let mut command = Command::new(install::program("redis-server", "redis-server")?);
    command.arg(file);
    Ok(command)
}

/// A server that still reads its file answers with an error that says so.
pub fn is_ready(address: SocketAddr) -> io::Result<bool> {
    let answer = wire::ask(address, b"PING\r\n", |answer| answer.ends_with(b"\r\n"))?;
    Ok(answer.starts_with(b"+PONG"))
}

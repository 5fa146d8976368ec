//! etcd, from its package: a cluster of one.

use std::io;
use std::net::SocketAddr;
use std::process::Command;

use anyhow::Result;

use crate::engine::Place;
use crate::{install, wire};

pub fn command(place: &Place<'_>) -> Result<Command> {
    let client = format!("http://127.0.0.1:{}", place.port);
    let peer = format!("http://127.0.0.1:{}", place.peer_port);
    let settings = place.settings_over(&[
        ("name", "one".to_owned()),
        (
            "data-dir",
            place.directory.join("data").display().to_string(),
        ),
        ("listen-client-urls", client.clone()),
        ("advertise-client-urls", client),
        ("listen-peer-urls", peer.clone()),
        ("initial-advertise-peer-urls", peer.clone()),
        ("initial-cluster", format!("one={peer}")),
    ]);
    let mut command = Command::new(install::program("etcd", "etcd-server")?);
    command.args(
        settings
            .iter()
            .map(|(name, value)| format!("--{name}={value}")),
    );
    Ok(command)
}

pub fn is_ready(address: SocketAddr) -> io::Result<bool> {
    let question = format!("GET /health HTTP/1.0\r\nHost: {address}\r\n\r\n");
    let answer = wire::ask(address, question.as_bytes(), |_| false)?;
    Ok(String::from_utf8_lossy(&answer).contains("\"health\":\"true\""))
}

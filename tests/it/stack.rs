//! The stack's servers do what tests need of them: they start, die, come back and forget.

use std::net::{SocketAddr, TcpStream};
use std::{fs, io};

use anyhow::{Context, ensure};
use danmu_stack::{Engine, Options, Server};
use tempfile::TempDir;

#[test]
fn kafka_comes_back() -> anyhow::Result<()> {
    comes_back(Engine::Kafka)
}

#[test]
fn redis_comes_back() -> anyhow::Result<()> {
    comes_back(Engine::Redis)
}

#[test]
fn cassandra_comes_back() -> anyhow::Result<()> {
    comes_back(Engine::Cassandra)
}

#[test]
fn etcd_comes_back() -> anyhow::Result<()> {
    comes_back(Engine::Etcd)
}

/// What was stored is there after a crash, if the server promised so, and gone after a wipe.
#[test]
fn a_server_keeps_and_forgets() -> anyhow::Result<()> {
    let directory = TempDir::new()?;
    let options = Options::new(directory.path()).with("appendfsync", "always");
    let mut server = Server::start(Engine::Redis, options)?;
    ensure!(redis(&server, "SET a 1")?.starts_with("+OK"), "not stored");
    server.kill();
    server.restart()?;
    ensure!(redis(&server, "GET a")?.starts_with("$1\r\n1"), "it forgot");
    server.stop()?;
    server.wipe()?;
    server.restart()?;
    ensure!(redis(&server, "GET a")?.starts_with("$-1"), "it remembers");
    Ok(())
}

#[test]
fn a_server_that_cannot_start_says_why() -> anyhow::Result<()> {
    let directory = TempDir::new()?;
    let options = Options::new(directory.path()).with("no-such-setting", "1");
    let error = Server::start(Engine::Redis, options)
        .err()
        .context("it started")?;
    ensure!(error.to_string().contains("no-such-setting"), "{error}");
    Ok(())
}

/// Killed, stopped and wiped it serves again at the same address, and only to this machine.
fn comes_back(engine: Engine) -> anyhow::Result<()> {
    let directory = TempDir::new()?;
    let mut server = Server::start(engine, Options::new(directory.path()))?;
    let address = server.address();
    ensure!(
        listeners(&address)? == ["127.0.0.1"],
        "{:?}",
        listeners(&address)?
    );
    server.kill();
    ensure!(!is_reached(&address)?, "it was killed");
    server.restart()?;
    ensure!(
        server.address() == address && is_reached(&address)?,
        "it is back"
    );
    server.stop()?;
    ensure!(!is_reached(&address)?, "it was stopped");
    server.wipe()?;
    server.restart()?;
    ensure!(is_reached(&address)?, "it is back, empty");
    drop(server);
    ensure!(!is_reached(&address)?, "it ended with its owner");
    Ok(())
}

fn is_reached(address: &str) -> anyhow::Result<bool> {
    let address: SocketAddr = address.parse()?;
    Ok(TcpStream::connect(address).is_ok())
}

/// The addresses that some process listens at on the same port.
fn listeners(address: &str) -> anyhow::Result<Vec<String>> {
    const LISTENING: &str = "0A";
    let address: SocketAddr = address.parse()?;
    let mut found = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in fs::read_to_string(table)?.lines().skip(1) {
            let mut fields = line.split_whitespace().skip(1);
            let (Some(local), Some(state)) = (fields.next(), fields.nth(1)) else {
                continue;
            };
            let (host, port) = local.split_once(':').context("host:port in hexadecimal")?;
            if state == LISTENING && u16::from_str_radix(port, 16)? == address.port() {
                found.push(loopback_or_other(host));
            }
        }
    }
    Ok(found)
}

fn loopback_or_other(host: &str) -> String {
    match host {
        "0100007F" | "0000000000000000FFFF00000100007F" => "127.0.0.1".to_owned(),
        other => other.to_owned(),
    }
}

fn redis(server: &Server, command: &str) -> io::Result<String> {
    use std::io::{Read, Write};
    let mut stream = TcpStream::connect(server.address())?;
    write!(stream, "{command}\r\nQUIT\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

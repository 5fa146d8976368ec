//! The load: connections that are kept, each with one request under way.
//!
//! A client of our own, as thin as can be, so that its core is not what limits: requests are bytes that
//! were made before, of an answer only the status and the length are read. All connections run on the
//! calling thread.

use std::borrow::Cow;
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::try_join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest head of an answer.
const HEAD_BYTES_MAX: usize = 8 * 1_024;

/// A GET's bytes.
pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n").into_bytes()
}

/// A POST's bytes.
pub fn post(path: &str, body: &str) -> Vec<u8> {
    let len = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n\
         content-length: {len}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A connection.
pub struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

/// An answer of status 200.
pub struct Answer<'a> {
    /// Status line and headers, without the empty line.
    pub head: &'a str,
    /// The body.
    pub body: &'a [u8],
}

impl Client {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            read: Vec::with_capacity(16 * 1_024),
        })
    }

    /// Sends a request and reads its answer; an error unless that is 200.
    pub async fn ask(&mut self, request: &[u8]) -> Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.read.clear();
        let head_len = self.read_head().await?;
        let head = std::str::from_utf8(&self.read[..head_len])?;
        ensure!(head.starts_with("HTTP/1.1 200"), "answered: {head}");
        let end = head_len + 4 + content_length(head)?;
        while self.read.len() < end {
            self.read_more().await?;
        }
        Ok(Answer {
            head: std::str::from_utf8(&self.read[..head_len])?,
            body: &self.read[head_len + 4..end],
        })
    }

    async fn read_head(&mut self) -> Result<usize> {
        loop {
            self.read_more().await?;
            let end = self.read.windows(4).position(|bytes| bytes == b"\r\n\r\n");
            if let Some(end) = end {
                return Ok(end);
            }
            ensure!(self.read.len() < HEAD_BYTES_MAX, "a head without end");
        }
    }

    async fn read_more(&mut self) -> Result<()> {
        if self.stream.read_buf(&mut self.read).await? == 0 {
            bail!("the server closed the connection");
        }
        Ok(())
    }
}

fn content_length(head: &str) -> Result<usize> {
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    };
    head.lines().find_map(header).context("no content-length")
}

/// Sends the requests 0 to `count`, each as soon as one of `clients` connections is free.
pub fn hammer<'a>(
    address: SocketAddr,
    clients: usize,
    count: usize,
    request: impl Fn(usize) -> Cow<'a, [u8]>,
) -> Result<()> {
    paced(address, clients, count, Duration::ZERO, request).map(drop)
}

/// The same, but each request has its moment, one `every` so often, and waits for it. Gives how long
/// after that moment each was answered, in no order.
pub fn paced<'a>(
    address: SocketAddr,
    clients: usize,
    count: usize,
    every: Duration,
    request: impl Fn(usize) -> Cow<'a, [u8]>,
) -> Result<Vec<Duration>> {
    let next = Cell::new(0);
    let started = Instant::now();
    let work = async || {
        let mut client = Client::connect(address).await?;
        let mut took = Vec::new();
        while next.get() < count {
            let n = next.replace(next.get() + 1);
            let moment = started + every * u32::try_from(n)?;
            if !every.is_zero() {
                tokio::time::sleep_until(moment.into()).await;
            }
            client.ask(&request(n)).await?;
            took.push(moment.elapsed());
        }
        anyhow::Ok(took)
    };
    run(async {
        let took = try_join_all((0..clients).map(|_| work())).await?;
        Ok(took.concat())
    })
}

/// Asks once: head and body of the answer.
pub fn ask_once(address: SocketAddr, request: &[u8]) -> Result<(String, Vec<u8>)> {
    run(async {
        let mut client = Client::connect(address).await?;
        let answer = client.ask(request).await?;
        Ok((answer.head.to_owned(), answer.body.to_vec()))
    })
}

/// Runs on the calling thread alone.
pub fn run<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(work)
}

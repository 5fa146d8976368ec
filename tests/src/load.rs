//! Load from one thread over many connections: closed loop, or open loop with intended times.
//!
//! A client has one connection and at most one request in flight. In open loop a request has a time at
//! which it should be sent; one that is overdue by more than the client's patience is left out and
//! counted, as a viewer gives up who finds no connection free.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::connection::Answer;

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// How much is read at once.
const READ_BYTES: usize = 4 * 1_024;

/// How fast a client sends.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// The next request when the last is answered.
    Closed,
    /// One every so often.
    Open {
        /// When the first one is due.
        first: Duration,
        /// How long it is from one to the next.
        every: Duration,
        /// How long after its time a request is still sent.
        patience: Duration,
    },
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// 200.
    Accepted,
    /// 429 or 503 `overloaded`, with `Retry-After`: nothing was appended.
    Refused(u16),
    /// 503 `outcome-unknown`, or the connection was lost.
    Unknown,
}

/// A request that was sent.
#[derive(Debug)]
pub struct Sent<T> {
    /// What it was, as its maker said.
    pub what: T,
    /// What became of it.
    pub outcome: Outcome,
}

/// All that a client did.
#[derive(Debug)]
pub struct Report<T> {
    /// In their order.
    pub sent: Vec<Sent<T>>,
    /// How many requests were overdue and left out.
    pub left_out: usize,
}

/// Sends what `next` gives for 0, 1, 2… until that time, or until nobody takes the connection, and waits
/// for every answer. An answer that no server may give under load is a panic.
pub async fn send<T>(
    address: SocketAddr,
    pace: Pace,
    until: Instant,
    next: impl Fn(usize) -> (T, Vec<u8>),
) -> Report<T> {
    let began = Instant::now();
    let mut client = Client {
        address,
        connection: None,
    };
    let (mut sent, mut left_out) = (Vec::new(), 0);
    for n in 0.. {
        let now = Instant::now();
        let due = match pace {
            Pace::Closed => now,
            Pace::Open { first, every, .. } => began + first + every * n as u32,
        };
        if due >= until {
            break;
        }
        if let Pace::Open { patience, .. } = pace
            && now > due + patience
        {
            left_out += 1;
            continue;
        }
        // A timer would cost a millisecond even where nothing is left to wait for.
        if due > now {
            tokio::time::sleep_until(due.into()).await;
        }
        let (what, request) = next(n);
        if client.connect().await.is_err() {
            break;
        }
        let outcome = client.outcome(&request).await;
        sent.push(Sent { what, outcome });
    }
    Report { sent, left_out }
}

struct Client {
    address: SocketAddr,
    connection: Option<TcpStream>,
}

impl Client {
    async fn connect(&mut self) -> Result<()> {
        if self.connection.is_none() {
            let connection = TcpStream::connect(self.address).await?;
            connection.set_nodelay(true)?;
            self.connection = Some(connection);
        }
        Ok(())
    }

    async fn outcome(&mut self, request: &[u8]) -> Outcome {
        match tokio::time::timeout(ANSWER_WITHIN, self.ask(request)).await {
            Ok(Ok(answer)) => outcome(&answer),
            Ok(Err(_)) | Err(_) => Outcome::Unknown,
        }
    }

    /// Keeps the connection if it can be used again.
    async fn ask(&mut self, request: &[u8]) -> Result<Answer> {
        let connection = self.connection.take().ok_or(ErrorKind::NotConnected)?;
        write_all(&connection, request).await?;
        let answer = read(&connection).await?;
        if !answer.is_last() {
            self.connection = Some(connection);
        }
        Ok(answer)
    }
}

async fn write_all(connection: &TcpStream, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match connection.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => connection.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn read(connection: &TcpStream) -> Result<Answer> {
    let mut bytes = Vec::new();
    loop {
        connection.readable().await?;
        let len = bytes.len();
        bytes.resize(len + READ_BYTES, 0);
        let read = match connection.try_read(&mut bytes[len..]) {
            Ok(0) => return Err(Error::from(ErrorKind::UnexpectedEof)),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        bytes.truncate(len + read);
        if let Some((answer, _)) = Answer::parse(&bytes, false, false) {
            return Ok(answer);
        }
    }
}

fn outcome(answer: &Answer) -> Outcome {
    let body = String::from_utf8_lossy(&answer.body);
    match answer.status {
        200 => Outcome::Accepted,
        429 | 503 => {
            assert!(answer.header("retry-after").is_some(), "{answer:?}");
            match body.contains("outcome-unknown") {
                true => Outcome::Unknown,
                false => Outcome::Refused(answer.status),
            }
        }
        _ => panic!("{answer:?}: {body}"),
    }
}

//! One connection to a server, byte by byte: what no HTTP client would send can be sent over it.
//!
//! Blocking, with a deadline for each read. An answer is read by its own framing (a length, chunks, or the
//! end of the connection), so the connection can be used again as the server allows.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// How long a server may take for the next bytes of an answer.
const READ_WITHIN: Duration = Duration::from_secs(60);
/// How much is read at once.
const READ_BYTES: usize = 64 * 1_024;

/// A connection, and what it has read of the next answer.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The head, as it came.
    pub head: String,
    /// The body, without its framing.
    pub body: Vec<u8>,
}

impl Connection {
    /// Connects to the server at `url`, `http://host:port`.
    pub fn open(url: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(url.trim_start_matches("http://"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(READ_WITHIN))?;
        Ok(Self {
            stream,
            unread: Vec::new(),
        })
    }

    /// The stream itself, for whoever does with it what nobody should.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Says that nothing more will be sent.
    pub fn end(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// The next answer; `None` where the server ends the connection without one. `to_head`: the request
    /// was a HEAD, whose answer has no body.
    pub fn answer(&mut self, to_head: bool) -> io::Result<Option<Answer>> {
        loop {
            if let Some((answer, len)) = Answer::parse(&self.unread, to_head, false) {
                self.unread.drain(..len);
                return Ok(Some(answer));
            }
            let len = self.unread.len();
            self.unread.resize(len + READ_BYTES, 0);
            let read = self.stream.read(&mut self.unread[len..]);
            self.unread.truncate(len + *read.as_ref().unwrap_or(&0));
            if read? == 0 {
                let last = Answer::parse(&self.unread, to_head, true);
                self.unread.clear();
                return Ok(last.map(|(answer, _)| answer));
            }
        }
    }
}

impl Answer {
    /// The first answer of `bytes` and its length, if it is whole; informational ones are left out.
    /// `ended`: no byte comes after these.
    pub fn parse(bytes: &[u8], to_head: bool, ended: bool) -> Option<(Self, usize)> {
        let head_len = find(bytes, b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&bytes[..head_len]).into_owned();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let rest = &bytes[head_len..];
        if (100..200).contains(&status) {
            let (answer, len) = Self::parse(rest, to_head, ended)?;
            return Some((answer, head_len + len));
        }
        let mut answer = Self {
            status,
            head,
            body: Vec::new(),
        };
        let body_len = match answer.header("content-length").map(str::parse) {
            _ if to_head || matches!(status, 204 | 304) => 0,
            Some(Ok(len)) => {
                answer.body = rest.get(..len)?.to_vec();
                len
            }
            _ if answer.header("transfer-encoding").is_some() => answer.take_chunks(rest)?,
            _ if ended => {
                answer.body = rest.to_vec();
                rest.len()
            }
            _ => return None,
        };
        Some((answer, head_len + body_len))
    }

    /// The header of that name, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.split("\r\n").skip(1);
        let mut pairs = lines.filter_map(|line| line.split_once(':'));
        let found = pairs.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }

    /// Whether the server ends the connection after it.
    pub fn is_last(&self) -> bool {
        self.header("connection") == Some("close")
    }

    fn take_chunks(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        loop {
            let line_len = find(&bytes[at..], b"\r\n")?;
            let line = std::str::from_utf8(&bytes[at..at + line_len]).ok()?;
            let len = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
            let begin = at + line_len + 2;
            let chunk = bytes.get(begin..begin + len)?;
            bytes.get(begin + len..begin + len + 2)?;
            self.body.extend_from_slice(chunk);
            at = begin + len + 2;
            if len == 0 {
                return Some(at);
            }
        }
    }
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes
        .windows(pattern.len())
        .position(|window| window == pattern)
}

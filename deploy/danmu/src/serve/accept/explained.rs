//! Saying why, where hyper itself refuses a request: what is no HTTP, or a head that is too large.
//!
//! hyper answers such a request with a bare head, before any service is asked, and has no hook for it.
//! An error of ours always has a `content-type`, a problem's; so hyper's own is known when it is written,
//! and a problem goes out in its place. Every other answer pays for it with a look at its first bytes.
//! Where its client has not read the answer before it, both may go out in one piece, and the refusal is as
//! bare as hyper makes it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use danmu_schemas::problem::Problem;
use hyper::body::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::told;

/// A stream on which no refusal is bare.
pub struct Explained<S> {
    stream: S,
    /// What is not written yet of an answer that took another's place.
    instead: Bytes,
}

impl<S: AsyncWrite + Unpin> Explained<S> {
    /// Nothing is written yet.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            instead: Bytes::new(),
        }
    }

    /// Takes a bare refusal for written, and keeps what is to go out in its place.
    fn takes(&mut self, answer: &[u8]) -> bool {
        let Some(instead) = explained(answer) else {
            return false;
        };
        self.instead = instead;
        true
    }

    fn poll_instead(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.instead.is_empty() {
            let stream = Pin::new(&mut self.stream);
            let written = ready!(stream.poll_write(context, &self.instead))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.instead.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

/// The problem to answer in place of a refusal without a body; nothing for any other bytes.
fn explained(answer: &[u8]) -> Option<Bytes> {
    if !answer.starts_with(b"HTTP/1.1 4") {
        return None;
    }
    let (head, body) = str::from_utf8(answer).ok()?.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.get(9..12)?.parse().ok()?;
    let (empty, others): (Vec<_>, Vec<_>) = lines.partition(|line| *line == "content-length: 0");
    if empty.is_empty() || !body.is_empty() || head.contains("content-type") {
        return None;
    }
    let problem = Problem::lacking(status, None)?;
    Some(told::answer(&problem, &others).into())
}

impl<S: AsyncRead + Unpin> AsyncRead for Explained<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Explained<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_instead(context))?;
        if self.takes(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_instead(context))?;
        if let [only] = parts
            && self.takes(only)
        {
            return Poll::Ready(Ok(only.len()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answer: &str, expected: Option<&str>) {
        let explained = explained(answer.as_bytes());
        let explained = explained.map(|bytes| String::from_utf8(bytes.to_vec()).expect("text"));
        assert_eq!(explained.as_deref(), expected, "{answer}");
    }

    #[test]
    fn only_a_bare_refusal_is_explained() {
        let bare = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\
                    date: Tue, 24 Nov 2026 10:00:00 GMT\r\n\r\n";
        let told = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\n\
                    connection: close\r\ndate: Tue, 24 Nov 2026 10:00:00 GMT\r\n\
                    content-length: 88\r\n\r\n\
                    {\"type\":\"urn:danmu:problem:bad-request\",\
                    \"title\":\"the request is malformed\",\"status\":400}";
        check(bare, Some(told));
        check(&bare.replace("400 Bad Request", "200 OK"), None);
        check(&bare.replace("date", "content-type"), None);
        check(&bare.replace("length: 0", "length: 1"), None);
        check(&format!("{bare}{bare}"), None);
        check(&bare[..bare.len() - 2], None);
        check("", None);
    }
}

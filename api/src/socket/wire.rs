//! A socket's connection: frames in and out, each within its time, and the way it ends.
//!
//! What was begun to be written is finished before anything else is, so that a close comes after whole
//! frames or not at all.

use std::time::Duration;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::frame::{self, Frames, Heard, UNREAD_BYTES_MAX, Violation};
use crate::connections::Reason;

/// How long a client may take to take a frame.
const TAKEN_WITHIN: Duration = Duration::from_secs(10);
/// How long the end may take, the client's own close included.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);
/// The same once the process stops.
const CLOSED_AT_STOP_WITHIN: Duration = Duration::from_secs(3);
/// How much is read at once.
const READ_BYTES: usize = 1_024;

/// The connection of a socket.
pub(super) struct Wire {
    stream: TokioIo<Upgraded>,
    frames: Frames,
    /// What is left of a frame that the client did not take in time.
    unsent: Vec<u8>,
}

/// Why a socket ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) reason: Reason,
    /// What the client is told beside the code.
    text: &'static str,
    /// Whether the client is there to be told.
    has_left: bool,
    /// The code with which the client closed.
    theirs: Option<u16>,
}

impl From<Reason> for Ended {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            text: reason.text(),
            has_left: false,
            theirs: None,
        }
    }
}

impl From<Violation> for Ended {
    fn from(Violation(why): Violation) -> Self {
        Self::protocol(why)
    }
}

impl Ended {
    /// The client does not keep to the protocol.
    pub(super) fn protocol(why: &'static str) -> Self {
        Self {
            text: why,
            ..Reason::Protocol.into()
        }
    }

    /// The client has closed, with this code.
    pub(super) fn left(code: Option<u16>) -> Self {
        Self {
            theirs: code,
            ..Reason::Left.into()
        }
    }

    fn gone() -> Self {
        Self {
            has_left: true,
            ..Reason::Left.into()
        }
    }

    /// A close of the client's is answered with its own code where it may be sent.
    fn code(&self) -> u16 {
        let may_be_sent =
            |code: &u16| matches!(code, 1_000..=1_003 | 1_007..=1_011 | 3_000..=4_999);
        let theirs = self.theirs.filter(may_be_sent);
        theirs.unwrap_or(self.reason.close_code())
    }
}

impl Wire {
    pub(super) fn new(upgraded: Upgraded) -> Self {
        Self {
            stream: TokioIo::new(upgraded),
            frames: Frames::default(),
            unsent: Vec::new(),
        }
    }

    /// The next thing that the client says. Dropping the wait loses nothing.
    pub(super) async fn heard(&mut self) -> Result<Heard, Ended> {
        loop {
            if let Some(heard) = self.frames.next()? {
                return Ok(heard);
            }
            let unread = &mut self.frames.unread;
            assert!(unread.len() <= UNREAD_BYTES_MAX, "one frame at most");
            if unread.is_empty() {
                // What a long message took is given back.
                unread.shrink_to(READ_BYTES);
            }
            unread.reserve(READ_BYTES);
            match self.stream.read_buf(unread).await {
                Ok(0) | Err(_) => return Err(Ended::gone()),
                Ok(_) => {}
            }
        }
    }

    /// Writes whole frames; a client that does not take them in time is too slow.
    pub(super) async fn send(&mut self, frames: &[u8]) -> Result<(), Ended> {
        let mut taken = 0;
        let sent = timeout(TAKEN_WITHIN, async {
            while taken < frames.len() {
                taken += self.stream.write(&frames[taken..]).await?;
            }
            self.stream.flush().await
        });
        match sent.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Ended::gone()),
            Err(_) => {
                self.unsent = frames[taken..].to_vec();
                Err(Reason::Slow.into())
            }
        }
    }

    /// Tells the client the end, and waits for its own word a moment.
    pub(super) async fn close(mut self, ended: Ended, stop: &CancellationToken) {
        if ended.has_left {
            return;
        }
        let mut last = std::mem::take(&mut self.unsent);
        last.extend(frame::close(ended.code(), ended.text));
        let is_theirs = ended.reason == Reason::Left;
        let closed = async {
            self.stream.write_all(&last).await?;
            self.stream.shutdown().await?;
            let mut rest = [0; READ_BYTES];
            // Until it has read the end: a connection with bytes that nobody read is torn down at once,
            // and the close with it.
            while !is_theirs && self.stream.read(&mut rest).await? > 0 {}
            Ok::<_, std::io::Error>(())
        };
        // A client that does not take its end has had it.
        tokio::select! {
            _ = closed => {}
            () = patience(stop) => {}
        }
    }
}

async fn patience(stop: &CancellationToken) {
    let at_stop = async {
        stop.cancelled().await;
        sleep(CLOSED_AT_STOP_WITHIN).await;
    };
    tokio::select! {
        () = sleep(CLOSED_WITHIN) => {}
        () = at_stop => {}
    }
}

//! A reader's connection: HTTP over a socket that may be read as slowly as one byte a second.
//!
//! The connection ends when its handle is dropped, whatever it is in the middle of.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::task::AbortOnDropHandle;

/// How long a slow reader waits for its next byte.
const BYTE_EVERY: Duration = Duration::from_secs(1);
/// How much the system takes for a slow reader that it has not read, so that the server feels it soon.
const SLOW_BUFFER_BYTES: u32 = 4 * 1_024;

/// Where a server is and who asks.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its address.
    pub address: SocketAddr,
    /// How it is called.
    pub host: String,
    /// A token, where it asks for one.
    pub token: Option<String>,
}

/// A connection.
pub struct Link {
    sender: SendRequest<Empty<Bytes>>,
    /// Ends the connection with the handle.
    _connection: AbortOnDropHandle<()>,
}

impl Link {
    /// Connects; while `is_slow` is set, reading takes a second for each byte.
    pub async fn open(target: &Target, is_slow: Option<&Arc<AtomicBool>>) -> io::Result<Self> {
        let socket = match target.address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        if is_slow.is_some() {
            socket.set_recv_buffer_size(SLOW_BUFFER_BYTES)?;
        }
        let stream = socket.connect(target.address).await?;
        stream.set_nodelay(true)?;
        let paced = Paced {
            stream,
            slowness: is_slow.map(|is_on| Slowness {
                is_on: Arc::clone(is_on),
                pause: Box::pin(sleep(Duration::ZERO)),
            }),
        };
        let (sender, connection) = http1::handshake(TokioIo::new(paced))
            .await
            .map_err(io::Error::other)?;
        let connection = tokio::spawn(async move {
            // Whoever waits for an answer is told the error too.
            let _ = connection.with_upgrades().await;
        });
        Ok(Self {
            sender,
            _connection: AbortOnDropHandle::new(connection),
        })
    }

    /// GETs a path; `upgrade` asks for a WebSocket.
    pub async fn get(
        &mut self,
        target: &Target,
        path: &str,
        upgrade: bool,
    ) -> io::Result<Response<Incoming>> {
        let mut request = Request::get(path).header(header::HOST, &target.host);
        if let Some(token) = &target.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if upgrade {
            request = request
                .header(header::CONNECTION, "Upgrade")
                .header(header::UPGRADE, "websocket")
                .header(header::SEC_WEBSOCKET_VERSION, "13")
                .header(header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==")
                .header(header::SEC_WEBSOCKET_PROTOCOL, "danmu.v1.json");
        }
        let request = request.body(Empty::new()).map_err(io::Error::other)?;
        self.sender.ready().await.map_err(io::Error::other)?;
        let response = self.sender.send_request(request).await;
        response.map_err(io::Error::other)
    }
}

/// A socket that is read slowly at times.
struct Paced {
    stream: TcpStream,
    slowness: Option<Slowness>,
}

struct Slowness {
    is_on: Arc<AtomicBool>,
    pause: Pin<Box<Sleep>>,
}

impl AsyncRead for Paced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, slowness } = &mut *self;
        let slowness = slowness.as_mut();
        let Some(slowness) = slowness.filter(|slow| slow.is_on.load(Ordering::Relaxed)) else {
            return Pin::new(stream).poll_read(context, buffer);
        };
        ready!(slowness.pause.as_mut().poll(context));
        let mut byte = [0];
        let mut one = ReadBuf::new(&mut byte);
        ready!(Pin::new(stream).poll_read(context, &mut one))?;
        buffer.put_slice(one.filled());
        slowness.pause.as_mut().reset(Instant::now() + BYTE_EVERY);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Paced {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

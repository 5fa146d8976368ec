//! The accept loop: connections in, answers out.
//!
//! Owns how long a client may take to send a request's head, how large that may be, how long an answer
//! may take to begin and how long a client may leave one unread, how many connections there are at once,
//! and their end: after `stop` no connection is taken, those that are open finish the request that they
//! are in, and whoever takes longer than the grace period is cut off. Who finds no place, or sends what is
//! no HTTP, is told so. What is answered is [`Answers`]' matter, and a request's body the router's.

mod explained;
mod places;
mod told;
mod turned_away;
mod unread;

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use axum::response::IntoResponse;
use danmu_ingest::http::Refused;
use danmu_schemas::Peer;
use danmu_schemas::problem::{Problem, ProblemType};
use http_body_util::Either;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics::Gauge;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use explained::Explained;
use places::{Place, Places};
use turned_away::TurnedAway;
use unread::Unread;

use super::answers::{Answer, Answers};

/// The bounds of a listener.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// How long a client may take to send a request's head; also how long a quiet connection is kept.
    pub header_within: Duration,
    /// How long an answer may take to begin, the request's body included; longer than any wait that a
    /// client may ask for.
    pub answer_within: Duration,
    /// How long a client may read nothing of an answer that waits for it.
    pub unread_within: Duration,
    /// The most connections at once; who comes then is told that there is no place.
    pub connections_max: usize,
    /// The most connections at once from one address.
    pub connections_per_address_max: usize,
    /// Whether every request comes through a proxy of ours, which says in `X-Forwarded-For` from where;
    /// connections are not counted by address then, since all are the proxy's.
    pub trust_forwarded: bool,
    /// How long open requests may take after the stop.
    pub grace: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            header_within: Duration::from_secs(5),
            answer_within: Duration::from_secs(45),
            unread_within: Duration::from_secs(20),
            connections_max: 16_384,
            connections_per_address_max: 4_096,
            trust_forwarded: false,
            grace: Duration::from_secs(4),
        }
    }
}

/// The largest head of a request, a token and long cursors included: as much is read (up to twice as much
/// where it comes at once) before it is refused with 431, as is one of more than hyper's 100 headers. (A
/// number of our own would have hyper clear room for so many headers at each request.)
const HEAD_BYTES_MAX: usize = 32 * 1_024;
/// How long to wait after the system refused a connection, for want of descriptors as a rule.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(50);
/// When to come again after an answer took too long to begin.
const SLOW_RETRY_S: u32 = 1;

/// Serves `answers` on `listener` until `stop`, and returns when the last connection has ended. How
/// many are open is kept in `connections`.
pub async fn accept(
    listener: TcpListener,
    answers: impl Into<Answers>,
    bounds: Bounds,
    stop: CancellationToken,
    connections: Gauge,
) {
    let answers = answers.into();
    let tracker = TaskTracker::new();
    let cut_off = CancellationToken::new();
    let per_address_max = match bounds.trust_forwarded {
        true => bounds.connections_max,
        false => bounds.connections_per_address_max,
    };
    let places = Places::new(bounds.connections_max, per_address_max, connections);
    let turned_away = TurnedAway::new();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let (stream, address) = match accepted {
            Ok((stream, peer)) => (stream, peer.ip().to_canonical()),
            Err(error) => {
                refused(&error).await;
                continue;
            }
        };
        let place = match places.take(address) {
            Ok(place) => place,
            Err(no_place) => {
                turned_away.answer(stream, no_place, &tracker);
                continue;
            }
        };
        let connection = Connection {
            answers: answers.clone(),
            bounds: bounds.clone(),
            address,
        };
        // Asked at each wake: what all connections shared, their threads would contend for.
        let (stop, cut_off) = (stop.child_token(), cut_off.child_token());
        tracker.spawn(async move {
            let served = connection.serve(stream, place, stop);
            cut_off.run_until_cancelled(served).await;
        });
    }
    drop(listener);
    tracker.close();
    if tokio::time::timeout(bounds.grace, tracker.wait())
        .await
        .is_err()
    {
        tracing::warn!(connections = tracker.len(), "connections are cut off");
        cut_off.cancel();
        tracker.wait().await;
    }
}

async fn refused(error: &io::Error) {
    tracing::warn!(%error, "a connection was not accepted");
    tokio::time::sleep(PAUSE_AFTER_ERROR).await;
}

/// What a connection is answered with.
struct Connection {
    answers: Answers,
    bounds: Bounds,
    address: IpAddr,
}

impl Connection {
    /// Answers until the client leaves, or has its answer after `stop`.
    async fn serve(self, stream: TcpStream, place: Place, stop: CancellationToken) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection without nodelay");
        }
        let stream = Unread::new(stream, self.bounds.unread_within).holding(place);
        let stream = Explained::new(stream);
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.bounds.header_within)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(
                TokioIo::new(stream),
                service_fn(async |request| Ok::<_, Infallible>(self.answer(request).await)),
            )
            .with_upgrades();
        let ended = match stop.run_until_cancelled(&mut connection).await {
            Some(ended) => ended,
            None => {
                Pin::new(&mut connection).graceful_shutdown();
                (&mut connection).await
            }
        };
        let Err(error) = ended else { return };
        tracing::debug!(%error, "a connection ended badly");
        if let Some(parts) = connection.into_parts()
            && error.is_parse()
        {
            told::drain(parts.io.into_inner()).await;
        }
    }

    async fn answer(&self, mut request: Request<Incoming>) -> Answer {
        if let Some(ready) = self.answers.ready(&request) {
            return ready;
        }
        let forwarded = self
            .bounds
            .trust_forwarded
            .then(|| forwarded(request.headers()));
        let address = forwarded.flatten().unwrap_or(self.address);
        request.extensions_mut().insert(Peer(address));
        let writes = *request.method() == Method::POST;
        let answer = self.answers.route(request);
        match tokio::time::timeout(self.bounds.answer_within, answer).await {
            Ok(Ok(response)) => response,
            Err(_) => too_slow(writes),
        }
    }
}

/// The address that the proxy before this server saw: the last one, which it has added itself.
fn forwarded(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all("x-forwarded-for").iter().next_back()?;
    let address: IpAddr = last
        .to_str()
        .ok()?
        .rsplit(',')
        .next()?
        .trim()
        .parse()
        .ok()?;
    Some(address.to_canonical())
}

/// A write that was given up may be in the log all the same.
fn too_slow(writes: bool) -> Answer {
    let problem_type = match writes {
        true => ProblemType::OutcomeUnknown,
        false => ProblemType::Overloaded,
    };
    let refused = Refused::from(Problem::new(problem_type).retry_after_s(SLOW_RETRY_S));
    refused.into_response().map(Either::Right)
}

#[cfg(test)]
mod tests;

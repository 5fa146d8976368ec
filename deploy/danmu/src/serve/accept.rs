//! The accept loop: connections in, a router's answers out.
//!
//! Owns how long a client may take to send a request's head, how many connections there are at once,
//! and their end: after `stop` no connection is taken, those that are open finish the request that they
//! are in, and whoever takes longer than the grace period is cut off. What is answered is the router's.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use metrics::Gauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The bounds of a listener.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// How long a client may take to send a request's head; also how long a quiet connection is kept.
    pub header_within: Duration,
    /// The most connections at once; more wait in the system's queue.
    pub connections_max: usize,
    /// How long open requests may take after the stop.
    pub grace: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            header_within: Duration::from_secs(5),
            connections_max: 16_384,
            grace: Duration::from_secs(4),
        }
    }
}

/// How long to wait after the system refused a connection, for want of descriptors as a rule.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(50);

/// A connection's place among those that may be open, and in their number.
struct Place {
    _permit: OwnedSemaphorePermit,
    connections: Gauge,
}

impl Place {
    fn new(permit: OwnedSemaphorePermit, connections: Gauge) -> Self {
        connections.increment(1);
        Self {
            _permit: permit,
            connections,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.decrement(1);
    }
}

/// Serves `router` on `listener` until `stop`, and returns when the last connection has ended. How
/// many are open is kept in `connections`.
pub async fn accept(
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    stop: CancellationToken,
    connections: Gauge,
) {
    let tracker = TaskTracker::new();
    let cut_off = CancellationToken::new();
    let places = Arc::new(Semaphore::new(bounds.connections_max));
    let next = async || {
        let place = Arc::clone(&places).acquire_owned().await;
        (
            place.expect("nobody closes the semaphore"),
            listener.accept().await,
        )
    };
    while let Some((place, accepted)) = stop.run_until_cancelled(next()).await {
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                refused(&error).await;
                continue;
            }
        };
        let connection = serve_connection(stream, router.clone(), bounds.clone(), stop.clone());
        let place = Place::new(place, connections.clone());
        let cut_off = cut_off.clone();
        tracker.spawn(async move {
            cut_off.run_until_cancelled(connection).await;
            drop(place);
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

/// Answers one connection until the client leaves, or finishes its request after `stop`.
async fn serve_connection(
    stream: TcpStream,
    router: Router,
    bounds: Bounds,
    stop: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection without nodelay");
    }
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.header_within)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = match stop.run_until_cancelled(connection.as_mut()).await {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended badly");
    }
}

#[cfg(test)]
mod tests;

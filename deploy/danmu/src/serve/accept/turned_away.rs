//! Telling a client that there is no place for it, instead of leaving it to wonder.
//!
//! Its request is read and thrown away for a moment, because a connection that is closed with unread
//! bytes takes its answer with it. Only so many are told at once; more are closed without a word.

use std::sync::Arc;
use std::time::Duration;

use danmu_schemas::problem::{Problem, ProblemType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::places::NoPlace;

/// How many clients are told at once.
const TOLD_AT_ONCE_MAX: usize = 256;
/// How long telling one may take.
const TOLD_WITHIN: Duration = Duration::from_secs(1);
/// When to come again.
const RETRY_S: u32 = 1;

/// Who found no place.
pub struct TurnedAway {
    at_once: Arc<Semaphore>,
}

impl TurnedAway {
    /// Nobody yet.
    pub fn new() -> Self {
        Self {
            at_once: Arc::new(Semaphore::new(TOLD_AT_ONCE_MAX)),
        }
    }

    /// Tells the client, in a task of `tracker`.
    pub fn answer(&self, stream: TcpStream, no_place: NoPlace, tracker: &TaskTracker) {
        let Ok(permit) = Arc::clone(&self.at_once).try_acquire_owned() else {
            return;
        };
        tracker.spawn(async move {
            // Whoever is too slow or has left needs no answer.
            let _ = tokio::time::timeout(TOLD_WITHIN, tell(stream, &answer(no_place))).await;
            drop(permit);
        });
    }
}

async fn tell(mut stream: TcpStream, answer: &[u8]) -> std::io::Result<()> {
    stream.write_all(answer).await?;
    stream.shutdown().await?;
    let mut thrown_away = [0; 1_024];
    while stream.read(&mut thrown_away).await? > 0 {}
    Ok(())
}

fn answer(no_place: NoPlace) -> Vec<u8> {
    let (problem_type, reason) = match no_place {
        NoPlace::Full => (ProblemType::Overloaded, "Service Unavailable"),
        NoPlace::AddressFull => (ProblemType::RateLimited, "Too Many Requests"),
    };
    let problem = Problem::new(problem_type)
        .detail("there are too many connections")
        .retry_after_s(RETRY_S);
    let body = problem.to_json();
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", problem_type.status());
    for (name, value) in problem.headers() {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!(
        "content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

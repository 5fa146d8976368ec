//! Telling a client that there is no place for it, instead of leaving it to wonder.
//!
//! Only so many are told at once; more are closed without a word.

use std::sync::Arc;
use std::time::Duration;

use danmu_schemas::problem::{Problem, ProblemType};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::places::NoPlace;
use super::told;

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
    told::drain(stream).await;
    Ok(())
}

fn answer(no_place: NoPlace) -> Vec<u8> {
    let problem_type = match no_place {
        NoPlace::Full => ProblemType::Overloaded,
        NoPlace::AddressFull => ProblemType::RateLimited,
    };
    let problem = Problem::new(problem_type)
        .detail("there are too many connections")
        .retry_after_s(RETRY_S);
    told::answer(&problem, &["connection: close"])
}

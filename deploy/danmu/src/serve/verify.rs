//! `POST /verify` of the admin listener: the running server compares its read models with its log.
//!
//! The answer is a stream of lines: progress, then a report or an error. One verification goes on at a
//! time; it takes no lock that the loops hold for long, reads what they have stored, and ends with the
//! client, with the server, or after [`VERIFY_WITHIN`]. Its memory is bounded by the verification's own
//! limit. It works on a thread where blocking disturbs nobody.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use danmu_processors::verify::{self, Progress, Sources};
use danmu_schemas::RoomId;
use futures_util::stream;
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::engines::{Engines, History, Log, Windows};
use crate::verify::line::Line;

/// How long a verification may take.
const VERIFY_WITHIN: Duration = Duration::from_secs(60 * 60);
/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_millis(200);
/// Lines that wait for the client; progress beyond them is left out.
const LINES_WAITING_MAX: usize = 16;

/// What can be verified, and whether it is being. Clones share it.
#[derive(Clone)]
pub struct Verifications {
    /// The log and what is compared with it; nothing where the process does not have both.
    proof: Option<(Log, Arc<Sources<History, Windows>>)>,
    /// Who verifies holds the one place.
    place: Arc<Semaphore>,
    stop: CancellationToken,
}

/// What is asked for.
#[derive(Debug, Deserialize)]
pub struct Asked {
    /// The room, or all.
    pub room: Option<String>,
}

impl Verifications {
    /// Of a process with these engines that ends with `stop`.
    pub fn new(engines: &Engines, stop: CancellationToken) -> Self {
        let proof = engines.log.clone().zip(engines.history_reader());
        let windows = engines.windows.clone();
        let proof = proof.map(|(log, history)| (log, Arc::new(Sources { history, windows })));
        Self {
            proof,
            place: Arc::new(Semaphore::new(1)),
            stop,
        }
    }

    /// Waits until none goes on; none begins after the stop.
    pub async fn ended(&self) {
        let place = self.place.acquire().await;
        place.expect("nobody closes the semaphore").forget();
    }

    /// Verifies to its end and tells of it.
    async fn run(
        self,
        (log, sources): (Log, Arc<Sources<History, Windows>>),
        options: verify::Options,
        place: OwnedSemaphorePermit,
        lines: Lines,
    ) {
        let started = Instant::now();
        let mut told = started;
        let progress = |progress: Progress| {
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                lines.tell(&Line::Progress(progress));
            }
            let is_over = self.stop.is_cancelled()
                || lines.0.is_closed()
                || started.elapsed() > VERIFY_WITHIN;
            if is_over {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let verified = async {
            let mut reader = log.reader()?;
            let routes = log.routes();
            anyhow::Ok(verify::verify(&mut reader, routes, &sources, &options, progress).await?)
        };
        let last = match verified.await {
            Ok(report) => Line::Report(report),
            Err(error) => Line::Error(format!("{error:#}")),
        };
        // Whoever reads the last line may ask again at once.
        drop(place);
        lines.end(&last).await;
    }
}

/// Verifies everything, or the room that is asked for.
pub async fn verify(verifications: Verifications, asked: Asked) -> Response {
    let room = match asked.room.as_deref().map(RoomId::parse).transpose() {
        Ok(room) => room,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let Some(proof) = verifications.proof.clone() else {
        return refuse(
            StatusCode::NOT_FOUND,
            "this process does not have the log and the history",
        );
    };
    let Ok(place) = Arc::clone(&verifications.place).try_acquire_owned() else {
        return refuse(StatusCode::CONFLICT, "a verification is going on");
    };
    let options = verify::Options {
        room,
        ..verify::Options::default()
    };
    let (sender, receiver) = mpsc::channel(LINES_WAITING_MAX);
    let runtime = Handle::current();
    // Owned by its place, which the stop waits for.
    tokio::task::spawn_blocking(move || {
        runtime.block_on(verifications.run(proof, options, place, Lines(sender)));
    });
    let lines = stream::unfold(receiver, async |mut receiver| {
        let line = receiver.recv().await?;
        Some((Ok::<Bytes, Infallible>(line), receiver))
    });
    let content_type = [("content-type", "application/x-ndjson")];
    (content_type, Body::from_stream(lines)).into_response()
}

fn refuse(status: StatusCode, why: &str) -> Response {
    (status, format!("{why}\n")).into_response()
}

/// Where lines are told.
struct Lines(mpsc::Sender<Bytes>);

impl Lines {
    /// Tells it, unless the client is slow.
    fn tell(&self, line: &Line) {
        // What is left out is repeated by the next line.
        let _ = self.0.try_send(encode(line));
    }

    /// Tells the last line; a client that has left does not hear it.
    async fn end(self, line: &Line) {
        let _ = self.0.send(encode(line)).await;
    }
}

fn encode(line: &Line) -> Bytes {
    let mut text = serde_json::to_vec(line).expect("a line is plain data");
    text.push(b'\n');
    text.into()
}

#[cfg(test)]
mod tests;

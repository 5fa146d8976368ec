//! What a client is told without a router: a problem as the bytes of an answer, and time to read it.
//!
//! A connection that is closed with unread bytes takes its answer with it. So whoever ends one after such
//! an answer reads and throws away what the client still sends, for a moment and up to a bound.

use std::time::Duration;

use danmu_schemas::problem::Problem;
use hyper::StatusCode;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// How long a client may take to read its answer and stop sending.
const READ_WITHIN: Duration = Duration::from_secs(1);
/// How much of what it sends meanwhile is thrown away.
const DRAINED_BYTES_MAX: u64 = 4 * 1_024 * 1_024;

/// An answer, head and body. `headers` are lines that it has beside its problem's own.
pub fn answer(problem: &Problem, headers: &[&str]) -> Vec<u8> {
    let status = StatusCode::from_u16(problem.problem_type.status())
        .expect("a problem's status is one of HTTP's");
    // It is written with its reason.
    let mut head = format!("HTTP/1.1 {status}\r\n");
    for (name, value) in problem.headers() {
        head += &format!("{name}: {value}\r\n");
    }
    for line in headers {
        head += &format!("{line}\r\n");
    }
    let body = problem.to_json();
    head += &format!("content-length: {}\r\n\r\n", body.len());
    [head.into_bytes(), body].concat()
}

/// Lets the client read its last answer, after which nothing more is written.
pub async fn drain(stream: impl AsyncRead + Unpin) {
    let mut left = stream.take(DRAINED_BYTES_MAX);
    let mut sink = tokio::io::sink();
    let thrown_away = tokio::io::copy(&mut left, &mut sink);
    // Whoever is slower, sends more or has left is not waited for.
    let _ = tokio::time::timeout(READ_WITHIN, thrown_away).await;
}

//! A server as its clients see it: requests over HTTP that are repeated until a deadline.
//!
//! A lost connection, a 429 and a 503 say nothing about whether the request will work a moment later,
//! so they are retried with the same bytes; events carry their ids, so a repeat is harmless. A server
//! that says when to come back is not asked before. No attempt outlives the deadline. Every other answer
//! is handed to the caller.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::http::{Response, header};
use ureq::{Agent, Body};

#[cfg(test)]
mod tests;

/// How long a request is repeated before the command gives up. Below the two minutes in which the
/// server knows a repeat by its id.
const RETRY_FOR: Duration = Duration::from_secs(90);
/// How long one attempt may take; longer than any long poll.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(40);
/// The first pause between two attempts; it doubles. No attempt has less time.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(3);
/// The largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Gives a request its token; none where the server asks for none.
type Tokens = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// A server to talk to.
pub struct Server {
    agent: Agent,
    /// Where it is written to.
    base: String,
    /// Where it is read.
    reads: String,
    tokens: Tokens,
    retry_for: Duration,
}

/// An answer that is the server's last word.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Value,
}

/// The server did not answer in time.
#[derive(Debug, thiserror::Error)]
#[error("the server gave no final answer within {} s, at last: {last}", within.as_secs())]
pub struct Unreachable {
    within: Duration,
    last: String,
}

/// An answer could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The server could not be reached.
    #[error("the server cannot be reached")]
    Unreachable(#[from] ureq::Error),
    /// The server will not give it.
    #[error("the server answered {0}")]
    Answered(String),
    /// The answer broke off, or could not be written.
    #[error("the answer could not be copied")]
    Broken(#[from] std::io::Error),
}

impl Server {
    /// A server by its address, `http://host:port`.
    pub fn new(base: &str, token: Option<String>) -> Self {
        Self::with_tokens(base, move || token.clone())
    }

    /// The same, whose caller gives each request a token of its own.
    pub fn with_tokens(
        base: &str,
        tokens: impl Fn() -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into();
        let base = base.trim_end_matches('/').to_owned();
        Self {
            agent,
            reads: base.clone(),
            base,
            tokens: Box::new(tokens),
            retry_for: RETRY_FOR,
        }
    }

    /// The same server, where another process answers reads.
    pub fn read_at(mut self, base: &str) -> Self {
        self.reads = base.trim_end_matches('/').to_owned();
        self
    }

    /// The same server, for a caller that gives up after `retry_for`.
    pub fn patient_for(mut self, retry_for: Duration) -> Self {
        self.retry_for = retry_for;
        self
    }

    /// GETs `path`, which begins with a slash.
    pub fn get(&self, path: &str) -> Result<Answer, Unreachable> {
        let url = format!("{}{path}", self.reads);
        self.repeat(|within| bounded(self.authorized(self.agent.get(&url)), within).call())
    }

    /// POSTs a JSON body to `path`.
    pub fn post(&self, path: &str, body: &[u8]) -> Result<Answer, Unreachable> {
        self.repeat(|within| self.attempt_post(path, body, within))
    }

    /// The same, once: for what would count twice if it were sent again. `None` where there was no answer.
    pub fn post_once(&self, path: &str, body: &[u8]) -> Option<Answer> {
        let answered = self.attempt_post(path, body, ATTEMPT_TIMEOUT);
        let (answer, _) = answered.and_then(read).ok()?;
        Some(answer)
    }

    /// GETs `path` and copies the answer to `out` as it comes; the bytes copied. A failure after the
    /// first byte is not repeated, because what was copied cannot be taken back.
    pub fn copy(&self, path: &str, out: &mut impl Write) -> Result<u64, CopyError> {
        let url = format!("{}{path}", self.reads);
        let mut response = self.authorized(self.agent.get(&url)).call()?;
        if response.status().as_u16() != 200 {
            let (answer, _) = read(response)?;
            return Err(CopyError::Answered(describe(&answer)));
        }
        Ok(std::io::copy(&mut response.body_mut().as_reader(), out)?)
    }

    /// Attempts until there is a last word or the time is over.
    fn repeat(
        &self,
        attempt: impl Fn(Duration) -> Result<Response<Body>, ureq::Error>,
    ) -> Result<Answer, Unreachable> {
        let deadline = Instant::now() + self.retry_for;
        let mut pause = PAUSE_MIN;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let within = left.clamp(PAUSE_MIN, ATTEMPT_TIMEOUT);
            let (last, wait) = match attempt(within).and_then(read) {
                Ok((answer, _)) if !matches!(answer.status, 429 | 503) => return Ok(answer),
                Ok((answer, retry_after)) => (describe(&answer), retry_after.unwrap_or(pause)),
                Err(error) => (error.to_string(), pause),
            };
            if Instant::now() + wait >= deadline {
                return Err(Unreachable {
                    within: self.retry_for,
                    last,
                });
            }
            std::thread::sleep(wait);
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn attempt_post(
        &self,
        path: &str,
        body: &[u8],
        within: Duration,
    ) -> Result<Response<Body>, ureq::Error> {
        let url = format!("{}{path}", self.base);
        bounded(self.authorized(self.agent.post(&url)), within)
            .header(header::CONTENT_TYPE, "application/json")
            .send(body)
    }

    fn authorized<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match (self.tokens)() {
            Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        }
    }
}

/// The request, given up when it takes longer than `within`.
fn bounded<B>(request: ureq::RequestBuilder<B>, within: Duration) -> ureq::RequestBuilder<B> {
    request.config().timeout_global(Some(within)).build()
}

fn read(mut response: Response<Body>) -> Result<(Answer, Option<Duration>), ureq::Error> {
    let retry_after = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .map(Duration::from_secs);
    let status = response.status().as_u16();
    let reader = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
    let bytes = reader.read_to_vec()?;
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    Ok((Answer { status, body }, retry_after))
}

/// The problem in an answer, in a few words.
pub fn describe(answer: &Answer) -> String {
    let field = |key| answer.body.get(key).and_then(Value::as_str).unwrap_or("");
    format!("{} {} {}", answer.status, field("title"), field("detail"))
        .trim_end()
        .to_owned()
}

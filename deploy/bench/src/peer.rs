//! The peer of every HTTP figure: bare hyper that reads a request's body and gives a fixed answer.
//!
//! The answer is one that our server gave, its bytes and its headers, and the connection has the same
//! settings as ours: nodelay, and 5 s for a request's head. So what is compared is what we do between.

use std::convert::Infallible;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use crate::process::Process;

/// As long as our server gives.
const HEADER_WITHIN: Duration = Duration::from_secs(5);

/// Starts a process of this program that answers as `head` and `body` do. `directory` keeps the answer.
pub fn start(directory: &Path, head: &str, body: &[u8]) -> Result<Process> {
    let file = directory.join("answer");
    let mut answer = head.as_bytes().to_vec();
    answer.extend_from_slice(b"\r\n\r\n");
    answer.extend_from_slice(body);
    fs::write(&file, answer)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--peer").arg(&file);
    Process::start(command)
}

/// Answers on a port that the system chooses, and says which, until it is killed.
pub fn serve(file: &Path) -> Result<()> {
    let answer = Answer::read(file)?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            eprintln!("peer listen={}", listener.local_addr()?);
            loop {
                let (stream, _) = listener.accept().await?;
                tokio::spawn(serve_connection(stream, answer.clone()));
            }
        })
}

async fn serve_connection(stream: TcpStream, answer: Answer) {
    // A client that is gone is no error here.
    let _ = stream.set_nodelay(true);
    let answered = service_fn(move |request| respond(request, answer.clone()));
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_WITHIN)
        .serve_connection(TokioIo::new(stream), answered)
        .await;
}

async fn respond(
    request: Request<Incoming>,
    answer: Answer,
) -> Result<Response<Full<Bytes>>, Infallible> {
    // A body that breaks off is the client's end.
    let _ = request.into_body().collect().await;
    let mut response = Response::new(Full::new(answer.body));
    *response.headers_mut() = answer.headers;
    Ok(response)
}

#[derive(Clone)]
struct Answer {
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn read(file: &Path) -> Result<Self> {
        let bytes = Bytes::from(fs::read(file)?);
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.context("an answer has a head")?;
        let mut headers = HeaderMap::new();
        for line in std::str::from_utf8(&bytes[..end])?.lines().skip(1) {
            let (name, value) = line.split_once(':').context("a header")?;
            let name = HeaderName::try_from(name)?;
            // These two hyper writes itself, as it does for us.
            if name != hyper::header::DATE && name != hyper::header::CONTENT_LENGTH {
                headers.append(name, HeaderValue::try_from(value.trim())?);
            }
        }
        Ok(Self {
            headers,
            body: bytes.slice(end + 4..),
        })
    }
}

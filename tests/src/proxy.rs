//! What stands between a client and a server, and fails as networks and proxies do.
//!
//! A real server does the work; the proxy decides of each POST whether it gets there and whether its
//! answer comes back, and may falsify what a GET asks for and is answered. A connection carries one request, and one is served at a time, which is all that an
//! import needs. When the server cannot be reached, the client's connection is closed without a word.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// What becomes of a POST.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is passed on, and its answer is passed back.
    Pass,
    /// The connection breaks before it gets to the server.
    LoseRequest,
    /// The server does it, but the connection breaks before the answer comes back.
    LoseAnswer,
    /// The proxy answers this status of its own accord.
    Answer(u16),
}

/// What a proxy makes of GETs.
pub struct Falsehood {
    /// Another path to ask for.
    pub asked: fn(&str) -> String,
    /// Other JSON to answer; other answers stay as they are.
    pub answered: fn(&mut Value),
}

/// A proxy, for as long as the test runs.
pub struct Proxy {
    url: String,
    server: Arc<Mutex<String>>,
    posts: Arc<AtomicUsize>,
}

/// A request as far as it matters.
struct Request {
    method: String,
    path: String,
    body: Vec<u8>,
}

impl Proxy {
    /// A proxy before the server at `url`; `fate` decides of each POST by its number, from 0.
    pub fn start(url: &str, fate: impl FnMut(usize) -> Fate + Send + 'static) -> Self {
        let truth = Falsehood {
            asked: str::to_owned,
            answered: |_| {},
        };
        Self::falsifying(url, fate, truth)
    }

    /// The same, which falsifies GETs.
    pub fn falsifying(
        url: &str,
        mut fate: impl FnMut(usize) -> Fate + Send + 'static,
        falsehood: Falsehood,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let proxy = Self {
            url: format!("http://{address}"),
            server: Arc::new(Mutex::new(url.to_owned())),
            posts: Arc::default(),
        };
        let (server, posts) = (proxy.server.clone(), proxy.posts.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                // A client that went away needs no answer.
                let Ok(Some(request)) = read(&stream) else {
                    continue;
                };
                let fate = match request.method.as_str() {
                    "POST" => fate(posts.fetch_add(1, Ordering::SeqCst)),
                    _ => Fate::Pass,
                };
                let server = server.lock().expect("no panic").clone();
                if let Some(answer) = answer(&server, &request, fate, &falsehood) {
                    let _ = stream.write_all(&answer);
                }
            }
        });
        proxy
    }

    /// The proxy's address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How many POSTs have come.
    pub fn posts(&self) -> usize {
        self.posts.load(Ordering::SeqCst)
    }

    /// Passes requests on to another server from now on.
    pub fn point_to(&self, url: &str) {
        *self.server.lock().expect("no panic") = url.to_owned();
    }
}

/// The bytes to answer; nothing closes the connection.
fn answer(server: &str, request: &Request, fate: Fate, falsehood: &Falsehood) -> Option<Vec<u8>> {
    match fate {
        Fate::Pass => pass(server, request, falsehood),
        Fate::LoseRequest => None,
        Fate::LoseAnswer => {
            pass(server, request, falsehood);
            None
        }
        Fate::Answer(status) => Some(response(status, b"<p>not here</p>")),
    }
}

fn pass(server: &str, request: &Request, falsehood: &Falsehood) -> Option<Vec<u8>> {
    let is_post = request.method == "POST";
    let answered = match is_post {
        true => {
            let url = format!("{server}{}", request.path);
            let post = ureq::post(url).config().http_status_as_error(false).build();
            let post = post.header("content-type", "application/json");
            post.send(&request.body[..])
        }
        false => {
            let url = format!("{server}{}", (falsehood.asked)(&request.path));
            let get = ureq::get(url).config().http_status_as_error(false).build();
            get.call()
        }
    };
    let mut answered = answered.ok()?;
    let mut body = answered.body_mut().read_to_vec().ok()?;
    if !is_post && let Ok(mut json) = serde_json::from_slice(&body) {
        (falsehood.answered)(&mut json);
        body = json.to_string().into_bytes();
    }
    Some(response(answered.status().as_u16(), &body))
}

fn response(status: u16, body: &[u8]) -> Vec<u8> {
    let body_len = body.len();
    let head = format!(
        "HTTP/1.1 {status} Answer\r\nContent-Length: {body_len}\r\nConnection: close\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// The next request of a connection; nothing if it is closed before one comes.
fn read(stream: &TcpStream) -> io::Result<Option<Request>> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut words = first.split_whitespace().map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Ok(None);
    };
    let mut body_len = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(len) = line.strip_prefix("content-length:") {
            body_len = len.trim().parse().expect("a length is a number");
        }
    }
    let mut body = vec![0; body_len];
    reader.read_exact(&mut body)?;
    Ok(Some(Request { method, path, body }))
}

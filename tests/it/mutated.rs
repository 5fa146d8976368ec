//! Broken requests of every kind, to a server as a process: each is told what is wrong with it.
//!
//! Seeded mutations of good requests of both sides, over kept connections: method, path, query, headers,
//! body and framing. No answer is a fault of the server but the documented 503s, every refusal is a
//! problem, nothing panics, memory does not grow with them, and what is stored is still what the log says.

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;

use danmu_tests::connection::{Answer, Connection};
use danmu_tests::server::{Server, assert_verified, size};
use fastrand::Rng;
use ureq::http::{HeaderName, HeaderValue, Uri};

/// How many requests are sent; `XTASK_MUTATED_REQUESTS` changes it.
const REQUESTS: usize = 50_000;
/// What the mutations are made of; `XTASK_MUTATED_SEED` changes it.
const SEED: usize = 1;
/// How many clients send them at once.
const CLIENTS: usize = 8;
/// How many times its size after the first half of them the server may have at the end. The second half
/// makes rooms of its own and lengthens the others.
const GROWTH_MAX: f64 = 1.5;
/// A request that is no longer than this arrives in one piece.
const READ_AT_ONCE_BYTES: usize = 4 * 1_024;
/// The 503s that a client may get: each says when to come again.
const UNAVAILABLE: [&str; 3] = ["overloaded", "outcome-unknown", "history-behind"];

/// A good request: method, path with query, body.
type Good = (&'static str, &'static str, &'static str);

const GOOD: [Good; 18] = [
    (
        "POST",
        "/v1/rooms/r1/events",
        r#"{"kind":"comment","user":{"id":"u1","name":"Ann"},"text":"hi","style":{"mode":"top","color":255},"ext":{"a":"b"}}"#,
    ),
    (
        "POST",
        "/v1/rooms/r1/events",
        r#"[{"kind":"enter","user":{"id":"u2"}},{"kind":"pin","target_seq":1},{"kind":"rules","slow_ms":5}]"#,
    ),
    (
        "POST",
        "/v1/rooms/r2/events",
        r#"{"kind":"gift","user":{"id":"u1"},"gift":"g","name":"G","count":1,"unit_value":5,"combo":"c"}"#,
    ),
    (
        "POST",
        "/v1/rooms/r2/events",
        r#"[{"kind":"broadcast_start","title":"T","zero_at":5},{"kind":"custom","name":"n"},{"kind":"broadcast_end"}]"#,
    ),
    (
        "POST",
        "/v1/rooms/r2/events",
        r#"[{"kind":"delete","target_seq":2},{"kind":"mute","target_user":"u9","until_at":9},{"kind":"erase","target_seqs":[3]}]"#,
    ),
    ("POST", "/v1/rooms/r1/likes", r#"{"count":3}"#),
    ("GET", "/v1/rooms/r1/events", ""),
    (
        "GET",
        "/v1/rooms/r1/events?after=1:0&limit=5&density=full",
        "",
    ),
    ("GET", "/v1/rooms/r1/events?before=1:9&limit=5", ""),
    (
        "GET",
        "/v1/rooms/r1/events?after=0&max_behind=3&view=live",
        "",
    ),
    (
        "GET",
        "/v1/rooms/r1/verdicts?id=01900000-0000-7000-8000-000000000001",
        "",
    ),
    ("GET", "/v1/rooms/r1", ""),
    ("GET", "/v1/rooms/r1/users?limit=3", ""),
    ("GET", "/v1/rooms?live=true&after=a&limit=2", ""),
    ("GET", "/v1/rooms/r1/broadcasts?after=1:9&limit=3", ""),
    ("GET", "/v1/rooms/r2/broadcasts/1:1", ""),
    (
        "GET",
        "/v1/rooms/r2/broadcasts/1:1/segments/0?revision=1",
        "",
    ),
    ("GET", "/v1/rooms/r2/broadcasts/1:1/export?format=xml", ""),
];

/// Good headers, of which a request has some.
const HEADERS: [&str; 9] = [
    "content-type: application/json",
    "idempotency-key: a key",
    "content-encoding: identity",
    "accept: application/json",
    "origin: http://example.org",
    "authorization: Bearer a.b.c",
    "if-none-match: \"1\"",
    "expect: 100-continue",
    "x-forwarded-for: 10.0.0.1",
];

/// What is put in the place of some bytes.
const SPLICES: [&str; 16] = [
    "null",
    "-1",
    "1e999",
    "18446744073709551616",
    "\"",
    "{",
    "[",
    "\\u0000",
    "\\ud800",
    "%00",
    "%ff",
    "%2e%2e/",
    "1:18446744073709551615",
    "&after=0",
    "\u{202e}",
    "..",
];

#[test]
fn broken_requests_are_told_so_and_cost_nothing() {
    let requests = size("XTASK_MUTATED_REQUESTS", REQUESTS);
    let seed = size("XTASK_MUTATED_SEED", SEED) as u64;
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let answers = Mutex::new(BTreeMap::new());
    let half = |half: u64| {
        std::thread::scope(|scope| {
            for client in 0..CLIENTS as u64 {
                let (url, answers) = (server.url(), &answers);
                let random = Rng::with_seed(seed << 32 | half << 16 | client);
                scope.spawn(move || {
                    let told = Client::new(url, random).send(requests / 2 / CLIENTS);
                    let mut answers = answers.lock().unwrap();
                    for (status, count) in told {
                        *answers.entry(status).or_default() += count;
                    }
                });
            }
        });
        server.rss_bytes()
    };
    let (before, after) = (half(0), half(1));
    let growth = after as f64 / before as f64;
    let answers: BTreeMap<Told, usize> = answers.into_inner().unwrap();
    eprintln!("seed {seed}: {answers:?}; {before} bytes, then {after}: {growth:.2}");
    for status in [200, 400, 404, 405] {
        assert!(answers.contains_key(&Told::Status(status)), "no {status}");
    }
    assert!(growth < GROWTH_MAX, "{growth:.2}");
    assert!(server.is_ready());
    let (status, log) = server.terminate();
    assert!(status.success(), "{status}: {log:#?}");
    let panics = log.iter().filter(|line| line.contains("panicked"));
    assert_eq!(panics.count(), 0, "{log:#?}");
    assert_verified(data.path());
}

/// What a request was answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Status(u16),
    /// The end of the connection, where a request may stay unanswered.
    Nothing,
}

/// A client that sends mutated requests over one connection as long as the server keeps it.
struct Client<'a> {
    url: &'a str,
    random: Rng,
    connection: Option<Connection>,
}

/// A request as bytes.
struct Mutated {
    bytes: Vec<u8>,
    to_head: bool,
    /// Whether its framing is left as it should be, so that the server knows its end.
    is_framed: bool,
    /// Whether its head is HTTP. What is none may be answered with the end of the connection.
    is_http: bool,
}

impl<'a> Client<'a> {
    fn new(url: &'a str, random: Rng) -> Self {
        Self {
            url,
            random,
            connection: None,
        }
    }

    /// Sends so many requests, one after the other, and counts their answers.
    fn send(&mut self, requests: usize) -> BTreeMap<Told, usize> {
        let mut answers = BTreeMap::new();
        for _ in 0..requests {
            let request = Mutated::new(&mut self.random);
            let told = self.answer(&request);
            *answers.entry(told).or_default() += 1;
        }
        answers
    }

    fn answer(&mut self, request: &Mutated) -> Told {
        let described = || String::from_utf8_lossy(&request.bytes).into_owned();
        let (connection, answered) = match self.connection.take() {
            // A server may end a kept connection at any moment. What it did not answer there is sent
            // again over a new one, as every client does.
            Some(kept) => match exchange(kept, request) {
                (kept, Ok(Some(answer))) => (kept, Ok(Some(answer))),
                _ => exchange(self.open(), request),
            },
            None => exchange(self.open(), request),
        };
        let answer = match answered {
            Ok(Some(answer)) => answer,
            Ok(None) | Err(_) if request.may_stay_unanswered() => return Told::Nothing,
            other => panic!("{other:?} to {:?}", described()),
        };
        if let Some(wrong) = what_is_wrong(&answer, request.to_head) {
            panic!("{wrong}: {answer:?} to {:?}", described());
        }
        if request.is_framed && !answer.is_last() {
            self.connection = Some(connection);
        }
        Told::Status(answer.status)
    }

    fn open(&self) -> Connection {
        Connection::open(self.url).expect("the server takes connections")
    }
}

/// Sends a request and waits for its answer.
fn exchange(
    mut connection: Connection,
    request: &Mutated,
) -> (Connection, io::Result<Option<Answer>>) {
    // A server that has refused the head already may not read the rest.
    let sent = connection.send(&request.bytes);
    if !request.is_framed && sent.is_ok() {
        // Without it the server would rightly wait for more of the request. It may have gone.
        let _ = connection.end();
    }
    let answered = connection.answer(request.to_head);
    (connection, answered)
}

/// Why nobody should get such an answer.
fn what_is_wrong(answer: &Answer, to_head: bool) -> Option<&'static str> {
    let body = String::from_utf8_lossy(&answer.body);
    let is_problem = answer.header("content-type") == Some("application/problem+json");
    match answer.status {
        200..400 => None,
        400.. if !is_problem => Some("no problem"),
        503 if to_head => None,
        503 => {
            let known = UNAVAILABLE.iter().any(|name| body.contains(name));
            (!known || answer.header("retry-after").is_none()).then_some("no such 503")
        }
        500.. => Some("a fault"),
        _ => None,
    }
}

impl Mutated {
    /// An answer that comes before a long request was read may be lost with the rest of it.
    fn may_stay_unanswered(&self) -> bool {
        !self.is_framed || !self.is_http || self.bytes.len() > READ_AT_ONCE_BYTES
    }

    /// A good request with some of its parts mutated.
    fn new(random: &mut Rng) -> Self {
        let (method, path, body) = GOOD[random.usize(..GOOD.len())];
        let method = match random.u8(..32) {
            0 => mutated(random, method),
            1 => b"HEAD".to_vec(),
            2 => b"OPTIONS".to_vec(),
            3 => b"DELETE".to_vec(),
            _ => method.into(),
        };
        let path = if random.bool() {
            written(mutated(random, path))
        } else {
            path.into()
        };
        let mut is_http =
            method.iter().all(u8::is_ascii_uppercase) && Uri::try_from(&path[..]).is_ok();
        let mut bytes = [&method[..], b" ", &path, b" HTTP/1.1\r\nhost: a\r\n"].concat();
        for _ in 0..random.usize(..4) {
            let header = HEADERS[random.usize(..HEADERS.len())];
            let line = match random.u8(..4) {
                0 => written(mutated(random, header)),
                _ => header.into(),
            };
            is_http &= is_header(&line);
            bytes.extend(line);
            bytes.extend_from_slice(b"\r\n");
        }
        let is_chunked = random.u8(..4) == 0;
        let body = body_of(random, body);
        match is_chunked {
            true => bytes.extend(chunked(&body)),
            false => {
                let head = format!("content-length: {}\r\n\r\n", body.len());
                bytes.extend_from_slice(head.as_bytes());
                bytes.extend(body);
            }
        }
        let is_framed = random.u8(..16) != 0;
        if !is_framed {
            bytes = mutated_bytes(random, bytes);
        }
        Self {
            to_head: method == b"HEAD",
            is_framed,
            is_http,
            bytes,
        }
    }
}

fn is_header(line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else {
        return false;
    };
    HeaderName::from_bytes(&line[..colon]).is_ok()
        && HeaderValue::from_bytes(&line[colon + 1..]).is_ok()
}

/// A good body, a mutated one, one that is nested deeply, or one that is large.
fn body_of(random: &mut Rng, body: &str) -> Vec<u8> {
    match random.u8(..64) {
        0 => "[".repeat(random.usize(1..100_000)).into_bytes(),
        1 => format!("{}1{}", "{\"a\":".repeat(200), "}".repeat(200)).into_bytes(),
        2 => format!("[{}{body}]", "{},".repeat(random.usize(1..2_000))).into_bytes(),
        3..24 => body.into(),
        _ => mutated(random, body),
    }
}

fn chunked(body: &[u8]) -> Vec<u8> {
    let mut bytes = b"transfer-encoding: chunked\r\n\r\n".to_vec();
    for chunk in body.chunks(64) {
        bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

/// The bytes without those that would end a line or a path, so that the framing stays.
fn written(bytes: Vec<u8>) -> Vec<u8> {
    let mut bytes = bytes;
    bytes.retain(|byte| !matches!(byte, b'\r' | b'\n' | b' '));
    bytes
}

fn mutated(random: &mut Rng, text: &str) -> Vec<u8> {
    mutated_bytes(random, text.into())
}

/// The bytes, changed in one to four places, so that most of them stay what they were.
fn mutated_bytes(random: &mut Rng, mut bytes: Vec<u8>) -> Vec<u8> {
    for _ in 0..random.usize(1..=4) {
        let at = random.usize(0..=bytes.len());
        let end = random.usize(at..=bytes.len().min(at + 8));
        let byte = [random.u8(..)];
        let splice = match random.u8(..4) {
            0 => &b""[..],
            1 | 2 => &byte,
            _ => SPLICES[random.usize(..SPLICES.len())].as_bytes(),
        };
        bytes.splice(at..end, splice.iter().copied());
    }
    bytes
}

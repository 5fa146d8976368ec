//! Clients that mean harm, or have a bad network, beside honest ones: the honest ones do not notice.
//!
//! Idle connections by the thousand, heads and bodies that come byte by byte, answers that are never read,
//! garbage in a row, sockets closed on one side, connections reset in the middle of a body. Meanwhile every
//! honest request is answered as it should be within a deadline, and memory stays within what the limits
//! of a connection allow. Times are printed, without and with the hostile ones, and not judged: the
//! machine may be slow.
//!
//! The test and the server need some 3,000 descriptors each. The test raises its own limit as far as the
//! system allows, and the server inherits it; where that is too little, the test says so and fails.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use danmu_tests::connection::Connection;
use danmu_tests::server::{Server, assert_verified, size};

/// How long each part lasts, in seconds; `XTASK_HOSTILE_SECONDS` changes it.
const PART_SECONDS: usize = 8;
/// How many honest clients there are.
const HONEST: usize = 4;
/// How long an honest request may take, whatever the machine.
const HONEST_WITHIN: Duration = Duration::from_secs(20);
/// How long it may take until the server has let all hostile connections go.
const LET_GO_WITHIN: Duration = Duration::from_secs(90);
/// How often a herd is looked after.
const TENDED_EVERY: Duration = Duration::from_millis(50);
/// The most that a connection may cost while it is within the limits: the largest head, as much of an
/// answer that is not read, and the task.
const CONNECTION_BYTES_MAX: u64 = 2 * (32 << 10) + (16 << 10);
/// What a body that does not arrive may cost beyond that: as much as it has brought.
const BODY_PART_BYTES: usize = 256 << 10;
/// What the honest clients' own events and pages may cost.
const HONEST_BYTES_MAX: u64 = 128 << 20;

/// The ways to do harm, and how many connections each has.
const HERDS: [(Harm, usize); 7] = [
    (Harm::Idle, 2_000),
    (Harm::SlowHead, 200),
    (Harm::SlowBody, 200),
    (Harm::NeverReads, 50),
    (Harm::Garbage, 20),
    (Harm::HalfClosed, 20),
    (Harm::Reset, 20),
];

/// A way to do harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    /// Says nothing.
    Idle,
    /// Sends a head a byte at a time, without end.
    SlowHead,
    /// Sends a part of a body, then a byte at a time.
    SlowBody,
    /// Asks for page after page and reads none.
    NeverReads,
    /// Asks for something and sends random bytes behind it.
    Garbage,
    /// Asks, and closes its side before the answer.
    HalfClosed,
    /// Leaves in the middle of a body, with an answer unread, which resets the connection.
    Reset,
}

#[test]
fn honest_clients_do_not_notice_hostile_ones() {
    raise_own_open_files();
    let part = Duration::from_secs(size("XTASK_HOSTILE_SECONDS", PART_SECONDS) as u64);
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let alone = be_honest(server.url(), part);
    let rss_before = server.rss_bytes();

    let ended = AtomicBool::new(false);
    let opened = HERDS.map(|_| AtomicU64::new(0));
    let (beside, rss_most) = std::thread::scope(|scope| {
        for ((harm, count), opened) in HERDS.iter().zip(&opened) {
            let (url, ended) = (server.url(), &ended);
            scope.spawn(move || Herd::new(*harm, *count, url, opened).tend(ended));
        }
        wait_until(|| {
            opened
                .iter()
                .all(|opened| opened.load(Ordering::Relaxed) > 0)
        });
        let beside = be_honest(server.url(), part);
        let rss_most = server.rss_bytes();
        ended.store(true, Ordering::Relaxed);
        (beside, rss_most)
    });

    let counts = HERDS.iter().zip(&opened);
    let counts = counts.map(|((harm, _), opened)| (harm, opened.load(Ordering::Relaxed)));
    eprintln!("connections: {:?}", counts.collect::<Vec<_>>());
    eprintln!("alone:  {}\nbeside: {}", told(alone), told(beside));
    let connections: u64 = HERDS.iter().map(|(_, count)| *count as u64).sum();
    let bodies = 200 * BODY_PART_BYTES as u64;
    let growth_max = connections * CONNECTION_BYTES_MAX + bodies + HONEST_BYTES_MAX;
    eprintln!("{rss_before} bytes before, {rss_most} at the end, {growth_max} more allowed");
    assert!(rss_most < rss_before + growth_max);
    wait_until(|| server.metric(r#"danmu_http_connections{listener="public"}"#) <= 1.0);
    assert!(server.is_ready());
    let (status, log) = server.terminate();
    assert!(status.success(), "{status}: {log:#?}");
    assert!(
        !log.iter().any(|line| line.contains("panicked")),
        "{log:#?}"
    );
    assert_verified(data.path());
}

/// Posts and polls as honest clients do; how long each request took. Each must be answered with 200.
fn be_honest(url: &str, part: Duration) -> Vec<Duration> {
    let until = Instant::now() + part;
    std::thread::scope(|scope| {
        let clients = (0..HONEST).map(|n| scope.spawn(move || Honest::new(url, n).until(until)));
        let clients: Vec<_> = clients.collect();
        let took = clients
            .into_iter()
            .flat_map(|client| client.join().unwrap());
        took.collect()
    })
}

/// A client that comments and then polls what is new.
struct Honest {
    connection: Connection,
    room: String,
    user: usize,
    cursor: String,
}

impl Honest {
    fn new(url: &str, user: usize) -> Self {
        Self {
            connection: Connection::open(url).expect("a place for an honest client"),
            room: format!("honest-{}", user % 2),
            user,
            cursor: "0".to_owned(),
        }
    }

    fn until(mut self, until: Instant) -> Vec<Duration> {
        let mut took = Vec::new();
        while Instant::now() < until {
            took.push(self.ask(|client| client.comment()).0);
            let (poll_took, page) = self.ask(|client| client.poll());
            took.push(poll_took);
            let page: serde_json::Value = serde_json::from_slice(&page).unwrap();
            self.cursor = page["cursor"].as_str().unwrap().to_owned();
        }
        took
    }

    fn comment(&self) -> String {
        let body = format!(
            r#"{{"kind":"comment","user":{{"id":"honest-{}"}},"text":"hello"}}"#,
            self.user
        );
        format!(
            "POST /v1/rooms/{}/events HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}",
            self.room,
            body.len()
        )
    }

    fn poll(&self) -> String {
        format!(
            "GET /v1/rooms/{}/events?after={} HTTP/1.1\r\nhost: a\r\n\r\n",
            self.room, self.cursor
        )
    }

    fn ask(&mut self, request: impl Fn(&Self) -> String) -> (Duration, Vec<u8>) {
        let (request, began) = (request(self), Instant::now());
        self.connection.send(request.as_bytes()).unwrap();
        let answer = self.connection.answer(false).unwrap();
        let answer = answer.expect("an honest request is answered");
        let took = began.elapsed();
        assert_eq!(answer.status, 200, "{request:?}: {answer:?}");
        assert!(took < HONEST_WITHIN, "{request:?} took {took:?}");
        (took, answer.body)
    }
}

/// How many requests there were and how long they took.
fn told(mut took: Vec<Duration>) -> String {
    took.sort_unstable();
    let at = |share: usize| took[(took.len() - 1) * share / 100];
    let count = took.len();
    format!(
        "{count} requests, p50 {:?}, p99 {:?}, longest {:?}",
        at(50),
        at(99),
        at(100)
    )
}

/// Connections that do one kind of harm. Those that the server ends are replaced.
struct Herd<'a> {
    harm: Harm,
    address: &'a str,
    /// How many were opened so far.
    opened: &'a AtomicU64,
    streams: Vec<Option<TcpStream>>,
    random: fastrand::Rng,
}

impl<'a> Herd<'a> {
    fn new(harm: Harm, count: usize, url: &'a str, opened: &'a AtomicU64) -> Self {
        Self {
            harm,
            address: url.trim_start_matches("http://"),
            opened,
            streams: (0..count).map(|_| None).collect(),
            random: fastrand::Rng::with_seed(harm as u64),
        }
    }

    fn tend(mut self, ended: &AtomicBool) {
        while !ended.load(Ordering::Relaxed) {
            for n in 0..self.streams.len() {
                let kept = self.streams[n].take();
                self.streams[n] = match kept.and_then(|stream| self.go_on(stream)) {
                    Some(stream) => Some(stream),
                    None => self.open(),
                };
            }
            std::thread::sleep(TENDED_EVERY);
        }
    }

    /// A new connection that has begun; the server may have ended it already.
    fn open(&mut self) -> Option<TcpStream> {
        const POST: &str = "POST /v1/rooms/hostile/events HTTP/1.1\r\nhost: a\r\n";
        const GET: &str =
            "GET /v1/rooms/honest-0/events?after=0&limit=500 HTTP/1.1\r\nhost: a\r\n\r\n";
        let mut stream = TcpStream::connect(self.address).ok()?;
        self.opened.fetch_add(1, Ordering::Relaxed);
        let begin = match self.harm {
            Harm::Idle => Vec::new(),
            Harm::SlowHead => b"GET /v1/rooms HTTP/1.1\r\nx-slow: ".to_vec(),
            Harm::SlowBody => {
                let head = format!("{POST}content-length: 1000000\r\n\r\n");
                [head.as_bytes(), &vec![b' '; BODY_PART_BYTES]].concat()
            }
            Harm::NeverReads => GET.repeat(50).into_bytes(),
            Harm::Garbage => {
                let garbage = (0..4_096).map(|_| self.random.u8(..));
                GET.bytes().chain(garbage).collect()
            }
            Harm::HalfClosed => GET.into(),
            Harm::Reset => format!("{GET}{POST}content-length: 99\r\n\r\n{{").into_bytes(),
        };
        stream.write_all(&begin).ok()?;
        stream.set_nonblocking(true).ok()?;
        if self.harm == Harm::HalfClosed {
            stream.shutdown(Shutdown::Write).ok()?;
        }
        Some(stream)
    }

    /// The connection a moment later; `None` where it has ended.
    fn go_on(&mut self, mut stream: TcpStream) -> Option<TcpStream> {
        let goes_on = match self.harm {
            Harm::NeverReads => true,
            // Its answer has come, or the server has gone: closing resets the connection.
            Harm::Reset => is_quiet(stream.peek(&mut [0])),
            Harm::SlowHead | Harm::SlowBody => stream.write(b"x").is_ok() && drained(&mut stream),
            Harm::Idle | Harm::Garbage | Harm::HalfClosed => drained(&mut stream),
        };
        goes_on.then_some(stream)
    }
}

/// Reads what there is; whether the connection goes on.
fn drained(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 16 * 1_024];
    loop {
        match stream.read(&mut buffer) {
            Ok(1..) => {}
            other => return is_quiet(other),
        }
    }
}

/// Whether there is nothing to read yet.
fn is_quiet(read: std::io::Result<usize>) -> bool {
    read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

fn wait_until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + LET_GO_WITHIN;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time");
        std::thread::sleep(TENDED_EVERY);
    }
}

/// Lets this process have as many open files as it may, and a server that it starts too.
fn raise_own_open_files() {
    const NEEDED: u64 = 4_000;
    let limits = std::fs::read_to_string("/proc/self/limits").expect("a system with /proc");
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let most = line.and_then(|line| line.split_whitespace().nth(4)?.parse::<u64>().ok());
    let most = most.expect("a hard limit");
    assert!(
        most >= NEEDED,
        "this test needs {NEEDED} open files, and the system allows {most}"
    );
    let pid = std::process::id().to_string();
    let limit = format!("--nofile={most}:{most}");
    let raised = Command::new("prlimit")
        .args(["--pid", &pid, &limit])
        .status();
    assert!(raised.expect("prlimit runs").success());
}

//! A server under more than it takes, as a process: what it takes it keeps, what it does not take it says.
//!
//! Its capacity is found in the same run, in closed loop; then five times as much comes in open loop:
//! comments of many viewers, floods of a few, likes, and from a backend a small stream of gifts. Goodput
//! does not break down, gifts pass, who is refused is told when to come again, and afterwards every
//! accepted event is in its room exactly once and no refused one is.
//!
//! Server and load are bound to a core each where there are two. Rates are printed; only their ratio is
//! judged, loosely, since other work on the machine takes from one phase or the other.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use danmu_tests::load::{Outcome, Pace, Report, Sent, send};
use danmu_tests::server::{Server, assert_verified, size};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// How long each phase lasts, in seconds; `XTASK_OVERLOAD_SECONDS` changes it.
const PHASE_SECONDS: usize = 5;
/// How many times its capacity comes.
const OVERLOAD: f64 = 5.0;
/// The least share of its peak that a server still takes. The figure to reach is 0.9; a machine that
/// does other work makes both of them doubtful.
const GOODPUT_MIN: f64 = 0.5;
/// Clients in closed loop.
const CLOSED_CLIENTS: usize = 64;
/// Clients in open loop by what they send.
const COMMENTERS: usize = 600;
const FLOODERS: usize = 100;
/// How many viewers the flooders are.
const FLOODING_VIEWERS: usize = 4;
const LIKERS: usize = 100;
const GIVERS: usize = 4;
/// How often one of them sends a gift.
const GIFT_EVERY: Duration = Duration::from_millis(100);
/// How long after its time a viewer still sends.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many viewers comment, so that none of them comes near its own rate.
const VIEWERS: usize = 20_000;
const ROOMS: usize = 4;
const SECRET: &str = "a secret of at least thirty-two bytes";

/// The most memory: a server at rest; what waits for the log and its tail; for each room a window at its
/// hard limit, its rendered events and the memory of its ids in two loops; each connection with the
/// largest head and an answer.
const RSS_BYTES_MAX: u64 = (128 << 20)
    + (64 << 20)
    + ROOMS as u64 * ((64 << 20) + (4 << 20) + (48 << 20))
    + (COMMENTERS + FLOODERS + LIKERS + GIVERS) as u64 * (80 << 10);

/// What a request was.
#[derive(Debug, Clone)]
enum What {
    Event { room: usize, id: String },
    Gift { room: usize, id: String },
    Likes,
}

#[test]
fn five_times_too_much_is_taken_as_far_as_it_goes() {
    let phase = Duration::from_secs(size("XTASK_OVERLOAD_SECONDS", PHASE_SECONDS) as u64);
    let data = tempfile::tempdir().unwrap();
    let start = || {
        let server = Server::start_configured(data.path(), |command| {
            command.env("DANMU_TOKEN_SECRET", SECRET);
            // All clients of this test have one address.
            command.env("DANMU_ADDRESS_RATE", "off");
        });
        server.wait_until_ready();
        server
    };
    let server = start();
    bind_to_core(&server.id().to_string(), 0);
    let (calm, storm) = Crowd::new(&server).calm_and_storm(phase);
    let rss = server.rss_bytes();
    eprintln!("calm:  {calm}\nstorm: {storm}");
    let goodput = storm.accepted_per_s() / calm.accepted_per_s();
    eprintln!(
        "goodput {goodput:.2} of the peak (to reach: 0.9); {rss} of at most {RSS_BYTES_MAX} bytes"
    );
    let (gifts, accepted) = storm.gifts();
    assert!(
        accepted * 1_000 >= gifts * 995,
        "{accepted} of {gifts} gifts"
    );
    assert!(storm.refused() > 0, "nobody was refused: no overload");
    assert!(goodput >= GOODPUT_MIN, "{goodput:.2}");
    assert!(rss < RSS_BYTES_MAX, "{rss}");

    ends_cleanly(server);
    let server = start();
    for room in 0..ROOMS {
        check_room(&server, room, [&calm, &storm]);
    }
    ends_cleanly(server);
    assert_verified(data.path());
}

fn ends_cleanly(server: Server) {
    let (status, log) = server.terminate();
    assert!(status.success(), "{status}: {log:#?}");
    assert!(
        !log.iter().any(|line| line.contains("panicked")),
        "{log:#?}"
    );
}

/// Every accepted event is there once, and no refused one is.
fn check_room(server: &Server, room: usize, phases: [&Phase; 2]) {
    let mut there: BTreeMap<String, usize> = BTreeMap::new();
    for mut event in server.events(&format!("r{room}")) {
        if let Value::String(id) = event["id"].take() {
            *there.entry(id).or_default() += 1;
        }
    }
    let twice = there.values().filter(|count| **count > 1).count();
    assert_eq!(twice, 0, "events of room {room} are there twice");
    let of_room = |sent: &&Sent<What>| match &sent.what {
        What::Event { room: of, .. } | What::Gift { room: of, .. } => *of == room,
        What::Likes => false,
    };
    let sent = phases.iter().flat_map(|phase| phase.sent.iter());
    for Sent { what, outcome } in sent.filter(of_room) {
        let (What::Event { id, .. } | What::Gift { id, .. }) = what else {
            continue;
        };
        match outcome {
            Outcome::Accepted => assert!(there.contains_key(id), "{id} is lost"),
            Outcome::Refused(_) => assert!(!there.contains_key(id), "{id} was refused"),
            Outcome::Unknown => {}
        }
    }
    eprintln!("room {room}: {} events", there.len());
}

/// All that was sent in one phase.
struct Phase {
    took: Duration,
    sent: Vec<Sent<What>>,
    left_out: usize,
}

impl Phase {
    fn new(took: Duration, reports: Vec<Report<What>>) -> Self {
        Self {
            took,
            left_out: reports.iter().map(|report| report.left_out).sum(),
            sent: reports.into_iter().flat_map(|report| report.sent).collect(),
        }
    }

    fn count(&self, is_so: impl Fn(&Sent<What>) -> bool) -> usize {
        self.sent.iter().filter(|sent| is_so(sent)).count()
    }

    fn accepted_per_s(&self) -> f64 {
        self.count(|sent| sent.outcome == Outcome::Accepted) as f64 / self.took.as_secs_f64()
    }

    fn refused(&self) -> usize {
        self.count(|sent| matches!(sent.outcome, Outcome::Refused(_)))
    }

    /// How many gifts were sent, and how many accepted.
    fn gifts(&self) -> (usize, usize) {
        let is_gift = |sent: &Sent<What>| matches!(sent.what, What::Gift { .. });
        let is_accepted = |sent: &Sent<What>| is_gift(sent) && sent.outcome == Outcome::Accepted;
        (self.count(is_gift), self.count(is_accepted))
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let of = |wanted: Outcome| self.count(|sent| sent.outcome == wanted);
        let likes = self.count(|sent| matches!(sent.what, What::Likes));
        write!(
            f,
            "{:.0} accepted/s in {:.1} s; {} sent ({likes} of likes), {} with 429, {} with 503, {} \
             unknown, {} left out; {:?} gifts sent and accepted",
            self.accepted_per_s(),
            self.took.as_secs_f64(),
            self.sent.len(),
            of(Outcome::Refused(429)),
            of(Outcome::Refused(503)),
            of(Outcome::Unknown),
            self.left_out,
            self.gifts(),
        )
    }
}

/// Everybody who sends, with their tokens.
struct Crowd {
    address: SocketAddr,
    viewers: Vec<String>,
    backend: String,
}

impl Crowd {
    fn new(server: &Server) -> Arc<Self> {
        let address = server.url().trim_start_matches("http://").parse();
        let viewer = |n| token(&format!("v{n}"), "viewer");
        Arc::new(Self {
            address: address.expect("an address"),
            viewers: (0..VIEWERS).map(viewer).collect(),
            backend: token("shop", "backend"),
        })
    }

    /// Both phases, from a thread that has a core of its own where there is one.
    fn calm_and_storm(self: Arc<Self>, phase: Duration) -> (Phase, Phase) {
        let load = std::thread::spawn(move || {
            bind_to_core(&own_thread(), 1);
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().build().unwrap().block_on(async {
                self.calm(0, phase / 4).await;
                let calm = self.calm(1, phase).await;
                let storm = self.storm(2, phase, calm.accepted_per_s()).await;
                (calm, storm)
            })
        });
        load.join().unwrap()
    }

    /// As many comments as the server takes, by clients that wait for their answers.
    async fn calm(self: &Arc<Self>, run: u32, phase: Duration) -> Phase {
        let clients = (0..CLOSED_CLIENTS).map(|n| (Sender::Commenter(n), Pace::Closed));
        self.run(run, phase, clients.collect()).await
    }

    /// [`OVERLOAD`] times so many requests as the server took.
    async fn storm(self: &Arc<Self>, run: u32, phase: Duration, capacity_per_s: f64) -> Phase {
        let senders = (0..COMMENTERS).map(Sender::Commenter);
        let senders = senders.chain((0..FLOODERS).map(Sender::Flooder));
        let senders: Vec<_> = senders.chain((0..LIKERS).map(Sender::Liker)).collect();
        let count = senders.len() as u32;
        let every = Duration::from_secs_f64(f64::from(count) / (OVERLOAD * capacity_per_s));
        let pace = |n: u32| Pace::Open {
            first: every * n / count,
            every,
            patience: PATIENCE,
        };
        let viewers = (0..).zip(senders).map(|(n, sender)| (sender, pace(n)));
        let gifts = Pace::Open {
            first: Duration::ZERO,
            every: GIFT_EVERY,
            // Somebody has paid: no gift is left out.
            patience: phase * 1_000,
        };
        let givers = (0..GIVERS).map(|n| (Sender::Giver(n), gifts));
        self.run(run, phase, viewers.chain(givers).collect()).await
    }

    async fn run(
        self: &Arc<Self>,
        run: u32,
        phase: Duration,
        clients: Vec<(Sender, Pace)>,
    ) -> Phase {
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for (sender, pace) in clients {
            let crowd = Arc::clone(self);
            let request = move |n| sender.request(&crowd, run, n);
            tasks.spawn(send(self.address, pace, began + phase, request));
        }
        let reports = tasks.join_all().await;
        Phase::new(began.elapsed(), reports)
    }
}

/// A client by what it sends, and its number among its like.
#[derive(Debug, Clone, Copy)]
enum Sender {
    /// Comments of many viewers, one after the other.
    Commenter(usize),
    /// Comments of a viewer who has several such clients.
    Flooder(usize),
    Liker(usize),
    Giver(usize),
}

impl Sender {
    /// The `n`th request of the client in a run.
    fn request(self, crowd: &Crowd, run: u32, n: usize) -> (What, Vec<u8>) {
        let (client, kind) = match self {
            Self::Commenter(client) => (client, 0),
            Self::Flooder(client) => (client, 0x4000),
            Self::Liker(client) => (client, 0x8000),
            Self::Giver(client) => (client, 0xc000),
        };
        let room = client % ROOMS;
        let id = format!("{run:08x}-{:04x}-4000-8000-{n:012x}", kind | client);
        let next_viewer = &crowd.viewers[(client * 7_919 + n) % VIEWERS];
        match self {
            Self::Commenter(_) | Self::Flooder(_) => {
                let token = match self {
                    Self::Flooder(_) => &crowd.viewers[client % FLOODING_VIEWERS],
                    _ => next_viewer,
                };
                let body = json!({"kind": "comment", "id": id, "text": "more than it takes"});
                let request = post(&format!("r{room}/events"), token, &body);
                (What::Event { room, id }, request)
            }
            Self::Liker(_) => {
                let request = post(&format!("r{room}/likes"), next_viewer, &json!({"count": 3}));
                (What::Likes, request)
            }
            Self::Giver(_) => {
                let body = json!({"kind": "gift", "id": id, "user": {"id": "fan"}, "gift": "rose",
                                  "name": "Rose", "count": 1, "unit_value": 1});
                let request = post(&format!("r{room}/events"), &crowd.backend, &body);
                (What::Gift { room, id }, request)
            }
        }
    }
}

fn post(path: &str, token: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let len = body.len();
    format!(
        "POST /v1/rooms/{path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\
         content-length: {len}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn token(sub: &str, role: &str) -> String {
    let claims = json!({"sub": sub, "role": role, "exp": 4_000_000_000_u64});
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    encode(&Header::default(), &claims, &key).expect("a key for the algorithm")
}

/// Binds all threads of a process, or one thread, to a core, if there are two.
fn bind_to_core(task: &str, core: usize) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores >= 2 {
        let arguments = ["-a", "-p", "-c", &core.to_string(), task];
        let one_thread = &arguments[usize::from(task == own_thread())..];
        let output = Command::new("taskset").args(one_thread).output();
        let bound = output.is_ok_and(|output| output.status.success());
        eprintln!("{task} is bound to core {core}: {bound}");
    }
}

/// This thread's id.
fn own_thread() -> String {
    let link = std::fs::read_link("/proc/thread-self").expect("a system with /proc");
    let name = link.file_name().expect("PID/task/TID");
    name.to_string_lossy().into_owned()
}

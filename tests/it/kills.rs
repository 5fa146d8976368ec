//! `kill -9` of the server at moments that are proved, not presumed: nothing is lost or doubled.
//!
//! Each moment is reached by waiting for something that can be seen, and what was hit is then told from
//! what the dead server left: the store that `danmu inspect` reads and the lines that it logged. A try
//! that missed its moment (the server was quicker than its killer) is counted as a random kill.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use danmu_tests::recording;
use danmu_tests::server::{self, Server, assert_verified, run};
use serde_json::Value;
use tempfile::TempDir;

/// How many comments a show has: an import of it is many arrays.
const COMMENTS: usize = 8_000;
/// How many events a room has that has all of it: its beginning and its end too.
const WHOLE: u64 = COMMENTS as u64 + 2;
/// How many kills of each kind there must be; those in start-up come first, over data not made yet.
const WANTED: [(Moment, usize); 4] = [
    (Moment::StartUp, 4),
    (Moment::BeforeCheckpoint, 6),
    (Moment::Refill, 4),
    (Moment::Random, 8),
];
/// How many tries of a kind may miss their moment.
const MISSED_MAX: usize = 20;
/// Of how many events a kill before a checkpoint waits for a multiple: an array of an import.
const EVENTS_MORE: u64 = 500;
/// How long anything that is waited for may take.
const WITHIN: Duration = Duration::from_secs(60);
/// How many slots a start refills.
const SLOTS: usize = 1_024;
/// What a loop logs when it stands where the log ended at the start.
const READY_LINE: &str = "stands where the log ended";
/// What the windows log of each slot that they refill.
const REFILLED_LINE: &str = "the slot was refilled";

/// What a kill hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    /// Records were in the log that the history's watermark had not reached.
    BeforeCheckpoint,
    /// The windows did not stand yet where the log ended.
    StartUp,
    /// Some slots of the windows were refilled and some were not.
    Refill,
    /// Whatever it was.
    Random,
}

#[test]
fn kills_lose_and_double_nothing() {
    let mut show = Show::new();
    let mut hits: BTreeMap<Moment, usize> = BTreeMap::new();
    for (wanted, count) in WANTED {
        let mut tries = 0;
        while hits.get(&wanted).is_none_or(|hits| *hits < count) {
            tries += 1;
            assert!(
                tries <= count + MISSED_MAX,
                "{wanted:?} was missed too often"
            );
            let hit = show.kill(wanted, tries);
            *hits.entry(hit).or_default() += 1;
        }
    }
    eprintln!("{} kills: {hits:?}", hits.values().sum::<usize>());
    show.check();
}

/// The data of one server that is killed again and again, and the file that is imported into it.
struct Show {
    data: TempDir,
    file: PathBuf,
    /// The most events of each room that some client has seen.
    seen: BTreeMap<String, u64>,
}

impl Show {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join("show.jsonl");
        std::fs::write(&file, recording::jsonl(COMMENTS)).unwrap();
        Self {
            data,
            file,
            seen: BTreeMap::new(),
        }
    }

    /// Kills the server, if it can at the wanted moment; what was hit.
    fn kill(&mut self, wanted: Moment, n: usize) -> Moment {
        match wanted {
            Moment::BeforeCheckpoint => self.kill_before_checkpoint(n),
            Moment::StartUp => self.kill_in_start_up(n),
            Moment::Refill => self.kill_in_refill(),
            Moment::Random => self.kill_anywhere(n),
        }
    }

    /// Three rooms take turns: an import goes on until the room shows so many events more than before.
    /// One that has the whole file makes room for another.
    fn kill_before_checkpoint(&mut self, n: usize) -> Moment {
        let is_whole = |room: &String| self.seen.get(room) == Some(&WHOLE);
        let rooms = (0..).map(|n| format!("show-{n}"));
        let mut rooms = rooms.filter(|room| !is_whole(room));
        let room = rooms.nth(n % 3).expect("there is always another");
        let server = Server::start(self.data.path());
        let mut import = self.import(&server, &room);
        let before = self.seen.get(&room).copied().unwrap_or_default();
        let wanted = before + EVENTS_MORE * (n as u64 % 4);
        let deadline = Instant::now() + WITHIN;
        let seen = loop {
            let head = head(&server, &room);
            let ended = import.try_wait().unwrap().is_some();
            if head > wanted || ended {
                break head;
            }
            assert!(Instant::now() < deadline, "{room} does not grow");
        };
        server.kill();
        end(import);
        self.seen.insert(room.clone(), seen);
        let state = self.inspect(&room);
        let unsettled = state["unsettled_records"].as_u64().unwrap();
        let hit = match unsettled {
            0 => Moment::Random,
            1.. => Moment::BeforeCheckpoint,
        };
        eprintln!(
            "{hit:?}: {room} showed {seen} events; watermark {}, {unsettled} records after it",
            state["watermark"]
        );
        hit
    }

    /// Odd ones as soon as it listens, even ones when it has said that it is not ready.
    fn kill_in_start_up(&self, n: usize) -> Moment {
        let server = Server::start_without_waiting(self.data.path());
        let was_ready = n.is_multiple_of(2) && server.is_ready();
        let lines = server.kill();
        let became_ready = lines
            .iter()
            .any(|line| line.contains("windows") && line.contains(READY_LINE));
        let hit = if was_ready || became_ready {
            Moment::Random
        } else {
            Moment::StartUp
        };
        eprintln!("{hit:?}: the last line was {:?}", lines.last());
        hit
    }

    /// When the first slots are refilled from the history.
    fn kill_in_refill(&self) -> Moment {
        let filter = "info,danmu_projections::windows=debug";
        let server = Server::start_configured(self.data.path(), |command| {
            command.env("RUST_LOG", filter);
        });
        let mut lines = server.wait_for_line(REFILLED_LINE);
        lines.extend(server.kill());
        let refilled = lines.iter().filter(|line| line.contains(REFILLED_LINE));
        let refilled = refilled.count();
        let hit = match refilled {
            1..SLOTS => Moment::Refill,
            _ => Moment::Random,
        };
        eprintln!("{hit:?}: {refilled} of {SLOTS} slots were refilled");
        hit
    }

    /// At any moment of an import, seeded.
    fn kill_anywhere(&self, n: usize) -> Moment {
        let server = Server::start(self.data.path());
        let import = self.import(&server, &format!("random-{}", n % 4));
        let moment = fastrand::Rng::with_seed(n as u64).u64(1_000..600_000);
        let moment = Duration::from_micros(moment);
        let since = Instant::now();
        while since.elapsed() < moment {
            std::thread::yield_now();
        }
        server.kill();
        end(import);
        eprintln!("{:?}: {moment:?} into an import", Moment::Random);
        Moment::Random
    }

    fn import(&self, server: &Server, room: &str) -> Child {
        server::import(&self.file, room, server.url())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// What the stopped store says of a room.
    fn inspect(&self, room: &str) -> Value {
        let data = self.data.path().to_str().unwrap();
        let output = run(&["inspect", "room", "--room", room, "--data", data]);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Every file is imported again: then each room is the file, and the history is the log.
    fn check(&self) {
        let server = Server::start(self.data.path());
        let random = (0..4).map(|n| format!("random-{n}"));
        for room in random.chain(self.seen.keys().cloned()) {
            let survived = head(&server, &room);
            let seen = self.seen.get(&room).copied().unwrap_or_default();
            assert!(survived >= seen, "{room} had {seen} events, has {survived}");
            let imported = self.import(&server, &room).wait().unwrap();
            assert!(imported.success(), "{room}");
            recording::assert_whole(&server, &room, COMMENTS);
            eprintln!("{room}: {survived} events had survived");
        }
        server.kill();
        assert_verified(self.data.path());
    }
}

/// How many events the room shows.
fn head(server: &Server, room: &str) -> u64 {
    let page = server.get(&format!("/v1/rooms/{room}/events?limit=1"));
    page["head"].as_u64().unwrap()
}

fn end(mut import: Child) {
    import.kill().unwrap();
    import.wait().unwrap();
}

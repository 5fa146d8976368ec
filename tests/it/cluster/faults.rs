//! Whatever dies, stalls or forgets while people comment and read: nothing is lost, doubled, reordered or
//! silently missing.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use danmu_stack::Server as EngineServer;
use danmu_tests::server::{Server, size};

use super::audience::{Addresses, Audience};
use super::deployment::Deployment;

/// How often each fault happens.
const TIMES: usize = 3;
/// How long readers may go without news after a fault, on a machine that does much else.
const NEWS_WITHIN: Duration = Duration::from_secs(90);
/// How many events must come after a fault before the next.
const EVENTS_BETWEEN: usize = 100;
/// Longer than a member of a group may be silent.
const STALLED_FOR: Duration = Duration::from_secs(13);
/// How long the history is away for live reads to show that they need it not.
const HISTORY_AWAY_FOR: Duration = Duration::from_secs(60);

/// How many lines of each process are shown where something is wrong.
const LINES_SHOWN: usize = 60;

/// What may happen.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// A process is killed and started again.
    Killed(&'static str),
    /// A process stands still past its session, then goes on.
    Stalled(&'static str),
    /// A processor joins and leaves again.
    Passing(&'static str),
    /// Redis is killed.
    RedisKilled,
    /// Redis is killed, and what it wrote last never reached its disk.
    RedisRolledBack,
    /// Redis is killed and comes back with nothing.
    RedisEmptied,
    /// Redis loses everything while it runs, and again while it is being refilled.
    RedisFlushed,
    /// Kafka is killed.
    KafkaKilled,
    /// Cassandra is killed.
    CassandraKilled,
}

const FAULTS: [Fault; 12] = [
    Fault::Killed("ingest"),
    Fault::Killed("windows-1"),
    Fault::Killed("history-1"),
    Fault::Stalled("windows-2"),
    Fault::Stalled("history-2"),
    Fault::Passing("windows-3"),
    Fault::RedisKilled,
    Fault::RedisRolledBack,
    Fault::RedisEmptied,
    Fault::RedisFlushed,
    Fault::KafkaKilled,
    Fault::CassandraKilled,
];

/// The engines, the processes over them, and who uses them.
struct Show {
    deployment: Deployment,
    processes: BTreeMap<&'static str, Server>,
    addresses: Arc<Addresses>,
    audience: Audience,
}

impl Show {
    fn begin(deployment: Deployment) -> Self {
        let names = [
            "ingest",
            "windows-1",
            "windows-2",
            "history-1",
            "history-2",
            "api",
        ];
        let processes: BTreeMap<_, _> = names
            .iter()
            .map(|name| (*name, start(&deployment, name)))
            .collect();
        for process in processes.values() {
            process.wait_until_ready();
        }
        let addresses = Arc::new(Addresses::default());
        processes["ingest"]
            .url()
            .clone_into(&mut addresses.ingest.lock().unwrap());
        processes["api"]
            .url()
            .clone_into(&mut addresses.api.lock().unwrap());
        let audience = Audience::start(&addresses);
        audience.wait_for(EVENTS_BETWEEN, NEWS_WITHIN);
        Self {
            deployment,
            processes,
            addresses,
            audience,
        }
    }

    fn suffer(&mut self, fault: Fault) {
        match fault {
            Fault::Killed(name) => {
                self.processes.remove(name).unwrap().kill();
                let process = start(&self.deployment, name);
                if name == "ingest" {
                    process
                        .url()
                        .clone_into(&mut self.addresses.ingest.lock().unwrap());
                }
                self.processes.insert(name, process);
            }
            Fault::Stalled(name) => {
                let process = self.processes[name].id();
                signal(process, "STOP");
                std::thread::sleep(STALLED_FOR);
                signal(process, "CONT");
            }
            Fault::Passing(name) => {
                let passing = start(&self.deployment, name);
                passing.wait_for_line("every slot is open");
                let (status, lines) = passing.terminate();
                assert!(status.success(), "{lines:#?}");
            }
            Fault::RedisKilled => killed(&mut self.deployment.redis),
            Fault::RedisRolledBack => self.deployment.roll_redis_back(),
            Fault::RedisEmptied => {
                self.deployment.redis.kill();
                self.deployment.redis.wipe().unwrap();
                self.deployment.redis.restart().unwrap();
            }
            Fault::RedisFlushed => {
                self.flush_redis();
                self.wait_for_a_refill();
                self.flush_redis();
            }
            Fault::KafkaKilled => killed(&mut self.deployment.kafka),
            Fault::CassandraKilled => killed(&mut self.deployment.cassandra),
        }
    }

    fn flush_redis(&self) {
        assert_eq!(self.ask_redis("FLUSHALL"), "OK");
    }

    /// Waits until something is in Redis again.
    fn wait_for_a_refill(&self) {
        let deadline = Instant::now() + NEWS_WITHIN;
        while self.ask_redis("DBSIZE") == "0" {
            assert!(Instant::now() < deadline, "nobody fills Redis again");
        }
    }

    fn ask_redis(&self, command: &str) -> String {
        let address = self.deployment.redis.address();
        let (host, port) = address.split_once(':').unwrap();
        let asked = Command::new("redis-cli")
            .args(["-h", host, "-p", port, command])
            .output()
            .unwrap();
        assert!(asked.status.success(), "{asked:?}");
        String::from_utf8(asked.stdout).unwrap().trim().to_owned()
    }

    /// Everybody leaves; fails unless all that was acknowledged was read, and all that is stored is what
    /// the log says.
    fn end(self) {
        let events = match self.audience.end() {
            Ok(events) => events,
            Err(wrong) => {
                for (name, process) in self.processes {
                    let lines = process.kill();
                    let last = lines.len().saturating_sub(LINES_SHOWN);
                    eprintln!("{name}: {:#?}", &lines[last..]);
                }
                panic!("{wrong}");
            }
        };
        for (name, process) in self.processes {
            let (status, lines) = process.terminate();
            assert!(status.success(), "{name}: {lines:#?}");
        }
        self.deployment.assert_verified();
        eprintln!("{events} events, each once");
    }
}

fn start(deployment: &Deployment, name: &str) -> Server {
    let roles = name.split('-').next().unwrap();
    deployment.process(name, roles)
}

fn killed(server: &mut EngineServer) {
    server.kill();
    server.restart().unwrap();
}

fn signal(process: u32, signal: &str) {
    let kill = format!("kill -{signal} {process}");
    let sent = Command::new("sh").args(["-c", &kill]).status();
    assert!(sent.unwrap().success(), "{kill}");
}

#[test]
fn faults_lose_and_double_nothing() {
    let times = size("XTASK_FAULT_TIMES", TIMES);
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut faults: Vec<Fault> = FAULTS
        .iter()
        .copied()
        .cycle()
        .take(FAULTS.len() * times)
        .collect();
    random.shuffle(&mut faults);
    let mut show = Show::begin(Deployment::start().unwrap());
    for fault in faults {
        eprintln!("{fault:?} after {} events", show.audience.seen());
        show.suffer(fault);
        show.audience.wait_for(EVENTS_BETWEEN, NEWS_WITHIN);
    }
    show.end();
}

/// Each time it loses rows that it acknowledged, and watermarks.
#[test]
fn a_lazy_history_loses_nothing() {
    let mut show = Show::begin(Deployment::start_lazy().unwrap());
    for _ in 0..size("XTASK_FAULT_TIMES", TIMES) {
        show.suffer(Fault::CassandraKilled);
        show.audience.wait_for(EVENTS_BETWEEN, NEWS_WITHIN);
    }
    show.end();
}

#[test]
fn live_reads_go_on_without_the_history() {
    let mut show = Show::begin(Deployment::start().unwrap());
    show.deployment.cassandra.kill();
    let away_until = Instant::now() + HISTORY_AWAY_FOR;
    while Instant::now() < away_until {
        show.audience
            .wait_for(EVENTS_BETWEEN, Duration::from_secs(20));
    }
    show.deployment.cassandra.restart().unwrap();
    show.audience.wait_for(EVENTS_BETWEEN, NEWS_WITHIN);
    show.end();
}

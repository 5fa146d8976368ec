//! W1, W2: appending to windows in Redis, by Redis' own CPU time.
//!
//! W1 is against what Redis does at best, `RPUSH` of 200 bytes in pipelines of 64. W2 is against what most
//! chats do: a sorted set for each room, scored by time, a serial from a counter, trimmed at each comment;
//! once with full chunks and once with a comment a chunk. A room has the same limit on both sides.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use danmu_projections::EmbeddedHistory;
use danmu_projections::history::HistoryReader;
use danmu_projections::windows::redis::{RedisOptions, RedisWindows};
use danmu_projections::windows::{RefillOptions, WindowLimits, Windows};
use danmu_schemas::LogIdentity;
use danmu_schemas::codec::to_wire;
use danmu_stack::{Engine, Server};
use redis::{Client, Connection};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::measure::{Pairs, Run};
use crate::report::{Figure, Findings, Target};
use crate::steps::{self, Rooms};
use crate::{Size, engines, sample};

const OVER_PUSHES: Target = Target::AtLeast(1.5);
const OVER_SETS_HOT: Target = Target::AtLeast(5.0);
const OVER_SETS_SLOW: Target = Target::AtLeast(0.8);
/// Comments of a hot room's step, and commands of a pipeline.
const HOT: usize = 64;
const ROOMS: usize = 64;

/// Hot rooms against both, slow rooms against sorted sets.
pub fn run(size: Size) -> Result<Findings> {
    let bench = Bench::start(size)?;
    let (hot, slow) = ((HOT, size.of(40, 1)), (1, size.of(600, 2)));
    let pushes = size.of(600_000, 1_000);
    let over_pushes = bench.compare(hot, || bench.push(pushes))?;
    let over_sets_hot = bench.compare(hot, || bench.add_to_sets(hot))?;
    let over_sets_slow = bench.compare(slow, || bench.add_to_sets(slow))?;
    let figures = [
        (
            "W1 hot rooms: events over RPUSH -P 64 -d 200",
            OVER_PUSHES,
            over_pushes,
        ),
        (
            "W2 hot rooms: events over sorted sets",
            OVER_SETS_HOT,
            over_sets_hot,
        ),
        (
            "W2 slow rooms: events over sorted sets",
            OVER_SETS_SLOW,
            over_sets_slow,
        ),
    ];
    let figures = figures.map(|(what, target, pairs)| Figure::new(what, target, &pairs));
    Ok(Findings {
        figures: figures.into(),
        ..Findings::default()
    })
}

/// How many comments a step of a room has, and how many steps each of the rooms has in a run.
type Load = (usize, usize);

struct Bench {
    size: Size,
    redis: Server,
    history: EmbeddedHistory,
    runtime: Runtime,
    _directory: TempDir,
}

impl Bench {
    fn start(size: Size) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        Ok(Self {
            size,
            redis: engines::start(Engine::Redis, directory.path())?,
            history: EmbeddedHistory::open(&directory.path().join("history"))?,
            runtime,
            _directory: directory,
        })
    }

    fn compare(
        &self,
        (comments, rounds): Load,
        peer: impl FnMut() -> Result<Run>,
    ) -> Result<Pairs> {
        let () = redis::cmd("FLUSHALL").query(&mut self.connection()?)?;
        let mut rooms = Rooms::new(ROOMS)?;
        let mut windows = self.runtime.block_on(self.windows(&rooms))?;
        let ours = || {
            let steps = (0..rounds).map(|_| rooms.steps(comments));
            let steps = steps.collect::<Result<Vec<_>>>()?;
            let append = async {
                for steps in steps {
                    steps::append(&mut windows, steps).await?;
                }
                Ok(())
            };
            self.cost(rounds * ROOMS * comments, || self.runtime.block_on(append))
        };
        Pairs::interleave(self.size.pairs, ours, peer)
    }

    async fn windows(&self, rooms: &Rooms) -> Result<Windows<RedisWindows, EmbeddedHistory>> {
        let log = LogIdentity("bench".to_owned());
        let address = format!("redis://{}", self.redis.address()).parse()?;
        let store = RedisWindows::connect(RedisOptions::at(address)).await?;
        let history = HistoryReader::new(self.history.clone(), log.clone());
        let options = RefillOptions {
            owner: fastrand::u64(..),
            log_is_whole: true,
            events_max: WindowLimits::default().events_max,
        };
        let mut windows = Windows::new(store, history, log, options);
        steps::open(&mut windows, rooms).await?;
        Ok(windows)
    }

    fn push(&self, count: usize) -> Result<Run> {
        let address = self.redis.address();
        let (host, port) = address.split_once(':').context("no port")?;
        let benchmark = danmu_stack::program("redis-benchmark", "redis-tools")?;
        let mut benchmark = Command::new(benchmark);
        benchmark
            .args(["-h", host, "-p", port, "-n", &count.to_string()])
            .args(["-t", "rpush", "-P", "64", "-d", "200", "-q"]);
        self.cost(count, || {
            let output = benchmark.output()?;
            ensure!(output.status.success(), "{output:?}");
            Ok(())
        })
    }

    fn add_to_sets(&self, (comments, rounds): Load) -> Result<Run> {
        let mut connection = self.connection()?;
        let mut random = fastrand::Rng::with_seed(7);
        // Pipelines are as long with full rooms as with slow ones.
        let pipelines = rounds * ROOMS * comments / HOT;
        let mut added = Vec::with_capacity(pipelines * HOT);
        for n in 0..pipelines * HOT {
            let room = format!("stage-{}", n / comments % ROOMS);
            let comment = to_wire(&sample::comment(&mut random, &room, n as i64));
            added.push((room, comment));
        }
        self.cost(added.len(), || {
            for comments in added.chunks(HOT) {
                add(&mut connection, comments)?;
            }
            Ok(())
        })
    }

    fn connection(&self) -> Result<Connection> {
        let client = Client::open(format!("redis://{}", self.redis.address()))?;
        Ok(client.get_connection()?)
    }

    /// What `units` of work cost Redis.
    fn cost(&self, units: usize, work: impl FnOnce() -> Result<()>) -> Result<Run> {
        let (before, started) = (engines::cpu(&self.redis)?, Instant::now());
        work()?;
        Ok(Run {
            units: units as u64,
            wall: started.elapsed(),
            cpu: engines::cpu(&self.redis)? - before,
        })
    }
}

/// Numbers the comments, then adds them and trims.
fn add(connection: &mut Connection, comments: &[(String, Vec<u8>)]) -> Result<()> {
    let mut serials = redis::pipe();
    for (room, _) in comments {
        serials.cmd("INCR").arg(format!("serial:{room}"));
    }
    let serials: Vec<u64> = serials.query(connection)?;
    let kept = WindowLimits::default().events_max as i64;
    let mut pipe = redis::pipe();
    for ((room, comment), serial) in comments.iter().zip(serials) {
        let key = format!("comments:{room}");
        let mut member = serial.to_be_bytes().to_vec();
        member.extend_from_slice(comment);
        pipe.cmd("ZADD").arg(&key).arg(serial).arg(member).ignore();
        let trim = pipe.cmd("ZREMRANGEBYRANK");
        trim.arg(&key).arg(0).arg(-kept - 1).ignore();
    }
    Ok(pipe.query(connection)?)
}

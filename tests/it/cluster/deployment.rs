//! A deployment: an own Kafka, Redis and Cassandra, and processes of the product over them.

use std::fs;
use std::num::NonZeroU32;
use std::process::{Command, Output};

use danmu_log::kafka::topics::{Layout, Topics};
use danmu_log::kafka::{self, TOPIC};
use danmu_stack::{Engine, Options, Server};
use danmu_tests::server::{self, danmu};
use tempfile::TempDir;

use crate::cql::horizon::LAZY;

/// How many partitions the log has: more than any group has members.
const PARTITIONS: NonZeroU32 = NonZeroU32::new(4).unwrap();

/// How much of what Redis wrote is lost when it is rolled back.
const ROLLED_BACK_BYTES: u64 = 256 * 1_024;

/// The engines, each of which may be killed and started again.
pub struct Deployment {
    pub kafka: Server,
    pub redis: Server,
    pub cassandra: Server,
    /// How the processes are told that Cassandra syncs.
    commit_log: &'static str,
    directory: TempDir,
}

impl Deployment {
    /// Starts the engines and makes the topics and the tables.
    pub fn start() -> anyhow::Result<Self> {
        Self::over("synced", &[])
    }

    /// The same over a Cassandra that syncs once a period.
    pub fn start_lazy() -> anyhow::Result<Self> {
        Self::over("periodic", &LAZY)
    }

    fn over(commit_log: &'static str, of_cassandra: &[(&str, &str)]) -> anyhow::Result<Self> {
        let directory = TempDir::new()?;
        let start = |engine: Engine, settings: &[(&str, &str)]| {
            let options = Options::new(directory.path().join(engine.name()));
            let settings = settings.iter();
            let options =
                settings.fold(options, |options, (name, value)| options.with(name, value));
            Server::start(engine, options)
        };
        let of_redis = [("appendonly", "yes"), ("appendfsync", "everysec")];
        let deployment = Self {
            kafka: start(Engine::Kafka, &[])?,
            redis: start(Engine::Redis, &of_redis)?,
            cassandra: start(Engine::Cassandra, of_cassandra)?,
            commit_log,
            directory,
        };
        deployment.make_topics()?;
        let migrated = danmu()
            .args(["history", "migrate", "--history", &deployment.history()])
            .output()?;
        anyhow::ensure!(migrated.status.success(), "{migrated:?}");
        Ok(deployment)
    }

    /// Makes the topics of a log without records.
    pub fn make_topics(&self) -> anyhow::Result<()> {
        let layout = Layout {
            partitions: PARTITIONS,
            ..Layout::default()
        };
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(Topics::connect(self.log_options())?.create(&layout))?;
        Ok(())
    }

    /// How a client of its own reaches the log.
    pub fn log_options(&self) -> kafka::Options {
        kafka::Options::new(self.kafka.address())
    }

    /// Kills Redis and starts it without what it wrote last.
    pub fn roll_redis_back(&mut self) {
        self.redis.kill();
        let files = self.directory.path().join("redis/appendonlydir");
        for file in fs::read_dir(files).unwrap() {
            let path = file.unwrap().path();
            if path.to_string_lossy().ends_with(".incr.aof") {
                let file = fs::File::options().write(true).open(path).unwrap();
                let len = file.metadata().unwrap().len();
                file.set_len(len.saturating_sub(ROLLED_BACK_BYTES)).unwrap();
            }
        }
        self.redis.restart().unwrap();
    }

    /// The log's address.
    pub fn log(&self) -> String {
        format!("kafka://{}/{TOPIC}", self.kafka.address())
    }

    /// The windows' address.
    pub fn windows(&self) -> String {
        format!("redis://{}/0", self.redis.address())
    }

    /// The history's address.
    pub fn history(&self) -> String {
        format!("cql://{}/danmu", self.cassandra.address())
    }

    /// A process with these roles, which may have no answer yet.
    pub fn process(&self, name: &str, roles: &str) -> server::Server {
        let data = self.directory.path().join(name);
        server::Server::start_configured(&data, |command| {
            command.args(["--roles", roles]);
            self.address(command);
        })
    }

    /// Fails unless windows and history are what the log says.
    pub fn assert_verified(&self) {
        let output = self.run(danmu().arg("verify"));
        let told = String::from_utf8_lossy(&output.stdout);
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}{complained}");
    }

    /// Runs a command over the engines to its end.
    pub fn run(&self, command: &mut Command) -> Output {
        self.address(command);
        command.output().expect("the binary runs")
    }

    fn address(&self, command: &mut Command) {
        command
            .args(["--log", &self.log()])
            .args(["--windows", &self.windows()])
            .args(["--history", &self.history()])
            .args(["--history-commit-log", self.commit_log]);
    }
}

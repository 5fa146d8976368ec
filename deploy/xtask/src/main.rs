//! The developer's commands: `cargo xtask lint`, `test`, `stack` and `bench`.
//!
//! Each installs what it needs and is missing, or says exactly what to install. They run the
//! project's own tools and nothing else: what is checked lives in the tests and the lint settings.

mod bench;
mod deployment;
mod install;
mod run;
mod stack;

use anyhow::Result;
use clap::{Parser, Subcommand};
use danmu_stack::{Engine, shared};

use run::cargo;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The developer's commands of danmu")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Formatting, clippy without a warning, licences and sources of dependencies, the files of a
    /// deployment, the tree's rules
    Lint,
    /// Every test of the workspace
    Test {
        /// Passed on to `cargo test`, such as a test's name
        #[arg(trailing_var_arg = true)]
        arguments: Vec<String>,
    },
    /// The real servers on this machine, without containers
    #[command(subcommand)]
    Stack(stack::Command),
    /// The figures against their peers
    Bench {
        /// How it is all built
        #[arg(long, default_value = "dist")]
        profile: String,
        /// Names of benches and their options; `--help` after `--` tells them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Lint => lint(),
        Command::Test { arguments } => test(&arguments),
        Command::Stack(command) => stack::stack(command),
        Command::Bench { profile, arguments } => bench::bench(&profile, &arguments),
    }
}

/// What is linted and tested beyond the defaults: one build for all of it.
const FEATURES: &str = "danmu/cluster,danmu-bench/cluster,danmu-tests/cluster";

/// The servers that test suites share, each in a place of its own. Tests that wipe or kill one start it.
const SHARED: [Engine; 3] = [Engine::Kafka, Engine::Redis, Engine::Cassandra];

/// The tests that compare what a server does at two moments: others would take its core in one of them.
const ALONE: &str = "overload::";

fn lint() -> Result<()> {
    install::libraries()?;
    cargo(&["fmt", "--all", "--check"]).check()?;
    cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--features",
        FEATURES,
        "--quiet",
        "--",
        "-D",
        "warnings",
    ])
    .check()?;
    let deny = install::cargo_deny()?;
    run::program(&deny, &["check", "licenses", "bans", "sources"]).check()?;
    deployment::lint()?;
    // Selected as for `test`, so that nothing is built twice.
    let selected = ["--workspace", "--features", FEATURES];
    cargo(&["test"])
        .arguments(&selected.map(str::to_owned))
        .arguments(&["--test", "it", "--", "tidy"].map(str::to_owned))
        .check()
}

fn test(arguments: &[String]) -> Result<()> {
    install::libraries()?;
    let python = install::testers()?;
    let chromium = install::browser()?;
    let is_ours = |engine: &Engine| shared::named_by_environment(*engine).is_none();
    let engines: Vec<_> = SHARED.into_iter().filter(is_ours).collect();
    let directory = tempfile::tempdir()?;
    // Ended when they go out of scope, however the tests end.
    let servers = danmu_stack::start_all(&engines, directory.path(), directory.path())?;
    let tested = |arguments: &[String]| {
        let mut command = cargo(&["test", "--workspace", "--features", FEATURES]);
        command
            .arguments(arguments)
            .environment("XTASK_PYTHON", &python)
            .environment("XTASK_CHROMIUM", &chromium);
        for server in &servers {
            command.environment(server.engine().variable(), server.address());
        }
        command.check()
    };
    if !arguments.is_empty() {
        return tested(arguments);
    }
    tested(&["--", "--skip", ALONE].map(str::to_owned))?;
    tested(&["--test", "it", "--", ALONE].map(str::to_owned))
}

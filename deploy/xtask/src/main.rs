//! The developer's commands: `cargo xtask lint`, `cargo xtask test` and `cargo xtask bench`.
//!
//! Each installs what it needs and is missing, or says exactly what to install. They run the
//! project's own tools and nothing else: what is checked lives in the tests and the lint settings.

mod bench;
mod install;
mod run;

use anyhow::Result;
use clap::{Parser, Subcommand};

use run::cargo;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The developer's commands of danmu")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Formatting, clippy without a warning, licences and sources of dependencies, the tree's rules
    Lint,
    /// Every test of the workspace
    Test {
        /// Passed on to `cargo test`, such as a test's name
        #[arg(trailing_var_arg = true)]
        arguments: Vec<String>,
    },
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
        Command::Bench { profile, arguments } => bench::bench(&profile, &arguments),
    }
}

fn lint() -> Result<()> {
    cargo(&["fmt", "--all", "--check"]).check()?;
    cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ])
    .check()?;
    let deny = install::cargo_deny()?;
    run::program(&deny, &["check", "licenses", "bans", "sources"]).check()?;
    cargo(&[
        "test",
        "--package",
        "danmu-tests",
        "--test",
        "it",
        "--",
        "tidy",
    ])
    .check()
}

fn test(arguments: &[String]) -> Result<()> {
    let python = install::python_with_fastavro()?;
    let mut command = cargo(&["test", "--workspace"]);
    command
        .arguments(arguments)
        .environment("XTASK_PYTHON", &python);
    command.check()
}

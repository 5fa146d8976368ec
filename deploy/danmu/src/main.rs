//! The binary: parses the command line and hands over. Each command lives in the module of its name.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod client;
mod config;
mod demo;
mod engines;
mod export;
#[cfg(feature = "cluster")]
mod history;
mod import;
mod inspect;
mod logging;
mod rebuild;
mod serve;
mod simulate;
mod stopped;
#[cfg(feature = "cluster")]
mod topics;
mod verify;

/// With the system's allocator a third of ingest's CPU time would go to small allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The exit code of a command line that cannot be understood, as sysexits has it.
const EXIT_USAGE: u8 = 64;

/// Bullet comments for live shows.
#[derive(Debug, Parser)]
#[command(name = "danmu", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve every role in this process, on the embedded engines
    Serve(serve::ServeArgs),
    /// Serve a lively simulated show in a few rooms
    Demo(demo::DemoArgs),
    /// Bring a recorded comment file into a server
    Import(import::ImportArgs),
    /// Write a broadcast of a server to a file
    Export(export::ExportArgs),
    /// Put load on a server and check what it does under it
    Simulate(simulate::SimulateArgs),
    /// Prove that what the read models hold is what the log says
    Verify(verify::VerifyArgs),
    /// Build a read model of a stopped server again from its log
    Rebuild(rebuild::RebuildArgs),
    /// Print what a stopped server has stored, decoded
    Inspect(inspect::InspectArgs),
    /// Make and check the tables of a history on ScyllaDB or Cassandra
    #[cfg(feature = "cluster")]
    History(history::HistoryArgs),
    /// Make and check the topics of a log on Kafka
    #[cfg(feature = "cluster")]
    Topics(topics::TopicsArgs),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let result = match cli.command {
        Command::Serve(args) => serve::command(args),
        Command::Demo(args) => demo::run(args),
        Command::Import(args) => import::run(args),
        Command::Export(args) => export::run(args),
        Command::Simulate(args) => simulate::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Rebuild(args) => rebuild::run(args),
        Command::Inspect(args) => inspect::run(args),
        #[cfg(feature = "cluster")]
        Command::History(args) => history::run(args),
        #[cfg(feature = "cluster")]
        Command::Topics(args) => topics::run(args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("danmu: {error:#}");
        match error.downcast_ref::<config::Problems>() {
            Some(problems) => ExitCode::from(problems.exit_code()),
            None => ExitCode::FAILURE,
        }
    })
}

/// Prints what clap has to say: help is no error, everything else is a wrong command line.
fn usage(error: &clap::Error) -> ExitCode {
    let printed = error.print();
    if error.use_stderr() || printed.is_err() {
        ExitCode::from(EXIT_USAGE)
    } else {
        ExitCode::SUCCESS
    }
}

//! `danmu history`: makes the tables of a history on ScyllaDB or Cassandra, and tells what is wrong with
//! them and with their servers.
//!
//! Nothing else makes tables: who finds none says so and stops. The user's name and password come from
//! variables or a file, never from a flag or the address, which others could read.

use std::io::Write;
use std::process::ExitCode;

use danmu_projections::history::cql::{self, CqlOptions};

use crate::config;

/// What `danmu history` is asked to do.
#[derive(Debug, clap::Args)]
pub struct HistoryArgs {
    task: Task,
    #[command(flatten)]
    history: config::HistoryStoreArgs,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Task {
    /// Make the keyspace and its tables, or bring them up to date
    Migrate,
    /// Tell what has to be put right; changes nothing
    Check,
}

/// Does it.
pub fn run(args: HistoryArgs) -> anyhow::Result<ExitCode> {
    let options = config::load_history(args.history, config::variables())?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            match args.task {
                Task::Migrate => migrate(&options).await,
                Task::Check => check(&options).await,
            }
        })
}

async fn migrate(options: &CqlOptions) -> anyhow::Result<ExitCode> {
    let applied = cql::migrate(options).await?;
    let told = match applied.is_empty() {
        true => "nothing to do".to_owned(),
        false => format!("applied: {}", applied.join(", ")),
    };
    writeln!(std::io::stdout(), "{}: {told}", options.address)?;
    Ok(ExitCode::SUCCESS)
}

async fn check(options: &CqlOptions) -> anyhow::Result<ExitCode> {
    let checked = cql::check(options).await?;
    let mut out = std::io::stdout();
    for line in checked.right {
        writeln!(out, "{line}")?;
    }
    for line in &checked.wrong {
        writeln!(out, "wrong: {line}")?;
    }
    if !checked.wrong.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    writeln!(out, "{}: all is well", options.address)?;
    Ok(ExitCode::SUCCESS)
}

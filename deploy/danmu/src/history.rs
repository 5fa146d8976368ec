//! `danmu history`: makes the tables of a history on ScyllaDB or Cassandra, and tells what is wrong with
//! them and with their servers.
//!
//! Nothing else makes tables: who finds none says so and stops. The user's name and password come from
//! variables or a file, never from a flag or the address, which others could read.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, bail};
use danmu_projections::history::cql::{self, CqlAddress, CqlCredentials, CqlOptions};

use crate::config;

const USER: &str = "DANMU_HISTORY_USER";
const PASSWORD: &str = "DANMU_HISTORY_PASSWORD";
const PASSWORD_FILE: &str = "DANMU_HISTORY_PASSWORD_FILE";

/// What `danmu history` is asked to do.
#[derive(Debug, clap::Args)]
pub struct HistoryArgs {
    task: Task,
    /// The history: cql://HOST:PORT,HOST:PORT/KEYSPACE
    #[arg(long, env = "DANMU_HISTORY", value_parser = CqlAddress::parse)]
    history: CqlAddress,
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
    let options = CqlOptions {
        credentials: credentials(&config::variables().collect())?,
        address: args.history,
    };
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

/// Who asks, if the variables name anybody.
fn credentials(variables: &BTreeMap<String, String>) -> anyhow::Result<Option<CqlCredentials>> {
    let password = match (variables.get(PASSWORD), variables.get(PASSWORD_FILE)) {
        (Some(_), Some(_)) => bail!("{PASSWORD} and {PASSWORD_FILE} are both given"),
        (Some(password), None) => Some(password.clone()),
        (None, Some(file)) => {
            let text = std::fs::read_to_string(file);
            let text = text.with_context(|| format!("reading {file}, {PASSWORD_FILE}"))?;
            Some(text.trim_end_matches(['\r', '\n']).to_owned())
        }
        (None, None) => None,
    };
    match (variables.get(USER), password) {
        (None, None) => Ok(None),
        (Some(user), Some(password)) => Ok(Some(CqlCredentials {
            user: user.clone(),
            password: password.into(),
        })),
        (Some(_), None) => bail!("{USER} is given without a password"),
        (None, Some(_)) => bail!("a password is given without {USER}"),
    }
}

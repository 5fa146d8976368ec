//! The settings of commands about one engine of other machines: its address, and what its servers want
//! to know of us.
//!
//! They are the server's own, from the same file, variables and flags. All the others are let be: such a
//! command may run where the server's secrets are not.

use std::path::PathBuf;

use danmu_log::kafka;
use danmu_projections::history::cql::{CqlAddress, CqlOptions};

use super::{ConfigArgs, Problems, SecretArgs, Settings, StoreArgs};

/// Flags that say where the log is and how Kafka is reached.
#[derive(Debug, clap::Args)]
pub struct LogStoreArgs {
    /// A TOML file with settings of the same names
    #[arg(long, env = "DANMU_CONFIG")]
    config: Option<PathBuf>,
    /// The log: kafka://HOST:PORT,HOST:PORT, with /TOPIC if its topic has another name
    #[arg(long, value_name = "URL")]
    log: Option<String>,
    /// The file with settings of Kafka's client for TLS and SASL, name=value
    #[arg(long)]
    log_settings_file: Option<String>,
}

/// Flags that say where the history is, who asks its servers and how lazy they may be.
#[derive(Debug, clap::Args)]
pub struct HistoryStoreArgs {
    /// A TOML file with settings of the same names
    #[arg(long, env = "DANMU_CONFIG")]
    config: Option<PathBuf>,
    /// The history: cql://HOST:PORT,HOST:PORT/KEYSPACE
    #[arg(long, value_name = "URL")]
    history: Option<String>,
    /// Who asks the history's servers
    #[arg(long)]
    history_user: Option<String>,
    /// The file with that user's password; or DANMU_HISTORY_PASSWORD
    #[arg(long)]
    history_password_file: Option<String>,
    /// How the history's servers sync what they acknowledge: synced (at once) or periodic [default: synced]
    #[arg(long)]
    history_commit_log: Option<String>,
}

/// The log on Kafka that the flags, the variables and the file name together.
pub fn load_log(
    args: LogStoreArgs,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<kafka::Options, Problems> {
    let stores = StoreArgs {
        config: args.config,
        log: args.log,
        secrets: SecretArgs {
            log_settings_file: args.log_settings_file,
            ..SecretArgs::default()
        },
        ..StoreArgs::default()
    };
    let mut settings = Settings::gather(&ConfigArgs::from(stores), variables);
    let options = settings.value("log", "", |url| Ok(kafka::Options::at(url)?));
    let client = settings.client_settings();
    let options = options
        .zip(client)
        .map(|(options, settings)| kafka::Options {
            settings,
            ..options
        });
    settings.end(options)
}

/// The history on ScyllaDB or Cassandra that they name.
pub fn load_history(
    args: HistoryStoreArgs,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<CqlOptions, Problems> {
    let stores = StoreArgs {
        config: args.config,
        history: args.history,
        secrets: SecretArgs {
            history_user: args.history_user,
            history_password_file: args.history_password_file,
            history_commit_log: args.history_commit_log,
            ..SecretArgs::default()
        },
        ..StoreArgs::default()
    };
    let mut settings = Settings::gather(&ConfigArgs::from(stores), variables);
    let address = settings.value("history", "", CqlAddress::parse);
    let credentials = settings.history_credentials();
    let commit_log = settings.history_commit_log();
    let options =
        address
            .zip(credentials)
            .zip(commit_log)
            .map(|((address, credentials), commit_log)| CqlOptions {
                address,
                credentials,
                commit_log,
            });
    settings.end(options)
}

impl Settings {
    /// What was understood, if there was no problem at all.
    fn end<T>(self, understood: Option<T>) -> Result<T, Problems> {
        understood
            .filter(|_| self.problems.is_empty())
            .ok_or(Problems(self.problems))
    }
}

//! The flags that are settings, as text: they are understood together with all other sources.
//!
//! Each flag has the name of its key in the file, with hyphens.

use std::path::{Path, PathBuf};

/// Flags that say where a server's data is, for the server and for the commands that work on what a
/// stopped one left.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct StoreArgs {
    /// A TOML file with settings of the same names
    #[arg(long, env = "DANMU_CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// The directory of the embedded engines [default: ./danmu-data]
    #[arg(long)]
    pub(super) data: Option<String>,
    /// The log [default: embedded:DATA/log]
    #[arg(long)]
    pub(super) log: Option<String>,
    /// The windows [default: memory:]
    #[arg(long)]
    pub(super) windows: Option<String>,
    /// The history [default: embedded:DATA/history]
    #[arg(long)]
    pub(super) history: Option<String>,
    #[cfg(feature = "cluster")]
    #[command(flatten)]
    pub(super) secrets: SecretArgs,
}

/// Flags that say what the servers of engines want to know of us, and we of them.
#[cfg(feature = "cluster")]
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct SecretArgs {
    /// The file with settings of Kafka's client for TLS and SASL, name=value
    #[arg(long)]
    pub(super) log_settings_file: Option<String>,
    /// The file with Redis' password; or DANMU_WINDOWS_PASSWORD
    #[arg(long)]
    pub(super) windows_password_file: Option<String>,
    /// Who asks the history's servers
    #[arg(long)]
    pub(super) history_user: Option<String>,
    /// The file with that user's password; or DANMU_HISTORY_PASSWORD
    #[arg(long)]
    pub(super) history_password_file: Option<String>,
    /// How the history's servers sync what they acknowledge: synced (at once) or periodic [default: synced]
    #[arg(long)]
    pub(super) history_commit_log: Option<String>,
}

impl StoreArgs {
    fn given(&self) -> Vec<(&'static str, Option<String>)> {
        let flags = [
            ("data", self.data.clone()),
            ("log", self.log.clone()),
            ("windows", self.windows.clone()),
            ("history", self.history.clone()),
        ];
        #[cfg(feature = "cluster")]
        let flags = flags.into_iter().chain(self.secrets.given());
        flags.into_iter().collect()
    }
}

#[cfg(feature = "cluster")]
impl SecretArgs {
    fn given(&self) -> [(&'static str, Option<String>); 5] {
        [
            ("log_settings_file", self.log_settings_file.clone()),
            ("windows_password_file", self.windows_password_file.clone()),
            ("history_user", self.history_user.clone()),
            ("history_password_file", self.history_password_file.clone()),
            ("history_commit_log", self.history_commit_log.clone()),
        ]
    }
}

/// Flags of the server.
#[derive(Debug, Default, clap::Args)]
pub struct ConfigArgs {
    #[command(flatten)]
    pub(super) stores: StoreArgs,
    /// What this process does: ingest,windows,history,api
    #[arg(long)]
    pub(super) roles: Option<String>,
    /// The public address [default: 127.0.0.1:8080]
    #[arg(long)]
    pub(super) listen: Option<String>,
    /// The address of the admin endpoints [default: 127.0.0.1:8081]
    #[arg(long)]
    pub(super) admin: Option<String>,
    /// This process's name among those that share the log, the same after a restart
    #[cfg(feature = "cluster")]
    #[arg(long)]
    pub(super) member: Option<String>,
    /// Listen beyond loopback without tokens
    #[arg(long)]
    pub(super) insecure: bool,
    /// How log lines look: text or json [default: text]
    #[arg(long)]
    pub(super) log_format: Option<String>,
    /// The file with the secret that tokens are signed with, HS256; or DANMU_TOKEN_SECRET
    #[arg(long)]
    pub(super) token_secret_file: Option<String>,
    /// The file with the secret before it, or DANMU_TOKEN_SECRET_PREVIOUS
    #[arg(long)]
    pub(super) token_secret_previous_file: Option<String>,
    /// The file with the public keys that tokens are signed with; read again when it changes
    #[arg(long)]
    pub(super) jwks: Option<String>,
    /// Let a room be read only with a token that is for it
    #[arg(long)]
    pub(super) private_reads: bool,
    /// An origin whose pages may read and write; more than once for several, `*` for all
    #[arg(long)]
    pub(super) allow_origin: Vec<String>,
    /// How many events a user may send, or `off` [default: 20/10s]
    #[arg(long)]
    pub(super) user_rate: Option<String>,
    /// How many events a room takes of its users, or `off` [default: 50000/10s]
    #[arg(long)]
    pub(super) room_rate: Option<String>,
    /// How many writes one address may send, or `off` [default: 2000/10s]
    #[arg(long)]
    pub(super) address_rate: Option<String>,
    /// How many requests with likes a user may send, or `off` [default: 20/10s]
    #[arg(long)]
    pub(super) likes_rate: Option<String>,
    /// How much a moderator or host may do, or `off` [default: 200/10s]
    #[arg(long)]
    pub(super) moderation_rate: Option<String>,
    /// Believe the last address of X-Forwarded-For: all requests come through a proxy that adds it
    #[arg(long)]
    pub(super) trust_forwarded: bool,
}

impl ConfigArgs {
    /// Whether a flag names the data directory.
    pub fn has_data(&self) -> bool {
        self.stores.data.is_some()
    }

    /// Keeps the data in `directory`, as `--data` would.
    pub fn keep_in(&mut self, directory: &Path) {
        self.stores.data = Some(directory.display().to_string());
    }

    /// What the flags say, as text by key; nothing of those that were not given.
    pub(super) fn given(&self) -> impl Iterator<Item = (&'static str, String)> {
        let is_given = |flag: bool| flag.then(|| "true".to_owned());
        let origins = (!self.allow_origin.is_empty()).then(|| self.allow_origin.join(","));
        let flags = [
            ("roles", self.roles.clone()),
            ("listen", self.listen.clone()),
            ("admin", self.admin.clone()),
            ("insecure", is_given(self.insecure)),
            ("log_format", self.log_format.clone()),
            ("token_secret_file", self.token_secret_file.clone()),
            (
                "token_secret_previous_file",
                self.token_secret_previous_file.clone(),
            ),
            ("jwks", self.jwks.clone()),
            ("private_reads", is_given(self.private_reads)),
            ("allow_origin", origins),
            ("user_rate", self.user_rate.clone()),
            ("room_rate", self.room_rate.clone()),
            ("address_rate", self.address_rate.clone()),
            ("likes_rate", self.likes_rate.clone()),
            ("moderation_rate", self.moderation_rate.clone()),
            ("trust_forwarded", is_given(self.trust_forwarded)),
            #[cfg(feature = "cluster")]
            ("member", self.member.clone()),
        ];
        let flags = flags.into_iter().chain(self.stores.given());
        flags.filter_map(|(key, value)| Some((key, value?)))
    }
}

impl From<StoreArgs> for ConfigArgs {
    fn from(stores: StoreArgs) -> Self {
        Self {
            stores,
            ..Self::default()
        }
    }
}

//! The server's configuration: defaults, then a TOML file, then `DANMU_…` variables, then flags.
//!
//! Every source is first read as text by key, the later one goes before the earlier, and only then are
//! values understood, so that all problems of all sources are reported at once and each names where it
//! comes from. A key that nobody knows is a problem. An engine that this build does not have is one too:
//! nothing is ever started in its stead. The environment comes in as an argument.

mod access;
mod engine;
mod flags;
#[cfg(feature = "cluster")]
mod one_engine;
mod roles;
#[cfg(feature = "cluster")]
mod secrets;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

pub use access::{Access, Tokens};
pub use engine::{HistoryUrl, LogUrl, WindowsUrl};
#[cfg(feature = "cluster")]
use flags::SecretArgs;
pub use flags::{ConfigArgs, StoreArgs};
#[cfg(feature = "cluster")]
pub use one_engine::{HistoryStoreArgs, LogStoreArgs, load_history, load_log};
pub use roles::{Role, Roles};

use crate::engines::Urls;
use crate::logging::LogFormat;

/// The settings that a server has, by their key in the file; `DANMU_` and capitals in the environment.
const KEYS: &[&str] = &[
    "roles",
    "listen",
    "admin",
    "data",
    "log",
    "windows",
    "history",
    "insecure",
    "log_format",
    "token_secret",
    "token_secret_file",
    "token_secret_previous",
    "token_secret_previous_file",
    "jwks",
    "private_reads",
    "allow_origin",
    "user_rate",
    "room_rate",
    "address_rate",
    "likes_rate",
    "moderation_rate",
    "trust_forwarded",
    #[cfg(feature = "cluster")]
    "member",
    #[cfg(feature = "cluster")]
    "log_settings_file",
    #[cfg(feature = "cluster")]
    "windows_password",
    #[cfg(feature = "cluster")]
    "windows_password_file",
    #[cfg(feature = "cluster")]
    "history_user",
    #[cfg(feature = "cluster")]
    "history_password",
    #[cfg(feature = "cluster")]
    "history_password_file",
    #[cfg(feature = "cluster")]
    "history_commit_log",
];
/// Variables with our prefix that are not the server's settings.
const OTHER_VARIABLES: [&str; 2] = ["DANMU_CONFIG", "DANMU_TOKEN"];

/// A server's configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// What the process does.
    pub roles: Roles,
    /// Where the public listener is.
    pub listen: SocketAddr,
    /// Where the admin listener is.
    pub admin: SocketAddr,
    /// The directory that relative engines are kept in.
    pub data: PathBuf,
    /// The engines.
    pub engines: Urls,
    /// Whether a listener that is not loopback may do without tokens.
    pub insecure: bool,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Who may call.
    pub access: Access,
}

/// Where a value comes from; a later one goes before an earlier.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// It was given nowhere.
    Default,
    /// The file at that path.
    File(PathBuf),
    /// The variable of that name.
    Variable(String),
    /// The flag of that name.
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => path.display().fmt(f),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    source: Source,
    key: String,
    what: String,
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// The exit code: 64 where only flags are wrong, else 78, as sysexits has them.
    pub fn exit_code(&self) -> u8 {
        let only_flags = self
            .0
            .iter()
            .all(|problem| matches!(problem.source, Source::Flag(_)));
        if only_flags { 64 } else { 78 }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration is not usable:")?;
        for problem in &self.0 {
            write!(
                f,
                "\n  {} ({}): {}",
                problem.key, problem.source, problem.what
            )?;
        }
        Ok(())
    }
}

/// This process's environment, as far as it is text.
pub fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// The configuration that the flags, the variables and the file give together.
pub fn load(
    args: &ConfigArgs,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, Problems> {
    Settings::gather(args, variables).understand()
}

/// The same, for a process that must sign its own tokens where the server asks for any.
pub fn load_to_sign(
    args: &ConfigArgs,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, Problems> {
    let mut settings = Settings::gather(args, variables);
    settings.refuse_key_set();
    settings.understand()
}

impl Config {
    /// Whether something of the process is kept in its data directory.
    pub fn keeps_data(&self) -> bool {
        let Urls { log, history, .. } = &self.engines;
        let has_log = log.is_of_one_process() && self.roles.has_any(Role::OF_LOG);
        let has_history = history.is_of_one_process() && self.roles.has_any(Role::OF_HISTORY);
        has_log || has_history
    }

    /// The file of records of an embedded log that nobody could decode.
    pub fn dead_letters(&self) -> PathBuf {
        self.data.join("dead-letters.jsonl")
    }

    /// The configuration as the TOML that gives it again, except for secrets, which are never printed.
    pub fn to_toml(&self) -> String {
        let mut table = toml::Table::new();
        let mut put = |key: &str, value: String| table.insert(key.to_owned(), value.into());
        put("roles", self.roles.to_string());
        put("listen", self.listen.to_string());
        put("admin", self.admin.to_string());
        put("data", self.data.display().to_string());
        put("log", self.engines.log.to_string());
        put("windows", self.engines.windows.to_string());
        put("history", self.engines.history.to_string());
        put("log_format", self.log_format.as_str().to_owned());
        #[cfg(feature = "cluster")]
        if let HistoryUrl::Cql(options) = &self.engines.history {
            put("history_commit_log", options.commit_log.as_str().to_owned());
        }
        table.insert("insecure".to_owned(), self.insecure.into());
        self.access.add_to(&mut table);
        table.to_string()
    }
}

/// Values as text, by key, each with where it comes from, and the problems so far.
#[derive(Debug, Default)]
struct Settings {
    values: BTreeMap<String, (Source, String)>,
    problems: Vec<Problem>,
}

impl Settings {
    /// What all sources say, not understood yet.
    fn gather(args: &ConfigArgs, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut settings = Self::default();
        if let Some(path) = &args.stores.config {
            settings.add_file(path);
        }
        settings.add_variables(variables);
        settings.add_flags(args);
        settings
    }

    fn add_file(&mut self, path: &Path) {
        let source = Source::File(path.to_owned());
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => return self.problem(source, "config", error.to_string()),
        };
        let table: toml::Table = match text.parse() {
            Ok(table) => table,
            Err(error) => return self.problem(source, "config", error.to_string()),
        };
        for (key, value) in table {
            match as_text(&value) {
                Some(text) => self.add(source.clone(), &key, text),
                None => self.problem(
                    source.clone(),
                    &key,
                    "is neither text nor a list of it".into(),
                ),
            }
        }
    }

    fn add_variables(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        for (name, value) in variables {
            let Some(key) = name.strip_prefix("DANMU_") else {
                continue;
            };
            if OTHER_VARIABLES.contains(&name.as_str()) {
                continue;
            }
            let key = key.to_ascii_lowercase();
            self.add(Source::Variable(name), &key, value);
        }
    }

    fn add_flags(&mut self, args: &ConfigArgs) {
        for (key, value) in args.given() {
            let flag = format!("--{}", key.replace('_', "-"));
            self.add(Source::Flag(flag), key, value);
        }
    }

    fn add(&mut self, source: Source, key: &str, value: String) {
        if KEYS.contains(&key) {
            self.values.insert(key.to_owned(), (source, value));
        } else {
            self.problem(source, key, "is no setting".to_owned());
        }
    }

    fn problem(&mut self, source: Source, key: &str, what: String) {
        self.problems.push(Problem {
            source,
            key: key.to_owned(),
            what,
        });
    }

    fn understand(mut self) -> Result<Config, Problems> {
        let insecure = self.value("insecure", "false", flag);
        let listen = self.value("listen", "127.0.0.1:8080", address);
        let admin = self.value("admin", "127.0.0.1:8081", address);
        let roles = self.value("roles", &Roles::ALL.to_string(), Roles::parse);
        let log_format = self.value("log_format", "text", LogFormat::parse);
        let data = self.value("data", "./danmu-data", |text| Ok(PathBuf::from(text)));
        let data = data.unwrap_or_default();
        let in_data = |name: &str| format!("embedded:{}", data.join(name).display());
        let engines = self.engines(in_data);

        let access = self.access();
        let has_tokens = access.as_ref().is_none_or(|access| access.tokens.is_some());
        if insecure == Some(false) && !has_tokens {
            self.refuse_beyond_loopback("listen", listen);
            self.refuse_beyond_loopback("admin", admin);
        }
        if let (Some(roles), Some(engines)) = (roles, &engines) {
            self.check_roles(roles, engines);
        }
        let addresses = listen.zip(admin);
        let work = roles.zip(engines);
        match (addresses, work, insecure, log_format, access) {
            (
                Some((listen, admin)),
                Some((roles, engines)),
                Some(insecure),
                Some(log_format),
                Some(access),
            ) if self.problems.is_empty() => Ok(Config {
                roles,
                listen,
                admin,
                data,
                engines,
                insecure,
                log_format,
                access,
            }),
            _ => Err(Problems(self.problems)),
        }
    }

    fn engines(&mut self, in_data: impl Fn(&str) -> String) -> Option<Urls> {
        let log = self.value("log", &in_data("log"), LogUrl::parse);
        let windows = self.value("windows", "memory:", WindowsUrl::parse);
        let history = self.value("history", &in_data("history"), HistoryUrl::parse);
        let urls = Urls {
            log: log?,
            windows: windows?,
            history: history?,
        };
        #[cfg(feature = "cluster")]
        let urls = self.with_secrets(urls)?;
        Some(urls)
    }

    fn check_roles(&mut self, roles: Roles, engines: &Urls) {
        let Urls {
            log,
            windows,
            history,
        } = engines;
        let own = [
            (log.is_of_one_process(), log.to_string(), Role::OF_LOG),
            (
                windows.is_of_one_process(),
                windows.to_string(),
                Role::OF_WINDOWS,
            ),
            (
                history.is_of_one_process(),
                history.to_string(),
                Role::OF_HISTORY,
            ),
        ];
        for (is_own, engine, users) in own {
            if is_own && let Err(what) = roles.check_own(&engine, users) {
                let source = self.values.get("roles").map(|(source, _)| source.clone());
                self.problem(source.unwrap_or(Source::Default), "roles", what);
            }
        }
    }

    /// The key's value, understood; nothing, and a problem more, where it is not understood.
    fn value<T>(
        &mut self,
        key: &str,
        default: &str,
        understand: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let default = || (Source::Default, default.to_owned());
        let (source, text) = self.values.get(key).cloned().unwrap_or_else(default);
        understand(&text)
            .map_err(|what| self.problem(source, key, what))
            .ok()
    }

    fn refuse_beyond_loopback(&mut self, key: &str, address: Option<SocketAddr>) {
        if address.is_some_and(|address| !address.ip().is_loopback()) {
            let source = self.values.get(key).map(|(source, _)| source.clone());
            let what = "is not loopback, and without tokens everybody may do everything there: a \
                        token secret or --jwks closes it, --insecure allows it";
            self.problem(source.unwrap_or(Source::Default), key, what.to_owned());
        }
    }
}

fn as_text(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Array(values) => {
            let texts: Option<Vec<String>> = values.iter().map(as_text).collect();
            Some(texts?.join(","))
        }
        _ => None,
    }
}

fn flag(text: &str) -> Result<bool, String> {
    text.parse()
        .map_err(|_| "is neither true nor false".to_owned())
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is no address like 127.0.0.1:8080"))
}

//! What is to be known of the servers behind a URL: passwords, how Kafka is reached, how lazily the
//! history's servers may sync.
//!
//! No secret is ever printed. A password comes from a variable or a file, never from a flag, which every
//! process of the machine could read; settings of Kafka's client (TLS, SASL) come from a file of
//! `name=value` lines.

use std::collections::BTreeMap;

use danmu_projections::history::cql::{CommitLog, CqlCredentials};
use secrecy::{ExposeSecret, SecretString};

use super::{HistoryUrl, LogUrl, Settings, WindowsUrl};
use crate::engines::Urls;

/// Settings of Kafka's client that an operator may give: those of the way to the cluster.
const CLIENT_PREFIXES: [&str; 5] = ["security.", "ssl.", "sasl.", "socket.", "broker.address."];

impl Settings {
    /// Adds to the engines what they need to be reached.
    pub(super) fn with_secrets(&mut self, mut urls: Urls) -> Option<Urls> {
        let client = self.client_settings()?;
        let name = match self.is_given("member") {
            true => Some(self.value("member", "", member)?),
            false => None,
        };
        if let LogUrl::Kafka { options, member } = &mut urls.log {
            options.settings = client;
            *member = name;
        }
        let windows_password = self.password("windows_password")?;
        if let WindowsUrl::Redis { password, .. } = &mut urls.windows {
            *password = windows_password;
        }
        let of_history = self.history_credentials()?;
        let commit_log = self.history_commit_log()?;
        if let HistoryUrl::Cql(options) = &mut urls.history {
            options.credentials = of_history;
            options.commit_log = commit_log;
        }
        Some(urls)
    }

    /// Settings of Kafka's client for TLS and SASL.
    pub(super) fn client_settings(&mut self) -> Option<BTreeMap<String, String>> {
        match self.is_given("log_settings_file") {
            true => self.value("log_settings_file", "", client_settings),
            false => Some(BTreeMap::new()),
        }
    }

    /// Who asks the history's servers, where they want to know.
    pub(super) fn history_credentials(&mut self) -> Option<Option<CqlCredentials>> {
        let user = match self.is_given("history_user") {
            true => Some(self.value("history_user", "", |user| Ok(user.to_owned()))?),
            false => None,
        };
        match (user, self.password("history_password")?) {
            (None, None) => Some(None),
            (Some(user), Some(password)) => Some(Some(CqlCredentials { user, password })),
            (Some(_), None) => {
                self.refuse("history_user", "is given without a password".to_owned())
            }
            (None, Some(_)) => {
                let what = "is missing, and there is a password".to_owned();
                self.refuse("history_user", what)
            }
        }
    }

    /// How lazily the history's servers may sync.
    pub(super) fn history_commit_log(&mut self) -> Option<CommitLog> {
        let synced = CommitLog::default().as_str();
        self.value("history_commit_log", synced, CommitLog::parse)
    }

    /// The password of `key`, or in the file of `key` with `_file` after it.
    fn password(&mut self, key: &str) -> Option<Option<SecretString>> {
        self.text_or_file(key, |text| match text.is_empty() {
            true => Err("is empty".to_owned()),
            false => Ok(text.into()),
        })
    }
}

/// What a process is called among the members of a group, as Kafka takes it.
fn member(name: &str) -> Result<String, String> {
    const LEN_MAX: usize = 249;
    let is_legal = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
    match (1..=LEN_MAX).contains(&name.len()) && name.bytes().all(is_legal) {
        true => Ok(name.to_owned()),
        false => Err("has 1 to 249 of a-z A-Z 0-9 . _ -".to_owned()),
    }
}

/// The `name=value` lines of a file; empty ones and those that begin with `#` say nothing.
fn client_settings(path: &str) -> Result<BTreeMap<String, String>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let text = SecretString::from(text);
    let lines = text.expose_secret().lines().map(str::trim).enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|(n, line)| {
            let setting = line.split_once('=');
            let (name, value) =
                setting.ok_or_else(|| format!("{path}: line {} is no name=value", n + 1))?;
            let (name, value) = (name.trim(), value.trim());
            match CLIENT_PREFIXES.iter().any(|known| name.starts_with(known)) {
                true => Ok((name.to_owned(), value.to_owned())),
                false => Err(format!(
                    "{path}: {name} is not of the way to the cluster (security, ssl, sasl, socket)"
                )),
            }
        })
        .collect()
}

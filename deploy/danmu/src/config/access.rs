//! Who may call, and how often: the keys that tokens are signed with, the pages that may talk to the
//! server, the rates.
//!
//! A secret comes from a variable or a file, never from a flag, which every process of the machine could
//! read; it is never printed. Secrets and a key set exclude each other, because a token must have one
//! kind of issuer.

use std::path::PathBuf;

use danmu_ingest::identity::{SECRET_BYTES_MIN, Secrets};
use danmu_ingest::rates::{Limits, Rate};
use danmu_ingest::{Identity, Origins};
use secrecy::{ExposeSecret, SecretString};

use super::{Settings, Source, flag};

/// Who may call.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// What tokens are signed with; `None` where every caller is trusted with everything.
    pub tokens: Option<Tokens>,
    /// Whether reads of a room need a token that is for it.
    pub private_reads: bool,
    /// The origins whose pages may talk to the server, as they were listed.
    pub allow_origin: Vec<String>,
    /// How often anyone but a backend may send.
    pub limits: Limits,
    /// Whether every request comes through a proxy that says from where.
    pub trust_forwarded: bool,
}

/// What tokens are signed with.
#[derive(Debug, Clone)]
pub enum Tokens {
    /// Secrets.
    Secrets(Secrets),
    /// The keys of the JWK set in this file.
    KeySet(PathBuf),
}

impl Access {
    pub(super) fn add_to(&self, table: &mut toml::Table) {
        if let Some(Tokens::KeySet(path)) = &self.tokens {
            table.insert("jwks".to_owned(), path.display().to_string().into());
        }
        table.insert("private_reads".to_owned(), self.private_reads.into());
        table.insert("allow_origin".to_owned(), self.allow_origin.clone().into());
        for (key, limit) in rates(&self.limits) {
            let text = limit.map_or("off".to_owned(), |rate| rate.to_string());
            table.insert(key.to_owned(), text.into());
        }
        table.insert("trust_forwarded".to_owned(), self.trust_forwarded.into());
    }
}

impl Settings {
    pub(super) fn access(&mut self) -> Option<Access> {
        let tokens = self.tokens();
        let private_reads = self.value("private_reads", "false", flag);
        let allow_origin = self.value("allow_origin", "", origins);
        if private_reads == Some(true) && matches!(tokens, Some(None)) {
            let what = "needs tokens: a token secret or jwks".to_owned();
            self.problem(self.source("private_reads"), "private_reads", what);
        }
        let limits = self.limits();
        let trust_forwarded = self.value("trust_forwarded", "false", flag);
        Some(Access {
            tokens: tokens?,
            private_reads: private_reads?,
            allow_origin: allow_origin?,
            limits: limits?,
            trust_forwarded: trust_forwarded?,
        })
    }

    fn limits(&mut self) -> Option<Limits> {
        let limits = rates(&Limits::default()).map(|(key, default)| {
            if self.is_given(key) {
                self.value(key, "", rate)
            } else {
                Some(default)
            }
        });
        let [user, room, address, likes, moderation] = limits;
        Some(Limits {
            user: user?,
            room: room?,
            address: address?,
            likes: likes?,
            moderation: moderation?,
        })
    }

    /// What tokens are signed with, if anything; nothing at all where it is not understood.
    fn tokens(&mut self) -> Option<Option<Tokens>> {
        let current = self.secret("token_secret");
        let previous = self.secret("token_secret_previous");
        let key_set = self
            .is_given("jwks")
            .then(|| self.value("jwks", "", key_set));
        match (current?, previous?, key_set) {
            (None, None, None) => Some(None),
            (None, None, Some(path)) => Some(Some(Tokens::KeySet(path?))),
            (Some(current), previous, None) => {
                Some(Some(Tokens::Secrets(Secrets { current, previous })))
            }
            (None, Some(_), None) => {
                let what = "is the one before token_secret, which is missing".to_owned();
                self.refuse("token_secret_previous", what)
            }
            (_, _, Some(_)) => self.refuse("jwks", "is given beside a token secret".to_owned()),
        }
    }

    /// Notes a key set, which has nothing to sign with.
    pub(super) fn refuse_key_set(&mut self) {
        if self.is_given("jwks") {
            let what = "has no secret to sign tokens with, which this command has to: give a token \
                        secret instead, or neither";
            self.problem(self.source("jwks"), "jwks", what.to_owned());
        }
    }

    /// The secret of `key`, or in the file of `key` with `_file` after it.
    fn secret(&mut self, key: &str) -> Option<Option<SecretString>> {
        self.text_or_file(key, secret)
    }

    /// What `key` says, or the file of `key` with `_file` after it, without the end of its line.
    pub(super) fn text_or_file(
        &mut self,
        key: &str,
        understand: impl Fn(&str) -> Result<SecretString, String>,
    ) -> Option<Option<SecretString>> {
        let in_file = |path: &str| {
            let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
            let text = SecretString::from(text);
            understand(text.expose_secret().trim_end_matches(['\r', '\n']))
        };
        let file = format!("{key}_file");
        match (self.is_given(key), self.is_given(&file)) {
            (false, false) => Some(None),
            (true, false) => self.value(key, "", &understand).map(Some),
            (false, true) => self.value(&file, "", in_file).map(Some),
            (true, true) => self.refuse(&file, format!("is given beside {key}")),
        }
    }

    pub(super) fn is_given(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    fn source(&self, key: &str) -> Source {
        let given = self.values.get(key);
        given.map_or(Source::Default, |(source, _)| source.clone())
    }

    pub(super) fn refuse<T>(&mut self, key: &str, what: String) -> Option<T> {
        self.problem(self.source(key), key, what);
        None
    }
}

/// The limits by their keys.
fn rates(limits: &Limits) -> [(&'static str, Option<Rate>); 5] {
    [
        ("user_rate", limits.user),
        ("room_rate", limits.room),
        ("address_rate", limits.address),
        ("likes_rate", limits.likes),
        ("moderation_rate", limits.moderation),
    ]
}

fn rate(text: &str) -> Result<Option<Rate>, String> {
    match text {
        "off" => Ok(None),
        _ => text.parse().map(Some),
    }
}

fn secret(text: &str) -> Result<SecretString, String> {
    if text.len() < SECRET_BYTES_MIN {
        return Err(format!("has fewer than {SECRET_BYTES_MIN} bytes"));
    }
    Ok(text.into())
}

/// The path of a JWK set that can be used.
fn key_set(path: &str) -> Result<PathBuf, String> {
    let json = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    Identity::of_key_set(&json).map_err(|error| format!("{path}: {error}"))?;
    Ok(path.into())
}

fn origins(text: &str) -> Result<Vec<String>, String> {
    let list = text.split(',').map(str::trim).filter(|one| !one.is_empty());
    Origins::parse(list.clone())?;
    Ok(list.map(str::to_owned).collect())
}

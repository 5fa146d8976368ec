//! Identity: from a token to the [`Caller`] that it proves.
//!
//! Tokens are JWTs. They are checked with secrets (HS256; two of them, so that one can be replaced
//! while tokens of the other are still about) or with a set of public keys. Each key takes the one
//! algorithm that it is for, whatever a token says of itself. Who holds a secret can also issue them. Pure but for the keys, which may be
//! replaced while in use: the clock is an argument. Where a token comes from and what its absence means
//! is `http`'s; what a caller may do is admission's.

mod claims;
mod issue;
mod keys;

use std::sync::{Arc, PoisonError, RwLock};

use danmu_schemas::Caller;
use secrecy::SecretString;

use keys::Keys;
pub use keys::{InvalidKeySet, SECRET_BYTES_MIN};

/// The longest token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 4_096;
/// By how much clocks may differ when a token's times are compared.
pub const LEEWAY_MS: i64 = 30_000;

/// The secrets that tokens are signed with: a token of either counts.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// The one that new tokens are signed with.
    pub current: SecretString,
    /// The one before it, while its tokens are about.
    pub previous: Option<SecretString>,
}

/// Why a token proves nothing. Whoever sent it needs another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// It was good: a renewed one will do.
    #[error("the token has expired")]
    Expired,
    /// It is not one of ours, or says what no token may.
    #[error("the token is not valid: {0}")]
    Invalid(String),
}

/// Checks tokens.
#[derive(Debug)]
pub struct Identity {
    keys: RwLock<Arc<Keys>>,
}

impl Identity {
    /// Takes tokens that are signed with a secret.
    ///
    /// A secret shorter than [`SECRET_BYTES_MIN`] is the caller's bug: settings are checked first.
    pub fn of_secrets(secrets: &Secrets) -> Self {
        Self::of_keys(Keys::of_secrets(secrets))
    }

    /// Takes tokens that are signed with a key of a JWK set (RFC 7517), given as JSON.
    pub fn of_key_set(json: &[u8]) -> Result<Self, InvalidKeySet> {
        Keys::of_key_set(json).map(Self::of_keys)
    }

    /// From now on takes tokens of this JWK set alone. Changes nothing where it is not valid.
    pub fn replace_key_set(&self, json: &[u8]) -> Result<(), InvalidKeySet> {
        let keys = Keys::of_key_set(json)?;
        let mut current = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(keys);
        Ok(())
    }

    /// Who sent the token, if it proves that now.
    pub fn caller(&self, token: &str, now_ms: i64) -> Result<Caller, BadToken> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(BadToken::Invalid("it is too long".to_owned()));
        }
        let keys = Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner));
        claims::caller(keys.claims(token)?, now_ms)
    }

    fn of_keys(keys: Keys) -> Self {
        Self {
            keys: RwLock::new(Arc::new(keys)),
        }
    }
}

#[cfg(test)]
mod tests;

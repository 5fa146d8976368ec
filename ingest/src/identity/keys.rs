//! The keys that tokens are signed with, and the one algorithm that each is for.
//!
//! What a token's header says decides nothing but which key to try: a public key never serves as an
//! HMAC secret, and an unsigned token has no key. Times are not checked here.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use secrecy::ExposeSecret;
use serde_json::{Map, Value};

use super::{BadToken, Secrets};

/// The shortest secret, in bytes: as long as the hash (RFC 7518, 3.2).
pub const SECRET_BYTES_MIN: usize = 32;
/// The most keys in a set: a token without a key id is tried with each.
const KEYS_LEN_MAX: usize = 16;

/// Why a JWK set cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidKeySet {
    /// It is no JWK set.
    #[error("it is no JWK set")]
    Malformed(#[source] serde_json::Error),
    /// It has no key, or too many.
    #[error("it has {0} keys, not 1 to {KEYS_LEN_MAX}")]
    Length(usize),
    /// A key, by its place in the set, is none that tokens can be checked with.
    #[error("key {0} is no public key for RS256, ES256, ES384 or EdDSA")]
    Key(usize),
}

/// Every key that a token may be signed with.
pub(super) struct Keys(Vec<Key>);

struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl Keys {
    pub(super) fn of_secrets(secrets: &Secrets) -> Self {
        let key = |secret: &secrecy::SecretString| {
            let secret = secret.expose_secret().as_bytes();
            assert!(secret.len() >= SECRET_BYTES_MIN, "a secret is too short");
            Key {
                id: None,
                algorithm: Algorithm::HS256,
                key: DecodingKey::from_secret(secret),
            }
        };
        Self(
            std::iter::once(&secrets.current)
                .chain(&secrets.previous)
                .map(key)
                .collect(),
        )
    }

    pub(super) fn of_key_set(json: &[u8]) -> Result<Self, InvalidKeySet> {
        let mut set: JwkSet = serde_json::from_slice(json).map_err(InvalidKeySet::Malformed)?;
        let is_other = |jwk: &Jwk| jwk.common.public_key_use == Some(PublicKeyUse::Encryption);
        set.keys.retain(|jwk| !is_other(jwk));
        if !(1..=KEYS_LEN_MAX).contains(&set.keys.len()) {
            return Err(InvalidKeySet::Length(set.keys.len()));
        }
        let keys = set.keys.iter().enumerate();
        let keys = keys.map(|(n, jwk)| Key::of_jwk(jwk).ok_or(InvalidKeySet::Key(n)));
        keys.collect::<Result<_, _>>().map(Self)
    }

    /// What a token claims, once one of the keys has proved that it may.
    pub(super) fn claims(&self, token: &str) -> Result<Map<String, Value>, BadToken> {
        let invalid = |why: &str| BadToken::Invalid(why.to_owned());
        let header = decode_header(token).map_err(|_| invalid("it is no signed JWT"))?;
        if header.crit.is_some() {
            return Err(invalid("it has critical extensions"));
        }
        let named = |key: &&Key| match (&header.kid, &key.id) {
            (Some(named), Some(id)) => named == id,
            _ => true,
        };
        let fitting = |key: &&Key| key.algorithm == header.alg;
        for key in self.0.iter().filter(fitting).filter(named) {
            match decode(token, &key.key, &validation(key.algorithm)) {
                Ok(token) => return Ok(token.claims),
                Err(error) if *error.kind() == ErrorKind::InvalidSignature => {}
                Err(_) => return Err(invalid("it is no signed JWT")),
            }
        }
        Err(invalid("no key of this server signed it"))
    }
}

impl Key {
    fn of_jwk(jwk: &Jwk) -> Option<Self> {
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => Algorithm::RS256,
            AlgorithmParameters::EllipticCurve(key) => match key.curve {
                EllipticCurve::P256 => Algorithm::ES256,
                EllipticCurve::P384 => Algorithm::ES384,
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                Algorithm::EdDSA
            }
            _ => return None,
        };
        let said = jwk.common.key_algorithm.as_ref();
        if said.is_some_and(|said| *said != key_algorithm(algorithm)) {
            return None;
        }
        Some(Self {
            id: jwk.common.key_id.clone(),
            algorithm,
            key: DecodingKey::from_jwk(jwk).ok()?,
        })
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let algorithms = self.0.iter().map(|key| key.algorithm);
        f.debug_list().entries(algorithms).finish()
    }
}

fn key_algorithm(algorithm: Algorithm) -> KeyAlgorithm {
    match algorithm {
        Algorithm::ES256 => KeyAlgorithm::ES256,
        Algorithm::ES384 => KeyAlgorithm::ES384,
        Algorithm::EdDSA => KeyAlgorithm::EdDSA,
        _ => KeyAlgorithm::RS256,
    }
}

/// The signature alone: claims, times included, are read where the clock is an argument.
fn validation(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation
}

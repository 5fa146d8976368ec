//! Issuing tokens, for a process of ours that holds the secret and calls its own server.

use jsonwebtoken::{EncodingKey, Header, encode};
use secrecy::ExposeSecret;
use serde_json::json;

use super::Secrets;

impl Secrets {
    /// A token for the backend `id` (1–64 bytes), for every room, signed with the current secret. It
    /// expires at `expires_at_s`, seconds since 1970 UTC.
    pub fn backend_token(&self, id: &str, expires_at_s: i64) -> String {
        let claims = json!({"sub": id, "role": "backend", "exp": expires_at_s});
        let key = EncodingKey::from_secret(self.current.expose_secret().as_bytes());
        encode(&Header::default(), &claims, &key).expect("a JSON object is signed with any secret")
    }
}

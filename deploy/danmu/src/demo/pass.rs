//! The crew's pass: what it shows to a server that asks for tokens.
//!
//! A show may go on for days, so no token is made to last: each request gets one of its own, signed with
//! the server's secret. A key set has nothing to sign with; a demo with one is refused before it starts.

use std::time::{SystemTime, UNIX_EPOCH};

use danmu_ingest::identity::Secrets;

use crate::client::Server;
use crate::config::{Access, Tokens};

/// How long a token lasts: longer than its request may be repeated.
const TOKEN_S: i64 = 120;
/// Who the crew is.
const CREW: &str = "demo-crew";

/// Lets the crew in.
pub struct Pass(Option<Secrets>);

impl Pass {
    /// The pass to a server with these settings.
    pub fn new(access: &Access) -> Self {
        Self(match &access.tokens {
            None | Some(Tokens::KeySet(_)) => None,
            Some(Tokens::Secrets(secrets)) => Some(secrets.clone()),
        })
    }

    /// Gives each of the crew its own connection to the server at `base`.
    pub fn server(self, base: String) -> impl Fn() -> Server {
        move || {
            let secrets = self.0.clone();
            Server::with_tokens(&base, move || {
                let secrets = secrets.as_ref()?;
                Some(secrets.backend_token(CREW, now_s() + TOKEN_S))
            })
        }
    }
}

fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() as i64)
}

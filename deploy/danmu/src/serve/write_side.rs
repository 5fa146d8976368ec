//! What the read side hands over, taken as if it had come over HTTP.
//!
//! The read side knows no log and the write side no sockets: here they meet. A process that has no write
//! side of its own still knows tokens.

use std::sync::Arc;

use danmu_api::{Said, Speaker, WriteSide};
use danmu_ingest::http::Refused;
use danmu_ingest::{Identity, Ingest};
use danmu_schemas::problem::{Problem, ProblemType};
use danmu_schemas::{Caller, EventId};
use futures_util::future::{BoxFuture, FutureExt as _};

use crate::engines::Log;

/// The write side of the process, for sockets.
pub struct Handover {
    /// Where the process takes events.
    pub ingest: Option<Arc<Ingest<Log>>>,
    /// Checks tokens; `None` where every caller is trusted with everything.
    pub identity: Option<Arc<Identity>>,
    /// The clock, milliseconds since 1970 UTC.
    pub now_ms: fn() -> i64,
}

impl WriteSide for Handover {
    fn say(&self, speaker: Speaker, said: Said) -> BoxFuture<'_, Result<Vec<EventId>, Problem>> {
        async move {
            let Some(ingest) = &self.ingest else {
                let problem = Problem::new(ProblemType::NotFound);
                return Err(problem.detail("this process takes no events"));
            };
            Ok(say(ingest, speaker, said).await?)
        }
        .boxed()
    }

    fn caller(&self, token: &str) -> Result<Caller, Problem> {
        let Some(identity) = &self.identity else {
            return Ok(Caller::unauthenticated_local());
        };
        let caller = identity.caller(token, (self.now_ms)());
        caller.map_err(|bad| Problem::new(ProblemType::InvalidToken).detail(bad.to_string()))
    }
}

async fn say(ingest: &Ingest<Log>, speaker: Speaker, said: Said) -> Result<Vec<EventId>, Refused> {
    let Speaker {
        room,
        caller,
        address,
    } = speaker;
    ingest.take_request(&caller, address)?;
    match said {
        Said::Event(event) => {
            let events = ingest.admit(&room, &caller, event.as_bytes(), None)?;
            ingest.append(&room, &events, None).await
        }
        Said::Likes(body) => {
            ingest.like(&room, &caller, body.as_bytes()).await?;
            Ok(Vec::new())
        }
    }
}

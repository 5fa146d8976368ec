//! A server's room as an import writes to it: arrays of events, a broadcast's frame, verdicts.
//!
//! One request is in flight at a time, so the order of sending is the log's. What the server refuses of
//! an array by index is taken out and the rest is sent again. `client` repeats requests with the same
//! bytes, hence the same ids; what is sent when is decided elsewhere.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use danmu_schemas::RoomId;
use serde_json::Value;
use uuid::Uuid;

use super::plan::PlannedEvent;
use super::recording::Refused;
use crate::client::{Answer, Server, Unreachable, describe};

/// The most events in an array, the contract's.
pub const ARRAY_LEN_MAX: usize = 500;
/// The most bytes in an array: below the server's 1 MiB.
const ARRAY_BYTES_MAX: usize = 768 * 1024;
/// The most ids in one question for verdicts, the contract's.
pub const VERDICTS_LEN_MAX: usize = 50;
/// How long readers may lag behind what was sent.
pub const SETTLE_WITHIN: Duration = Duration::from_secs(90);
/// How long the history may lag behind a broadcast's end.
pub const REPLAYABLE_WITHIN: Duration = Duration::from_secs(90);

/// Why an import stopped. What it sent stays.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The server could not be reached, or had no time, until the deadline.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The server will not do it, however often it is asked.
    #[error("the server answered {0}")]
    Answered(String),
    /// The room shows something else.
    #[error("another broadcast is open in the room: end it first")]
    OtherBroadcast,
    /// What was sent is not to be seen.
    #[error("the room did not show within {} s what was sent", SETTLE_WITHIN.as_secs())]
    NotSettled,
    /// The room has everything, but its history does not.
    #[error(
        "all is in the room, but it cannot be replayed after {} s: the server's history is behind",
        REPLAYABLE_WITHIN.as_secs()
    )]
    NotReplayable,
}

/// What settling made of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is in the room.
    Shown,
    /// It is not, and why.
    Refused(String),
}

/// A room of a server.
pub struct Room<'a> {
    server: &'a Server,
    path: String,
}

impl<'a> Room<'a> {
    /// The room of that name.
    pub fn new(server: &'a Server, room: &RoomId) -> Self {
        let path = format!("/v1/rooms/{room}");
        Self { server, path }
    }

    /// What the server answers for `rest` of the room's address, whatever it is.
    pub fn ask(&self, rest: &str) -> Result<Answer, ImportError> {
        Ok(self.server.get(&format!("{}{rest}", self.path))?)
    }

    /// Sends one event that must be taken.
    pub fn post_frame(&self, event: &Value) -> Result<(), ImportError> {
        let answer = self.post(&event.to_string())?;
        if answer.status == 200 {
            Ok(())
        } else {
            Err(ImportError::Answered(describe(&answer)))
        }
    }

    /// Sends an array without what the server refuses of it, which joins `refused`; those that it took.
    pub fn send_array<'e>(
        &self,
        array: &[&'e PlannedEvent],
        requests: Vec<String>,
        refused: &mut Vec<Refused>,
    ) -> Result<Vec<&'e PlannedEvent>, ImportError> {
        let mut left: Vec<(&PlannedEvent, String)> = array.iter().copied().zip(requests).collect();
        while !left.is_empty() {
            let requests: Vec<&str> = left.iter().map(|(_, request)| request.as_str()).collect();
            let answer = self.post(&format!("[{}]", requests.join(",")))?;
            if answer.status == 200 {
                break;
            }
            let indexes = refused_by_index(&answer, left.len())
                .ok_or_else(|| ImportError::Answered(describe(&answer)))?;
            for (index, reason) in indexes.into_iter().rev() {
                let (event, _) = left.remove(index);
                refused.push(Refused {
                    index: event.index,
                    reason,
                });
            }
        }
        Ok(left.into_iter().map(|(event, _)| event).collect())
    }

    /// What became of at most [`VERDICTS_LEN_MAX`] events, by id, of those that are settled within
    /// `wait_s` seconds.
    pub fn verdicts(
        &self,
        ids: &[Uuid],
        wait_s: u32,
    ) -> Result<HashMap<String, Verdict>, ImportError> {
        let ids: Vec<String> = ids.iter().map(|id| format!("id={id}")).collect();
        let answer = self.ask(&format!("/verdicts?{}&wait={wait_s}", ids.join("&")))?;
        let verdicts = answer.body.get("verdicts").and_then(Value::as_array);
        let (200, Some(verdicts)) = (answer.status, verdicts) else {
            return Err(ImportError::Answered(describe(&answer)));
        };
        let known = verdicts.iter().filter_map(|told| {
            let text = |key| told.get(key).and_then(Value::as_str);
            let verdict = match text("verdict")? {
                "visible" | "duplicate" => Verdict::Shown,
                "refused" => Verdict::Refused(text("reason")?.to_owned()),
                _ => return None,
            };
            Some((text("id")?.to_owned(), verdict))
        });
        Ok(known.collect())
    }

    fn post(&self, body: &str) -> Result<Answer, ImportError> {
        let path = format!("{}/events", self.path);
        Ok(self.server.post(&path, body.as_bytes())?)
    }
}

/// How many of the events go into one array, and their requests.
pub fn next_array(
    events: &[&PlannedEvent],
    request: impl Fn(&PlannedEvent) -> Value,
) -> (usize, Vec<String>) {
    let mut requests = Vec::new();
    let mut bytes = 0;
    for event in events.iter().take(ARRAY_LEN_MAX) {
        let request = request(event).to_string();
        bytes += request.len() + 1;
        if bytes > ARRAY_BYTES_MAX && !requests.is_empty() {
            break;
        }
        requests.push(request);
    }
    (requests.len(), requests)
}

/// Which events of an array a 400 refuses, ascending, and why; nothing if it names none of them.
fn refused_by_index(answer: &Answer, array_len: usize) -> Option<BTreeMap<usize, String>> {
    let errors = answer.body.get("errors")?.as_array()?;
    let mut refused = BTreeMap::new();
    for error in errors {
        let index = usize::try_from(error.get("index")?.as_u64()?).ok()?;
        if index >= array_len {
            return None;
        }
        let text = |key| error.get(key).and_then(Value::as_str).unwrap_or("");
        let reason = format!("{} {}", text("field"), text("reason"));
        refused
            .entry(index)
            .or_insert_with(|| reason.trim().to_owned());
    }
    (answer.status == 400 && !refused.is_empty()).then_some(refused)
}

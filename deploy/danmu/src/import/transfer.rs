//! Sends what a room does not have of a plan, and accounts for every entry of the file.
//!
//! The room is read first, densely from its first event, so that an import that was cut short goes on
//! and one that was complete sends nothing. Then: the start unless the plan's own broadcast is open, the
//! events in arrays, one in flight, so that their order is the log's; the end; and the room once more,
//! because only a reader knows what settling made of them. What the server refuses by index is taken
//! out and the rest of the array sent again. It is done when the broadcast can be replayed: the history,
//! which replays are made from, lags the windows.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use danmu_ingest::admission::{Context, Rejection, admit};
use danmu_schemas::{Caller, RoomId};
use indicatif::ProgressBar;
use serde_json::Value;

use super::plan::{Plan, PlannedEvent};
use super::recording::Refused;
use crate::client::{Answer, Server, Unreachable, describe};

/// The most events in an array, the contract's.
const ARRAY_LEN_MAX: usize = 500;
/// The most bytes in an array: below the server's 1 MiB.
const ARRAY_BYTES_MAX: usize = 768 * 1024;
/// How long readers may lag behind what was sent.
const SETTLE_WITHIN: Duration = Duration::from_secs(90);
/// How long the history may lag behind a broadcast's end.
const REPLAYABLE_WITHIN: Duration = Duration::from_secs(90);
/// How often it is asked meanwhile.
const REPLAYABLE_ASKED_EVERY: Duration = Duration::from_millis(50);
/// The longest wait of one long poll while they do, in seconds.
const POLL_WAIT_S: u32 = 5;
/// The most ids in one question for verdicts, the contract's.
const VERDICTS_LEN_MAX: usize = 50;

/// What became of the entries of a file.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How many were sent and are in the room.
    pub sent: usize,
    /// How many the room had before.
    pub already_there: usize,
    /// Those that did not become events, by entry.
    pub refused: Vec<Refused>,
}

impl Outcome {
    /// The entries of each reason to refuse, ascending.
    pub fn refused_by_reason(&self) -> BTreeMap<&str, Vec<usize>> {
        let mut by_reason: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for refused in &self.refused {
            by_reason
                .entry(&refused.reason)
                .or_default()
                .push(refused.index);
        }
        by_reason.values_mut().for_each(|indexes| indexes.sort());
        by_reason
    }
}

/// Why an import stopped. What it sent stays; importing again goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
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

/// Brings the plan's events into its room.
pub fn transfer(
    server: &Server,
    plan: Plan,
    now_ms: impl Fn() -> i64,
    progress: &ProgressBar,
) -> Result<Outcome, TransferError> {
    let mut view = RoomView::new(server, &plan);
    view.read_to_head()?;
    let mut outcome = Outcome {
        refused: plan.refused.clone(),
        ..Outcome::default()
    };
    let (there, mut missing): (Vec<_>, Vec<_>) =
        plan.events.iter().partition(|event| view.has(event.id));
    outcome.already_there = there.len();
    missing.retain(|event| match refusal(&plan.room, event, now_ms()) {
        None => true,
        Some(reason) => {
            outcome.refused.push(Refused {
                index: event.index,
                reason,
            });
            false
        }
    });
    progress.inc((outcome.already_there + outcome.refused.len()) as u64);

    let attempt = match view.broadcast(&plan) {
        OpenBroadcast::Own(attempt) => attempt,
        _ if missing.is_empty() => {
            view.wait_until_replayable(&plan)?;
            progress.finish();
            return Ok(outcome);
        }
        OpenBroadcast::Other => return Err(TransferError::OtherBroadcast),
        OpenBroadcast::None { next_attempt } => {
            view.post_frame(&plan.start(next_attempt))?;
            next_attempt
        }
    };
    let sent = send(&view, &missing, &now_ms, &mut outcome, progress)?;
    view.post_frame(&plan.end(attempt))?;
    view.read_until(plan.end_id(attempt))?;
    account(&view, sent, &mut outcome)?;
    view.wait_until_replayable(&plan)?;
    progress.finish();
    Ok(outcome)
}

/// Why the server will not take the event, by the server's own rules: an import that has nothing
/// else left to send opens no broadcast for it.
fn refusal(room: &RoomId, event: &PlannedEvent, now_ms: i64) -> Option<String> {
    let context = Context {
        room,
        caller: &Caller::unauthenticated_local(),
        now_ms,
        idempotency_key: None,
    };
    let request = event.request(now_ms).to_string();
    match admit(request.as_bytes(), context, || event.id.into()) {
        Ok(_) => None,
        Err(Rejection::Malformed(why)) => Some(why),
        Err(Rejection::Invalid(errors) | Rejection::Forbidden(errors)) => {
            let first = errors.first();
            first.map(|error| format!("{} {}", error.field, error.reason))
        }
    }
}

/// Sends the events in arrays, one after the other; those that the server took.
fn send<'a>(
    view: &RoomView<'_>,
    missing: &[&'a PlannedEvent],
    now_ms: &impl Fn() -> i64,
    outcome: &mut Outcome,
    progress: &ProgressBar,
) -> Result<Vec<&'a PlannedEvent>, TransferError> {
    let mut sent = Vec::with_capacity(missing.len());
    let mut rest = missing;
    while !rest.is_empty() {
        let (array_len, requests) = next_array(rest, now_ms());
        let (array, after) = rest.split_at(array_len);
        sent.extend(send_array(view, array, requests, outcome)?);
        progress.inc(array_len as u64);
        rest = after;
    }
    Ok(sent)
}

/// How many of the events go into one array, and their requests.
fn next_array(events: &[&PlannedEvent], now_ms: i64) -> (usize, Vec<String>) {
    let mut requests = Vec::new();
    let mut bytes = 0;
    for event in events.iter().take(ARRAY_LEN_MAX) {
        let request = event.request(now_ms).to_string();
        bytes += request.len() + 1;
        if bytes > ARRAY_BYTES_MAX && !requests.is_empty() {
            break;
        }
        requests.push(request);
    }
    (requests.len(), requests)
}

/// Sends one array, without what the server refuses of it.
fn send_array<'a>(
    view: &RoomView<'_>,
    array: &[&'a PlannedEvent],
    requests: Vec<String>,
    outcome: &mut Outcome,
) -> Result<Vec<&'a PlannedEvent>, TransferError> {
    let mut left: Vec<(&PlannedEvent, String)> = array.iter().copied().zip(requests).collect();
    while !left.is_empty() {
        let requests: Vec<&str> = left.iter().map(|(_, request)| request.as_str()).collect();
        let answer = view.post(&format!("[{}]", requests.join(",")))?;
        if answer.status == 200 {
            break;
        }
        let refused = refused_by_index(&answer, left.len())
            .ok_or_else(|| TransferError::Answered(describe(&answer)))?;
        for (index, reason) in refused.into_iter().rev() {
            let (event, _) = left.remove(index);
            outcome.refused.push(Refused {
                index: event.index,
                reason,
            });
        }
    }
    Ok(left.into_iter().map(|(event, _)| event).collect())
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

/// Sorts what was sent into what the room shows and what settling refused.
fn account(
    view: &RoomView<'_>,
    sent: Vec<&PlannedEvent>,
    outcome: &mut Outcome,
) -> Result<(), TransferError> {
    let (shown, hidden): (Vec<_>, Vec<_>) = sent.into_iter().partition(|event| view.has(event.id));
    outcome.sent = shown.len();
    for part in hidden.chunks(VERDICTS_LEN_MAX) {
        let reasons = view.verdicts(part)?;
        for event in part {
            let reason = reasons.get(&event.id.to_string());
            outcome.refused.push(Refused {
                index: event.index,
                reason: reason.ok_or(TransferError::NotSettled)?.clone(),
            });
        }
    }
    Ok(())
}

/// The broadcast that a room shows, as an import sees it.
enum OpenBroadcast {
    /// It is the plan's own, of that attempt.
    Own(u32),
    /// It is not.
    Other,
    /// There is none; the plan's next would be of that attempt.
    None { next_attempt: u32 },
}

/// What a room has, as far as it was read.
struct RoomView<'a> {
    server: &'a Server,
    path: String,
    cursor: String,
    ids: HashSet<String>,
    /// The name of each broadcast that has a start, by that start's id.
    broadcasts: HashMap<String, String>,
    open: Option<String>,
    ever_opened: bool,
}

impl<'a> RoomView<'a> {
    fn new(server: &'a Server, plan: &Plan) -> Self {
        Self {
            server,
            path: format!("/v1/rooms/{}", plan.room),
            cursor: "0".to_owned(),
            ids: HashSet::new(),
            broadcasts: HashMap::new(),
            open: None,
            ever_opened: false,
        }
    }

    fn has(&self, id: uuid::Uuid) -> bool {
        self.ids.contains(&id.to_string())
    }

    fn read_to_head(&mut self) -> Result<(), TransferError> {
        while !self.read_page(0)? {}
        Ok(())
    }

    fn read_until(&mut self, id: uuid::Uuid) -> Result<(), TransferError> {
        let deadline = Instant::now() + SETTLE_WITHIN;
        while !self.has(id) {
            if Instant::now() >= deadline {
                return Err(TransferError::NotSettled);
            }
            self.read_page(POLL_WAIT_S)?;
        }
        Ok(())
    }

    /// Reads the page after the cursor; whether it reached the room's head.
    fn read_page(&mut self, wait_s: u32) -> Result<bool, TransferError> {
        let Self { path, cursor, .. } = self;
        let answer = self.server.get(&format!(
            "{path}/events?after={cursor}&density=full&limit=500&wait={wait_s}"
        ))?;
        let body = &answer.body;
        let page = (
            body.get("cursor").and_then(Value::as_str),
            body.get("to").and_then(Value::as_u64),
            body.get("head").and_then(Value::as_u64),
            body.get("events").and_then(Value::as_array),
        );
        let (200, (Some(cursor), to, Some(head), Some(events))) = (answer.status, page) else {
            return Err(TransferError::Answered(describe(&answer)));
        };
        let (generation, _) = cursor.split_once(':').unwrap_or_default();
        for event in events {
            self.see(event, generation);
        }
        self.cursor = cursor.to_owned();
        Ok(events.is_empty() || to.is_none_or(|to| to >= head))
    }

    fn see(&mut self, event: &Value, generation: &str) {
        let text = |key| event.get(key).and_then(Value::as_str).unwrap_or("");
        self.ids.insert(text("id").to_owned());
        match text("kind") {
            "broadcast_start" => {
                let seq = event.get("seq").and_then(Value::as_u64).unwrap_or_default();
                let name = format!("{generation}:{seq}");
                self.broadcasts.insert(text("id").to_owned(), name);
                self.open = Some(text("id").to_owned());
            }
            "broadcast_end" | "reset" => self.open = None,
            _ if !self.ever_opened => self.open = Some(text("id").to_owned()),
            _ => return,
        }
        self.ever_opened = true;
    }

    fn broadcast(&self, plan: &Plan) -> OpenBroadcast {
        let mut attempt = 0;
        while self.has(plan.start_id(attempt)) {
            if self.open == Some(plan.start_id(attempt).to_string()) {
                return OpenBroadcast::Own(attempt);
            }
            attempt += 1;
        }
        match self.open {
            Some(_) => OpenBroadcast::Other,
            None => OpenBroadcast::None {
                next_attempt: attempt,
            },
        }
    }

    /// Waits until the last broadcast of the plan, which has ended, can be replayed to its end.
    fn wait_until_replayable(&self, plan: &Plan) -> Result<(), TransferError> {
        let names = (0..).map_while(|n| self.broadcasts.get(&plan.start_id(n).to_string()));
        let Some(name) = names.last() else {
            return Ok(());
        };
        let path = format!("{}/broadcasts/{name}", self.path);
        let deadline = Instant::now() + REPLAYABLE_WITHIN;
        loop {
            let answer = self.server.get(&path)?;
            match answer.status {
                200 if answer.body.get("ended_at").is_some() => return Ok(()),
                200 | 404 => {}
                _ => return Err(TransferError::Answered(describe(&answer))),
            }
            if Instant::now() >= deadline {
                return Err(TransferError::NotReplayable);
            }
            std::thread::sleep(REPLAYABLE_ASKED_EVERY);
        }
    }

    fn post(&self, body: &str) -> Result<Answer, TransferError> {
        let path = format!("{}/events", self.path);
        Ok(self.server.post(&path, body.as_bytes())?)
    }

    fn post_frame(&self, event: &Value) -> Result<(), TransferError> {
        let answer = self.post(&event.to_string())?;
        if answer.status == 200 {
            Ok(())
        } else {
            Err(TransferError::Answered(describe(&answer)))
        }
    }

    /// Why settling refused the events, by id.
    fn verdicts(
        &self,
        events: &[&PlannedEvent],
    ) -> Result<BTreeMap<String, String>, TransferError> {
        let ids: Vec<String> = events.iter().map(|e| format!("id={}", e.id)).collect();
        let answer = self
            .server
            .get(&format!("{}/verdicts?{}", self.path, ids.join("&")))?;
        let verdicts = answer.body.get("verdicts").and_then(Value::as_array);
        let (200, Some(verdicts)) = (answer.status, verdicts) else {
            return Err(TransferError::Answered(describe(&answer)));
        };
        let reasons = verdicts.iter().filter_map(|verdict| {
            let text = |key| Some(verdict.get(key)?.as_str()?.to_owned());
            Some((text("id")?, text("reason")?))
        });
        Ok(reasons.collect())
    }
}

//! Sends what a room does not have of a plan, and accounts for every entry of the file.
//!
//! The room is read first, densely from its first event, so that an import that was cut short goes on
//! and one that was complete sends nothing. Then: the start unless the plan's own broadcast is open, the
//! events in arrays, one in flight, so that their order is the log's; the end; and the room once more,
//! because only a reader knows what settling made of them. It is done when the broadcast can be
//! replayed: the history, which replays are made from, lags the windows.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use serde_json::Value;
use uuid::Uuid;

use super::outcome::Outcome;
use super::plan::{Plan, PlannedEvent};
use super::recording::Refused;
use super::room::{
    ARRAY_LEN_MAX, ImportError, REPLAYABLE_WITHIN, Room, SETTLE_WITHIN, VERDICTS_LEN_MAX, Verdict,
    next_array,
};
use crate::client::{Server, describe};

/// How often the history is asked whether it has a broadcast's end.
const REPLAYABLE_ASKED_EVERY: Duration = Duration::from_millis(50);
/// The longest wait of one long poll for what was sent, in seconds.
const POLL_WAIT_S: u32 = 5;

/// Brings the plan's events into its room.
pub fn transfer(
    server: &Server,
    plan: Plan,
    now_ms: impl Fn() -> i64,
    progress: &ProgressBar,
) -> Result<Outcome, ImportError> {
    let mut view = RoomView::new(server, &plan);
    view.read_to_head()?;
    let mut outcome = Outcome {
        refused: plan.refused.clone(),
        ..Outcome::default()
    };
    let (there, missing): (Vec<_>, Vec<_>) =
        plan.events.iter().partition(|event| view.has(event.id));
    outcome.already_there = there.len();
    progress.inc((outcome.already_there + outcome.refused.len()) as u64);

    let attempt = match view.broadcast(&plan) {
        OpenBroadcast::Own(attempt) => attempt,
        _ if missing.is_empty() => {
            view.wait_until_replayable(&plan)?;
            progress.finish();
            return Ok(outcome);
        }
        OpenBroadcast::Other => return Err(ImportError::OtherBroadcast),
        OpenBroadcast::None { next_attempt } => {
            view.room.post_frame(&plan.start(next_attempt))?;
            next_attempt
        }
    };
    let sent = send(&view, &missing, &now_ms, &mut outcome, progress)?;
    view.room.post_frame(&plan.end(attempt))?;
    view.read_until(plan.end_id(attempt))?;
    account(&view, sent, &mut outcome)?;
    view.wait_until_replayable(&plan)?;
    progress.finish();
    Ok(outcome)
}

/// Sends the events in arrays, one after the other; those that the server took.
fn send<'a>(
    view: &RoomView<'_>,
    missing: &[&'a PlannedEvent],
    now_ms: &impl Fn() -> i64,
    outcome: &mut Outcome,
    progress: &ProgressBar,
) -> Result<Vec<&'a PlannedEvent>, ImportError> {
    let mut sent = Vec::with_capacity(missing.len());
    let mut rest = missing;
    while !rest.is_empty() {
        let (array_len, requests) = next_array(rest, |event| event.request(now_ms()));
        let (array, after) = rest.split_at(array_len);
        sent.extend(
            view.room
                .send_array(array, requests, &mut outcome.refused)?,
        );
        progress.inc(array_len as u64);
        rest = after;
    }
    Ok(sent)
}

/// Sorts what was sent into what the room shows and what settling refused.
fn account(
    view: &RoomView<'_>,
    sent: Vec<&PlannedEvent>,
    outcome: &mut Outcome,
) -> Result<(), ImportError> {
    let (shown, hidden): (Vec<_>, Vec<_>) = sent.into_iter().partition(|event| view.has(event.id));
    outcome.sent = shown.len();
    for part in hidden.chunks(VERDICTS_LEN_MAX) {
        let ids: Vec<Uuid> = part.iter().map(|event| event.id).collect();
        let verdicts = view.room.verdicts(&ids, POLL_WAIT_S)?;
        for event in part {
            let Some(Verdict::Refused(reason)) = verdicts.get(&event.id.to_string()) else {
                return Err(ImportError::NotSettled);
            };
            outcome.refused.push(Refused {
                index: event.index,
                reason: reason.clone(),
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
    room: Room<'a>,
    cursor: String,
    ids: HashSet<Uuid>,
    /// The name of each broadcast that has a start, by that start's id.
    broadcasts: HashMap<String, String>,
    open: Option<String>,
    ever_opened: bool,
}

impl<'a> RoomView<'a> {
    fn new(server: &'a Server, plan: &Plan) -> Self {
        Self {
            room: Room::new(server, &plan.identity.room),
            cursor: "0".to_owned(),
            ids: HashSet::new(),
            broadcasts: HashMap::new(),
            open: None,
            ever_opened: false,
        }
    }

    fn has(&self, id: Uuid) -> bool {
        self.ids.contains(&id)
    }

    fn read_to_head(&mut self) -> Result<(), ImportError> {
        while !self.read_page(0)? {}
        Ok(())
    }

    fn read_until(&mut self, id: Uuid) -> Result<(), ImportError> {
        let deadline = Instant::now() + SETTLE_WITHIN;
        while !self.has(id) {
            if Instant::now() >= deadline {
                return Err(ImportError::NotSettled);
            }
            self.read_page(POLL_WAIT_S)?;
        }
        Ok(())
    }

    /// Reads the page after the cursor; whether it reached the room's head.
    fn read_page(&mut self, wait_s: u32) -> Result<bool, ImportError> {
        let cursor = &self.cursor;
        let answer = self.room.ask(&format!(
            "/events?after={cursor}&density=full&limit={ARRAY_LEN_MAX}&wait={wait_s}"
        ))?;
        let body = &answer.body;
        let page = (
            body.get("cursor").and_then(Value::as_str),
            body.get("to").and_then(Value::as_u64),
            body.get("head").and_then(Value::as_u64),
            body.get("events").and_then(Value::as_array),
        );
        let (200, (Some(cursor), to, Some(head), Some(events))) = (answer.status, page) else {
            return Err(ImportError::Answered(describe(&answer)));
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
        self.ids.extend(Uuid::parse_str(text("id")));
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
    fn wait_until_replayable(&self, plan: &Plan) -> Result<(), ImportError> {
        let names = (0..).map_while(|n| self.broadcasts.get(&plan.start_id(n).to_string()));
        let Some(name) = names.last() else {
            return Ok(());
        };
        let path = format!("/broadcasts/{name}");
        let deadline = Instant::now() + REPLAYABLE_WITHIN;
        loop {
            let answer = self.room.ask(&path)?;
            match answer.status {
                200 if answer.body.get("ended_at").is_some() => return Ok(()),
                200 | 404 => {}
                _ => return Err(ImportError::Answered(describe(&answer))),
            }
            if Instant::now() >= deadline {
                return Err(ImportError::NotReplayable);
            }
            std::thread::sleep(REPLAYABLE_ASKED_EVERY);
        }
    }
}

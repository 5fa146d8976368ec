//! A show on a server: its past as a recording, then the show itself as it happens.
//!
//! Everything goes over the public HTTP API, as any backend's would. A server that does not answer in
//! time ends the show with an error; one that refuses an event is told of, because a show of ours must
//! not hold one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::bail;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::show::{Act, Script, Show};
use crate::client::{Server, describe};

/// How long the recording is that a room begins with, and how long ago it ended.
const PAST_MS: i64 = 3 * 60 * 1_000;
const PAST_ENDED_AGO_MS: i64 = 60_000;
/// How much of it is made at once.
const PAST_STEP_MS: i64 = 200;
/// How often something happens in a live show.
const TICK: Duration = Duration::from_millis(200);
/// The longest time that is made up for after a delay.
const SPAN_MS_MAX: i64 = 2_000;
/// The most events in a request, the contract's.
const ARRAY_LEN_MAX: usize = 500;
/// How far a host looks back for a comment to pin.
const PIN_LOOKS_AT: usize = 50;

/// A room and its show.
pub struct Stage {
    server: Server,
    script: &'static Script,
    seed: u64,
}

impl Stage {
    /// The stage of a script.
    pub fn new(server: Server, script: &'static Script, seed: u64) -> Self {
        Self {
            server,
            script,
            seed,
        }
    }

    /// Brings in a short show that is over, so that there is something to replay.
    pub fn bring_past(&self) -> anyhow::Result<()> {
        let ended_at = now_ms() - PAST_ENDED_AGO_MS;
        let started_at = ended_at - PAST_MS;
        let mut show = Show::new(self.script, !self.seed, started_at, true);
        let mut events = vec![recorded(show.begin(), started_at)];
        for at in (started_at..ended_at).step_by(PAST_STEP_MS as usize) {
            let at = at + PAST_STEP_MS;
            let acts = show.step(at, PAST_STEP_MS).into_iter();
            let sent = acts.filter_map(Act::into_event);
            events.extend(sent.map(|event| recorded(event, at)));
        }
        events.push(recorded(show.end(), ended_at));
        self.send(&events)
    }

    /// Plays a live show until `stop`, and ends it.
    pub fn play(&self, stop: &CancellationToken) -> anyhow::Result<()> {
        let mut played_to = now_ms();
        let mut show = Show::new(self.script, self.seed, played_to, false);
        self.send(&[show.begin()])?;
        while !stop.is_cancelled() {
            std::thread::sleep(TICK);
            let now = now_ms();
            let span_ms = (now - played_to).clamp(1, SPAN_MS_MAX);
            played_to = now;
            self.act(show.step(now, span_ms))?;
        }
        self.send(&[show.end()])
    }

    fn act(&self, acts: Vec<Act>) -> anyhow::Result<()> {
        let mut events = Vec::with_capacity(acts.len());
        for act in acts {
            match act {
                Act::Send(event) => events.push(event),
                Act::PinNewest => events.extend(self.pin_newest()?),
            }
        }
        self.send(&events)
    }

    fn pin_newest(&self) -> anyhow::Result<Option<Value>> {
        let path = format!("/v1/rooms/{}/events?limit={PIN_LOOKS_AT}", self.script.room);
        let answer = self.server.get(&path)?;
        let events = answer.body["events"].as_array();
        let is_there = |event: &&Value| event["kind"] == "comment" && event.get("text").is_some();
        let newest = events.and_then(|events| events.iter().rfind(is_there));
        Ok(newest.map(|comment| {
            json!({
                "kind": "pin", "id": Uuid::now_v7(), "target_seq": comment["seq"],
                "user": {"id": "host", "name": "Host"}, "role": "host",
            })
        }))
    }

    fn send(&self, events: &[Value]) -> anyhow::Result<()> {
        let path = format!("/v1/rooms/{}/events", self.script.room);
        for part in events.chunks(ARRAY_LEN_MAX) {
            let answer = self.server.post(&path, &serde_json::to_vec(part)?)?;
            if answer.status != 200 {
                bail!("room {}: {}", self.script.room, describe(&answer));
            }
        }
        Ok(())
    }
}

/// The event as a recording has it.
fn recorded(mut event: Value, at: i64) -> Value {
    event["recorded_at"] = at.into();
    event
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}

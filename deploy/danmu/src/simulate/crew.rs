//! Who writes in a simulation: opens the rooms, sends what is planned when it is due, asks for the verdicts
//! of what no reader was shown, ends the rooms, and compares them with their history.
//!
//! Open loop: nothing waits for an answer to something else as long as there are [`SENDERS`] to send, and
//! delays count from when an event was due, so that a server that falls behind cannot hide it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::audience::{Audience, Room};
use super::page::Shown;
use super::plan::{Send, Sends, What};
use super::violation::Violation;
use crate::client::{Answer, Server, describe};

/// How many requests are in flight at most.
const SENDERS: usize = 32;
/// How long a request is repeated.
const PATIENCE: Duration = Duration::from_secs(60);
/// How soon a sender that waits for its time notices a stop.
const NOTICED_WITHIN: Duration = Duration::from_millis(200);
/// How long readers have to be shown an event before its verdict is asked for.
const SHOWN_WITHIN: Duration = Duration::from_secs(3);
/// How often verdicts are asked for: well within the two minutes for which they are kept.
const ASKED_EVERY: Duration = Duration::from_secs(1);
/// The most ids in one question, the contract's.
const IDS_MAX: usize = 50;
/// How long one question waits for the verdict of a room's end, in seconds.
const WAIT_S: u32 = 5;
/// How long the rest may take to be settled and to be in the history.
const SETTLED_WITHIN: Duration = Duration::from_secs(90);
/// How soon the history is looked at again.
const LOOKED_EVERY: Duration = Duration::from_millis(200);

/// Writes into the rooms of an audience.
pub struct Crew {
    audience: Arc<Audience>,
    base: String,
    token: Option<String>,
    run: Uuid,
}

impl Crew {
    /// At the server at `base`; `run` names what it sends.
    pub fn new(audience: Arc<Audience>, base: &str, token: Option<String>, run: Uuid) -> Self {
        Self {
            audience,
            base: base.to_owned(),
            token,
            run,
        }
    }

    /// Begins a broadcast in every room.
    pub fn open_rooms(&self) -> anyhow::Result<()> {
        self.frame("broadcast_start")
    }

    /// Ends them.
    pub fn close_rooms(&self) -> anyhow::Result<()> {
        self.frame("broadcast_end")
    }

    fn frame(&self, kind: &str) -> anyhow::Result<()> {
        let server = self.server();
        for room in &self.audience.rooms {
            let id = self.frame_id(kind, room);
            let mut event = json!({
                "kind": kind, "id": id, "user": {"id": "host", "name": "Host"}, "role": "host",
            });
            if kind == "broadcast_start" {
                event["title"] = "A simulation".into();
            }
            room.record().send(id, None);
            let answer = server.post(&events(room), event.to_string().as_bytes())?;
            if answer.status != 200 {
                bail!("room {}: {}", room.name, describe(&answer));
            }
            room.record().acknowledge(id, self.audience.elapsed());
        }
        Ok(())
    }

    fn frame_id(&self, kind: &str, room: &Room) -> Uuid {
        Uuid::new_v5(&self.run, format!("{kind} {}", room.name).as_bytes())
    }

    /// Sends everything when it is due, until the last or a stop; verdicts are asked for meanwhile.
    pub fn send(&self, sends: Sends, stop: &CancellationToken) {
        let sends = Mutex::new(sends);
        let sent = CancellationToken::new();
        std::thread::scope(|scope| {
            let senders: Vec<_> = (0..SENDERS)
                .map(|_| scope.spawn(|| self.send_in_turn(&sends, stop)))
                .collect();
            let asking = scope.spawn(|| self.ask_until(&sent));
            for sender in senders {
                sender
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            }
            sent.cancel();
            asking
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
    }

    fn send_in_turn(&self, sends: &Mutex<Sends>, stop: &CancellationToken) {
        let server = self.server();
        let next = || sends.lock().unwrap_or_else(PoisonError::into_inner).next();
        while let Some(send) = next() {
            while let Some(left) = send.due.checked_sub(self.audience.elapsed()) {
                std::thread::sleep(left.min(NOTICED_WITHIN));
                if stop.is_cancelled() {
                    return;
                }
            }
            self.send_one(&server, &send);
        }
    }

    fn send_one(&self, server: &Server, send: &Send) {
        let room = &self.audience.rooms[send.room];
        let body = send.body(Timestamp::now().as_millisecond()).to_string();
        let answered = match send.what {
            // One that was sent again could count twice.
            What::Likes(_) => {
                server.post_once(&format!("/v1/rooms/{}/likes", room.name), body.as_bytes())
            }
            _ => {
                room.record().send(send.id, Some(send.due));
                server.post(&events(room), body.as_bytes()).ok()
            }
        };
        let now = self.audience.elapsed();
        let is_taken = answered.as_ref().is_some_and(|answer| answer.status == 200);
        match send.what {
            What::Likes(count) => room.record().likes(count, is_taken),
            _ if is_taken => room.record().acknowledge(send.id, now),
            _ => {}
        }
        let mut tally = self.audience.tally();
        tally.sent += 1;
        match answered {
            Some(_) if is_taken => tally.acknowledged.add(now.saturating_sub(send.due)),
            Some(answer) if !may_pass(&answer) => {
                let violation = Violation::Answered(describe(&answer));
                tally.violated(format!("a sender to {}", room.name), violation);
            }
            _ => tally.unknown += 1,
        }
    }

    /// Asks for verdicts until everything is sent.
    fn ask_until(&self, sent: &CancellationToken) {
        let server = self.server();
        while !sent.is_cancelled() {
            std::thread::sleep(ASKED_EVERY);
            let before = self.audience.elapsed().saturating_sub(SHOWN_WITHIN);
            for room in &self.audience.rooms {
                let ids = room.record().take_unseen(before);
                self.ask(&server, room, &ids, 0);
            }
        }
    }

    /// Asks for the verdicts that are left, once every room's end is settled: a room has one order, so
    /// what has no verdict then will never have one.
    pub fn settle_rest(&self) -> anyhow::Result<()> {
        let server = self.server();
        for room in &self.audience.rooms {
            let end = self.frame_id("broadcast_end", room);
            let deadline = Instant::now() + SETTLED_WITHIN;
            while self.ask(&server, room, &[end], WAIT_S) > 0 {
                if Instant::now() > deadline {
                    bail!("room {}: its end is not settled", room.name);
                }
            }
            let ids = room.record().take_unseen(Duration::MAX);
            self.ask(&server, room, &ids, 0);
        }
        Ok(())
    }

    /// Asks what became of these; how many are pending.
    fn ask(&self, server: &Server, room: &Room, ids: &[Uuid], wait_s: u32) -> usize {
        let parts = ids.chunks(IDS_MAX);
        parts
            .map(|ids| self.ask_of(server, room, ids, wait_s))
            .sum()
    }

    fn ask_of(&self, server: &Server, room: &Room, ids: &[Uuid], wait_s: u32) -> usize {
        let query: Vec<_> = ids.iter().map(|id| format!("id={id}")).collect();
        let (name, query) = (&room.name, query.join("&"));
        let answer = server.get(&format!("/v1/rooms/{name}/verdicts?{query}&wait={wait_s}"));
        let told = answer
            .as_ref()
            .ok()
            .and_then(|answer| answer.body["verdicts"].as_array());
        let by_id = |id: &Uuid| {
            let id = id.to_string();
            told?.iter().find(|verdict| verdict["id"] == *id)
        };
        ids.iter()
            .filter(|id| !self.decided(room, **id, by_id(id)))
            .count()
    }

    /// Takes a verdict; false where there is none yet, which is then asked for again.
    fn decided(&self, room: &Room, id: Uuid, verdict: Option<&Value>) -> bool {
        let verdict = verdict.unwrap_or(&Value::Null);
        match (verdict["verdict"].as_str(), verdict["seq"].as_u64()) {
            (Some("visible" | "duplicate"), Some(seq)) => {
                if let Err(violation) = room.record().visible(id, seq) {
                    let by = format!("a verdict of {}", room.name);
                    self.audience.tally().violated(by, violation);
                }
            }
            (Some("refused"), _) => {
                let reason = verdict["reason"].as_str().unwrap_or("without a reason");
                room.record().refused(id, reason);
                *self
                    .audience
                    .tally()
                    .refused
                    .entry(reason.to_owned())
                    .or_default() += 1;
            }
            _ => {
                room.record().acknowledge(id, self.audience.elapsed());
                return false;
            }
        }
        true
    }

    /// Compares every room with its history, from where on its head is known.
    pub fn conclude(&self) -> anyhow::Result<()> {
        let server = self.server();
        for room in &self.audience.rooms {
            let (history, likes) =
                history(&server, room).with_context(|| format!("room {}", room.name))?;
            let violations = room.record().conclude(&history, likes);
            for violation in violations {
                let by = format!("the history of {}", room.name);
                self.audience.tally().violated(by, violation);
            }
            room.ends_at(history.last().map_or(0, |event| event.seq));
        }
        Ok(())
    }

    fn server(&self) -> Server {
        Server::new(&self.base, self.token.clone()).patient_for(PATIENCE)
    }
}

fn events(room: &Room) -> String {
    format!("/v1/rooms/{}/events", room.name)
}

/// Whether an answer only says that the server has no time.
fn may_pass(answer: &Answer) -> bool {
    matches!(answer.status, 429 | 503)
}

/// A room's only broadcast as the history has it, once that has its end, and how many likes it got.
fn history(server: &Server, room: &Room) -> anyhow::Result<(Vec<Shown>, u64)> {
    let path = format!("/v1/rooms/{}/broadcasts", room.name);
    let deadline = Instant::now() + SETTLED_WITHIN;
    loop {
        let answer = server.get(&format!("{path}?limit=1"))?;
        let newest = &answer.body["broadcasts"][0];
        if newest["ended_at"].is_i64() {
            let broadcast = newest["broadcast"].as_str().context("it has a name")?;
            let likes = newest["totals"]["likes"].as_u64();
            let events = exported(server, &format!("{path}/{broadcast}"), deadline)?;
            return Ok((events, likes.context("its likes are told")?));
        }
        if Instant::now() > deadline {
            bail!("its end is not in the history, at last: {}", answer.body);
        }
        std::thread::sleep(LOOKED_EVERY);
    }
}

/// Every event of a broadcast, asked for until the deadline.
fn exported(server: &Server, path: &str, deadline: Instant) -> anyhow::Result<Vec<Shown>> {
    loop {
        let mut lines = Vec::new();
        match server.copy(&format!("{path}/export?format=jsonl"), &mut lines) {
            Ok(_) => {
                let events = serde_json::Deserializer::from_slice(&lines).into_iter();
                let events: Result<_, _> = events.collect();
                return events.context("an event is none");
            }
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            Err(_) => std::thread::sleep(LOOKED_EVERY),
        }
    }
}

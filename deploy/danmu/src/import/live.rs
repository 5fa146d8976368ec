//! Plays a recording as a live show: sends what `show` says is due, and accounts for every entry.
//!
//! The clock starts when the broadcast is open, and every event is due at its own distance from there, so
//! a slow server delays what is due but never shifts the rest. The broadcast that was opened is ended in
//! every case that leaves the server reachable: at the show's end, at a signal, and when the server
//! refuses something. What settling refuses is learned from the verdicts while the show goes on, because
//! they are kept for two minutes only.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use uuid::Uuid;

use super::outcome::Outcome;
use super::plan::{Plan, PlannedEvent};
use super::recording::Refused;
use super::room::{ImportError, Room, SETTLE_WITHIN, VERDICTS_LEN_MAX, Verdict, next_array};
use super::show::{Pace, Show};
use crate::client::{Server, describe};

/// How often verdicts are asked for during the show.
const VERDICTS_ASKED_EVERY: Duration = Duration::from_secs(1);
/// The longest wait of one question for verdicts after the show, in seconds.
const VERDICTS_WAIT_S: u32 = 5;

/// How a show is played.
pub struct Run {
    /// The identity of this showing.
    pub id: Uuid,
    /// How much faster than recorded.
    pub pace: Pace,
    /// Says once that the show is to end now.
    pub stop: Receiver<()>,
}

/// Plays the plan's events in its room, in which no broadcast may be open.
pub fn play(
    server: &Server,
    plan: &Plan,
    run: &Run,
    now_ms: impl Fn() -> i64,
    progress: &ProgressBar,
) -> Result<Outcome, ImportError> {
    let mut player = Player {
        room: Room::new(server, &plan.identity.room),
        show: Show::new(plan, run.id, run.pace),
        pending: VecDeque::new(),
        outcome: Outcome {
            refused: plan.refused.clone(),
            ..Outcome::default()
        },
    };
    progress.inc(plan.refused.len() as u64);
    if !plan.events.is_empty() {
        if has_open_broadcast(&player.room)? {
            return Err(ImportError::OtherBroadcast);
        }
        player.room.post_frame(&player.show.start())?;
        let played = player.send_all(&run.stop, &now_ms, progress);
        let ended = player.room.post_frame(&player.show.end());
        played.and(ended)?;
        player.settle_rest()?;
        player.see_end()?;
    }
    progress.finish();
    Ok(player.outcome)
}

fn has_open_broadcast(room: &Room<'_>) -> Result<bool, ImportError> {
    let answer = room.ask("")?;
    match answer.status {
        200 => Ok(answer.body.get("broadcast").is_some()),
        _ => Err(ImportError::Answered(describe(&answer))),
    }
}

struct Player<'a> {
    room: Room<'a>,
    show: Show<'a>,
    /// What the log has and of which no verdict is known, oldest first.
    pending: VecDeque<&'a PlannedEvent>,
    outcome: Outcome,
}

impl Player<'_> {
    /// Sends each event at its time, until the last one or a stop.
    fn send_all(
        &mut self,
        stop: &Receiver<()>,
        now_ms: &impl Fn() -> i64,
        progress: &ProgressBar,
    ) -> Result<(), ImportError> {
        let started = Instant::now();
        let mut ask_at = started + VERDICTS_ASKED_EVERY;
        while let Some(due) = self.show.next_due() {
            let mut pause = due.saturating_sub(started.elapsed());
            if !self.pending.is_empty() {
                pause = pause.min(ask_at.saturating_duration_since(Instant::now()));
            }
            if stop.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                self.outcome.not_played = self.show.rest().len();
                return Ok(());
            }
            self.send_due(started.elapsed(), now_ms, progress)?;
            if Instant::now() >= ask_at {
                self.settle(0)?;
                ask_at = Instant::now() + VERDICTS_ASKED_EVERY;
            }
        }
        Ok(())
    }

    fn send_due(
        &mut self,
        elapsed: Duration,
        now_ms: &impl Fn() -> i64,
        progress: &ProgressBar,
    ) -> Result<(), ImportError> {
        let due: Vec<&PlannedEvent> = self.show.take_due(elapsed).iter().collect();
        let mut rest = &due[..];
        while !rest.is_empty() {
            let now_ms = now_ms();
            let (len, requests) = next_array(rest, |event| self.show.request(event, now_ms));
            let (array, after) = rest.split_at(len);
            let refused = &mut self.outcome.refused;
            let taken = self.room.send_array(array, requests, refused)?;
            self.pending.extend(taken);
            progress.inc(len as u64);
            rest = after;
        }
        Ok(())
    }

    /// Asks once what became of everything that is pending.
    fn settle(&mut self, wait_s: u32) -> Result<(), ImportError> {
        let pending: Vec<&PlannedEvent> = self.pending.drain(..).collect();
        for part in pending.chunks(VERDICTS_LEN_MAX) {
            let ids: Vec<Uuid> = part.iter().map(|e| self.show.event_id(e)).collect();
            let verdicts = self.room.verdicts(&ids, wait_s)?;
            for (event, id) in part.iter().zip(ids) {
                match verdicts.get(&id.to_string()) {
                    Some(Verdict::Shown) => self.outcome.sent += 1,
                    Some(Verdict::Refused(reason)) => self.outcome.refused.push(Refused {
                        index: event.index,
                        reason: reason.clone(),
                    }),
                    None => self.pending.push_back(event),
                }
            }
        }
        Ok(())
    }

    /// Asks until everything has its verdict, or the time for that is over.
    fn settle_rest(&mut self) -> Result<(), ImportError> {
        let deadline = Instant::now() + SETTLE_WITHIN;
        while !self.pending.is_empty() && Instant::now() < deadline {
            self.settle(VERDICTS_WAIT_S)?;
        }
        self.outcome.without_verdict = self.pending.len();
        Ok(())
    }

    /// Waits until the room shows the broadcast's end: whoever looks next finds it over.
    fn see_end(&self) -> Result<(), ImportError> {
        let deadline = Instant::now() + SETTLE_WITHIN;
        while Instant::now() < deadline {
            let verdicts = self.room.verdicts(&[self.show.end_id()], VERDICTS_WAIT_S)?;
            if !verdicts.is_empty() {
                return Ok(());
            }
        }
        Err(ImportError::NotSettled)
    }
}

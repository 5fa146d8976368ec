//! What a live show of a recording sends, and when: its frame, its events, their ids and times.
//!
//! A show is a run of its own: every id is made from the run's and the recording's, so a retry repeats
//! an id and another run never does. Its time begins with the earliest event, or at the recording's zero
//! if that is earlier, and passes as many times faster as the pace says. Pure: the run's id and the time
//! that has passed are arguments; `live` sends.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::plan::{Plan, PlannedEvent};

#[cfg(test)]
mod tests;

/// The author of what nobody in particular said: a live event has one.
const NOBODY: &str = "anonymous";

/// How many times faster than it was recorded a show is played, as `8x` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace(NonZeroU32);

impl FromStr for Pace {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let times = text.strip_suffix('x').and_then(|times| times.parse().ok());
        times
            .map(Self)
            .ok_or("not a whole number and an x, as in 8x")
    }
}

/// A recording on its way to be played.
pub struct Show<'a> {
    plan: &'a Plan,
    run: Uuid,
    pace: Pace,
    begin_at: i64,
    next: usize,
}

impl<'a> Show<'a> {
    /// A show of the whole plan.
    pub fn new(plan: &'a Plan, run: Uuid, pace: Pace) -> Self {
        let first_at = plan.events.first().map(|event| event.recorded_at);
        Self {
            plan,
            run,
            pace,
            begin_at: first_at.map_or(plan.zero_at, |at| at.min(plan.zero_at)),
            next: 0,
        }
    }

    /// The event that opens the broadcast.
    pub fn start(&self) -> Value {
        json!({
            "kind": "broadcast_start",
            "id": self.id(self.plan.start_id(0)),
            "title": self.plan.title,
            "role": "backend",
        })
    }

    /// The event that ends it.
    pub fn end(&self) -> Value {
        json!({
            "kind": "broadcast_end",
            "id": self.end_id(),
            "role": "backend",
        })
    }

    /// The id of the event that ends it.
    pub fn end_id(&self) -> Uuid {
        self.id(self.plan.end_id(0))
    }

    /// Takes the events whose time has come `elapsed` after the start, in their order.
    pub fn take_due(&mut self, elapsed: Duration) -> &'a [PlannedEvent] {
        let rest = &self.plan.events[self.next..];
        let due = rest.partition_point(|event| self.due_after(event) <= elapsed);
        self.next += due;
        &rest[..due]
    }

    /// When the next event is due, counted from the start; nothing after the last one.
    pub fn next_due(&self) -> Option<Duration> {
        let next = self.plan.events.get(self.next)?;
        Some(self.due_after(next))
    }

    /// What has not been taken.
    pub fn rest(&self) -> &'a [PlannedEvent] {
        &self.plan.events[self.next..]
    }

    /// The id of an event in this run.
    pub fn event_id(&self, event: &PlannedEvent) -> Uuid {
        self.id(event.id)
    }

    /// The event as a live one; a gift is issued now.
    pub fn request(&self, event: &PlannedEvent, now_ms: i64) -> Value {
        let mut request = event.request(now_ms);
        if let Some(fields) = request.as_object_mut() {
            fields.remove("recorded_at");
            fields.insert("id".into(), self.event_id(event).to_string().into());
            fields
                .entry("user")
                .or_insert_with(|| json!({"id": NOBODY, "name": ""}));
        }
        request
    }

    fn due_after(&self, event: &PlannedEvent) -> Duration {
        let recorded_ms = event.recorded_at.abs_diff(self.begin_at);
        Duration::from_millis(recorded_ms) / self.pace.0.get()
    }

    fn id(&self, recorded: Uuid) -> Uuid {
        Uuid::new_v5(&self.run, recorded.as_bytes())
    }
}

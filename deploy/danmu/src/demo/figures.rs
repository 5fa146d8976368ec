//! One viewer of every room, and the figures that it sees.
//!
//! It polls as a page would, though faster, and tells once a second what the answers said: rates from
//! the rooms' totals, and how long its own polls took. So the line shows what arrives, not what was
//! sent.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::bail;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::client::{Server, describe};

/// How often each room is polled.
const POLL_EVERY: Duration = Duration::from_millis(250);
/// How often the line is written.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// A viewer of some rooms.
pub struct Viewer {
    server: Server,
    rooms: Vec<Watched>,
    /// How long each poll since the last line took.
    took: Vec<Duration>,
}

/// A room as its viewer has it.
struct Watched {
    name: &'static str,
    cursor: Option<String>,
    totals: Totals,
}

/// What a room, or all of them, came to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Totals {
    comments: u64,
    gifts: u64,
    likes: u64,
    viewers: u64,
}

impl Viewer {
    /// Has seen nothing yet.
    pub fn new(server: Server, rooms: impl Iterator<Item = &'static str>) -> Self {
        let watched = |name| Watched {
            name,
            cursor: None,
            totals: Totals::default(),
        };
        Self {
            server,
            rooms: rooms.map(watched).collect(),
            took: Vec::new(),
        }
    }

    /// Watches until `stop`, and writes the figures to standard output: one line that changes on a
    /// terminal, else one line a second.
    pub fn watch(&mut self, stop: &CancellationToken) -> anyhow::Result<()> {
        let began = Instant::now();
        self.poll()?;
        let (mut told_at, mut told) = (Instant::now(), self.totals());
        while !stop.is_cancelled() {
            std::thread::sleep(POLL_EVERY);
            self.poll()?;
            if told_at.elapsed() < TELL_EVERY {
                continue;
            }
            let totals = self.totals();
            let rates = rates(told, totals, told_at.elapsed());
            let polls = percentiles(&mut self.took);
            tell(&format!(
                "{:4} s  {rates}  {polls}",
                began.elapsed().as_secs()
            ))?;
            (told_at, told) = (Instant::now(), totals);
            self.took.clear();
        }
        Ok(())
    }

    fn poll(&mut self) -> anyhow::Result<()> {
        for room in &mut self.rooms {
            let began = Instant::now();
            let answer = self.server.get(&room.path())?;
            self.took.push(began.elapsed());
            if answer.status != 200 {
                bail!("room {}: {}", room.name, describe(&answer));
            }
            room.see(&answer.body);
        }
        Ok(())
    }

    fn totals(&self) -> Totals {
        let mut sum = Totals::default();
        for room in &self.rooms {
            sum.comments += room.totals.comments;
            sum.gifts += room.totals.gifts;
            sum.likes += room.totals.likes;
            sum.viewers += room.totals.viewers;
        }
        sum
    }
}

impl Watched {
    fn path(&self) -> String {
        match &self.cursor {
            None => format!("/v1/rooms/{}/events", self.name),
            Some(cursor) => format!("/v1/rooms/{}/events?limit=500&after={cursor}", self.name),
        }
    }

    fn see(&mut self, page: &Value) {
        let total = |name| page["totals"][name].as_u64().unwrap_or(0);
        self.cursor = page["cursor"].as_str().map(str::to_owned);
        self.totals = Totals {
            comments: total("comments"),
            gifts: total("gifts"),
            likes: total("likes"),
            viewers: total("viewers"),
        };
    }
}

fn rates(from: Totals, to: Totals, within: Duration) -> String {
    let per_s = |from: u64, to: u64| to.saturating_sub(from) as f64 / within.as_secs_f64();
    let comments = per_s(from.comments, to.comments);
    let gifts = per_s(from.gifts, to.gifts);
    let likes = per_s(from.likes, to.likes);
    let viewers = to.viewers;
    format!(
        "comments {comments:5.1}/s  gifts {gifts:4.1}/s  likes {likes:6.0}/s  viewers {viewers:5}"
    )
}

fn percentiles(took: &mut [Duration]) -> String {
    took.sort_unstable();
    let at = |share: usize| took.get(took.len().saturating_sub(1) * share / 100);
    let ms = |share| at(share).map_or(0.0, |took| took.as_secs_f64() * 1_000.0);
    format!("poll p50 {:.1} ms  max {:.1} ms", ms(50), ms(100))
}

fn tell(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if out.is_terminal() {
        // Back to the line's begin, and the old one cleared.
        write!(out, "\r\x1b[2K{line}")?;
    } else {
        writeln!(out, "{line}")?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_rates_of_what_was_seen() {
        let from = Totals {
            comments: 10,
            gifts: 0,
            likes: 500,
            viewers: 7,
        };
        let to = Totals {
            comments: 30,
            gifts: 3,
            likes: 1_500,
            viewers: 9,
        };
        let line = rates(from, to, Duration::from_secs(2));
        assert_eq!(
            line,
            "comments  10.0/s  gifts  1.5/s  likes    500/s  viewers     9"
        );
    }

    #[test]
    fn polls_are_told_by_their_middle_and_their_longest() {
        let mut took = [4, 1, 3, 2, 9].map(Duration::from_millis);
        assert_eq!(percentiles(&mut took), "poll p50 3.0 ms  max 9.0 ms");
        assert_eq!(percentiles(&mut []), "poll p50 0.0 ms  max 0.0 ms");
    }
}

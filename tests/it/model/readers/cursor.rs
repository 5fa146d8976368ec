//! Cursors across generations: a room's numbering begins anew, and the servers learn of it at
//! different times.
//!
//! A client goes from server to server. If its cursor names a generation that servers can order, a
//! server that is behind says so, and one that is ahead names the generation to go on with; nothing
//! is repeated or left out in silence.

use std::collections::BTreeSet;

use fastrand::Rng;

use super::super::world::{Findings, chance, fails, found, holds, pick};

const EVENTS: usize = 150;
const STEPS: usize = 900;
const PAGE_MAX: usize = 5;

#[derive(Clone, Copy, PartialEq)]
enum Cursor {
    /// `generation:seq`, and servers can order generations.
    Ordered,
    /// Shortcut: the generation can only be compared for equality.
    Opaque,
    /// Shortcut: a seq alone.
    Alone,
}

/// A generation and a seq in it.
type Numbered = (u32, usize);

#[derive(Default)]
struct Client {
    at: Option<Numbered>,
    newest: Option<Numbered>,
    seen: BTreeSet<Numbered>,
}

fn random_events(rng: &mut Rng) -> Vec<Numbered> {
    let (mut generation, mut seq) = (1, 0);
    let next = |_| {
        if chance(rng, 0.03) {
            generation += 1;
            seq = 0;
        }
        seq += 1;
        (generation, seq)
    };
    (0..EVENTS).map(next).collect()
}

fn run(seed: u64, cursor: Cursor) -> Findings {
    let mut rng = Rng::with_seed(seed);
    let events = random_events(&mut rng);
    let lags = [pick(&mut rng, &[1, 3]), pick(&mut rng, &[1, 25])];
    let (mut views, mut head) = ([0, 0], 0);
    let mut client = Client::default();
    let mut findings = Findings::new();
    for step in 0..STEPS {
        if chance(&mut rng, 0.3) {
            head = (head + 1).min(EVENTS);
        }
        for (view, lag) in views.iter_mut().zip(lags) {
            if chance(&mut rng, 0.3) {
                let behind = if step < 700 { rng.usize(..lag) } else { 0 };
                *view = head.saturating_sub(behind).max(*view);
            }
        }
        let view = &events[..views[rng.usize(..2)]];
        client.poll(view, cursor, &mut findings);
    }
    findings
}

impl Client {
    fn poll(&mut self, view: &[Numbered], cursor: Cursor, findings: &mut Findings) {
        let Some(&(generation, head)) = view.last() else {
            return;
        };
        if let Some((mine, _)) = self.at
            && mine != generation
            && cursor != Cursor::Alone
        {
            if cursor == Cursor::Ordered && mine > generation {
                return;
            }
            if mine > generation {
                found(findings, "told that an older generation replaced the room");
            }
            self.at = (cursor == Cursor::Ordered).then_some((generation, 0));
            return;
        }
        let after = self.at.map_or(0, |(_, seq)| seq);
        let new = view
            .iter()
            .filter(|(of, seq)| *of == generation && *seq > after);
        if after < head {
            for event in new.take(PAGE_MAX) {
                self.take(*event, findings);
            }
        }
    }

    fn take(&mut self, event: Numbered, findings: &mut Findings) {
        if !self.seen.insert(event) {
            found(findings, "a repeat");
        }
        match self.newest {
            Some((generation, seq)) if generation == event.0 && event.1 != seq + 1 => {
                found(findings, "a hole inside a generation");
            }
            Some((generation, _)) if generation != event.0 && event.1 != 1 => {
                found(findings, "a generation begins in its middle");
            }
            _ => {}
        }
        self.newest = Some(event);
        self.at = Some(event);
    }
}

#[test]
fn an_ordered_generation_loses_nothing() {
    holds(
        "cursor: a generation that servers can order",
        2000,
        |seed| run(seed, Cursor::Ordered),
    );
}

#[test]
fn cursor_shortcuts_are_caught() {
    fails("cursor: a seq without a generation", 500, |seed| {
        run(seed, Cursor::Alone)
    });
    fails(
        "cursor: a generation that servers cannot order",
        500,
        |seed| run(seed, Cursor::Opaque),
    );
}

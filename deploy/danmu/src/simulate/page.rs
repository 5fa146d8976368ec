//! A page as a client reads it, and what can be wrong with it by itself.

use std::collections::BTreeMap;

use serde::Deserialize;
use uuid::Uuid;

use super::violation::Violation;

/// What of a page a simulation looks at.
#[derive(Debug, Clone, Deserialize)]
pub struct Page {
    /// The room's name.
    pub room: String,
    /// What is shown, in order.
    pub events: Vec<Shown>,
    /// What the reader has after it.
    pub cursor: String,
    /// It covers the seqs after this one…
    pub from: u64,
    /// …up to this one.
    pub to: u64,
    /// What it covers and does not show.
    #[serde(default)]
    pub withheld: Withheld,
    /// When a poll comes again.
    pub poll_after_ms: Option<u64>,
}

/// An event as far as it matters: the content may be gone, these three never are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Shown {
    /// Its place in its room.
    pub seq: u64,
    /// What it is.
    pub kind: String,
    /// Its id.
    pub id: Uuid,
}

/// How many events are left out, and why.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Withheld {
    /// In all.
    pub count: u64,
    /// By reason.
    pub by: BTreeMap<String, u64>,
}

impl Page {
    /// Whether it is whole: its events ascend, lie within it, and what is missing is what it says.
    pub fn check(&self) -> Result<(), Violation> {
        let (from, to) = (self.from, self.to);
        let mut before = from;
        for &Shown { seq, .. } in &self.events {
            if seq <= from || seq > to {
                return Err(Violation::Outside { seq, from, to });
            }
            if seq <= before {
                return Err(Violation::OutOfOrder { seq, before });
            }
            before = seq;
        }
        let missing = to.saturating_sub(from) - self.events.len() as u64;
        let told = self.withheld.count;
        let by_reason: u64 = self.withheld.by.values().sum();
        if missing != told || told != by_reason {
            return Err(Violation::WronglyWithheld {
                from,
                to,
                missing,
                told,
            });
        }
        Ok(())
    }

    /// The seqs that it leaves out, where density is the only reason.
    pub fn thinned(&self) -> impl Iterator<Item = u64> {
        let is_thinned = self.withheld.by.keys().all(|reason| reason == "density");
        let covered = (is_thinned && self.withheld.count > 0).then_some(self.from + 1..=self.to);
        let mut shown = self.events.iter().map(|event| event.seq).peekable();
        let left_out = move |seq: &u64| shown.next_if_eq(seq).is_none();
        covered.into_iter().flatten().filter(left_out)
    }
}

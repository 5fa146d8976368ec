//! What became of the entries of a file, and how an import tells it.
//!
//! Every entry ends in exactly one of the counts. An import has succeeded if those that the room has and
//! those that were refused, each for a reason that is told, are all of them. Pure.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::recording::Refused;

/// How many entries of each reason the summary names.
const ENTRIES_NAMED_MAX: usize = 20;

/// What became of the entries of a file.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How many were sent and are in the room.
    pub sent: usize,
    /// How many the room had before.
    pub already_there: usize,
    /// How many a live show had not come to when it was stopped.
    pub not_played: usize,
    /// How many the server took without ever telling what became of them.
    pub without_verdict: usize,
    /// Those that did not become events, by entry.
    pub refused: Vec<Refused>,
}

impl Outcome {
    /// Whether each of the file's `entries` is in the room or refused for a reason.
    pub fn accounts_for(&self, entries: usize) -> bool {
        self.sent + self.already_there + self.refused.len() == entries
    }

    /// The counts in one line, then a line for each reason to refuse, with the entries, from 0.
    pub fn summary(&self, entries: usize) -> String {
        let mut text = format!(
            "{entries} entries: {} sent, {} already there, {} refused",
            self.sent,
            self.already_there,
            self.refused.len(),
        );
        for (count, what) in [
            (self.not_played, "not played"),
            (self.without_verdict, "without a verdict"),
        ] {
            if count > 0 {
                write!(text, ", {count} {what}").expect("a string takes all");
            }
        }
        text.push('\n');
        for (reason, indexes) in self.refused_by_reason() {
            let named = indexes.iter().take(ENTRIES_NAMED_MAX);
            let named: Vec<String> = named.map(ToString::to_string).collect();
            let (count, named) = (indexes.len(), named.join(" "));
            let more = if count > ENTRIES_NAMED_MAX {
                " …"
            } else {
                ""
            };
            writeln!(text, "  refused {count}: {reason} (entries {named}{more})")
                .expect("a string takes all");
        }
        text
    }

    fn refused_by_reason(&self) -> BTreeMap<&str, Vec<usize>> {
        let mut by_reason: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for refused in &self.refused {
            let indexes = by_reason.entry(&refused.reason).or_default();
            indexes.push(refused.index);
        }
        by_reason.values_mut().for_each(|indexes| indexes.sort());
        by_reason
    }
}

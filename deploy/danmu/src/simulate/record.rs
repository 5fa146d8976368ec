//! What is known of one room: what was sent into it, and what its readers were told, which must agree.
//!
//! Pure. All readers that stand at one place get the same bytes, so a page is understood once, and
//! compared then: whoever is first told what a seq is fixes it for all others and for the history. At
//! the end the history must have everything that was acknowledged and not refused, once, and nothing
//! that nobody sent.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::page::{Page, Shown};
use super::violation::Violation;

/// How many pages are kept understood.
const PAGES_KEPT: usize = 64;
/// How much of what is no page is told.
const TEXT_BYTES_MAX: usize = 200;

/// A page that agrees with all before it.
#[derive(Debug)]
pub struct Known {
    /// The page.
    pub page: Page,
    /// When what it shows was to be sent, where that is known.
    pub dues: Vec<Duration>,
}

/// What became of an event that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    /// Nobody knows whether it is in the log.
    Unanswered,
    /// It is in the log.
    Acknowledged,
    /// It was settled, and has no seq.
    Refused(String),
}

#[derive(Debug)]
struct Sent {
    /// When it was to be sent, where that was planned.
    due: Option<Duration>,
    fate: Fate,
}

/// What is known of a room.
#[derive(Debug, Default)]
pub struct Record {
    room: String,
    sent: HashMap<Uuid, Sent>,
    /// The ids by their seqs, 1 first; holes are what nobody was shown yet.
    ids: Vec<Option<Uuid>>,
    seqs: HashMap<Uuid, u64>,
    /// The seqs that were left out for density.
    thinned: BTreeSet<u64>,
    /// Acknowledged, and when; perhaps not seen yet.
    unseen: VecDeque<(Duration, Uuid)>,
    pages: HashMap<Bytes, Arc<Known>>,
    oldest: VecDeque<Bytes>,
    likes_acknowledged: u64,
    likes_unknown: u64,
}

impl Record {
    /// Nothing is known of the room of that name.
    pub fn new(room: &str) -> Self {
        Self {
            room: room.to_owned(),
            ..Self::default()
        }
    }

    /// An event is about to be sent.
    pub fn send(&mut self, id: Uuid, due: Option<Duration>) {
        let fate = Fate::Unanswered;
        self.sent.insert(id, Sent { due, fate });
    }

    /// An event is in the log.
    pub fn acknowledge(&mut self, id: Uuid, now: Duration) {
        if let Some(sent) = self.sent.get_mut(&id) {
            sent.fate = Fate::Acknowledged;
        }
        self.unseen.push_back((now, id));
    }

    /// Likes were sent.
    pub fn likes(&mut self, count: u64, is_acknowledged: bool) {
        match is_acknowledged {
            true => self.likes_acknowledged += count,
            false => self.likes_unknown += count,
        }
    }

    /// Takes out the events that were acknowledged before `before` and that no reader was shown: their
    /// verdicts are to be asked for.
    pub fn take_unseen(&mut self, before: Duration) -> Vec<Uuid> {
        let len = self.unseen.partition_point(|(at, _)| *at < before);
        let due = self.unseen.drain(..len).map(|(_, id)| id);
        due.filter(|id| !self.seqs.contains_key(id)).collect()
    }

    /// An event's verdict is that it is visible, with this seq.
    pub fn visible(&mut self, id: Uuid, seq: u64) -> Result<(), Violation> {
        self.agree(seq, id)
    }

    /// An event's verdict is that it is refused.
    pub fn refused(&mut self, id: Uuid, reason: &str) {
        if let Some(sent) = self.sent.get_mut(&id) {
            sent.fate = Fate::Refused(reason.to_owned());
        }
    }

    /// The page that a reader was told; `None` where it is none.
    pub fn page(&mut self, told: &Bytes) -> Result<Option<Arc<Known>>, Violation> {
        if let Some(known) = self.pages.get(told) {
            return Ok(Some(Arc::clone(known)));
        }
        let Ok(page) = serde_json::from_slice(told) else {
            return Ok(None);
        };
        let known = Arc::new(self.know(page)?);
        if self.oldest.len() == PAGES_KEPT
            && let Some(oldest) = self.oldest.pop_front()
        {
            self.pages.remove(&oldest);
        }
        self.oldest.push_back(told.clone());
        self.pages.insert(told.clone(), Arc::clone(&known));
        Ok(Some(known))
    }

    /// Compares a page with what is known.
    fn know(&mut self, page: Page) -> Result<Known, Violation> {
        if page.room != self.room {
            return Err(Violation::OtherRoom(page.room));
        }
        page.check()?;
        for shown in &page.events {
            self.agree(shown.seq, shown.id)?;
        }
        self.thinned.extend(page.thinned());
        let due = |shown: &Shown| self.sent.get(&shown.id)?.due;
        let dues = page.events.iter().filter_map(due).collect();
        Ok(Known { page, dues })
    }

    fn agree(&mut self, seq: u64, id: Uuid) -> Result<(), Violation> {
        let first = *self.seqs.entry(id).or_insert(seq);
        if first != seq {
            let second = seq;
            return Err(Violation::Twice { id, first, second });
        }
        let at = (seq as usize).saturating_sub(1);
        if self.ids.len() <= at {
            self.ids.resize(at + 1, None);
        }
        match self.ids[at] {
            Some(other) if other != id => Err(Violation::Disagrees { seq, id, other }),
            _ => {
                self.ids[at] = Some(id);
                Ok(())
            }
        }
    }

    /// Compares with the whole history of the room and its likes, when nothing is sent any more.
    pub fn conclude(&mut self, history: &[Shown], likes: u64) -> Vec<Violation> {
        let mut violations: Vec<_> = self.compare(history).collect();
        let in_history: HashMap<Uuid, u64> = history.iter().map(|e| (e.id, e.seq)).collect();
        let head = history.last().map_or(0, |event| event.seq);
        if self.ids.len() as u64 > head {
            let seq = self.ids.len() as u64;
            violations.push(Violation::HistoryShort { head, seq });
        }
        let mut lost: Vec<_> = self.misplaced(&in_history).collect();
        lost.sort_by_key(|(id, _)| *id);
        violations.extend(lost.into_iter().map(|(_, violation)| violation));
        let (acknowledged, unknown) = (self.likes_acknowledged, self.likes_unknown);
        if !(acknowledged..=acknowledged + unknown).contains(&likes) {
            violations.push(Violation::Likes {
                total: likes,
                acknowledged,
                unknown,
            });
        }
        violations
    }

    /// What in the history is not as it was told or sent.
    fn compare(&mut self, history: &[Shown]) -> impl Iterator<Item = Violation> {
        (1..).zip(history).filter_map(|(expected, event)| {
            let (seq, id) = (event.seq, event.id);
            if seq != expected {
                let found = seq;
                return Some(Violation::HistoryHole { expected, found });
            }
            if let Err(violation) = self.agree(seq, id) {
                return Some(violation);
            }
            let kind = event.kind.clone();
            if self.thinned.contains(&seq) && !may_be_thinned(&kind) {
                return Some(Violation::NeverThinned { seq, kind });
            }
            let is_foreign = kind != "likes" && !self.sent.contains_key(&id);
            is_foreign.then_some(Violation::Foreign { seq, kind, id })
        })
    }

    /// What was sent and is where it should not be, or is not where it should.
    fn misplaced(
        &self,
        in_history: &HashMap<Uuid, u64>,
    ) -> impl Iterator<Item = (Uuid, Violation)> {
        self.sent.iter().filter_map(|(&id, sent)| {
            let violation = match (&sent.fate, in_history.get(&id)) {
                (Fate::Acknowledged, None) => Violation::Lost { id },
                (Fate::Refused(reason), Some(&seq)) => {
                    let reason = reason.clone();
                    Violation::RefusedShown { id, reason, seq }
                }
                _ => return None,
            };
            Some((id, violation))
        })
    }
}

/// What a reader was told that is no page, as far as it is worth telling.
pub fn no_page(told: &[u8]) -> Violation {
    let begin = &told[..told.len().min(TEXT_BYTES_MAX)];
    Violation::NoPage(String::from_utf8_lossy(begin).into_owned())
}

/// Whether density may leave an event of that kind out.
fn may_be_thinned(kind: &str) -> bool {
    matches!(kind, "likes" | "gift" | "comment")
}

#[cfg(test)]
mod tests;

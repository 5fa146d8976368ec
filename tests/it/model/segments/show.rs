//! A random broadcast: its events, the moderation during and after it, and when its segments
//! closed.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::super::world::{chance, pick};

const RECORDS: i64 = 90;
const SEGMENT_LENGTH: i64 = 30;
const AUTHORS: usize = 4;

pub struct Event {
    pub seq: usize,
    pub offset: i64,
    at: i64,
    author: Option<usize>,
}

enum Change {
    Delete {
        seq: usize,
    },
    /// Hides what the author has said since a time.
    Hide {
        author: usize,
        since: i64,
    },
}

pub struct Moderation {
    pub seq: usize,
    pub offset: i64,
    change: Change,
}

impl Moderation {
    pub fn hides(&self, event: &Event) -> bool {
        match self.change {
            Change::Delete { seq } => seq == event.seq,
            Change::Hide { author, since } => {
                event.author == Some(author) && event.at >= since && event.seq < self.seq
            }
        }
    }
}

pub struct Show {
    pub events: Vec<Event>,
    pub moderation: Vec<Moderation>,
    /// The offset of the event that closed each segment.
    pub closed_at: BTreeMap<i64, i64>,
    /// The last offset.
    pub end: i64,
}

impl Show {
    pub fn random(rng: &mut Rng) -> Show {
        let (events, moderation, closed_at) = Default::default();
        let mut show = Show {
            events,
            moderation,
            closed_at,
            end: RECORDS - 1,
        };
        let mut at = 0;
        for offset in 0..RECORDS {
            let pause = if chance(rng, 0.05) { 40 } else { 3 };
            at += pick(rng, &[0, 0, 1, 2, 5, pause]);
            let absorbed = chance(rng, 0.3);
            if !absorbed || offset == RECORDS - 1 {
                show.add_live(rng, offset, at);
            }
        }
        show.close(at, RECORDS - 1);
        show.add_late(rng, at + 500);
        show
    }

    fn add_live(&mut self, rng: &mut Rng, offset: i64, at: i64) {
        if let Some(last) = self.events.last().map(|event| event.at)
            && segment_of(last) != segment_of(at)
        {
            self.close(last, offset);
        }
        let seq = self.events.len() + 1;
        let change = match rng.u32(..10) {
            0 if seq > 1 => Some(Change::Delete {
                seq: rng.usize(seq.saturating_sub(25).max(1)..seq),
            }),
            1 => Some(Change::Hide {
                author: rng.usize(..AUTHORS),
                since: at - pick(rng, &[10, 60]),
            }),
            _ => None,
        };
        let author = change.is_none().then(|| rng.usize(..AUTHORS));
        self.moderation.extend(change.map(|change| Moderation {
            seq,
            offset,
            change,
        }));
        self.events.push(Event {
            seq,
            offset,
            at,
            author,
        });
    }

    /// Moderation goes on after the show; its events belong to no segment of it.
    fn add_late(&mut self, rng: &mut Rng, at: i64) {
        let live = self.events.len();
        for _ in 0..rng.usize(..6) {
            self.end += rng.i64(1..4);
            let (seq, offset) = (self.events.len() + 1, self.end);
            let change = Change::Delete {
                seq: rng.usize(1..live),
            };
            self.moderation.push(Moderation {
                seq,
                offset,
                change,
            });
            self.events.push(Event {
                seq,
                offset,
                at,
                author: None,
            });
        }
    }

    fn close(&mut self, at: i64, offset: i64) {
        self.closed_at.insert(segment_of(at), offset);
    }

    /// The indexes of a segment's events.
    pub fn members(&self, segment: i64) -> impl Iterator<Item = usize> {
        let events = self.events.iter().enumerate();
        events
            .filter(move |(_, event)| segment_of(event.at) == segment)
            .map(|(index, _)| index)
    }

    /// The index of the event that closed a segment.
    pub fn closer(&self, segment: i64) -> usize {
        let offset = self.closed_at[&segment];
        self.events.partition_point(|event| event.offset < offset)
    }

    /// Whether a change changes anything that the segment shows.
    pub fn changes(&self, change: &Moderation, segment: i64) -> bool {
        self.members(segment)
            .any(|index| change.hides(&self.events[index]))
    }
}

fn segment_of(at: i64) -> i64 {
    at.div_euclid(SEGMENT_LENGTH)
}

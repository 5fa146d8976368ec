//! A slot's log as a script, what settling it gives, and an owner that settles it into a projection.
//!
//! The truth is settled once from the first record to the last, and remembered after each: whatever a
//! projection shows at a position is compared with it. Offsets are the records' places in the script.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use danmu_processors::settle::{Input, Room, settle};
use danmu_projections::erasures::Erasures;
use danmu_projections::projection::{Appended, Projection, RoomChange, SlotStep};
use danmu_schemas::codec::{self, Datum};
use danmu_schemas::event::*;
use danmu_schemas::fact::Fact;
use danmu_schemas::state::{Field, StateCore};
use danmu_schemas::{
    EventId, Generation, LogIdentity, Position, Role, RoomEvent, RoomId, Settled, Slot,
};
use fastrand::Rng;

use super::one_slot::OneSlot;

/// How often an owner opens its slot again before its projection is taken for broken.
const OPENED_MAX: usize = 10_000;

/// The log that every script is of.
pub fn log() -> LogIdentity {
    LogIdentity("log-1".to_owned())
}

/// The position of the script's record `n`.
pub fn at(n: i64) -> Position {
    Position::new(0, n)
}

/// One record.
struct Record {
    room: RoomId,
    logged_at: i64,
    datum: Bytes,
}

/// A room's state without its memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The core as stored.
    pub core: Bytes,
    /// The fields as stored.
    pub fields: [Bytes; Field::COUNT],
}

impl Standing {
    /// The core.
    pub fn core(&self) -> StateCore {
        codec::from_stored(&self.core).expect("settle encoded it")
    }
}

/// The records of one slot, with the truth about them.
pub struct Script {
    /// The slot.
    pub slot: Slot,
    records: Vec<Record>,
    /// After the first `n` records.
    standings: Vec<BTreeMap<RoomId, Standing>>,
    events: BTreeMap<(RoomId, Generation), Vec<Settled>>,
    facts: Vec<(RoomId, Fact)>,
}

/// An event that has not been said yet.
pub struct Line {
    /// In which room.
    pub room: RoomId,
    /// The log's time.
    pub logged_at: i64,
    /// The event's id.
    pub id: u128,
    /// Who says it.
    pub user: String,
    /// What.
    pub body: Body<'static>,
}

/// Rooms of one slot.
pub fn rooms(count: usize) -> Vec<RoomId> {
    let slot = Slot::of("room-0");
    let names = (0..).map(|n| format!("room-{n}"));
    names
        .filter(|name| Slot::of(name) == slot)
        .map(|name| RoomId::parse(&name).expect("a room's name"))
        .take(count)
        .collect()
}

/// A comment.
pub fn comment(text: impl Into<String>) -> Body<'static> {
    Body::Comment(Comment {
        text: text.into().into(),
        style: Style::default(),
        reply_to: None,
        ext: vec![],
    })
}

/// The beginning of a broadcast.
pub fn start(title: &str) -> Body<'static> {
    Body::BroadcastStart(BroadcastStart {
        title: title.to_owned().into(),
        recorded: false,
        zero_at: None,
        ext: vec![],
    })
}

/// Its end.
pub fn end() -> Body<'static> {
    Body::BroadcastEnd(Reason { reason: None })
}

/// A gift of the value 10 in `currency`, in a combo.
pub fn gift(currency: &str, issued_at: i64) -> Body<'static> {
    Body::Gift(Gift {
        gift: "rose".into(),
        name: "Rose".into(),
        count: 2,
        unit_value: 5,
        currency: currency.to_owned().into(),
        text: None,
        combo: Some("c".into()),
        issued_at,
        ext: vec![],
    })
}

/// A deletion.
pub fn delete(seq: u64) -> Body<'static> {
    Body::Delete(Delete {
        target: Target::Seq(seq),
        reason: "spam".into(),
    })
}

/// A mute that hides what the user said since a time.
pub fn hide(user: &str, since_at: i64) -> Body<'static> {
    Body::Mute(Mute {
        target_user: user.to_owned().into(),
        until_at: None,
        hide_since_at: Some(since_at),
        reason: "rude".into(),
    })
}

/// The erasure of some events.
pub fn erase_seqs(seqs: &[u64]) -> Body<'static> {
    Body::Erase(Erase {
        target_seqs: seqs.to_vec(),
        target_user: None,
    })
}

/// The erasure of a user.
pub fn erase(user: &str) -> Body<'static> {
    Body::Erase(Erase {
        target_seqs: vec![],
        target_user: Some(user.to_owned().into()),
    })
}

impl Script {
    /// Settles the lines.
    pub fn of(lines: &[Line]) -> Self {
        let slot = lines.first().expect("a script has lines").room.slot();
        let mut script = Self {
            slot,
            records: lines.iter().map(Record::of).collect(),
            standings: vec![BTreeMap::new()],
            events: BTreeMap::new(),
            facts: Vec::new(),
        };
        let mut rooms = BTreeMap::new();
        for n in 0..script.records.len() {
            let changes = script.settle(&mut rooms, n..n + 1);
            script.note(&changes);
        }
        script
    }

    /// Everything that can happen in a room, at random, in `rooms` rooms.
    pub fn random(seed: u64, len: usize, rooms_len: usize) -> Self {
        let mut rng = Rng::with_seed(seed);
        let rooms = rooms(rooms_len);
        let mut logged_at = 1_700_000_000_000;
        let mut lines: Vec<Line> = Vec::with_capacity(len);
        for n in 0..len {
            logged_at += rng.i64(0..2_500);
            let room = rooms[rng.usize(..rooms.len())].clone();
            let user = format!("user-{}", rng.u8(..6));
            let retried = lines
                .iter()
                .rev()
                .find(|line| line.room == room)
                .filter(|_| rng.u8(..10) == 0);
            let line = match retried {
                Some(line) => Line {
                    room,
                    logged_at,
                    id: line.id,
                    user: line.user.clone(),
                    body: line.body.clone(),
                },
                None => Line {
                    room,
                    logged_at,
                    id: n as u128,
                    body: random_body(&mut rng, n, logged_at),
                    user,
                },
            };
            lines.push(line);
        }
        Self::of(&lines)
    }

    /// How many records there are.
    #[expect(clippy::len_without_is_empty, reason = "no script is empty")]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// The last record's position.
    pub fn end(&self) -> Position {
        at(self.len() as i64 - 1)
    }

    /// The rooms that have records.
    pub fn rooms(&self) -> Vec<RoomId> {
        self.standings[self.len()].keys().cloned().collect()
    }

    /// A room as of a position; `None` where it has no record yet.
    pub fn standing(&self, room: &RoomId, position: Position) -> Option<&Standing> {
        self.standings[after(position)].get(room)
    }

    /// A room's visible events of its generation, as of a position.
    pub fn events(&self, room: &RoomId, position: Position) -> Vec<Settled> {
        let Some(standing) = self.standing(room, position) else {
            return Vec::new();
        };
        self.events_of(room, standing.core().generation, position)
    }

    /// The visible events of one generation, as of a position.
    pub fn events_of(
        &self,
        room: &RoomId,
        generation: Generation,
        position: Position,
    ) -> Vec<Settled> {
        let events = self.events.get(&(room.clone(), generation));
        let until = |event: &&Settled| event.offset <= position.offset;
        let events = events.into_iter().flatten().take_while(until);
        events.cloned().collect()
    }

    /// What is left of a room's visible events of all generations up to a position, in the order of the
    /// log, where everything that was erased up to there is blank.
    pub fn events_left(&self, room: &RoomId, position: Position) -> Vec<(Generation, Settled)> {
        let facts: Vec<Fact> = self.facts(room, position).cloned().collect();
        let erasures = Erasures::of_facts(&facts);
        let mut left = Vec::new();
        for (of, generation) in self.events.keys().filter(|(of, _)| of == room) {
            for mut event in self.events_of(of, *generation, position) {
                let blanked = erasures.blank_event(*generation, &mut event);
                blanked.expect("the script encoded it");
                left.push((*generation, event));
            }
        }
        left
    }

    /// A room's facts up to a position, in the order of the log.
    pub fn facts(&self, room: &RoomId, position: Position) -> impl Iterator<Item = &Fact> {
        let until = move |fact: &&Fact| fact.position <= position;
        let of_room = self.facts.iter().filter(move |(of, _)| of == room);
        of_room.map(|(_, fact)| fact).take_while(until)
    }

    /// The step over some records, settled from the log's first.
    pub fn step(&self, records: Range<usize>) -> SlotStep {
        let mut rooms = BTreeMap::new();
        self.settle(&mut rooms, 0..records.start);
        SlotStep {
            slot: self.slot,
            expected: at(records.start as i64 - 1),
            to: at(records.end as i64 - 1),
            changes: self.settle(&mut rooms, records),
        }
    }

    /// Settles records on from the given rooms; a room that is not given is new.
    pub fn settle(
        &self,
        rooms: &mut BTreeMap<RoomId, Room>,
        records: Range<usize>,
    ) -> Vec<RoomChange> {
        let mut last: BTreeMap<&RoomId, Position> = BTreeMap::new();
        for n in records {
            let record = &self.records[n];
            let event = codec::decode_datum(&record.datum).expect("the script encoded it");
            let room = rooms.entry(record.room.clone()).or_default();
            let input = Input {
                position: at(n as i64),
                logged_at: record.logged_at,
                event: &event,
                datum: record.datum.clone(),
            };
            settle(room, input).expect("a script stays with the first rules");
            last.insert(&record.room, at(n as i64));
        }
        let change = |(name, position): (&RoomId, Position)| {
            let room = rooms.get_mut(name).expect("it was settled");
            room.take_change(name, position)
        };
        last.into_iter().map(change).collect()
    }

    fn note(&mut self, changes: &[RoomChange]) {
        let mut standings = self.standings.last().cloned().unwrap_or_default();
        for change in changes {
            let standing = Standing {
                core: change.state.core.clone(),
                fields: change.state.fields.clone(),
            };
            standings.insert(change.room.clone(), standing);
            for run in &change.runs {
                let of = (change.room.clone(), run.generation);
                let events = self.events.entry(of).or_default();
                events.extend(run.settled.iter().cloned());
            }
            let facts = change.facts.iter().cloned();
            self.facts
                .extend(facts.map(|fact| (change.room.clone(), fact)));
        }
        self.standings.push(standings);
    }
}

impl Record {
    fn of(line: &Line) -> Self {
        let event = RoomEvent {
            id: EventId(line.id.to_be_bytes()),
            room: line.room.as_str().to_owned().into(),
            accepted_at: line.logged_at,
            recorded_at: None,
            user: Some(User {
                id: line.user.clone().into(),
                name: format!("name of {}", line.user).into(),
                ext: vec![],
            }),
            role: Role::Viewer,
            device: None,
            body: line.body.clone(),
        };
        let mut datum = Vec::new();
        event.encode(&mut datum);
        Self {
            room: line.room.clone(),
            logged_at: line.logged_at,
            datum: datum.into(),
        }
    }
}

fn random_body(rng: &mut Rng, n: usize, now: i64) -> Body<'static> {
    let user = format!("user-{}", rng.u8(..6));
    let currency = ["coin", "gem"][rng.usize(..2)];
    match rng.u8(..100) {
        0..45 => comment(format!("comment {n}")),
        45..60 => gift(currency, now),
        60..66 => Body::Likes(Likes {
            count: 7,
            source: "aggregator".into(),
        }),
        66..70 => Body::Enter,
        70..73 => Body::Audience(Audience {
            source: "gateway".into(),
            viewers: rng.u32(..900),
        }),
        73..79 => delete(rng.u64(1..20)),
        79..82 => hide(&user, now - 20_000),
        82..85 => Body::Unmute(Unmute {
            target_user: user.into(),
            reason: "sorry".into(),
        }),
        85..87 => Body::Rules(Rules {
            slow_ms: Some(rng.u32(..2) * 4_000),
            comments_open: None,
        }),
        87..90 => Body::Pin(Pin {
            target_seq: rng.u64(1..20),
        }),
        90..92 => start(&format!("show {n}")),
        92..94 => end(),
        94 => Body::BroadcastInterrupt(Reason { reason: None }),
        95 => Body::BroadcastResume(Reason { reason: None }),
        96 => Body::Reset,
        97 if n.is_multiple_of(2) => erase_seqs(&[rng.u64(1..20)]),
        97 => erase(&user),
        _ => Body::Leave,
    }
}

/// How many records a position is after.
fn after(position: Position) -> usize {
    usize::try_from(position.offset + 1).expect("no position is before the beginning")
}

/// Settles a script into a projection, as the loop does.
pub struct Owner<'a, P> {
    projection: P,
    script: &'a Script,
    rooms: BTreeMap<RoomId, Room>,
    at: Position,
}

impl<'a, P: Projection> Owner<'a, P> {
    /// Opens the script's slot.
    pub async fn open(projection: P, script: &'a Script) -> anyhow::Result<Self> {
        let mut owner = Self {
            projection,
            script,
            rooms: BTreeMap::new(),
            at: Position::BEGIN,
        };
        owner.reopen().await?;
        Ok(owner)
    }

    /// Drops all that is held and opens the slot again.
    pub async fn reopen(&mut self) -> anyhow::Result<()> {
        self.rooms.clear();
        self.at = self.projection.open(self.script.slot).await?;
        ensure!(
            self.at <= self.script.end(),
            "{} is past the log's end",
            self.at
        );
        Ok(())
    }

    /// Up to where it has settled.
    pub fn position(&self) -> Position {
        self.at
    }

    /// Settles the next `count` records in one append. Where the slot is elsewhere, opens it again.
    pub async fn step(&mut self, count: usize) -> anyhow::Result<Appended> {
        let first = after(self.at);
        let records = first..(first + count).min(self.script.len());
        if let Some(elsewhere) = self.load_unmet(records.clone()).await? {
            return Ok(elsewhere);
        }
        let step = SlotStep {
            slot: self.script.slot,
            expected: self.at,
            to: at(records.end as i64 - 1),
            changes: self.script.settle(&mut self.rooms, records),
        };
        let to = step.to;
        let appended = self.projection.append(step).await?;
        match appended {
            Appended::Stored | Appended::Already => self.at = to,
            Appended::Other(_) => self.reopen().await?,
        }
        Ok(appended)
    }

    /// Makes what was settled so far what a next owner goes on from.
    pub async fn checkpoint(&mut self) -> anyhow::Result<()> {
        let (slot, to) = (self.script.slot, self.at);
        Ok(self.projection.checkpoint(slot, to).await?)
    }

    /// Settles up to `position` in steps of `count`, then checkpoints.
    pub async fn settle_to(&mut self, position: Position, count: usize) -> anyhow::Result<()> {
        for _ in 0..OPENED_MAX {
            if self.at >= position {
                return self.checkpoint().await;
            }
            let missing = after(position) - after(self.at);
            self.step(count.min(missing)).await?;
        }
        bail!("the owner stands at {} for ever", self.at)
    }

    async fn load_unmet(&mut self, records: Range<usize>) -> anyhow::Result<Option<Appended>> {
        let named = self.script.records[records]
            .iter()
            .map(|record| &record.room);
        let mut unmet: Vec<RoomId> = named
            .filter(|room| !self.rooms.contains_key(*room))
            .cloned()
            .collect();
        unmet.sort_unstable();
        unmet.dedup();
        if unmet.is_empty() {
            return Ok(None);
        }
        let loaded = self.projection.load(self.script.slot, &unmet).await?;
        if loaded.position != Some(self.at) {
            self.reopen().await?;
            return Ok(Some(Appended::Other(loaded.position)));
        }
        ensure!(loaded.states.len() == unmet.len(), "a state for each room");
        for (name, state) in unmet.into_iter().zip(loaded.states) {
            let room = match state {
                None => Room::new(),
                Some(state) => Room::from_stored(&state, self.at)
                    .with_context(|| format!("the state of {name} at {}", self.at))?,
            };
            self.rooms.insert(name, room);
        }
        Ok(None)
    }
}

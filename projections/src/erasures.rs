//! What was erased in a room, and what it leaves of events, snapshots and states at rest.
//!
//! Pure. Blanking keeps everything that answers are decided by: who did what and when, seqs and sums.
//! So a segment has the same revision whether its rows were blanked or not, and blanking again, or by
//! more erasures, only ever takes more.

use std::collections::BTreeMap;

use bytes::Bytes;
use danmu_schemas::chunk::ChunkHeader;
use danmu_schemas::codec::{self, Datum, DecodeError};
use danmu_schemas::fact::{Fact, FactBody, Moderation, Snapshot};
use danmu_schemas::state::{BroadcastInfo, Field, Giver, Roster, StateCore, TopGivers};
use danmu_schemas::{Cursor, Generation, Position, Seq, Settled};

use crate::projection::StoredState;

/// The erasures of one room up to some position.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Erasures {
    events: BTreeMap<Cursor, Position>,
    /// The last erasure of each user: the event that did it, and its position.
    users: BTreeMap<String, (Cursor, Position)>,
}

impl Erasures {
    /// Takes in what the event `by` did, where it erased something.
    pub fn add(&mut self, by: Cursor, position: Position, moderation: &Moderation) {
        match moderation {
            Moderation::Erased { target } => {
                let target = Cursor { seq: *target, ..by };
                let known = self.events.entry(target).or_insert(position);
                *known = position.max(*known);
            }
            Moderation::UserErased { user } => {
                let known = self.users.entry(user.clone()).or_insert((by, position));
                *known = (by, position).max(*known);
            }
            Moderation::Deleted { .. } | Moderation::Hidden { .. } => {}
        }
    }

    /// What a step erased.
    pub fn of_facts(facts: &[Fact]) -> Self {
        let mut erasures = Self::default();
        for fact in facts {
            if let FactBody::Moderated { by, moderation } = &fact.body {
                erasures.add(*by, fact.position, moderation);
            }
        }
        erasures
    }

    /// Whether nothing was erased.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.users.is_empty()
    }

    /// Whether a user was erased, so that it matters who did what.
    pub fn name_users(&self) -> bool {
        !self.users.is_empty()
    }

    /// Whether the content of an event at a cursor by that user was erased.
    pub fn take(&self, cursor: Cursor, user: Option<&str>) -> bool {
        let of_user = user.and_then(|user| self.users.get(user));
        self.events.contains_key(&cursor) || of_user.is_some_and(|(by, _)| cursor < *by)
    }

    /// Whether an event of a chunk may have been erased, as far as its header tells.
    pub fn may_take_of(&self, chunk: &ChunkHeader) -> bool {
        let at = |seq| Cursor {
            generation: chunk.generation,
            seq,
        };
        let end = Seq(chunk.first_seq.0.saturating_add(u64::from(chunk.count)));
        let mut targets = self.events.range(at(chunk.first_seq)..at(end));
        self.name_users() || targets.next().is_some()
    }

    /// Blanks an event if it was erased; whether that changed it.
    pub fn blank_event(
        &self,
        generation: Generation,
        settled: &mut Settled,
    ) -> Result<bool, DecodeError> {
        let mut event = codec::decode_datum(&settled.datum)?;
        let seq = settled.seq;
        let user = event.user.as_ref().map(|user| &*user.id);
        if !self.take(Cursor { generation, seq }, user) {
            return Ok(false);
        }
        event.blank();
        let mut datum = Vec::with_capacity(settled.datum.len());
        event.encode(&mut datum);
        let is_changed = settled.datum != datum;
        settled.datum = datum.into();
        Ok(is_changed)
    }

    /// Blanks what a fact repeats of erased events; whether that changed it. `starter` is who did the
    /// first event of the fact's broadcast.
    pub fn blank_fact(&self, fact: &mut Fact, starter: Option<&str>) -> bool {
        match &mut fact.body {
            FactBody::BroadcastStarted { broadcast, started } => {
                self.take(*broadcast, starter) && clear(&mut started.info)
            }
            FactBody::SegmentOpened {
                broadcast, segment, ..
            } => {
                let takes_texts = self.take(*broadcast, starter);
                self.blank_snapshot(broadcast.generation, &mut segment.snapshot, takes_texts)
            }
            FactBody::BroadcastEnded { .. }
            | FactBody::Interruption { .. }
            | FactBody::HeatBucketOpened { .. }
            | FactBody::Moderated { .. } => false,
        }
    }

    fn blank_snapshot(
        &self,
        generation: Generation,
        snapshot: &mut Snapshot,
        takes_texts: bool,
    ) -> bool {
        let seq = snapshot.core.last_seq;
        let at = Cursor { generation, seq };
        let is_gone = |user: &str| self.users.get(user).is_some_and(|(by, _)| at < *by);
        let is_unnamed = |giver: &Giver| {
            let seq = giver.named_by;
            is_gone(&giver.user) || self.events.contains_key(&Cursor { generation, seq })
        };
        let mut is_changed = takes_texts && clear(&mut snapshot.broadcast);
        is_changed |= clear_givers(&mut snapshot.givers, is_unnamed);
        is_changed | clear_entrants(&mut snapshot.roster, is_gone)
    }

    /// Blanks what a state as of `at` repeats of events that were erased after it; whether that changed
    /// it. What came before, the state itself has followed. `starter` is who did the first event of the
    /// open broadcast.
    pub fn blank_state(
        &self,
        at: Position,
        state: &mut StoredState,
        starter: Option<&str>,
    ) -> Result<bool, DecodeError> {
        let StateCore {
            generation,
            broadcast,
            ..
        } = codec::from_stored(&state.core)?;
        let is_later = |position: &Position| *position > at;
        let is_gone = |user: &str| self.users.get(user).is_some_and(|(_, p)| is_later(p));
        let is_erased = |seq| {
            let erased = self.events.get(&Cursor { generation, seq });
            erased.is_some_and(is_later)
        };
        let is_unnamed = |giver: &Giver| is_gone(&giver.user) || is_erased(giver.named_by);
        let takes_texts =
            broadcast.is_some_and(|open| is_erased(open.first_seq)) || starter.is_some_and(is_gone);
        let mut is_changed = takes_texts && rewrite(state, Field::Broadcast, clear)?;
        is_changed |= rewrite(state, Field::Givers, |givers| {
            clear_givers(givers, is_unnamed)
        })?;
        is_changed |= rewrite(state, Field::Roster, |roster| {
            clear_entrants(roster, is_gone)
        })?;
        Ok(is_changed)
    }
}

/// The broadcast that is open in a state.
pub fn open_broadcast(state: &StoredState) -> Result<Option<Cursor>, DecodeError> {
    let core: StateCore = codec::from_stored(&state.core)?;
    let generation = core.generation;
    Ok(core.broadcast.map(|open| Cursor {
        generation,
        seq: open.first_seq,
    }))
}

fn rewrite<T: for<'a> Datum<'a>>(
    state: &mut StoredState,
    field: Field,
    blank: impl FnOnce(&mut T) -> bool,
) -> Result<bool, DecodeError> {
    let bytes: &mut Bytes = &mut state.fields[field.index()];
    if bytes.is_empty() {
        return Ok(false);
    }
    let mut value: T = codec::from_stored(bytes)?;
    let is_changed = blank(&mut value);
    if is_changed {
        *bytes = codec::to_stored(&value);
    }
    Ok(is_changed)
}

fn clear(info: &mut BroadcastInfo) -> bool {
    std::mem::take(info) != BroadcastInfo::default()
}

fn clear_givers(givers: &mut TopGivers, is_unnamed: impl Fn(&Giver) -> bool) -> bool {
    let givers = givers.by_currency.iter_mut().flatten();
    let named = |giver: &&mut Giver| is_unnamed(giver) && !giver.name.is_empty();
    givers.filter(named).map(|giver| giver.name.clear()).count() > 0
}

fn clear_entrants(roster: &mut Roster, is_gone: impl Fn(&str) -> bool) -> bool {
    let mut is_changed = false;
    for entrant in &mut roster.entrants {
        if is_gone(&entrant.user) && !entrant.name.is_empty() {
            entrant.name.clear();
            is_changed = true;
        }
    }
    is_changed
}

//! One room: settled again, and compared with what the stores said when its first record was met.
//!
//! Each thing that a store said is true as of a position, a *stop*. Output up to a stop is compared
//! before a record beyond it is settled, so a state is looked at exactly where the store had it.

use std::collections::BTreeSet;

use bytes::Bytes;
use danmu_projections::erasures::{self, Erasures};
use danmu_projections::history::layout::{self, Table};
use danmu_projections::history::{HistoryReader, HistoryStore};
use danmu_projections::projection::{RoomChange, StateChange, StoreError, StoredState};
use danmu_projections::windows::{WindowRead, WindowStore};
use danmu_schemas::codec::DecodeError;
use danmu_schemas::state::GiftMemory;
use danmu_schemas::{Cursor, Position, RoomId};

use super::chunks::{ChunkSource, ChunkTrail};
use super::facts::{self, FactTrail};
use super::remembered::{self, EventEntry, Placed, Remembered};
use super::report::Report;
use super::states::{self, Gone, PinnedState};
use super::window::PinnedWindow;
use super::{Sources, VerifyError};
use crate::settle::{Input, Room, settle};

/// How often a room is pinned again because its watermark moved meanwhile.
const PIN_TRIES_MAX: usize = 16;
/// What a room takes beside what is counted.
const ROOM_BYTES: usize = 4_096;
/// What a remembered event takes with its indexes, about.
const REMEMBERED_BYTES: usize = 160;

/// A room on its way through the log.
pub(super) struct VerifiedRoom {
    name: RoomId,
    room: Room,
    /// Its last settled record.
    position: Option<Position>,
    is_pending: bool,
    /// Where something is still to be compared.
    stops: BTreeSet<Position>,
    pinned: Pinned,
    chunks: ChunkTrail,
    facts: [FactTrail; layout::FactKind::ALL.len()],
    report: Report,
}

/// What the stores said.
struct Pinned {
    /// The history's watermark.
    watermark: Position,
    /// The history's states at or below it, ascending.
    states: Vec<PinnedState>,
    history_memory: Memory,
    /// What was erased up to the watermark.
    erasures: Erasures,
    window: Option<PinnedWindow>,
    /// The state with its memory that a processor would resume from in the windows.
    resumed: Option<(Position, Option<PinnedState>, Memory)>,
}

/// Both memories of a state.
struct Memory {
    events: Remembered<EventEntry>,
    gifts: Remembered<GiftMemory>,
}

impl VerifiedRoom {
    /// A room before its first record. The history is looked at as of its watermark, or as of
    /// `watermark` where it is a room that the log has not and the history should not have.
    pub async fn pin<H: HistoryStore, W: WindowStore + WindowRead>(
        name: &RoomId,
        sources: &Sources<H, W>,
        watermark: Option<Position>,
    ) -> Result<Self, VerifyError> {
        let mut report = Report::default();
        let mut pinned = pin_history(name, &sources.history, watermark, &mut report).await?;
        if let Some(windows) = &sources.windows {
            let window = windows.room(name).await?;
            pinned.window = PinnedWindow::new(&window, name, &mut report);
            pinned.resumed = pin_resumed(name, windows, &mut report).await?;
            report.windows_unknown = u64::from(pinned.window.is_none());
        }
        Ok(Self {
            name: name.clone(),
            room: Room::new(),
            position: None,
            is_pending: false,
            stops: pinned.stops(),
            pinned,
            chunks: ChunkTrail::default(),
            facts: FactTrail::of_each_kind(),
            report,
        })
    }

    /// The last position that matters.
    pub fn last_stop(&self) -> Option<Position> {
        self.stops.last().copied()
    }

    /// Settles a record, unless it lies beyond everything that is compared.
    pub async fn settle<H: HistoryStore>(
        &mut self,
        input: Input<'_>,
        history: &HistoryReader<H>,
    ) -> Result<Settling, VerifyError> {
        let position = input.position;
        while self.stops.first().is_some_and(|stop| *stop < position) {
            self.stop(history).await?;
        }
        if self.stops.is_empty() {
            return Ok(Settling::Done);
        }
        if let Err(why) = settle(&mut self.room, input) {
            return Ok(Settling::Halted(why.to_string()));
        }
        if self.position.replace(position).is_none() {
            self.report.rooms = 1;
        }
        self.is_pending = true;
        self.report.records += 1;
        Ok(Settling::Settled)
    }

    /// Compares what was settled since the last call.
    pub async fn compare<H: HistoryStore>(
        &mut self,
        history: &HistoryReader<H>,
    ) -> Result<(), VerifyError> {
        if self.is_pending {
            self.take_change(history).await?;
        }
        Ok(())
    }

    /// The log has no more records that matter.
    pub async fn end<H: HistoryStore>(
        mut self,
        history: &HistoryReader<H>,
    ) -> Result<Report, VerifyError> {
        while !self.stops.is_empty() {
            self.stop(history).await?;
        }
        Ok(self.report)
    }

    /// About how much memory it takes.
    pub fn held_bytes(&self) -> usize {
        ROOM_BYTES
            + self.room.remembered_len() * REMEMBERED_BYTES
            + self.chunks.held_bytes()
            + self.pinned.held_bytes()
    }

    /// Compares what is as of the first stop.
    async fn stop<H: HistoryStore>(
        &mut self,
        history: &HistoryReader<H>,
    ) -> Result<(), VerifyError> {
        let change = self.take_change(history).await?;
        let Some(at) = self.stops.pop_first() else {
            return Ok(());
        };
        let state = change.as_ref().map(|change| &change.state);
        let starter = self.starter(history, state).await?;
        self.pinned
            .compare_states(at, state, starter, &self.name, &mut self.report);
        if at == self.pinned.watermark {
            self.end_history(history, state).await?;
        }
        Ok(())
    }

    /// Who did the first event of the broadcast that is open in a state, where that matters.
    async fn starter<H: HistoryStore>(
        &self,
        history: &HistoryReader<H>,
        state: Option<&StateChange>,
    ) -> Result<Option<String>, VerifyError> {
        let Some(state) = state.filter(|_| self.pinned.erasures.name_users()) else {
            return Ok(None);
        };
        let core = StoredState {
            core: state.core.clone(),
            ..StoredState::default()
        };
        let own = |source| damaged("what was just settled", source);
        match erasures::open_broadcast(&core).map_err(own)? {
            Some(open) => facts::starter(&self.source(history), open).await,
            None => Ok(None),
        }
    }

    fn source<'a, H>(&'a self, history: &'a HistoryReader<H>) -> ChunkSource<'a, H> {
        ChunkSource {
            history,
            room: &self.name,
            watermark: self.pinned.watermark,
            erasures: &self.pinned.erasures,
        }
    }

    /// The change since the last call; it ends at or before the first stop.
    async fn take_change<H: HistoryStore>(
        &mut self,
        history: &HistoryReader<H>,
    ) -> Result<Option<RoomChange>, VerifyError> {
        let Some(position) = self.position else {
            return Ok(None);
        };
        let change = self.room.take_change(&self.name, position);
        if std::mem::take(&mut self.is_pending) {
            self.pinned.expect(&change, &mut self.report)?;
            if position <= self.pinned.watermark {
                self.expect_in_history(&change, history).await?;
            }
        }
        Ok(Some(change))
    }

    async fn expect_in_history<H: HistoryStore>(
        &mut self,
        change: &RoomChange,
        history: &HistoryReader<H>,
    ) -> Result<(), VerifyError> {
        for run in &change.runs {
            for event in &run.settled {
                let cursor = Cursor {
                    generation: run.generation,
                    seq: event.seq,
                };
                self.chunks.expect(cursor, event);
                let name = self.name.as_str().as_bytes();
                let (seq, offset) = (event.seq.0.to_be_bytes(), event.offset.to_be_bytes());
                self.report.digest(&[name, &seq, &offset, &event.datum]);
            }
        }
        let source = ChunkSource {
            history,
            room: &self.name,
            watermark: self.pinned.watermark,
            erasures: &self.pinned.erasures,
        };
        self.chunks
            .compare(&source, false, &mut self.report)
            .await?;
        for trail in &mut self.facts {
            let expect = trail.expect(&change.facts, &source, &mut self.report);
            expect.await?;
        }
        Ok(())
    }

    async fn end_history<H: HistoryStore>(
        &mut self,
        history: &HistoryReader<H>,
        state: Option<&StateChange>,
    ) -> Result<(), VerifyError> {
        let watermark = self.pinned.watermark;
        let source = ChunkSource {
            history,
            room: &self.name,
            watermark,
            erasures: &self.pinned.erasures,
        };
        self.chunks.compare(&source, true, &mut self.report).await?;
        for trail in &mut self.facts {
            trail
                .end(history, &self.name, watermark, &mut self.report)
                .await?;
        }
        if let Some(state) = state {
            self.report
                .digest(&[self.name.as_str().as_bytes(), &state.core]);
        }
        Ok(())
    }
}

/// What became of a record.
pub(super) enum Settling {
    /// It is settled.
    Settled,
    /// It lies beyond everything that is compared.
    Done,
    /// This build cannot settle it.
    Halted(String),
}

impl Pinned {
    fn stops(&self) -> BTreeSet<Position> {
        let states = self.states.iter().map(|state| state.at);
        let window = self.window.iter().map(|window| window.at);
        let resumed = self.resumed.iter().map(|(at, ..)| *at);
        let watermark = std::iter::once(self.watermark);
        watermark
            .chain(states)
            .chain(window)
            .chain(resumed)
            .collect()
    }

    /// Output that no stop lies within.
    fn expect(&mut self, change: &RoomChange, report: &mut Report) -> Result<(), VerifyError> {
        let room = &change.room;
        let at = change.position;
        if let Some(window) = self.window.as_mut().filter(|window| at <= window.at) {
            window.expect(change, &self.erasures, report);
        }
        let resumed = self.resumed.as_mut().filter(|(stop, ..)| at <= *stop);
        let resumed = resumed.map(|(.., memory)| memory);
        let history = (at <= self.watermark).then_some(&mut self.history_memory);
        let mut memories: Vec<&mut Memory> = resumed.into_iter().chain(history).collect();
        if memories.is_empty() {
            return Ok(());
        }
        // What was encoded a moment ago can be decoded.
        let own = |source| damaged("what was just settled", source);
        for block in &change.state.event_memory {
            for entry in remembered::read_events(block).map_err(own)? {
                for memory in &mut memories {
                    memory.events.expect(&entry, room, report);
                }
            }
        }
        if let Some(block) = &change.state.gift_memory {
            for entry in remembered::read_gifts(block).map_err(own)? {
                for memory in &mut memories {
                    memory.gifts.expect(&entry, room, report);
                }
            }
        }
        Ok(())
    }

    /// Everything that is as of `at`, with the room's state there.
    fn compare_states(
        &mut self,
        at: Position,
        state: Option<&StateChange>,
        starter: Option<String>,
        room: &RoomId,
        report: &mut Report,
    ) {
        let gone = Gone {
            erasures: Some(&self.erasures),
            starter,
        };
        for stored in self.states.iter().filter(|stored| stored.at == at) {
            let what = format!("the state at {at}");
            states::compare(Some(stored), state, &gone, &what, room, report);
        }
        if at == self.watermark {
            let newest = self.states.last();
            // At its own position it was compared.
            if newest.is_none_or(|newest| newest.at < at) {
                let what = newest.map_or("the state".to_owned(), |newest| {
                    format!("the state at {}, the newest", newest.at)
                });
                states::compare(newest, state, &gone, &what, room, report);
            }
            self.history_memory.end(at, state, room, report);
        }
        if let Some(window) = self.window.as_mut().filter(|window| window.at == at) {
            window.end(state, room, report);
        }
        if let Some((stop, stored, memory)) = &mut self.resumed
            && *stop == at
        {
            let what = "the state that the windows' loop resumes from";
            states::compare(stored.as_ref(), state, &Gone::default(), what, room, report);
            memory.end(at, state, room, report);
        }
    }

    fn held_bytes(&self) -> usize {
        let states = self.states.iter().map(PinnedState::held_bytes);
        let window = self.window.iter().map(PinnedWindow::held_bytes);
        let resumed = self.resumed.iter().map(|(_, state, memory)| {
            state.as_ref().map_or(0, PinnedState::held_bytes) + memory.held_bytes()
        });
        let history = std::iter::once(self.history_memory.held_bytes());
        states.chain(window).chain(resumed).chain(history).sum()
    }
}

impl Memory {
    /// The memory of a state; none where a block is damaged, which is a difference.
    fn new(
        whats: [&'static str; 2],
        state: &StoredState,
        room: &RoomId,
        report: &mut Report,
    ) -> Self {
        let [events, gifts] = whats;
        Self {
            events: read(
                events,
                &state.event_memory,
                remembered::read_events,
                room,
                report,
            ),
            gifts: read(
                gifts,
                &state.gift_memory,
                remembered::read_gifts,
                room,
                report,
            ),
        }
    }

    fn end(
        &mut self,
        at: Position,
        state: Option<&StateChange>,
        room: &RoomId,
        report: &mut Report,
    ) {
        let events_since = state.map_or(i64::MAX, |state| state.event_memory_since);
        let gifts_since = state.map_or(i64::MAX, |state| state.gift_memory_since);
        self.events.end(at, events_since, room, report);
        self.gifts.end(at, gifts_since, room, report);
    }

    fn held_bytes(&self) -> usize {
        self.events.held_bytes() + self.gifts.held_bytes()
    }
}

fn read<E: remembered::Entry>(
    what: &'static str,
    blocks: &[Bytes],
    read: impl Fn(&Bytes) -> Result<Vec<Placed<E>>, DecodeError>,
    room: &RoomId,
    report: &mut Report,
) -> Remembered<E> {
    let read = blocks.iter().filter_map(|block| match read(block) {
        Ok(entries) => Some(entries),
        Err(error) => {
            report.differ(room, what, error.to_string());
            None
        }
    });
    Remembered::new(what, read.collect::<Vec<_>>())
}

const HISTORY_MEMORY: [&str; 2] = ["the event memory", "the gift memory"];
const WINDOWS_MEMORY: [&str; 2] = ["the windows' event memory", "the windows' gift memory"];

async fn pin_history<H: HistoryStore>(
    room: &RoomId,
    history: &HistoryReader<H>,
    watermark: Option<Position>,
    report: &mut Report,
) -> Result<Pinned, VerifyError> {
    let slot = room.slot();
    for _ in 0..PIN_TRIES_MAX {
        let before = history.watermark(slot).await?;
        let at = watermark.or(before).unwrap_or(Position::BEGIN);
        let mut said = Report::default();
        let states = pin_states(room, history, at, &mut said).await?;
        let memory = pin_memory(room, history, at, &mut said).await?;
        let erasures = match history.erasures(room, at).await {
            Ok(erasures) => erasures,
            // The damage is found where the facts are compared.
            Err(StoreError::Damaged { .. }) => Erasures::default(),
            Err(error) => return Err(error.into()),
        };
        if watermark.is_none() && history.watermark(slot).await? != before {
            continue;
        }
        report.take_in(said);
        return Ok(Pinned {
            watermark: at,
            states,
            history_memory: memory,
            erasures,
            window: None,
            resumed: None,
        });
    }
    Err(VerifyError::Store(StoreError::Unavailable {
        what: "reading states",
        source: "the watermark moves whenever it is read".into(),
    }))
}

async fn pin_states<H: HistoryStore>(
    room: &RoomId,
    history: &HistoryReader<H>,
    at: Position,
    report: &mut Report,
) -> Result<Vec<PinnedState>, VerifyError> {
    let mut states = Vec::new();
    let mut past = None;
    loop {
        let row = match history.row_past(Table::States, room, past.as_deref()).await {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(states),
            Err(StoreError::Damaged { what, source }) => {
                report.differ(room, what, source.to_string());
                return Ok(states);
            }
            Err(error) => return Err(error.into()),
        };
        let read = layout::read_state_key(&row.key)
            .and_then(|(_, position)| Ok((position, layout::read_state(&row.body)?)));
        match read {
            Ok((position, _)) if position > at => return Ok(states),
            Ok((position, state)) => states.push(PinnedState::new(position, &state)),
            Err(error) => report.differ(room, layout::describe(&row.key), error.to_string()),
        }
        past = Some(row.key);
    }
}

/// The memory that a processor would resume with.
async fn pin_memory<H: HistoryStore>(
    room: &RoomId,
    history: &HistoryReader<H>,
    at: Position,
    report: &mut Report,
) -> Result<Memory, VerifyError> {
    let memory = match history.remembered(room, at).await {
        Ok(memory) => memory,
        Err(StoreError::Damaged { what, source }) => {
            report.differ(room, what, source.to_string());
            StoredState::default()
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Memory::new(HISTORY_MEMORY, &memory, room, report))
}

async fn pin_resumed<W: WindowStore>(
    room: &RoomId,
    windows: &W,
    report: &mut Report,
) -> Result<Option<(Position, Option<PinnedState>, Memory)>, VerifyError> {
    let loaded = windows
        .load(room.slot(), std::slice::from_ref(room))
        .await?;
    let Some(at) = loaded.position else {
        return Ok(None);
    };
    let state = loaded.states.into_iter().next().flatten();
    let pinned = state.as_ref().map(|state| PinnedState::new(at, state));
    let memory = Memory::new(WINDOWS_MEMORY, &state.unwrap_or_default(), room, report);
    Ok(Some((at, pinned, memory)))
}

fn damaged(what: &str, source: DecodeError) -> VerifyError {
    VerifyError::Store(StoreError::Damaged {
        what: what.to_owned(),
        source,
    })
}

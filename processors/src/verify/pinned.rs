//! What the stores said of a room when its first record was met, each as of a position of its own.
//!
//! Read once, before anything is settled, and compared piece by piece as the settled room gets there:
//! the history's states and memory, the window, and what the windows' loop would resume from. What was
//! damaged is a difference at once. Chunks and facts are read as they are compared, elsewhere.

use std::collections::BTreeSet;

use bytes::Bytes;
use danmu_projections::erasures::Erasures;
use danmu_projections::history::layout::{self, Table};
use danmu_projections::history::{HistoryReader, HistoryStore};
use danmu_projections::projection::{RoomChange, StateChange, StoreError, StoredState};
use danmu_projections::windows::{WindowRead, WindowStore};
use danmu_schemas::codec::DecodeError;
use danmu_schemas::state::GiftMemory;
use danmu_schemas::{Position, RoomId};

use super::remembered::{self, EventEntry, Placed, Remembered};
use super::report::Report;
use super::states::{self, Gone, PinnedState};
use super::window::PinnedWindow;
use super::{Sources, VerifyError};

/// How often a room is pinned again because its watermark moved meanwhile.
const PIN_TRIES_MAX: usize = 16;

const HISTORY_MEMORY: [&str; 2] = ["the event memory", "the gift memory"];
const WINDOWS_MEMORY: [&str; 2] = ["the windows' event memory", "the windows' gift memory"];

/// What the stores said.
pub(super) struct Pinned {
    /// The history's watermark.
    pub watermark: Position,
    /// The history's states at or below it, ascending.
    states: Vec<PinnedState>,
    history_memory: Memory,
    /// What was erased up to the watermark.
    pub erasures: Erasures,
    window: Option<PinnedWindow>,
    /// The state with its memory that a processor would resume from in the windows.
    resumed: Option<(Position, Option<PinnedState>, Memory)>,
}

/// Both memories of a state.
struct Memory {
    events: Remembered<EventEntry>,
    gifts: Remembered<GiftMemory>,
}

impl Pinned {
    /// What they say now of a room; of the history as of its watermark, or as of `watermark` if given.
    pub async fn new<H: HistoryStore, W: WindowStore + WindowRead>(
        room: &RoomId,
        sources: &Sources<H, W>,
        watermark: Option<Position>,
        report: &mut Report,
    ) -> Result<Self, VerifyError> {
        let mut pinned = pin_history(room, &sources.history, watermark, report).await?;
        if let Some(windows) = &sources.windows {
            let window = windows.room(room).await?;
            pinned.window = PinnedWindow::new(&window, room, report);
            pinned.resumed = pin_resumed(room, windows, report).await?;
            report.windows_unknown = u64::from(pinned.window.is_none());
        }
        Ok(pinned)
    }

    /// Where something that they said is to be compared.
    pub fn stops(&self) -> BTreeSet<Position> {
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
    pub fn expect(&mut self, change: &RoomChange, report: &mut Report) -> Result<(), VerifyError> {
        let room = &change.room;
        let at = change.position;
        if let Some(window) = self.window.as_mut().filter(|window| at <= window.at) {
            window.expect(change, report);
        }
        let resumed = self.resumed.as_mut().filter(|(stop, ..)| at <= *stop);
        let resumed = resumed.map(|(.., memory)| memory);
        let history = (at <= self.watermark).then_some(&mut self.history_memory);
        let mut memories: Vec<&mut Memory> = resumed.into_iter().chain(history).collect();
        if memories.is_empty() {
            return Ok(());
        }
        for block in &change.state.event_memory {
            for entry in remembered::read_events(block).map_err(own_damaged)? {
                for memory in &mut memories {
                    memory.events.expect(&entry, room, report);
                }
            }
        }
        if let Some(block) = &change.state.gift_memory {
            for entry in remembered::read_gifts(block).map_err(own_damaged)? {
                for memory in &mut memories {
                    memory.gifts.expect(&entry, room, report);
                }
            }
        }
        Ok(())
    }

    /// Compares everything that is as of `at` with the room's state there.
    pub fn compare_states(
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

    /// About how much memory it takes.
    pub fn held_bytes(&self) -> usize {
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

/// What was encoded a moment ago can be decoded; if not, it is told as the damage that it is.
pub(super) fn own_damaged(source: DecodeError) -> VerifyError {
    VerifyError::Store(StoreError::Damaged {
        what: "what was just settled".to_owned(),
        source,
    })
}

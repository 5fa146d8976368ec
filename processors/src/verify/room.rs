//! One room: settled again, and compared with what the stores said when its first record was met.
//!
//! Each thing that a store said (`pinned`) is true as of a position, a *stop*. Output up to a stop is
//! compared before a record beyond it is settled, so a state is looked at exactly where the store had it.

use std::collections::BTreeSet;

use danmu_projections::erasures;
use danmu_projections::history::{HistoryReader, HistoryStore, layout};
use danmu_projections::projection::{RoomChange, StateChange, StoredState};
use danmu_projections::windows::{WindowRead, WindowStore};
use danmu_schemas::{Cursor, Position, RoomId};

use super::chunks::{ChunkSource, ChunkTrail};
use super::facts::{self, FactTrail};
use super::pinned::{Pinned, own_damaged};
use super::report::Report;
use super::{Sources, VerifyError};
use crate::settle::{Input, Room, settle};

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
    /// Where something was erased, and where the sweep is told so.
    erased_at: BTreeSet<Position>,
    swept_at: BTreeSet<Position>,
    report: Report,
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
        let pinned = Pinned::new(name, sources, watermark, &mut report).await?;
        Ok(Self {
            name: name.clone(),
            room: Room::new(),
            position: None,
            is_pending: false,
            stops: pinned.stops(),
            pinned,
            chunks: ChunkTrail::default(),
            facts: FactTrail::of_each_kind(),
            erased_at: BTreeSet::new(),
            swept_at: BTreeSet::new(),
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

    /// The history tells the sweep of an erasure there.
    pub fn meet_erasure(&mut self, position: Position) {
        if position <= self.pinned.watermark {
            self.swept_at.insert(position);
        }
    }

    /// The log has no more records that matter.
    pub async fn end<H: HistoryStore>(
        mut self,
        history: &HistoryReader<H>,
    ) -> Result<Report, VerifyError> {
        while !self.stops.is_empty() {
            self.stop(history).await?;
        }
        for position in self.erased_at.symmetric_difference(&self.swept_at) {
            let why = match self.erased_at.contains(position) {
                true => "is missing",
                false => "is not in the log",
            };
            let what = format!("what the sweep is told of {position}");
            self.report.differ(&self.name, what, why);
        }
        Ok(self.report)
    }

    /// About how much memory it takes.
    pub fn held_bytes(&self) -> usize {
        ROOM_BYTES
            + self.room.remembered_len() * REMEMBERED_BYTES
            + self.chunks.held_bytes()
            + self.erased_at.len() * size_of::<Position>()
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
        match erasures::open_broadcast(&core).map_err(own_damaged)? {
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
        let erasing = change.facts.iter();
        let erasing = erasing.filter(|fact| layout::erasure_row(&self.name, fact).is_some());
        self.erased_at.extend(erasing.map(|fact| fact.position));
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

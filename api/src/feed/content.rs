//! What a process holds of a watched room, and the pages cut from it.
//!
//! Only ever grows in the room's order: windows that went back, or were lost and are being refilled,
//! change nothing that was shown. Events before the first that is held are the history's. Pages that
//! were cut are kept until the room changes, so that a question costs its first asker alone.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use danmu_projections::{PackedChunk, RoomWindow, StoredState};
use danmu_schemas::chunk::{ChunkBody, ChunkHeader, Unpacker};
use danmu_schemas::codec::{self, DecodeError};
use danmu_schemas::state::{Field, StateCore, ViewerSources};
use danmu_schemas::{Generation, Position, RoomId, Seq, Settled};

use super::rendered::Rendered;
use super::verdicts::Verdicts;
use crate::answer::Refused;
use crate::overlay::{self, Overlay};
use crate::overview;
use crate::pace::{Density, Pace};
use crate::page::{self, From, Page, Place, Question, Span};
use crate::totals::write_totals;

/// The most pages of a room that are kept.
const PAGES_MAX: usize = 64;
/// The most bytes of them.
const PAGES_BYTES_MAX: usize = 1_024 * 1_024;

/// A room as this process shows it.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) generation: Generation,
    pub(crate) events: Rendered,
    /// What the events that are held hide, of these and of those before them.
    pub(crate) overlay: Overlay,
    pub(crate) verdicts: Verdicts,
    pub(crate) state: Option<Arc<StoredState>>,
    /// The room's totals, rendered.
    pub(crate) totals: Vec<u8>,
    viewers: u64,
    /// The overview, once it was asked for.
    pub(crate) overview: Option<Bytes>,
    /// Up to where the room's chunks have been taken in.
    read_to: Position,
    bytes_max: usize,
    pages: HashMap<Question, Page>,
    pages_bytes: usize,
}

/// What a question finds here.
pub(crate) enum Found {
    Page(Page),
    /// It begins before what is held.
    Older(Span),
}

/// What came of a room since it was last read. Its chunks are packed: a window may hold a million events
/// that the history does not have yet, which unpacked together would fill the memory.
pub(crate) struct News {
    core: StateCore,
    state: Arc<StoredState>,
    totals: Vec<u8>,
    viewers: u64,
    chunks: Vec<Arc<PackedChunk>>,
}

impl News {
    /// What a window tells; nothing where the slot does not have the room. Chunks before the newest
    /// `events_max` events are left out.
    pub(crate) fn of(window: RoomWindow, events_max: usize) -> Result<Option<Self>, DecodeError> {
        let Some(state) = window.state else {
            return Ok(None);
        };
        let core: StateCore = codec::from_stored(&state.core)?;
        let currencies = overview::field(&state, Field::Currencies)?;
        let sources: ViewerSources = overview::field(&state, Field::Sources)?;
        let mut totals = Vec::new();
        let viewers = sources.viewers(core.clock);
        write_totals(&core.totals, &currencies, viewers, &mut totals);
        let mut chunks = window.chunks;
        chunks.drain(..before_newest(&chunks, core.generation, events_max));
        Ok(Some(Self {
            core,
            totals,
            viewers,
            chunks,
            state,
        }))
    }
}

/// How many of the chunks stand before those with the newest `events_max` events of a generation.
fn before_newest(chunks: &[Arc<PackedChunk>], generation: Generation, events_max: usize) -> usize {
    let mut events = 0;
    let is_enough = |chunk: &Arc<PackedChunk>| {
        let was_enough = events >= events_max;
        if chunk.header.generation == generation {
            events += chunk.header.count as usize;
        }
        was_enough
    };
    chunks
        .iter()
        .rposition(is_enough)
        .map_or(0, |last| last + 1)
}

impl Content {
    /// A room in which nothing has happened yet; of its events at most so many bytes are held.
    pub(crate) fn empty(bytes_max: usize) -> Self {
        let mut totals = Vec::new();
        write_totals(&Default::default(), &Default::default(), 0, &mut totals);
        Self {
            generation: Generation::FIRST,
            events: Rendered::starting_at(Seq(1), bytes_max),
            overlay: Overlay::default(),
            verdicts: Verdicts::default(),
            state: None,
            totals,
            viewers: 0,
            overview: None,
            read_to: Position::BEGIN,
            bytes_max,
            pages: HashMap::new(),
            pages_bytes: 0,
        }
    }

    /// The seq of the room's last event.
    pub(crate) fn head(&self) -> Seq {
        Seq(self.events.next().0 - 1)
    }

    /// Up to where the room's chunks have been taken in.
    pub(crate) fn read_to(&self) -> Position {
        self.read_to
    }

    /// A position that a watermark has reached only if the history has everything that is not held.
    pub(crate) fn held_from(&self) -> Position {
        self.events.first_position().unwrap_or(self.read_to)
    }

    /// Takes in news, a chunk at a time, and lets older events go where there are too many; how many
    /// events there were.
    pub(crate) fn take(&mut self, news: News, unpacker: &mut Unpacker) -> Result<u64, DecodeError> {
        let news_head = (news.core.generation, news.core.last_seq);
        let head = (self.generation, self.head());
        if news_head < head {
            return Ok(0);
        }
        if news.core.generation > self.generation {
            self.generation = news.core.generation;
            self.restart(Seq(1));
        }
        for chunk in &news.chunks {
            let (header, body) = unpacker.unpack(&chunk.bytes)?;
            self.take_chunk(&header, &body)?;
            self.trim(news.core.clock);
        }
        if self.head() < news.core.last_seq {
            self.restart(news.core.last_seq.next());
        }
        self.trim(news.core.clock);
        self.state = Some(news.state);
        self.totals = news.totals;
        self.viewers = news.viewers;
        self.overview = None;
        self.pages.clear();
        self.pages_bytes = 0;
        let before = if head.0 == self.generation {
            head.1.0
        } else {
            0
        };
        Ok(self.head().0 - before)
    }

    fn take_chunk(&mut self, header: &ChunkHeader, body: &ChunkBody) -> Result<(), DecodeError> {
        if header.generation == self.generation {
            let head = self.head();
            for settled in body.settled.iter().filter(|settled| settled.seq > head) {
                self.push(settled, header.epoch)?;
            }
        }
        for unsettled in &body.unsettled {
            self.verdicts.unsettled(unsettled, header.epoch);
        }
        let end = Position::new(header.epoch, header.last_offset);
        self.read_to = self.read_to.max(end);
        Ok(())
    }

    /// Events behind a hole take the place of those before it, which the history has.
    fn push(&mut self, settled: &Settled, epoch: u32) -> Result<(), DecodeError> {
        let event = codec::decode_datum(&settled.datum)?;
        if settled.seq != self.events.next() {
            self.restart(settled.seq);
        }
        self.events.push(settled, &event, epoch);
        for act in overlay::acts(settled, &event) {
            self.events.hide(settled.seq, &act);
            self.overlay.add_fact(settled.seq, &act);
        }
        self.verdicts.visible(settled, event.id, epoch);
        Ok(())
    }

    fn trim(&mut self, clock: i64) {
        self.events.trim();
        self.overlay.forget_before(self.events.first());
        self.verdicts.forget(clock);
    }

    fn restart(&mut self, first: Seq) {
        self.events = Rendered::starting_at(first, self.bytes_max);
        self.overlay = Overlay::default();
    }

    /// The page that was cut for the same question before.
    pub(crate) fn ready(&self, question: &Question) -> Option<&Page> {
        self.pages.get(question)
    }

    /// Cuts a page, and keeps it.
    pub(crate) fn find(&mut self, room: &RoomId, question: &Question) -> Result<Found, Refused> {
        if let Some(page) = self.ready(question) {
            return Ok(Found::Page(page.clone()));
        }
        if !question.density.is_served_at(question.level) {
            return Err(Refused::overloaded());
        }
        let pace = self.pace(question);
        let paced = question.paced(pace);
        let density = question.density(pace);
        let mut span = paced.span(self.generation, self.head())?;
        if span.begin < span.to && span.begin.next() < self.events.first() {
            return Ok(Found::Older(span));
        }
        if density < Density::Full
            && span.begin < span.to
            && matches!(question.from, From::After(_))
        {
            // What is not shown does not count: who follows a busy room must keep up with it.
            span.to = self.events.reach(span.begin, paced.limit.into(), density);
        }
        let sight = (question.view, density);
        let page = page::write(self.place(room, pace), question, span, |out| {
            match span.begin < span.to {
                true => self.events.write(span.begin, span.to, sight, out),
                false => 0,
            }
        });
        self.keep(*question, page.clone());
        Ok(Found::Page(page))
    }

    /// The pace at which a question is answered.
    pub(crate) fn pace(&self, question: &Question) -> Pace {
        Pace::of(question.level, self.viewers)
    }

    fn place<'a>(&'a self, room: &'a RoomId, pace: Pace) -> Place<'a> {
        Place {
            poll_after_ms: pace.poll_after_ms,
            room,
            generation: self.generation,
            head: self.head(),
            totals: &self.totals,
        }
    }

    fn keep(&mut self, question: Question, page: Page) {
        if self.pages.len() >= PAGES_MAX || self.pages_bytes >= PAGES_BYTES_MAX {
            self.pages.clear();
            self.pages_bytes = 0;
        }
        self.pages_bytes += page.body.len();
        self.pages.insert(question, page);
    }
}

#[cfg(test)]
pub(crate) mod tests;

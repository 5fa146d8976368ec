//! Pages that begin before what a room's feed holds: the history's, or the whole window's.
//!
//! A page never has a hole, and never shows what a deletion took: events from the history are served
//! only where the history's watermark has reached the first event that is held, because every
//! deletion from there on is known here. Where the history is behind, the window is read whole. Where
//! neither has the range, the answer is a problem, never a skip; but whoever joins at the head gets what
//! is held, because a newest page may begin anywhere.

use danmu_projections::{HistoryReader, HistoryStore, WindowRead};
use danmu_schemas::chunk::Unpacker;
use danmu_schemas::codec::{self, DecodeError};
use danmu_schemas::{Generation, Position, RoomId, Seq, Settled};

use crate::answer::Refused;
use crate::feed::Content;
use crate::overlay::{Overlay, View};
use crate::pace::{self, Density};
use crate::page::{self, From, Page, Question, Span};
use crate::render::{self, Place};

/// A question that the feed cannot answer alone, and everything that it knows of it.
pub(crate) struct Older {
    room: RoomId,
    question: Question,
    span: Span,
    generation: Generation,
    head: Seq,
    totals: Vec<u8>,
    density: Density,
    poll_after_ms: u32,
    overlay: Overlay,
    /// The first event that the feed holds, and how far the history must be.
    held_first: Seq,
    held_from: Position,
    held: Written,
}

/// Events joined by commas, and how many.
#[derive(Default)]
struct Written {
    bytes: Vec<u8>,
    shown: u64,
}

/// The events before the held ones, dense from the span's beginning, and what is gone of them.
struct Part {
    events: Vec<Settled>,
    overlay: Overlay,
}

impl Older {
    pub(crate) fn of(content: &Content, room: RoomId, question: Question, span: Span) -> Self {
        let held_first = content.events.first();
        let pace = content.pace(&question);
        let density = question.density(pace);
        let mut held = Written::default();
        if span.to >= held_first {
            let after = Seq(held_first.0 - 1);
            let (events, sight) = (&content.events, (question.view, density));
            held.shown = events.write(after, span.to, sight, &mut held.bytes);
        }
        Self {
            room,
            question,
            span,
            generation: content.generation,
            head: content.head(),
            totals: content.totals.clone(),
            density,
            poll_after_ms: pace.poll_after_ms,
            overlay: content.overlay.clone(),
            held_first,
            held_from: content.held_from(),
            held,
        }
    }

    /// The answer.
    pub(crate) async fn answer<W: WindowRead, H: HistoryStore>(
        self,
        windows: &W,
        history: &HistoryReader<H>,
    ) -> Result<Page, Refused> {
        let (span, events) = match self.written(windows, history).await {
            Ok(events) => (self.span, events),
            Err(refused) if refused.is_history_behind() && self.is_newest_and_held() => {
                (self.span.beginning(self.held_first), self.held)
            }
            Err(refused) => return Err(refused),
        };
        let place = page::Place {
            room: &self.room,
            generation: self.generation,
            head: self.head,
            totals: &self.totals,
            poll_after_ms: self.poll_after_ms,
        };
        Ok(page::write(place, &self.question, span, |out| {
            out.extend_from_slice(&events.bytes);
            events.shown
        }))
    }

    /// The answer's events, joined by commas.
    pub(crate) async fn events<W: WindowRead, H: HistoryStore>(
        &self,
        windows: &W,
        history: &HistoryReader<H>,
    ) -> Result<Vec<u8>, Refused> {
        Ok(self.written(windows, history).await?.bytes)
    }

    async fn written<W: WindowRead, H: HistoryStore>(
        &self,
        windows: &W,
        history: &HistoryReader<H>,
    ) -> Result<Written, Refused> {
        let mut part = match self.read_history(history).await? {
            Some(part) => part,
            None => self.read_window(windows).await?,
        };
        if self.density < Density::Full {
            thin_out(&mut part.events, self.density)?;
        }
        let (overlay, view) = (&part.overlay, self.question.view);
        let mut bytes = Vec::new();
        write_events(&part.events, overlay, view, Place::Live, &mut bytes)?;
        if !bytes.is_empty() && self.held.shown > 0 {
            bytes.push(b',');
        }
        bytes.extend_from_slice(&self.held.bytes);
        let shown = part.events.len() as u64 + self.held.shown;
        Ok(Written { bytes, shown })
    }

    fn is_newest_and_held(&self) -> bool {
        self.question.from == From::Newest && self.held.shown > 0
    }

    /// The last seq that is wanted from elsewhere.
    fn wanted_to(&self) -> Seq {
        self.span.to.min(Seq(self.held_first.0 - 1))
    }

    /// `None` where the history is behind.
    async fn read_history<H: HistoryStore>(
        &self,
        history: &HistoryReader<H>,
    ) -> Result<Option<Part>, Refused> {
        let watermark = history.watermark(self.room.slot()).await?;
        if watermark < Some(self.held_from) {
            return Ok(None);
        }
        let begin = self.span.begin;
        let wanted = (self.wanted_to().0 - begin.0) as usize;
        let events = history
            .events(&self.room, self.generation, begin, wanted)
            .await?;
        if events.len() < wanted {
            return Ok(None);
        }
        let acts = history
            .moderation(&self.room, self.generation, begin.next(), self.head)
            .await?;
        let mut overlay = self.overlay.clone();
        for act in acts {
            overlay.add_fact(act.by, &act.moderation);
        }
        Ok(Some(Part { events, overlay }))
    }

    /// Whatever hides an event comes after it, so the window that has the one has the other.
    async fn read_window<W: WindowRead>(&self, windows: &W) -> Result<Part, Refused> {
        let window = windows.room(&self.room).await?;
        let mut unpacker = Unpacker::new();
        let mut part = Part {
            events: Vec::new(),
            overlay: self.overlay.clone(),
        };
        let mut next = self.span.begin.next();
        let of_generation = window.chunks.iter();
        for chunk in of_generation.filter(|chunk| chunk.header.generation == self.generation) {
            let (_, body) = unpacker.unpack(&chunk.bytes)?;
            for settled in body.settled {
                let event = codec::decode_datum(&settled.datum)?;
                part.overlay.add_event(&settled, &event);
                if settled.seq == next && next <= self.wanted_to() {
                    next = next.next();
                    part.events.push(settled);
                }
            }
        }
        if next > self.wanted_to() {
            return Ok(part);
        }
        Err(Refused::history_behind())
    }
}

/// Leaves the events that a density shows.
fn thin_out(events: &mut Vec<Settled>, density: Density) -> Result<(), DecodeError> {
    let mut shown = Vec::with_capacity(events.len());
    for settled in events.drain(..) {
        let event = codec::decode_datum(&settled.datum)?;
        let is_shown = pace::thinnest(&settled, &event.body) <= density;
        drop(event);
        if is_shown {
            shown.push(settled);
        }
    }
    *events = shown;
    Ok(())
}

/// Writes events, joined by commas.
pub(crate) fn write_events(
    events: &[Settled],
    overlay: &Overlay,
    view: View,
    place: Place,
    out: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    for (n, settled) in events.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        let event = codec::decode_datum(&settled.datum)?;
        let hidden = overlay.hides(settled, &event, view);
        render::event(settled, &event, place, hidden, out);
    }
    Ok(())
}

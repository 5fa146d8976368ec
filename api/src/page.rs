//! Pages: what a question asks of a room, and the answer's form.
//!
//! Plain functions. A [`Span`] says which seqs an answer covers: of those in `(from, to]`, the ones
//! up to `begin` are withheld; of the others those are shown that the density shows, and what is left
//! out is counted.

use bytes::Bytes;
use danmu_schemas::problem::{Problem, ProblemType};
use danmu_schemas::{Cursor, Generation, RoomId, Seq};

use crate::answer::Refused;
use crate::overlay::View;
use crate::pace::{Density, Level, Pace, Wanted};
use crate::render::Object;
use crate::socket::frame;

/// A question for a page of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    pub(crate) from: From,
    /// The most events.
    pub(crate) limit: u16,
    /// Withholds what is older than so many events before the head.
    pub(crate) behind_max: Option<u64>,
    pub(crate) view: View,
    pub(crate) density: Wanted,
    /// The level at which it is asked: pages of another level are other pages.
    pub(crate) level: Level,
    pub(crate) form: Form,
}

/// As what a page is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// An answer, which says when to ask again.
    Poll,
    /// A server-sent event.
    Message,
    /// A WebSocket frame.
    Frame,
}

/// A page, ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    /// In the question's form.
    pub(crate) body: Bytes,
    /// What a client has after it.
    pub(crate) cursor: Cursor,
    /// Whether there is nothing in it that the asker did not have.
    pub(crate) is_empty: bool,
}

/// Where a page lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum From {
    /// At the room's head.
    Newest,
    /// After what the client has.
    After(Cursor),
    /// Before what the client has.
    Before(Cursor),
}

/// The seqs of an answer: `from ≤ begin ≤ to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// After this one the answer begins.
    pub(crate) from: Seq,
    /// Up to this one everything is withheld.
    pub(crate) begin: Seq,
    /// The last one.
    pub(crate) to: Seq,
}

impl Question {
    /// The same, keeping to what the pace allows.
    pub(crate) fn paced(&self, pace: Pace) -> Self {
        Self {
            limit: self.limit.min(pace.limit_max),
            ..*self
        }
    }

    /// The same for one who goes on reading whatever the load is: what it is not given is withheld.
    pub(crate) fn served(&self) -> Self {
        match self.density.is_served_at(self.level) {
            true => *self,
            false => Self {
                density: Wanted::Auto,
                ..*self
            },
        }
    }

    /// The density that answers it at a pace.
    pub(crate) fn density(&self, pace: Pace) -> Density {
        match self.density {
            Wanted::Auto => pace.density,
            Wanted::Exactly(density) => density,
        }
    }

    /// The seqs that answer it in a room that has so many events.
    pub(crate) fn span(&self, generation: Generation, head: Seq) -> Result<Span, Refused> {
        let limit = u64::from(self.limit);
        let oldest = match self.behind_max {
            Some(behind) => head.0.saturating_sub(behind),
            None => 0,
        };
        match self.from {
            From::Newest => {
                let from = Seq(head.0.saturating_sub(limit).max(oldest));
                Ok(Span::whole(from, head))
            }
            From::After(cursor) => {
                let from = seq_in(cursor, generation)?;
                if from >= head {
                    return Ok(Span::whole(from, from));
                }
                let begin = Seq(from.0.max(oldest));
                let to = Seq(head.0.min(begin.0 + limit));
                Ok(Span { from, begin, to })
            }
            From::Before(cursor) => {
                let before = seq_in(cursor, generation)?;
                let to = Seq(before.0.saturating_sub(1).min(head.0));
                let from = Seq(to.0.saturating_sub(limit));
                Ok(Span::whole(from, to))
            }
        }
    }

    /// Whether an answer without events may be waited for: only the room's future can bring some.
    pub(crate) fn waits_for_news(&self) -> bool {
        matches!(self.from, From::After(_))
    }

    /// Whether the answer says from where to page backwards: it does where a client cannot know.
    fn leads_back(&self) -> bool {
        !matches!(self.from, From::After(_))
    }
}

impl Span {
    fn whole(from: Seq, to: Seq) -> Self {
        Self {
            from,
            begin: from,
            to,
        }
    }

    /// The same, but for what is before `first`.
    pub(crate) fn beginning(&self, first: Seq) -> Self {
        Self::whole(Seq(first.0 - 1), self.to)
    }

    /// Whether it covers anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.from == self.to
    }
}

/// The seq of a cursor in the room's numbering.
fn seq_in(cursor: Cursor, generation: Generation) -> Result<Seq, Refused> {
    if cursor == Cursor::START || cursor.generation == generation {
        return Ok(cursor.seq);
    }
    if cursor.generation > generation {
        return Err(Refused::history_behind());
    }
    let begin = Cursor {
        generation,
        seq: Seq::ZERO,
    };
    Err(Problem::new(ProblemType::RoomReplaced).cursor(begin).into())
}

/// What a page tells of its room.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) room: &'a RoomId,
    pub(crate) generation: Generation,
    pub(crate) head: Seq,
    /// The room's totals, rendered.
    pub(crate) totals: &'a [u8],
    pub(crate) poll_after_ms: u32,
}

/// Writes a page whose events, joined by commas, `write_events` appends; it tells how many it did.
pub(crate) fn write(
    place: Place<'_>,
    question: &Question,
    span: Span,
    write_events: impl FnOnce(&mut Vec<u8>) -> u64,
) -> Page {
    let cursor = Cursor {
        generation: place.generation,
        seq: span.to,
    };
    let json = write_json(place, question, span, write_events);
    Page {
        body: question.form.of(json, cursor),
        cursor,
        is_empty: span.is_empty(),
    }
}

impl Form {
    fn of(self, json: Vec<u8>, cursor: Cursor) -> Bytes {
        match self {
            Self::Poll => json.into(),
            Self::Message => {
                let mut message = format!("id: {cursor}\ndata: ").into_bytes();
                message.extend_from_slice(&json);
                message.extend_from_slice(b"\n\n");
                message.into()
            }
            Self::Frame => frame::text(&json).into(),
        }
    }
}

fn write_json(
    place: Place<'_>,
    question: &Question,
    span: Span,
    write_events: impl FnOnce(&mut Vec<u8>) -> u64,
) -> Vec<u8> {
    let cursor_at = |seq| {
        let generation = place.generation;
        Cursor { generation, seq }.to_string()
    };
    let mut out = Vec::with_capacity(256);
    let mut page = Object::begin(&mut out);
    page.string("room", place.room.as_str());
    let mut shown = 0;
    page.value("events", |out| {
        out.push(b'[');
        shown = write_events(out);
        out.push(b']');
    });
    page.string("cursor", &cursor_at(span.to));
    if question.leads_back() && span.from > Seq::ZERO {
        page.string("before", &cursor_at(span.from.next()));
    }
    page.number("from", span.from);
    page.number("to", span.to);
    page.number("head", place.head);
    let withheld = Withheld {
        max_behind: span.begin.0 - span.from.0,
        density: span.to.0 - span.begin.0 - shown,
    };
    if withheld.count() > 0 {
        page.value("withheld", |out| withheld.write(out));
    }
    page.value("totals", |out| out.extend_from_slice(place.totals));
    if question.form == Form::Poll {
        let is_full = span.to < place.head && !matches!(question.from, From::Before(_));
        page.number(
            "poll_after_ms",
            if is_full { 0 } else { place.poll_after_ms },
        );
    }
    page.end();
    out
}

/// How many events an answer leaves out, and why.
struct Withheld {
    max_behind: u64,
    density: u64,
}

impl Withheld {
    fn count(&self) -> u64 {
        self.max_behind + self.density
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut withheld = Object::begin(out);
        withheld.number("count", self.count());
        withheld.value("by", |out| {
            let mut by = Object::begin(out);
            for (name, count) in [("max_behind", self.max_behind), ("density", self.density)] {
                if count > 0 {
                    by.number(name, count);
                }
            }
            by.end();
        });
        withheld.end();
    }
}

#[cfg(test)]
mod tests;

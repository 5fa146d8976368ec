//! One page of a room: from its window, and from the history where the window no longer reaches.
//!
//! A page never has a hole, and never shows what a deletion took: events from the history are
//! served only where the history's moderation reaches up to the window's first event. Where neither
//! store has a range, the answer is a problem, never a skip.

use danmu_projections::{HistoryReader, HistoryStore, WindowRead};
use danmu_schemas::problem::{Problem, ProblemType};
use danmu_schemas::state::StateCore;
use danmu_schemas::{Cursor, RoomId, Seq, Settled, codec};

use crate::answer::Refused;
use crate::feed::Feed;
use crate::overlay::Overlay;
use crate::render::{self, Object, Place};

/// How long a client waits before it asks again, where it has everything.
const POLL_AFTER_MS: u32 = 2_000;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question {
    /// The last that the client has; the newest page where absent.
    pub(crate) after: Option<Cursor>,
    /// The most events.
    pub(crate) limit: usize,
}

/// The page as JSON.
pub(crate) async fn page<W: WindowRead, H: HistoryStore>(
    windows: &W,
    history: &HistoryReader<H>,
    room: &RoomId,
    question: Question,
) -> Result<Vec<u8>, Refused> {
    let window = windows.room(room).await?;
    if window.slot_position.is_none() {
        return Err(Refused::history_behind());
    }
    let feed = Feed::of(&window)?;
    let from = from(&feed, question)?;
    let (events, overlay) = events(history, room, &feed, from, question.limit).await?;
    write(room, &feed, from, &events, &overlay)
}

/// The seq after which the page begins.
fn from(feed: &Feed, question: Question) -> Result<Seq, Refused> {
    let Some(after) = question.after else {
        return Ok(Seq(feed.head.0.saturating_sub(question.limit as u64)));
    };
    if after == Cursor::START || after.generation == feed.generation {
        return Ok(after.seq);
    }
    if after.generation > feed.generation {
        return Err(Refused::history_behind());
    }
    let begin = Cursor {
        generation: feed.generation,
        seq: Seq::ZERO,
    };
    Err(Problem::new(ProblemType::RoomReplaced).cursor(begin).into())
}

/// At most `limit` events after `from`, dense, and what is hidden of them.
async fn events<H: HistoryStore>(
    history: &HistoryReader<H>,
    room: &RoomId,
    feed: &Feed,
    from: Seq,
    limit: usize,
) -> Result<(Vec<Settled>, Overlay), Refused> {
    let mut overlay = feed.overlay.clone();
    let mut events = Vec::new();
    if from < feed.head && from.next() < feed.first {
        if !reaches_window(history, room, feed).await? {
            return Err(Refused::history_behind());
        }
        let before_window = (feed.first.0 - from.next().0) as usize;
        events = history
            .events(room, feed.generation, from, limit.min(before_window))
            .await?;
        if events.is_empty() {
            return Err(Refused::history_behind());
        }
        let acts = history
            .moderation(room, feed.generation, from.next(), feed.head)
            .await?;
        for act in acts {
            overlay.add_fact(act.by, &act.moderation);
        }
    }
    let mut next = events.last().map_or(from, |event| event.seq).next();
    for settled in &feed.events {
        if events.len() < limit && settled.seq == next {
            next = next.next();
            events.push(settled.clone());
        }
    }
    Ok((events, overlay))
}

/// Whether every deletion before the window's first event is among the history's facts.
async fn reaches_window<H: HistoryStore>(
    history: &HistoryReader<H>,
    room: &RoomId,
    feed: &Feed,
) -> Result<bool, Refused> {
    let Some(watermark) = history.watermark(room.slot()).await? else {
        return Ok(false);
    };
    let Some((_, state)) = history.standing(room, watermark).await? else {
        return Ok(false);
    };
    let core: StateCore = codec::from_stored(&state.core)?;
    Ok(core.generation == feed.generation && core.last_seq.next() >= feed.first)
}

fn write(
    room: &RoomId,
    feed: &Feed,
    from: Seq,
    events: &[Settled],
    overlay: &Overlay,
) -> Result<Vec<u8>, Refused> {
    let to = events.last().map_or(from, |event| event.seq);
    let cursor = Cursor {
        generation: feed.generation,
        seq: to,
    };
    let mut out = Vec::with_capacity(256 + events.len() * 256);
    let mut page = Object::begin(&mut out);
    page.string("room", room.as_str());
    let mut written = Ok(());
    page.value("events", |out| {
        written = write_events(events, overlay, Place::Live, out)
    });
    written?;
    page.string("cursor", &cursor.to_string());
    page.number("from", from);
    page.number("to", to);
    page.number("head", feed.head);
    page.value("totals", |out| feed.write_totals(out));
    page.number(
        "poll_after_ms",
        if to < feed.head { 0 } else { POLL_AFTER_MS },
    );
    page.end();
    Ok(out)
}

/// Writes events as a JSON array.
pub(crate) fn write_events(
    events: &[Settled],
    overlay: &Overlay,
    place: Place,
    out: &mut Vec<u8>,
) -> Result<(), codec::DecodeError> {
    out.push(b'[');
    for (n, settled) in events.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        let event = codec::decode_datum(&settled.datum)?;
        render::event(settled, &event, place, overlay.hides(settled, &event), out);
    }
    out.push(b']');
    Ok(())
}

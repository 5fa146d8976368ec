//! Broadcasts, their parts and their segments at a watermark, worked out from the truth and compared.

use danmu_projections::history::reader::Broadcast;
use danmu_projections::history::{HistoryReader, LATER_SEQS, ModerationRow};
use danmu_projections::segments::{self, Segment, SegmentContent, Shown, Subject, View};
use danmu_schemas::fact::{Fact, FactBody, Moderation, SegmentOpened};
use danmu_schemas::{Cursor, Generation, Position, Seq, Settled, codec};

use super::super::model::world::done;
use super::checks::{Known, Wrong, readable};
use super::engines::AnyHistory;
use super::sweeping::{self, END};
use super::truth::RoomTruth;

const ALL: std::ops::Range<i64> = i64::MIN..i64::MAX;

/// Whether the history says of a room's broadcasts what its watermark tells.
pub fn are_true(reader: &HistoryReader<AnyHistory>, known: Known<'_>) -> Result<(), Wrong> {
    let (room, truth, watermark) = known;
    moderation_is_true(reader, known)?;
    let broadcasts = readable(done(reader.broadcasts(room, None, usize::MAX)))?;
    let expected = expected_broadcasts(truth, watermark);
    let left = |broadcast: &Broadcast| left_of_broadcast(truth, broadcast.clone());
    if !broadcasts.iter().map(left).eq(expected.iter().map(left)) {
        return Err((
            "the history has other broadcasts",
            format!("{broadcasts:?}"),
        ));
    }
    for Broadcast { cursor, .. } in broadcasts {
        let interruptions = readable(done(reader.interruptions(room, cursor)))?;
        let expected = facts(truth, watermark, |body| match body {
            FactBody::Interruption {
                broadcast,
                by_seq,
                interruption,
            } if *broadcast == cursor => Some((*by_seq, *interruption)),
            _ => None,
        });
        if interruptions != expected {
            return Err(("the history has other interruptions", cursor.to_string()));
        }
        segments_are_true(reader, known, cursor)?;
    }
    Ok(())
}

fn moderation_is_true(
    reader: &HistoryReader<AnyHistory>,
    (room, truth, watermark): Known<'_>,
) -> Result<(), Wrong> {
    let (last_generation, _) = truth.last();
    for generation in (Generation::FIRST.0..=last_generation.0).map(Generation) {
        let stored = reader.moderation(room, generation, Seq::ZERO, Seq(u64::MAX));
        let stored = readable(done(stored))?;
        let all = moderation(truth, generation);
        let is_needed = |row: &&ModerationRow| row.position <= watermark;
        let lacking = all
            .iter()
            .filter(is_needed)
            .find(|row| !stored.contains(row));
        let untrue = stored.iter().find(|row| !all.contains(row));
        if let Some(row) = lacking.or(untrue) {
            return Err(("the history has other moderation", format!("{row:?}")));
        }
    }
    Ok(())
}

fn segments_are_true(
    reader: &HistoryReader<AnyHistory>,
    (room, truth, watermark): Known<'_>,
    cursor: Cursor,
) -> Result<(), Wrong> {
    let expected = expected_segments(truth, watermark, cursor);
    let listed = readable(done(reader.segments(room, cursor, ALL)))?;
    if !listed
        .iter()
        .eq(expected.iter().map(|content| &content.segment))
    {
        return Err((
            "the history lists other segments",
            format!("{cursor}: {listed:?}"),
        ));
    }
    for expected in expected {
        let n = expected.segment.n;
        let content = readable(done(reader.segment(room, cursor, n, View::Public)))?;
        let left = |content| left_of_segment(truth, cursor, content);
        if content.map(sorted).map(left) != Some(left(expected)) {
            return Err(("the history has another segment", format!("{cursor} {n}")));
        }
    }
    Ok(())
}

/// What erasures leave of a broadcast: its row may have been swept, or not yet.
fn left_of_broadcast(truth: &RoomTruth, broadcast: Broadcast) -> Broadcast {
    let cursor = broadcast.cursor;
    let body = FactBody::BroadcastStarted {
        broadcast: cursor,
        started: broadcast.started,
    };
    let FactBody::BroadcastStarted { started, .. } = left_of(truth, cursor, body) else {
        unreachable!("blanking keeps what a fact is");
    };
    Broadcast {
        started,
        ..broadcast
    }
}

/// The same of a segment.
pub fn left_of_segment(
    truth: &RoomTruth,
    cursor: Cursor,
    mut content: SegmentContent,
) -> SegmentContent {
    let erasures = truth.erasures(END);
    for event in &mut content.events {
        erasures.blank_event(cursor.generation, event).unwrap();
    }
    let body = FactBody::SegmentOpened {
        broadcast: cursor,
        n: content.segment.n,
        segment: SegmentOpened {
            first_seq: content.segment.first_seq,
            snapshot: content.snapshot,
        },
    };
    let FactBody::SegmentOpened { segment, .. } = left_of(truth, cursor, body) else {
        unreachable!("blanking keeps what a fact is");
    };
    content.snapshot = segment.snapshot;
    let entrants = &mut content.snapshot.roster.entrants;
    entrants.retain(|entrant| !entrant.name.is_empty());
    content
}

fn left_of(truth: &RoomTruth, cursor: Cursor, body: FactBody) -> FactBody {
    let position = END;
    let mut fact = Fact { position, body };
    let starter = sweeping::starter(truth, cursor);
    truth
        .erasures(END)
        .blank_fact(&mut fact, starter.as_deref());
    fact.body
}

/// What the facts up to a position say, in their order.
fn facts<T>(truth: &RoomTruth, at: Position, pick: impl Fn(&FactBody) -> Option<T>) -> Vec<T> {
    let known = truth.facts.iter().filter(|fact| fact.position <= at);
    known.filter_map(|fact| pick(&fact.body)).collect()
}

fn expected_broadcasts(truth: &RoomTruth, at: Position) -> Vec<Broadcast> {
    let mut broadcasts: Vec<Broadcast> = facts(truth, at, |body| match body {
        FactBody::BroadcastStarted { broadcast, started } => Some(Broadcast {
            cursor: *broadcast,
            started: started.clone(),
            ended: None,
            ended_position: None,
        }),
        _ => None,
    });
    broadcasts.reverse();
    for fact in truth.facts.iter().filter(|fact| fact.position <= at) {
        let FactBody::BroadcastEnded { broadcast, ended } = &fact.body else {
            continue;
        };
        for known in broadcasts
            .iter_mut()
            .filter(|known| known.cursor == *broadcast)
        {
            known.ended = Some(ended.clone());
            known.ended_position = Some(fact.position);
        }
    }
    broadcasts
}

fn moderation(truth: &RoomTruth, generation: Generation) -> Vec<ModerationRow> {
    let row = |fact: &Fact| match &fact.body {
        FactBody::Moderated { by, moderation } if by.generation == generation => {
            Some(ModerationRow {
                by: by.seq,
                position: fact.position,
                moderation: moderation.clone(),
            })
        }
        _ => None,
    };
    truth.facts.iter().filter_map(row).collect()
}

/// The users whom later generations erased, as a segment of this one counts them.
fn later_erasures(truth: &RoomTruth, of: Generation) -> Vec<ModerationRow> {
    let row = |fact: &Fact| match &fact.body {
        FactBody::Moderated { by, moderation } if by.generation > of => Some(ModerationRow {
            by: Seq(u64::from(by.generation.0 - of.0) * LATER_SEQS + by.seq.0),
            position: fact.position,
            moderation: moderation.clone(),
        })
        .filter(|row| matches!(row.moderation, Moderation::UserErased { .. })),
        _ => None,
    };
    truth.facts.iter().filter_map(row).collect()
}

/// The closed segments with their contents; what changes one is decided by the rule of segments.
fn expected_segments(truth: &RoomTruth, at: Position, cursor: Cursor) -> Vec<SegmentContent> {
    let openings: Vec<(i64, SegmentOpened)> = facts(truth, at, |body| match body {
        FactBody::SegmentOpened {
            broadcast,
            n,
            segment,
        } if *broadcast == cursor => Some((*n, segment.clone())),
        _ => None,
    });
    let ended = facts(truth, at, |body| match body {
        FactBody::BroadcastEnded { broadcast, ended } if *broadcast == cursor => {
            Some(ended.last_seq)
        }
        _ => None,
    });
    let mut moderation = moderation(truth, cursor.generation);
    moderation.extend(later_erasures(truth, cursor.generation));
    moderation.retain(|row| row.position <= at && row.by >= cursor.seq);
    let starter = sweeping::starter(truth, cursor);
    let starter = starter.as_deref();
    let mut closed = Vec::new();
    for (i, (n, opened)) in openings.iter().enumerate() {
        let next = openings
            .get(i + 1)
            .map(|(_, next)| Seq(next.first_seq.0 - 1));
        let Some(last_seq) = next.or(ended.first().copied()) else {
            break;
        };
        let events = truth.events_after(cursor.generation, Seq(opened.first_seq.0 - 1));
        let events: Vec<Settled> = events
            .iter()
            .map(|(_, event)| event.clone())
            .take_while(|event| event.seq <= last_seq)
            .collect();
        let subjects: Vec<_> = events
            .iter()
            .map(|event| Subject::of(event).unwrap())
            .collect();
        let shown = Shown {
            subjects: &subjects,
            snapshot: &opened.snapshot,
            starter,
        };
        let moderation = segments::changes(&moderation, shown, at);
        let mut snapshot = opened.snapshot.clone();
        segments::blank(&mut snapshot, starter, &moderation);
        let revision = moderation.iter().map(|row| row.by).max();
        closed.push(sorted(SegmentContent {
            segment: Segment {
                n: *n,
                first_seq: opened.first_seq,
                last_seq,
                revision: revision.unwrap_or(Seq::ZERO),
            },
            snapshot,
            events,
            moderation,
        }));
    }
    closed
}

/// Who did an event.
pub fn author(event: &Settled) -> String {
    let decoded = codec::decode_datum(&event.datum).unwrap();
    decoded.user.unwrap().id.into_owned()
}

/// With the moderation of one event in a fixed order.
fn sorted(mut content: SegmentContent) -> SegmentContent {
    content
        .moderation
        .sort_by_key(|row| (row.by, format!("{:?}", row.moderation)));
    content
}

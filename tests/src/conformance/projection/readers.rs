//! What a history's reader promises: dense events, and broadcasts and segments as of the watermark.
//!
//! The expected answers are counted from the script's events and facts, event by event, so that none of
//! the reader's own rules is taken on trust.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use danmu_projections::Projection;
use danmu_projections::history::layout;
use danmu_projections::history::store::{HistoryStore, Order};
use danmu_projections::segments::Segment;
use danmu_schemas::chunk;
use danmu_schemas::codec;
use danmu_schemas::fact::{BroadcastEnded, BroadcastStarted, FactBody, Moderation, Snapshot};
use danmu_schemas::{Body, Cursor, Generation, Position, RoomId, Seq, Settled};
use fastrand::Rng;

use super::Engine;
use super::history::{HistoryEngine, HistoryEnvironment, engine};
use super::script::{Line, Owner, Script, at, comment, log, rooms};

/// Segments of every number.
const ALL: std::ops::Range<i64> = -1_000_000..1_000_000;

/// One room with a comment a record, and nothing else.
fn comments(len: usize) -> Script {
    let room = rooms(1).remove(0);
    let line = |n: usize| Line {
        room: room.clone(),
        logged_at: 1_700_000_000_000 + n as i64,
        id: n as u128,
        user: "ann".to_owned(),
        body: comment(format!("comment {n}")),
    };
    Script::of(&(0..len).map(line).collect::<Vec<_>>())
}

/// Any run of events is read as it was settled, from any seq, up to where one is missing.
pub async fn events_are_dense_and_stop_at_a_hole<E: HistoryEnvironment>(
    env: &E,
) -> anyhow::Result<()> {
    let engine = engine(env).await?;
    let script = comments(1_600);
    let room = &script.rooms()[0];
    let mut owner = Owner::open(engine.owner(&log()), &script).await?;
    for to in [99, 299, 300, 899, 1_599] {
        owner.settle_to(at(to), 40).await?;
    }
    let reader = engine.reader();
    let all = script.events(room, script.end());
    for after in [0, 1, 98, 99, 100, 299, 300, 511, 700, 1_599, 1_600, 9_999] {
        for limit in [1, 100, 512, 5_000] {
            let expected: Vec<Settled> = all.iter().skip(after).take(limit).cloned().collect();
            let seq = Seq(after as u64);
            let read = reader.events(room, Generation::FIRST, seq, limit).await?;
            ensure!(read == expected, "{limit} events after {after}");
        }
    }
    let next = Generation::FIRST.next();
    let other = reader.events(room, next, Seq::ZERO, 10).await?;
    ensure!(other.is_empty(), "events of another generation");

    let chunks = layout::chunks_from(room, Generation::FIRST, Seq::ZERO);
    let chunks = engine.history.scan(chunks, Order::Ascending, 100).await?;
    let hole = chunks
        .iter()
        .find(|row| chunk::header(&row.body).is_ok_and(|header| header.first_seq == Seq(302)))
        .context("the chunk after the third checkpoint")?;
    let after_hole = Seq(301 + u64::from(chunk::header(&hole.body)?.count));
    engine.history.remove(vec![hole.key.clone()]).await?;
    for (after, first, last) in [
        (Seq(0), 1, 301),
        (Seq(250), 251, 301),
        (Seq(301), 1, 0),
        (Seq(400), 1, 0),
        (after_hole, after_hole.0 + 1, 1_600),
    ] {
        let read = reader.events(room, Generation::FIRST, after, 5_000).await?;
        let seqs: Vec<u64> = read.iter().map(|event| event.seq.0).collect();
        let expected: Vec<u64> = (first..=last).collect();
        ensure!(seqs == expected, "after {after} with a hole: {seqs:?}");
    }
    Ok(())
}

/// Several owners write the same events in chunks of other borders; from any seq they are the same.
pub async fn a_seek_lands_between_any_borders<E: HistoryEnvironment>(
    env: &E,
) -> anyhow::Result<()> {
    let engine = engine(env).await?;
    let script = comments(2_000);
    let room = &script.rooms()[0];
    let mut rng = Rng::with_seed(31);
    let mut owners = Vec::new();
    for _ in 0..4 {
        let mut owner = Owner::open(engine.owner(&log()), &script).await?;
        owner.step(1).await?;
        owners.push(owner);
    }
    for owner in &mut owners {
        while owner.position() < script.end() {
            owner.step(rng.usize(1..600)).await?;
            if rng.bool() {
                owner.checkpoint().await?;
            }
        }
        owner.checkpoint().await?;
    }
    let all = script.events(room, script.end());
    for _ in 0..300 {
        let (after, limit) = (rng.usize(0..2_000), rng.usize(1..900));
        let seq = Seq(after as u64);
        let read = engine
            .reader()
            .events(room, Generation::FIRST, seq, limit)
            .await?;
        let expected: Vec<Settled> = all.iter().skip(after).take(limit).cloned().collect();
        ensure!(read == expected, "{limit} events after {after}");
    }
    Ok(())
}

/// Rooms are those that have a state at or below the position, each once, by name.
pub async fn rooms_are_listed_as_of_a_position<E: HistoryEnvironment>(
    env: &E,
) -> anyhow::Result<()> {
    let engine = engine(env).await?;
    let rooms = rooms(12);
    let line = |n: usize| Line {
        room: rooms[n / 3].clone(),
        logged_at: 1_700_000_000_000,
        id: n as u128,
        user: "ann".to_owned(),
        body: comment("hello"),
    };
    let script = Script::of(&(0..36).map(line).collect::<Vec<_>>());
    let reader = engine.reader();
    ensure!(reader.rooms(script.slot, script.end()).await?.is_empty());
    let mut owner = Owner::open(engine.owner(&log()), &script).await?;
    for to in [4, 11, 20, 35] {
        owner.settle_to(at(to), 5).await?;
        let mut expected = rooms[..=to as usize / 3].to_vec();
        expected.sort_unstable();
        let listed = reader.rooms(script.slot, at(to)).await?;
        ensure!(listed == expected, "at {to}: {listed:?}");
        let before = reader.rooms(script.slot, Position::BEGIN).await?;
        ensure!(before.is_empty(), "before the first: {before:?}");
    }
    Ok(())
}

/// A broadcast as the script has it at a position.
struct Show {
    cursor: Cursor,
    started: BroadcastStarted,
    ended: Option<BroadcastEnded>,
    /// Its events up to the position.
    events: Vec<Settled>,
    /// The openings of its segments, by their numbers.
    snapshots: BTreeMap<i64, Snapshot>,
}

/// The broadcasts of a room at a position, oldest first.
fn shows(script: &Script, room: &RoomId, position: Position) -> Vec<Show> {
    let mut shows: Vec<Show> = Vec::new();
    for fact in script.facts(room, position) {
        let of = |cursor: &Cursor| shows.iter().position(|show| show.cursor == *cursor);
        match &fact.body {
            FactBody::BroadcastStarted { broadcast, started } => shows.push(Show {
                cursor: *broadcast,
                started: started.clone(),
                ended: None,
                events: Vec::new(),
                snapshots: BTreeMap::new(),
            }),
            FactBody::BroadcastEnded { broadcast, ended } => {
                if let Some(n) = of(broadcast) {
                    shows[n].ended = Some(ended.clone());
                }
            }
            FactBody::SegmentOpened {
                broadcast,
                n,
                segment,
            } => {
                if let Some(of) = of(broadcast) {
                    shows[of].snapshots.insert(*n, segment.snapshot.clone());
                }
            }
            _ => {}
        }
    }
    for show in &mut shows {
        let last = show.ended.as_ref().map_or(Seq(u64::MAX), |e| e.last_seq);
        let generation = show.cursor.generation;
        let events = script.events_of(room, generation, position);
        let own = |event: &Settled| event.seq >= show.cursor.seq && event.seq <= last;
        show.events = events.into_iter().filter(own).collect();
    }
    shows
}

impl Show {
    /// Its closed segments and their events.
    fn segments(&self) -> BTreeMap<i64, Vec<Settled>> {
        let mut segments: BTreeMap<i64, Vec<Settled>> = BTreeMap::new();
        for event in &self.events {
            let n = (event.at - self.started.zero_at).div_euclid(30_000);
            segments.entry(n).or_default().push(event.clone());
        }
        if self.ended.is_none() {
            segments.pop_last();
        }
        segments
    }

    /// The moderation at or below the position that changes one of its segments.
    fn changes(
        &self,
        n: i64,
        events: &[Settled],
        moderation: &[(Cursor, Moderation)],
    ) -> Vec<(Seq, Moderation)> {
        let of_generation = moderation
            .iter()
            .filter(|(by, _)| by.generation == self.cursor.generation);
        let snapshot = &self.snapshots[&n];
        of_generation
            .filter(|(by, act)| {
                names(snapshot, by.seq, act)
                    || events.iter().any(|event| changes(event, by.seq, act))
            })
            .map(|(by, act)| (by.seq, act.clone()))
            .collect()
    }
}

fn changes(settled: &Settled, by: Seq, act: &Moderation) -> bool {
    let event = codec::decode_datum(&settled.datum).expect("the script encoded it");
    let is_of = |name: &String| {
        let user = event.user.as_ref();
        user.is_some_and(|user| user.id == *name) && settled.seq < by
    };
    match act {
        Moderation::Deleted { target } | Moderation::Erased { target } => *target == settled.seq,
        Moderation::Hidden { user, since_at } => {
            is_of(user) && matches!(event.body, Body::Comment(_)) && settled.at >= *since_at
        }
        Moderation::UserErased { user } => is_of(user),
    }
}

fn names(snapshot: &Snapshot, by: Seq, act: &Moderation) -> bool {
    let Moderation::UserErased { user } = act else {
        return false;
    };
    if by <= snapshot.core.last_seq {
        return false;
    }
    let mut named = Vec::new();
    named.extend(
        snapshot
            .givers
            .by_currency
            .iter()
            .flatten()
            .map(|g| &g.user),
    );
    named.extend(snapshot.combos.combos.iter().map(|combo| &combo.user));
    named.extend(snapshot.roster.entrants.iter().map(|e| &e.user));
    named.contains(&user)
}

fn moderation(script: &Script, room: &RoomId, position: Position) -> Vec<(Cursor, Moderation)> {
    let facts = script.facts(room, position);
    facts
        .filter_map(|fact| match &fact.body {
            FactBody::Moderated { by, moderation } => Some((*by, moderation.clone())),
            _ => None,
        })
        .collect()
}

/// Everything about the segments of a room is as the script has it at the watermark.
async fn check_segments<H: HistoryStore>(
    engine: &HistoryEngine<H>,
    script: &Script,
    room: &RoomId,
    watermark: Position,
) -> anyhow::Result<()> {
    let reader = engine.reader();
    let acts = moderation(script, room, watermark);
    for show in shows(script, room, watermark) {
        let expected = show.segments();
        let mut listed = Vec::new();
        for (n, events) in &expected {
            let changes = show.changes(*n, events, &acts);
            let segment = Segment {
                n: *n,
                first_seq: events[0].seq,
                last_seq: events[events.len() - 1].seq,
                revision: changes.iter().map(|(by, _)| *by).max().unwrap_or(Seq::ZERO),
            };
            let content = reader.segment(room, show.cursor, *n).await?;
            let content = content.with_context(|| format!("segment {n} is closed"))?;
            ensure!(
                content.segment == segment,
                "{content:?} and not {segment:?}"
            );
            ensure!(&content.events == events, "segment {n} has other events");
            let found = content.moderation.iter();
            let found: Vec<_> = found.map(|row| (row.by, row.moderation.clone())).collect();
            let sorted = |mut acts: Vec<(Seq, Moderation)>| {
                acts.sort_by_key(|(by, act)| (*by, format!("{act:?}")));
                acts
            };
            ensure!(
                sorted(found) == sorted(changes),
                "segment {n} is changed by something else"
            );
            listed.push(segment);
        }
        let segments = reader.segments(room, show.cursor, ALL).await?;
        ensure!(
            segments == listed,
            "at {watermark} {segments:?} and not {listed:?}"
        );
        let middle = listed.get(listed.len() / 2).map_or(0, |segment| segment.n);
        let part: Vec<Segment> = listed.iter().filter(|s| s.n >= middle).copied().collect();
        let read = reader.segments(room, show.cursor, middle..ALL.end).await?;
        ensure!(read == part, "from {middle}: {read:?}");
        let open = expected.keys().last().map_or(0, |n| n + 1);
        let early = reader.segment(room, show.cursor, open).await?;
        ensure!(early.is_none(), "a segment that is not closed: {early:?}");
    }
    Ok(())
}

/// A segment is there once a record at or below the watermark closed it, and under one revision it is
/// the same for ever, whatever is written beyond.
pub async fn segments_close_at_the_watermark_and_never_change<E: HistoryEnvironment>(
    env: &E,
) -> anyhow::Result<()> {
    let engine = engine(env).await?;
    let script = Script::random(32, 500, 1);
    let room = &script.rooms()[0];
    let reader = engine.reader();
    let mut owner = Owner::open(engine.owner(&log()), &script).await?;
    let mut known = BTreeMap::new();
    let mut closed = 0;
    while owner.position() < script.end() {
        owner.step(25).await?;
        owner.checkpoint().await?;
        let watermark = owner.position();
        let mut beyond = engine.owner(&log());
        beyond.open(script.slot).await?;
        let rest = (watermark.offset + 1) as usize..script.len();
        if !rest.is_empty() {
            beyond.append(script.step(rest)).await?;
        }
        for show in shows(&script, room, watermark) {
            for segment in reader.segments(room, show.cursor, ALL).await? {
                let content = reader.segment(room, show.cursor, segment.n).await?;
                let content = content.context("a listed segment is there")?;
                let address = (show.cursor, segment.n, segment.revision);
                let first = known.entry(address).or_insert_with(|| content.clone());
                ensure!(*first == content, "{address:?} has changed");
                closed += 1;
            }
        }
    }
    ensure!(closed > 50, "only {closed} segments were read");
    Ok(())
}

/// A segment's revision is the last act at or below the watermark that changes something in it, and no
/// act raises that of another.
pub async fn moderation_raises_the_revision_of_what_it_changes<E: HistoryEnvironment>(
    env: &E,
) -> anyhow::Result<()> {
    let engine = engine(env).await?;
    let script = Script::random(33, 400, 2);
    let mut owner = Owner::open(engine.owner(&log()), &script).await?;
    while owner.position() < script.end() {
        owner.step(50).await?;
        owner.checkpoint().await?;
        for room in script.rooms() {
            check_segments(&engine, &script, &room, owner.position()).await?;
        }
    }
    Ok(())
}

//! What a history's reader promises of broadcasts: their totals, heat and segments as of the watermark.
//!
//! The expected answers are counted from the script's events and facts, event by event, so that none of
//! the reader's own rules is taken on trust.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use danmu_projections::history::store::HistoryStore;
use danmu_projections::history::{Broadcast, LATER_SEQS};
use danmu_projections::segments::{Segment, View};
use danmu_schemas::codec;
use danmu_schemas::fact::{BroadcastEnded, BroadcastStarted, FactBody, Moderation, Snapshot};
use danmu_schemas::{Body, Cursor, Generation, Position, RoomId, Seq, Settled};

use super::Engine;
use super::history::{HistoryEngine, HistoryEnvironment, engine};
use super::one_slot::OneSlot;
use super::script::{Line, Owner, Script, comment, delete, end, erase, gift, log, rooms, start};

/// Segments of every number.
const ALL: std::ops::Range<i64> = -1_000_000..1_000_000;

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
        let snapshot = &self.snapshots[&n];
        moderation
            .iter()
            .filter_map(|(by, act)| Some((self.standing(*by, act)?, act)))
            .filter(|(by, act)| {
                names(snapshot, *by, act)
                    || self.takes_texts(snapshot, *by, act)
                    || events.iter().any(|event| changes(event, *by, act))
            })
            .map(|(by, act)| (by, act.clone()))
            .collect()
    }
}

impl Show {
    /// After which seqs of its generation an act stands; of later generations, only a user's erasure
    /// reaches back.
    fn standing(&self, by: Cursor, act: &Moderation) -> Option<Seq> {
        let own = self.cursor.generation;
        let reaches = matches!(act, Moderation::UserErased { .. }) && by.generation > own;
        let later = u64::from(by.generation.0.saturating_sub(own.0));
        (by.generation == own || reaches).then_some(Seq(later * LATER_SEQS + by.seq.0))
    }

    /// Whether an act takes the title that a segment's state repeats.
    fn takes_texts(&self, snapshot: &Snapshot, by: Seq, act: &Moderation) -> bool {
        let first = &self.events[0];
        let event = codec::decode_datum(&first.datum).expect("the script encoded it");
        let host = event.user.map(|user| user.id.into_owned());
        let takes = match act {
            Moderation::Deleted { target } | Moderation::Erased { target } => {
                *target == self.cursor.seq
            }
            Moderation::UserErased { user } => host.as_ref() == Some(user),
            Moderation::Hidden { .. } => false,
        };
        takes && by > snapshot.core.last_seq
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
    if by <= snapshot.core.last_seq {
        return false;
    }
    let mut givers = snapshot.givers.by_currency.iter().flatten();
    let user = match act {
        Moderation::Erased { target } => return givers.any(|giver| giver.named_by == *target),
        Moderation::UserErased { user } => user,
        Moderation::Deleted { .. } | Moderation::Hidden { .. } => return false,
    };
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
            let content = reader.segment(room, show.cursor, *n, View::Public).await?;
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
        let early = reader
            .segment(room, show.cursor, open, View::Public)
            .await?;
        ensure!(early.is_none(), "a segment that is not closed: {early:?}");
    }
    Ok(())
}

/// Those that began at or below the watermark, with what they amount to by then.
pub async fn broadcasts_come_newest_first_and_in_pages<E: HistoryEnvironment>(
    env: &E,
) -> anyhow::Result<()> {
    let engine = engine(env).await?;
    let script = Script::random(34, 500, 2);
    let reader = engine.reader();
    let mut owner = Owner::open(engine.owner(&log()), &script).await?;
    while owner.position() < script.end() {
        owner.step(50).await?;
        owner.checkpoint().await?;
        let watermark = owner.position();
        for room in script.rooms() {
            let mut expected = shows(&script, &room, watermark);
            expected.reverse();
            let mut listed = Vec::new();
            loop {
                let before = listed.last().map(|last: &Broadcast| last.cursor);
                let page = reader.broadcasts(&room, before, 2).await?;
                let is_last = page.len() < 2;
                listed.extend(page);
                if is_last {
                    break;
                }
            }
            ensure!(
                listed.len() == expected.len(),
                "{} broadcasts and not {}",
                listed.len(),
                expected.len()
            );
            for (broadcast, show) in listed.iter().zip(&expected) {
                check_broadcast(&engine, &room, broadcast, show).await?;
            }
        }
    }
    let unknown = Cursor {
        generation: Generation::FIRST,
        seq: Seq(123_456),
    };
    let unknown = reader.broadcast(&script.rooms()[0], unknown).await?;
    ensure!(unknown.is_none(), "{unknown:?}");
    Ok(())
}

async fn check_broadcast<H: HistoryStore>(
    engine: &HistoryEngine<H>,
    room: &RoomId,
    broadcast: &Broadcast,
    show: &Show,
) -> anyhow::Result<()> {
    let reader = engine.reader();
    let cursor = show.cursor;
    ensure!(broadcast.cursor == cursor, "{broadcast:?} and not {cursor}");
    ensure!(
        broadcast.started == show.started,
        "{cursor} began otherwise"
    );
    ensure!(broadcast.ended == show.ended, "{cursor} ended otherwise");
    let alone = reader.broadcast(room, cursor).await?;
    ensure!(alone.as_ref() == Some(broadcast), "{cursor} by its name");

    let tally = reader.tally(room, broadcast).await?;
    let last = show.events.last().map(|event| event.seq);
    ensure!(Some(tally.last_seq) == last, "{cursor} ends with {last:?}");
    let counted = counts(&show.events);
    let totals = (
        tally.totals.comments,
        tally.totals.likes,
        tally.totals.gifts,
    );
    ensure!(
        totals == counted,
        "{cursor}: {totals:?} and not {counted:?}"
    );
    let names = tally.currencies.names.len();
    ensure!(
        names >= tally.totals.gift_value.len(),
        "a currency has no name"
    );
    Ok(())
}

/// Comments, likes and gifts among events.
fn counts<'a>(events: impl IntoIterator<Item = &'a Settled>) -> (u64, u64, u64) {
    let mut counts = (0, 0, 0);
    for settled in events {
        let event = codec::decode_datum(&settled.datum).expect("the script encoded it");
        match event.body {
            Body::Comment(_) => counts.0 += 1,
            Body::Likes(likes) => counts.1 += u64::from(likes.count),
            Body::Gift(gift) => counts.2 += u64::from(gift.count),
            _ => {}
        }
    }
    counts
}

/// Every event up to the watermark is in the heat, those of the last ten seconds too; interruptions
/// are those of the log.
pub async fn heat_and_interruptions_tell_the_whole_broadcast<E: HistoryEnvironment>(
    env: &E,
) -> anyhow::Result<()> {
    let engine = engine(env).await?;
    let script = Script::random(35, 500, 1);
    let room = &script.rooms()[0];
    let reader = engine.reader();
    let mut owner = Owner::open(engine.owner(&log()), &script).await?;
    while owner.position() < script.end() {
        owner.step(35).await?;
        owner.checkpoint().await?;
        let watermark = owner.position();
        for show in shows(&script, room, watermark) {
            let broadcast = reader.broadcast(room, show.cursor).await?;
            let broadcast = broadcast.context("a broadcast below the watermark")?;
            let tally = reader.tally(room, &broadcast).await?;
            let mut expected: BTreeMap<i64, Vec<Settled>> = BTreeMap::new();
            for event in &show.events {
                let n = (event.at - show.started.zero_at).div_euclid(10_000);
                expected.entry(n).or_default().push(event.clone());
            }
            let bucket = |(n, events): (&i64, &Vec<Settled>)| (*n, counts(events));
            let expected: Vec<_> = expected.iter().map(bucket).collect();
            for from in [ALL.start, 0, 2] {
                let heat = reader
                    .heat(room, show.cursor, &tally, from..ALL.end)
                    .await?;
                let found = heat.iter().map(|b| (b.n, (b.comments, b.likes, b.gifts)));
                let found: Vec<_> = found.collect();
                let part: Vec<_> = expected
                    .iter()
                    .filter(|(n, _)| *n >= from)
                    .copied()
                    .collect();
                ensure!(found == part, "from {from}: {found:?} and not {part:?}");
            }
            let middle = expected[expected.len() / 2].0;
            let heat = reader
                .heat(room, show.cursor, &tally, middle..middle + 1)
                .await?;
            ensure!(heat.len() == 1, "{} buckets of one", heat.len());

            let expected = script
                .facts(room, watermark)
                .filter_map(|fact| match fact.body {
                    FactBody::Interruption {
                        broadcast,
                        by_seq,
                        interruption,
                    } if broadcast == show.cursor => Some((by_seq, interruption)),
                    _ => None,
                });
            let expected: Vec<_> = expected.collect();
            let found = reader.interruptions(room, show.cursor).await?;
            ensure!(found == expected, "{found:?} and not {expected:?}");
        }
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
                let content = reader
                    .segment(room, show.cursor, segment.n, View::Public)
                    .await?;
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

/// The texts of a broadcast whose first event was deleted or whose host was erased, and the names of
/// erased users, are in no answer, whatever row repeats them; what others are named stays.
pub async fn what_was_taken_is_blank_wherever_it_is_repeated<E: HistoryEnvironment>(
    env: &E,
) -> anyhow::Result<()> {
    let engine = engine(env).await?;
    let room = rooms(1).remove(0);
    let begun = 1_700_000_000_000;
    let said = [
        ("host-1", start("first"), 0),
        ("ann", gift("coin", begun), 1),
        ("bob", gift("coin", begun), 2),
        ("ann", Body::Enter, 3),
        ("bob", Body::Enter, 4),
        ("bob", comment("hello"), 35),
        ("host-2", start("second"), 70),
        ("bob", comment("hello"), 105),
        ("host-3", start("third"), 140),
        ("bob", comment("hello"), 175),
        ("mod", delete(1), 180),
        ("mod", erase("ann"), 181),
        ("mod", erase("host-2"), 182),
        ("host-3", end(), 183),
    ];
    let lines = said
        .into_iter()
        .enumerate()
        .map(|(n, (user, body, second))| Line {
            room: room.clone(),
            logged_at: begun + second * 1_000,
            id: n as u128,
            user: user.to_owned(),
            body,
        });
    let script = Script::of(&lines.collect::<Vec<_>>());
    let mut owner = Owner::open(engine.owner(&log()), &script).await?;
    owner.settle_to(script.end(), 50).await?;
    let reader = engine.reader();
    let broadcasts = reader.broadcasts(&room, None, 10).await?;
    let titles = broadcasts.iter().map(|b| b.started.info.title.as_str());
    ensure!(titles.eq(["third", "second", "first"]), "{broadcasts:?}");
    let without = reader
        .without_texts(&room, &broadcasts, View::Public)
        .await?;
    let expected: BTreeSet<Cursor> = broadcasts[1..].iter().map(|b| b.cursor).collect();
    ensure!(without == expected, "{without:?} and not {expected:?}");

    for (broadcast, title) in broadcasts.iter().zip(["third", "", ""]) {
        let content = reader
            .segment(&room, broadcast.cursor, 1, View::Public)
            .await?;
        let snapshot = content.context("the second segment")?.snapshot;
        ensure!(snapshot.broadcast.title == title, "{title}: {snapshot:?}");
        for giver in snapshot.givers.by_currency.iter().flatten() {
            let expected = if giver.user == "ann" {
                ""
            } else {
                "name of bob"
            };
            ensure!(giver.name == expected, "{giver:?}");
        }
        let entrants = snapshot.roster.entrants.iter().map(|one| one.user.as_str());
        ensure!(entrants.eq(["bob"]), "{:?}", snapshot.roster);
        ensure!(!snapshot.givers.by_currency.is_empty(), "nobody gave");
    }
    Ok(())
}

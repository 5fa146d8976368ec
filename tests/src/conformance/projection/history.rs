//! What a history promises beyond the port: rows, watermarks, and what may be removed.

use std::future::Future;
use std::sync::Arc;

use anyhow::ensure;
use bytes::Bytes;
use danmu_projections::history::layout::{self, MemoryKind, Table};
use danmu_projections::history::store::{HistoryStore, Order, Row};
use danmu_projections::history::{HistoryReader, HistoryWriter};
use danmu_schemas::{Generation, LogIdentity, Position, RoomId, Seq};

use super::meddling::{Act, Meddled};
use super::one_slot::OneSlot;
use super::script::{Owner, Script, Standing, at, log, rooms};
use super::{Engine, Shown, check_shown};

/// How often a read begins again because the watermark moved.
const READS_MAX: usize = 10_000;

/// A history that begins empty and can be stopped and started again.
pub trait HistoryEnvironment: Sync {
    /// The adapter.
    type History: HistoryStore;

    /// The history, with what was written to it before.
    fn history(&self) -> impl Future<Output = anyhow::Result<Self::History>> + Send;

    /// Ends it as a crash would, and starts it again. Nothing else holds it any more.
    fn restart_history(
        &self,
        history: Self::History,
    ) -> impl Future<Output = anyhow::Result<Self::History>> + Send;
}

/// A history, as the port's cases take it.
#[derive(Clone)]
pub struct HistoryEngine<H> {
    pub(super) history: H,
}

/// The engine of an environment.
pub async fn engine<E: HistoryEnvironment>(env: &E) -> anyhow::Result<HistoryEngine<E::History>> {
    Ok(HistoryEngine {
        history: env.history().await?,
    })
}

impl<H: HistoryStore> HistoryEngine<H> {
    /// A reader of the script's log.
    pub(super) fn reader(&self) -> HistoryReader<H> {
        HistoryReader::new(self.history.clone(), log())
    }
}

impl<H: HistoryStore> Engine for HistoryEngine<H> {
    type Projection = HistoryWriter<H>;

    const BLANKS_AT_ONCE: bool = false;

    fn owner(&self, log: &LogIdentity) -> HistoryWriter<H> {
        HistoryWriter::new(self.history.clone(), log.clone())
    }

    async fn shown(&self, room: &RoomId) -> anyhow::Result<Shown> {
        let reader = self.reader();
        for _ in 0..READS_MAX {
            let Some(watermark) = reader.watermark(room.slot()).await? else {
                return Ok(Shown {
                    position: None,
                    standing: None,
                    events: Vec::new(),
                });
            };
            let state = reader.state(room, watermark).await?;
            if reader.watermark(room.slot()).await? != Some(watermark) {
                continue;
            }
            let standing = state.map(|(_, state)| Standing {
                core: state.core,
                fields: state.fields,
            });
            let events = match &standing {
                None => Vec::new(),
                Some(standing) => {
                    let core = standing.core();
                    let len = core.last_seq.0 as usize;
                    reader.events(room, core.generation, Seq::ZERO, len).await?
                }
            };
            return Ok(Shown {
                position: Some(watermark),
                standing,
                events,
            });
        }
        anyhow::bail!("the watermark moved {READS_MAX} times")
    }
}

fn body(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// A block of memory: a row whose key, last record and content are a case's to choose.
fn row(room: &RoomId, n: i64, last: i64, text: &str) -> Row {
    Row {
        timestamp: at(last).timestamp(),
        ..layout::memory_row(room, MemoryKind::Events, at(n), n, body(text))
    }
}

/// Ranges give the rows between their ends, in either order and no more than asked for.
pub async fn rows_are_kept_by_their_keys<E: HistoryEnvironment>(env: &E) -> anyhow::Result<()> {
    let store = env.history().await?;
    let rooms = rooms(3);
    let rows: Vec<Row> = rooms
        .iter()
        .flat_map(|room| (0..300).map(move |n| row(room, n, n, &format!("{room} {n}"))))
        .collect();
    store.write(rows.clone()).await?;
    for found in &rows {
        let read = store.get(found.key.clone()).await?;
        ensure!(read.as_ref() == Some(found), "{read:?} and not {found:?}");
    }
    let of_second = &rows[300..600];
    let range = |to| layout::memory_until(&rooms[1], MemoryKind::Events, at(to));
    for (to, limit) in [(299, 1_000), (299, 256), (100, 1_000), (0, 5), (150, 1)] {
        let inside = &of_second[..=to as usize];
        let ascending: Vec<Row> = inside.iter().take(limit).cloned().collect();
        let read = store.scan(range(to), Order::Ascending, limit).await?;
        ensure!(read == ascending, "up to {to}, at most {limit}");
        let descending: Vec<Row> = inside.iter().rev().take(limit).cloned().collect();
        let read = store.scan(range(to), Order::Descending, limit).await?;
        ensure!(read == descending, "down from {to}, at most {limit}");
    }
    let mut rest = range(299);
    rest.start = of_second[7].key.clone();
    let read = store.scan(rest.clone(), Order::Ascending, 1).await?;
    ensure!(read == of_second[7..8], "the start is inside");
    rest.end = of_second[9].key.clone();
    let read = store.scan(rest.clone(), Order::Descending, 9).await?;
    ensure!(
        read.len() == 2 && read[0] == of_second[8],
        "the end is outside"
    );
    rest.end = rest.start.clone();
    let read = store.scan(rest, Order::Ascending, 9).await?;
    ensure!(read.is_empty(), "an empty range: {read:?}");

    store.remove(vec![of_second[0].key.clone()]).await?;
    let read = store.scan(range(299), Order::Ascending, 1).await?;
    ensure!(read == of_second[1..2], "a removed row is there");
    let read = store.get(of_second[0].key.clone()).await?;
    ensure!(read.is_none(), "a removed row is there: {read:?}");
    Ok(())
}

/// Rows that an engine may keep apart come in the order of their keys, in pages of any size, from
/// either end.
pub async fn a_range_goes_on_where_rows_are_kept_apart<E: HistoryEnvironment>(
    env: &E,
) -> anyhow::Result<()> {
    let store = env.history().await?;
    let room = rooms(1).remove(0);
    let runs = [1, 65_535, 65_536, 65_537, 131_072, 655_360, 655_361];
    let chunk = |generation, seq| Row {
        key: layout::chunk_key(&room, Generation(generation), Seq(seq), at(1)),
        timestamp: at(1).timestamp(),
        body: body(&format!("{generation}:{seq}")),
    };
    let rows: Vec<Row> = [1, 2, 300]
        .into_iter()
        .flat_map(|generation| runs.map(|seq| chunk(generation, seq)))
        .collect();
    store.write(rows.iter().rev().cloned().collect()).await?;
    let second = layout::chunks_from(&room, Generation(2), Seq(65_536));
    let all = layout::rows_of(Table::Chunks, &room);
    for (range, inside) in [(all, &rows[..]), (second, &rows[9..14])] {
        for limit in 1..=inside.len() + 1 {
            let read = store.scan(range.clone(), Order::Ascending, limit).await?;
            let first: Vec<Row> = inside.iter().take(limit).cloned().collect();
            ensure!(read == first, "the first {limit}: {read:?}");
            let read = store.scan(range.clone(), Order::Descending, limit).await?;
            let last: Vec<Row> = inside.iter().rev().take(limit).cloned().collect();
            ensure!(read == last, "the last {limit}: {read:?}");
        }
    }
    let mut inner = rows[3].key.clone()..rows[18].key.clone();
    let read = store.scan(inner.clone(), Order::Descending, 99).await?;
    ensure!(
        read.iter().rev().eq(&rows[3..18]),
        "between two rows: {read:?}"
    );
    inner.end = inner.start.clone();
    let read = store.scan(inner, Order::Ascending, 99).await?;
    ensure!(read.is_empty(), "an empty range: {read:?}");
    Ok(())
}

/// Every room with rows in a table comes once, and no other.
pub async fn rooms_are_found_by_their_rows<E: HistoryEnvironment>(env: &E) -> anyhow::Result<()> {
    let store = env.history().await?;
    let rooms = rooms(7);
    let memory = Table::Memory(MemoryKind::Events);
    ensure!(store.room_past(memory, None).await?.is_none(), "no rows");
    let mut rows: Vec<Row> = rooms.iter().map(|room| row(room, 1, 1, "m")).collect();
    let removed = rows[3].key.clone();
    rows.extend(rooms[..2].iter().map(|room| Row {
        key: layout::chunk_key(room, Generation::FIRST, Seq(1), at(1)),
        timestamp: at(1).timestamp(),
        body: body("c"),
    }));
    rows.extend(rooms[2..5].iter().map(|room| Row {
        key: layout::state_key(room, at(1)),
        timestamp: at(1).timestamp(),
        body: body("s"),
    }));
    store.write(rows).await?;
    store.remove(vec![removed]).await?;
    let of_memory = [&rooms[..3], &rooms[4..]].concat();
    for (table, expected) in [
        (memory, &of_memory[..]),
        (Table::Chunks, &rooms[..2]),
        (Table::States, &rooms[2..5]),
        (Table::Memory(MemoryKind::Gifts), &[]),
    ] {
        let mut found = Vec::new();
        let mut past = None;
        while let Some(room) = store.room_past(table, past.as_ref()).await? {
            ensure!(!found.contains(&room), "{table:?} gives {room} twice");
            found.push(room.clone());
            past = Some(room);
        }
        let mut expected = expected.to_vec();
        found.sort();
        expected.sort();
        ensure!(found == expected, "{table:?} has {found:?}");
    }
    Ok(())
}

/// Whatever the order of writing, and within one write: the highest write time stays.
pub async fn a_lower_write_time_never_replaces_a_higher<E: HistoryEnvironment>(
    env: &E,
) -> anyhow::Result<()> {
    let store = env.history().await?;
    let room = rooms(1).remove(0);
    for (last, text, left) in [
        (4, "b", "b"),
        (2, "a", "b"),
        (5, "c", "c"),
        (5, "c", "c"),
        (0, "z", "c"),
        (9, "d", "d"),
    ] {
        store.write(vec![row(&room, 1, last, text)]).await?;
        let read = store.get(row(&room, 1, 0, "").key).await?;
        let read = read.map(|row| row.body);
        ensure!(read == Some(body(left)), "after {last} {text}: {read:?}");
    }
    let many = (0..64).map(|n| {
        let (store, room) = (store.clone(), room.clone());
        let last = (n * 37) % 64;
        tokio::spawn(async move {
            let text = last.to_string();
            store.write(vec![row(&room, 2, last, &text)]).await
        })
    });
    for written in many.collect::<Vec<_>>() {
        written.await??;
    }
    let read = store.get(row(&room, 2, 0, "").key).await?;
    ensure!(read == Some(row(&room, 2, 63, "63")), "{read:?}");
    Ok(())
}

/// A row that was swept stays so when the same records are written again, also when it is swept once more.
/// Later records replace it.
pub async fn what_was_swept_stays_swept<E: HistoryEnvironment>(env: &E) -> anyhow::Result<()> {
    let store = env.history().await?;
    let room = rooms(1).remove(0);
    let chunk = |last: i64, text: &str| Row {
        key: layout::chunk_key(&room, Generation::FIRST, Seq(1), at(1)),
        timestamp: at(last).timestamp(),
        body: body(text),
    };
    let unswept = chunk(4, "all");
    store.write(vec![unswept.clone()]).await?;
    // The first is the greatest, and the last the least, as bytes.
    for (erased_to, left) in [(300, "less"), (301, "even less"), (1_000, "")] {
        let swept = Row {
            timestamp: unswept.timestamp | 1,
            ..chunk(4, left)
        };
        store.rewrite(vec![swept.clone()], at(erased_to)).await?;
        store.write(vec![unswept.clone()]).await?;
        let read = store.get(unswept.key.clone()).await?;
        ensure!(read.as_ref() == Some(&swept), "to {erased_to}: {read:?}");
        let all = layout::rows_of(Table::Chunks, &room);
        let read = store.scan(all, Order::Ascending, 9).await?;
        ensure!(read == [swept], "to {erased_to}: {read:?}");
    }
    let longer = chunk(5, "all and more");
    store.write(vec![longer.clone()]).await?;
    let read = store.get(unswept.key).await?;
    ensure!(read == Some(longer), "{read:?}");
    Ok(())
}

/// A write that was acknowledged survives a crash.
pub async fn what_was_written_is_there_after_a_restart<E: HistoryEnvironment>(
    env: &E,
) -> anyhow::Result<()> {
    let room = rooms(1).remove(0);
    let mut store = env.history().await?;
    for run in 0..3 {
        let rows = (0..20).map(|n| row(&room, run * 20 + n, 1, &"x".repeat(1_000)));
        store.write(rows.collect()).await?;
        store = env.restart_history(store).await?;
        let range = layout::memory_until(&room, MemoryKind::Events, at(1_000));
        let read = store.scan(range, Order::Ascending, 1_000).await?.len();
        ensure!(read as i64 == (run + 1) * 20, "{read} rows after run {run}");
    }
    Ok(())
}

/// What a crash cut off is settled again from the watermark, chunks and states that were written
/// beyond it or not.
pub async fn an_owner_goes_on_from_the_last_checkpoint<E: HistoryEnvironment>(
    env: &E,
) -> anyhow::Result<()> {
    let script = Script::random(21, 300, 3);
    let mut engine = engine(env).await?;
    let mut checkpoint = Position::BEGIN;
    for run in 0..6 {
        let mut owner = Owner::open(engine.owner(&log()), &script).await?;
        ensure!(
            owner.position() == checkpoint,
            "run {run} begins at {} and not at {checkpoint}",
            owner.position()
        );
        owner.step(20 + run).await?;
        owner.checkpoint().await?;
        checkpoint = owner.position();
        owner.step(30).await?;
        drop(owner);
        engine.history = env.restart_history(engine.history).await?;
        check_shown(&engine, &script).await?;
    }
    let mut owner = Owner::open(engine.owner(&log()), &script).await?;
    owner.settle_to(script.end(), 50).await?;
    check_shown(&engine, &script).await
}

/// Who writes while another is ahead moves no watermark back, and is told when it loads.
pub async fn an_owner_that_is_behind_is_told_so<E: HistoryEnvironment>(
    env: &E,
) -> anyhow::Result<()> {
    let engine = engine(env).await?;
    let script = Script::random(22, 200, 2);
    let mut ahead = Owner::open(engine.owner(&log()), &script).await?;
    let mut behind = engine.owner(&log());
    behind.open(script.slot).await?;
    ahead.settle_to(at(149), 60).await?;
    behind.append(script.step(0..40)).await?;
    behind.checkpoint(script.slot, at(39)).await?;
    let watermark = engine.reader().watermark(script.slot).await?;
    ensure!(watermark == Some(at(149)), "moved back to {watermark:?}");
    let loaded = behind.load(script.slot, &script.rooms()).await?;
    ensure!(loaded.position == Some(at(149)), "{:?}", loaded.position);
    check_shown(&engine, &script).await?;
    ahead.settle_to(script.end(), 60).await?;
    check_shown(&engine, &script).await
}

/// At whichever of its reads another owner moves the watermark, a load's states are as of the position
/// beside them.
pub async fn a_load_is_of_one_watermark<E: HistoryEnvironment>(env: &E) -> anyhow::Result<()> {
    let engine = engine(env).await?;
    let script = Arc::new(Script::random(23, 600, 3));
    let mut first = Owner::open(engine.owner(&log()), &script).await?;
    first.settle_to(at(29), 10).await?;
    let mut call = 0;
    loop {
        let act: Act = {
            let (engine, script) = (engine.clone(), script.clone());
            Arc::new(move || {
                let (engine, script) = (engine.clone(), script.clone());
                Box::pin(async move {
                    let mut other = Owner::open(engine.owner(&log()), &script).await?;
                    for _ in 0..3 {
                        other.step(2).await?;
                        other.checkpoint().await?;
                    }
                    Ok(())
                })
            })
        };
        let history = Meddled::new(engine.history.clone(), call, act);
        let mut projection = HistoryWriter::new(history.clone(), log());
        projection.open(script.slot).await?;
        let loaded = projection.load(script.slot, &script.rooms()).await?;
        let Some(position) = loaded.position else {
            anyhow::bail!("an opened slot has no position");
        };
        for (room, state) in script.rooms().iter().zip(loaded.states) {
            let core = script.standing(room, position).map(|s| s.core.clone());
            ensure!(
                state.map(|state| state.core) == core,
                "{room} is not as of {position}, with another owner at call {call}"
            );
        }
        if !history.has_acted() {
            break;
        }
        call += 1;
    }
    ensure!(
        call > 5,
        "a load of three rooms reads more than {call} times"
    );
    Ok(())
}

/// States go once nobody can ask for them any more, so that their number does not grow; the newest at
/// the watermark and the one before never do.
pub async fn only_rows_that_nobody_needs_are_removed<E: HistoryEnvironment>(
    env: &E,
) -> anyhow::Result<()> {
    let engine = engine(env).await?;
    let script = Script::random(24, 300, 1);
    let room = &script.rooms()[0];
    let reader = engine.reader();
    let mut owner = Owner::open(engine.owner(&log()), &script).await?;
    let mut previous = None;
    while owner.position() < script.end() {
        owner.step(10).await?;
        owner.checkpoint().await?;
        for watermark in [Some(owner.position()), previous].into_iter().flatten() {
            let state = reader.state(room, watermark).await?;
            let core = state.map(|(_, state)| state.core);
            let expected = script.standing(room, watermark).map(|s| s.core.clone());
            ensure!(core == expected, "the state at {watermark}");
        }
        let states = layout::states_until(room, script.end());
        let states = engine.history.scan(states, Order::Ascending, 100).await?;
        ensure!(states.len() <= 3, "{} states are kept", states.len());
        previous = Some(owner.position());
    }
    check_shown(&engine, &script).await
}

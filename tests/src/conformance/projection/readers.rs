//! What a history's reader promises of events and rooms: dense, from any seq, as of a position.

use anyhow::{Context, ensure};
use danmu_projections::history::layout;
use danmu_projections::history::store::{HistoryStore, Order};
use danmu_schemas::chunk;
use danmu_schemas::{Generation, Position, Seq, Settled};
use fastrand::Rng;

use super::Engine;
use super::history::{HistoryEnvironment, engine};
use super::script::{Line, Owner, Script, at, comment, log, rooms};

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

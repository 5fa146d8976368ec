//! Following: a reader hears of changes, asks for what is new, and lists the rooms that are live.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use danmu_projections::windows::{RoomWatch, WindowRead};
use danmu_schemas::chunk::Unpacker;
use danmu_schemas::{Generation, Position, RoomId, Seq, Settled};
use tokio::time::timeout;

use super::script::{Owner, Script, Standing, at, log};
use super::windows::{WindowEnvironment, engine};
use super::{Engine, check_shown};

/// Longer than anything here takes on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(30);

async fn is_told(watch: &mut impl RoomWatch, seen: u64) -> anyhow::Result<()> {
    let told = timeout(DEADLINE, watch.changed(seen)).await;
    Ok(told.context("a change was not told")??)
}

/// That the slot is there, that a room has news, and that the room is lost.
pub async fn a_watch_is_told_of_everything_that_a_reader_would_see<E: WindowEnvironment>(
    env: &E,
) -> anyhow::Result<()> {
    let engine = engine(env).await?;
    let script = Script::random(41, 20, 1);
    let room = &script.rooms()[0];
    let mut watch = engine.windows.watch(room).await?;
    let unknown = engine.windows.room(room).await?.version;
    ensure!(unknown == 0, "an unknown room has version {unknown}");

    let mut owner = Owner::open(engine.owner(&log()), &script).await?;
    is_told(&mut watch, unknown).await?;
    let empty = engine.windows.room(room).await?.version;
    ensure!(empty != unknown, "a room that is known to be empty");

    owner.step(5).await?;
    is_told(&mut watch, empty).await?;
    let seen = engine.windows.room(room).await?.version;
    ensure!(seen != empty, "a room with news");

    E::wipe(&engine.windows, script.slot).await?;
    is_told(&mut watch, seen).await?;
    let lost = engine.windows.room(room).await?.version;
    ensure!(lost == 0, "a lost room has version {lost}");
    Ok(())
}

/// A reader that watches, then asks for the chunks after the last that it has, and waits for another
/// version, has every event once and in order, and at each moment up to the state beside them.
pub async fn a_follower_misses_nothing<E: WindowEnvironment>(env: &E) -> anyhow::Result<()> {
    let engine = engine(env).await?;
    let script = Arc::new(Script::random(42, 600, 1));
    let room = script.rooms().remove(0);
    let following = {
        let (windows, script, room) = (engine.windows.clone(), script.clone(), room.clone());
        tokio::spawn(async move {
            let mut watch = windows.watch(&room).await?;
            let mut unpacker = Unpacker::new();
            let mut after = Position::BEGIN;
            let mut last_seq = None;
            loop {
                let window = windows.since(&room, after).await?;
                let known = after;
                let mut news: Vec<(Generation, Settled)> = Vec::new();
                for chunk in &window.chunks {
                    let header = chunk.header;
                    let last = Position::new(header.epoch, header.last_offset);
                    ensure!(last > after, "a chunk up to {last} after {after}");
                    after = last;
                    let settled = unpacker.unpack(&chunk.bytes)?.1.settled.into_iter();
                    news.extend(settled.map(|event| (header.generation, event)));
                }
                if let (Some(position), Some(state)) = (window.slot_position, &window.state) {
                    let standing = script.standing(&room, position);
                    let core = standing.map(|standing| &standing.core);
                    ensure!(core == Some(&state.core), "another state at {position}");
                    let mut left = script.events_left(&room, position);
                    left.retain(|(_, event)| event.offset > known.offset);
                    ensure!(news == left, "other news at {position} after {known}");
                    last_seq = news.last().map(|(_, event)| event.seq).or(last_seq);
                }
                if window.slot_position == Some(script.end()) {
                    return anyhow::Ok(last_seq);
                }
                is_told(&mut watch, window.version).await?;
            }
        })
    };
    let mut owner = Owner::open(engine.owner(&log()), &script).await?;
    while owner.position() < script.end() {
        owner.step(3).await?;
        tokio::task::yield_now().await;
    }
    let last_seq = following.await??;
    ensure!(last_seq > Some(Seq(100)), "nothing was followed");
    check_shown(&engine, &script).await
}

/// Exactly the chunks of which a record stands after the position.
pub async fn only_chunks_with_news_are_read<E: WindowEnvironment>(env: &E) -> anyhow::Result<()> {
    let engine = engine(env).await?;
    let script = Script::random(43, 60, 1);
    let room = &script.rooms()[0];
    let mut owner = Owner::open(engine.owner(&log()), &script).await?;
    owner.settle_to(script.end(), 7).await?;
    let whole = engine.windows.room(room).await?;
    for after in -1..script.len() as i64 {
        let part = engine.windows.since(room, at(after)).await?;
        let is_news = |last: i64| last > after;
        let expected = whole.chunks.iter();
        let expected: Vec<_> = expected
            .filter(|chunk| is_news(chunk.header.last_offset))
            .cloned()
            .collect();
        ensure!(part.chunks == expected, "chunks after {after}");
        ensure!(part.state == whole.state, "the state is there all the same");
    }
    Ok(())
}

/// The rooms with an open broadcast, by name and in pages, at every moment; none of a lost slot.
pub async fn live_rooms_are_those_with_an_open_broadcast<E: WindowEnvironment>(
    env: &E,
) -> anyhow::Result<()> {
    let engine = engine(env).await?;
    let script = Script::random(44, 400, 8);
    let mut owner = Owner::open(engine.owner(&log()), &script).await?;
    while owner.position() < script.end() {
        owner.step(20).await?;
        let live = |room: &RoomId| {
            let standing = script.standing(room, owner.position());
            standing.is_some_and(|standing: &Standing| standing.core().broadcast.is_some())
        };
        let mut expected = script.rooms();
        expected.retain(live);
        let mut listed: Vec<RoomId> = Vec::new();
        loop {
            let page = engine.windows.live(listed.last(), 3).await?;
            for (room, state) in &page {
                let standing = script.standing(room, owner.position());
                let core = standing.map(|standing| &standing.core);
                ensure!(core == Some(&state.core), "{room} has another state");
            }
            listed.extend(page.iter().map(|(room, _)| room.clone()));
            if page.len() < 3 {
                break;
            }
        }
        ensure!(listed == expected, "{listed:?} and not {expected:?}");
    }
    E::wipe(&engine.windows, script.slot).await?;
    let left = engine.windows.live(None, 10).await?.len();
    ensure!(left == 0, "{left} live rooms in a lost slot");
    Ok(())
}

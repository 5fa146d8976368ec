//! What a server loses, in part or whole, is noticed, and filled again from the history and the log.

use anyhow::ensure;
use danmu_projections::EmbeddedHistory;
use danmu_projections::history::HistoryWriter;
use danmu_projections::projection::Appended;
use danmu_projections::windows::redis::RedisWindows;
use danmu_projections::windows::{RefillToken, RoomWatch, WindowRead, WindowStore, Windows};
use danmu_schemas::Slot;
use danmu_tests::conformance::projection::refill::copied;
use danmu_tests::conformance::projection::script::{Owner, Script, at, log};
use danmu_tests::conformance::projection::windows::{WindowEngine, engine};
use danmu_tests::conformance::projection::{Engine, check_shown};
use tokio::time::timeout;

use super::{PATIENCE, Redis};

/// Records of three rooms in one slot.
const LEN: usize = 200;

type Engined = WindowEngine<RedisWindows, EmbeddedHistory>;
type Filling<'a> = Owner<'a, Windows<RedisWindows, EmbeddedHistory>>;

/// An engine whose history is at 79 of the script, and an owner that has filled its windows up to 119.
async fn filled<'a>(redis: &Redis, script: &'a Script) -> anyhow::Result<(Engined, Filling<'a>)> {
    let engine = engine(redis).await?;
    let history = HistoryWriter::new(engine.history().clone(), log());
    Owner::open(history, script)
        .await?
        .settle_to(at(79), 50)
        .await?;
    let mut owner = Owner::open(engine.owner(&log()), script).await?;
    owner.settle_to(at(119), 10).await?;
    Ok((engine, owner))
}

/// Calls until the connection has found out that it was lost, and is there again.
async fn is_reached_again(engine: &Engined, slot: Slot) -> anyhow::Result<()> {
    let reached = async { while engine.windows().position(slot).await.is_err() {} };
    Ok(timeout(PATIENCE, reached).await?)
}

/// The next append finds the loss: nothing of it is stored, and the slot is filled again from the history.
async fn is_filled_again(
    engine: &Engined,
    owner: &mut Filling<'_>,
    script: &Script,
) -> anyhow::Result<()> {
    let appended = owner.step(10).await?;
    ensure!(appended == Appended::Other(None), "{appended:?}");
    ensure!(owner.position() == at(79), "at {}", owner.position());
    check_shown(engine, script).await?;
    owner.settle_to(script.end(), 10).await?;
    check_shown(engine, script).await?;
    let shown = engine.shown(&script.rooms()[0]).await?;
    ensure!(shown.position == Some(script.end()), "{:?}", shown.position);
    Ok(())
}

#[tokio::test]
async fn a_flushed_server_is_filled_again() -> anyhow::Result<()> {
    let redis = Redis::start();
    let script = Script::random(71, LEN, 3);
    let (engine, mut owner) = filled(&redis, &script).await?;
    redis.command(&["FLUSHALL"]).await?;
    is_filled_again(&engine, &mut owner, &script).await
}

#[tokio::test]
async fn a_server_that_comes_back_empty_is_filled_again() -> anyhow::Result<()> {
    let redis = Redis::start();
    let script = Script::random(72, LEN, 3);
    let (engine, mut owner) = filled(&redis, &script).await?;
    redis.server().kill();
    redis.server().wipe()?;
    redis.server().restart()?;
    is_reached_again(&engine, script.slot).await?;
    owner.reopen().await?;
    ensure!(owner.position() == at(79), "at {}", owner.position());
    owner.settle_to(script.end(), 10).await?;
    check_shown(&engine, &script).await
}

/// Every key of a slot, one after the other, is lost alone: none goes unnoticed.
#[tokio::test]
async fn a_slot_that_lacks_a_key_is_filled_again() -> anyhow::Result<()> {
    let redis = Redis::start();
    let script = Script::random(73, LEN, 3);
    let (engine, owner) = filled(&redis, &script).await?;
    drop(owner);
    let windows = engine.windows().clone();
    let names = keys(&redis, script.slot).await?;
    ensure!(names.len() > 9, "only the keys {names:?}");
    for name in names {
        windows.wipe(script.slot).await?;
        let mut owner = Owner::open(engine.owner(&log()), &script).await?;
        owner.settle_to(at(119), 10).await?;
        ensure!(
            redis.command(&["DEL", &name]).await? == ::redis::Value::Int(1),
            "there is no {name}"
        );
        for room in script.rooms() {
            // Whatever is shown is whole; who reads what is torn has the slot filled again.
            windows.room(&room).await?;
        }
        check_shown(&engine, &script).await?;
        let position = windows.position(script.slot).await?;
        ensure!(position.is_none(), "without {name} it is at {position:?}");
        is_filled_again(&engine, &mut owner, &script).await?;
    }
    Ok(())
}

/// The keys of a slot.
async fn keys(redis: &Redis, slot: Slot) -> anyhow::Result<Vec<String>> {
    let prefix = redis.options().prefix;
    let pattern = format!("{prefix}:windows:{{{slot}}}*");
    Ok(::redis::from_redis_value(
        redis.command(&["KEYS", &pattern]).await?,
    )?)
}

/// A server that has only what it saved a while ago is behind, and goes on from there.
#[tokio::test]
async fn a_server_that_lost_its_end_goes_on_from_there() -> anyhow::Result<()> {
    let redis = Redis::with(&[("appendonly", "no")]);
    let script = Script::random(74, LEN, 3);
    let (engine, mut owner) = filled(&redis, &script).await?;
    redis.command(&["SAVE"]).await?;
    let room = &script.rooms()[0];
    let mut watch = engine.windows().watch(room).await?;
    owner.settle_to(at(159), 7).await?;
    let seen = engine.windows().room(room).await?.version;
    redis.server().kill();
    redis.server().restart()?;
    is_reached_again(&engine, script.slot).await?;
    while engine.windows().room(room).await?.version == seen {
        timeout(PATIENCE, watch.changed(seen)).await??;
    }
    let appended = owner.step(3).await?;
    ensure!(appended == Appended::Other(Some(at(119))), "{appended:?}");
    ensure!(owner.position() == at(119), "at {}", owner.position());
    check_shown(&engine, &script).await?;
    owner.settle_to(script.end(), 9).await?;
    check_shown(&engine, &script).await
}

/// Twice in the middle of a refill everything is gone: neither can go on or end.
#[tokio::test]
async fn a_flush_in_a_refill_ends_it() -> anyhow::Result<()> {
    const FIRST: RefillToken = RefillToken(1);
    const SECOND: RefillToken = RefillToken(2);
    let redis = Redis::start();
    let script = Script::random(75, LEN, 3);
    let (engine, mut owner) = filled(&redis, &script).await?;
    let (windows, slot) = (engine.windows().clone(), script.slot);
    windows.wipe(slot).await?;

    ensure!(windows.begin(slot, FIRST).await?, "a lost slot");
    ensure!(
        windows.put(slot, FIRST, 0, copied(&script, 5)?).await?,
        "put"
    );
    redis.command(&["FLUSHALL"]).await?;
    ensure!(
        !windows.put(slot, FIRST, 1, copied(&script, 5)?).await?,
        "put"
    );

    ensure!(windows.begin(slot, SECOND).await?, "a lost slot");
    ensure!(
        windows.put(slot, SECOND, 0, copied(&script, 5)?).await?,
        "put"
    );
    redis.command(&["FLUSHALL"]).await?;
    let at_log = (at(79), log());
    ensure!(!windows.end(slot, SECOND, 1, at_log).await?, "ended");
    ensure!(windows.position(slot).await?.is_none(), "a position");
    is_filled_again(&engine, &mut owner, &script).await
}

//! Refills: a lost slot becomes one moment of the history, whatever happens meanwhile.

use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use danmu_projections::history::{HistoryStore, HistoryWriter};
use danmu_projections::projection::{Appended, StoreError, StoredState};
use danmu_projections::windows::{RefillToken, RoomCopy, WindowLimits, WindowRead, WindowStore};
use danmu_schemas::Position;

use super::meddling::{Act, Meddled};
use super::one_slot::OneSlot;
use super::script::{Owner, Script, at, log};
use super::windows::{WindowEngine, WindowEnvironment, engine};
use super::{Engine, check_shown};

/// A history that has settled the script up to each position, one checkpoint after the other, and
/// what comes after the last without one.
pub(super) async fn settled_history<H: HistoryStore>(
    history: &H,
    script: &Script,
    watermarks: &[Position],
) -> anyhow::Result<()> {
    let writer = HistoryWriter::new(history.clone(), log());
    let mut owner = Owner::open(writer, script).await?;
    for watermark in watermarks {
        owner.settle_to(*watermark, 50).await?;
    }
    Ok(())
}

/// A refilled slot stands at the watermark with the states and the events of there, and nothing that
/// the history has beyond it.
pub async fn a_lost_slot_is_refilled_at_the_watermark<E: WindowEnvironment>(
    env: &E,
) -> anyhow::Result<()> {
    let engine = engine(env).await?;
    let script = Script::random(11, 300, 3);
    settled_history(&engine.history, &script, &[at(99), at(199)]).await?;
    let mut beyond =
        Owner::open(HistoryWriter::new(engine.history.clone(), log()), &script).await?;
    beyond.step(60).await?;
    let mut owner = Owner::open(engine.owner(&log()), &script).await?;
    ensure!(owner.position() == at(199), "at {}", owner.position());
    check_shown(&engine, &script).await?;
    owner.settle_to(script.end(), 10).await?;
    check_shown(&engine, &script).await?;

    E::wipe(&engine.windows, script.slot).await?;
    let lost = owner.step(0).await?;
    ensure!(lost == Appended::Other(None), "in a lost slot: {lost:?}");
    ensure!(owner.position() == at(199), "at {}", owner.position());
    owner.settle_to(script.end(), 25).await?;
    check_shown(&engine, &script).await
}

/// Where neither the history nor the log has the beginning, nothing is made up.
pub async fn without_a_watermark_only_a_whole_log_refills<E: WindowEnvironment>(
    env: &E,
) -> anyhow::Result<()> {
    let whole = engine(env).await?;
    let cut = WindowEngine {
        log_is_whole: false,
        ..whole.clone()
    };
    let script = Script::random(12, 20, 1);
    match cut.owner(&log()).open(script.slot).await {
        Err(StoreError::CannotRefill { slot }) => ensure!(slot == script.slot, "slot {slot}"),
        other => bail!("without a beginning: {other:?}"),
    }
    ensure!(
        whole.windows.position(script.slot).await?.is_none(),
        "a position was made up"
    );
    settled_history(&whole.history, &script, &[at(9)]).await?;
    let position = cut.owner(&log()).open(script.slot).await?;
    ensure!(position == at(9), "with a watermark: {position}");
    Ok(())
}

const FIRST: RefillToken = RefillToken(1);
const SECOND: RefillToken = RefillToken(2);

/// A room for a refill to put, as of the first `until` records.
pub fn copied(script: &Script, until: usize) -> anyhow::Result<RoomCopy> {
    let change = script.step(0..until).changes.pop().context("a room")?;
    Ok(RoomCopy {
        room: change.room,
        state: StoredState {
            core: change.state.core,
            fields: change.state.fields,
            event_memory: change.state.event_memory,
            gift_memory: change.state.gift_memory.into_iter().collect(),
        },
        chunks: vec![],
    })
}

/// A refill is put in turn and under its own name; a newer one takes the slot from it.
pub async fn of_two_refills_one_ends<E: WindowEnvironment>(env: &E) -> anyhow::Result<()> {
    let store = env.windows(WindowLimits::default()).await?;
    let script = Script::random(13, 10, 1);
    let slot = script.slot;
    let copy = || copied(&script, 5);
    let position = || (at(4), log());
    ensure!(store.begin(slot, FIRST).await?, "a lost slot");
    ensure!(!store.put(slot, FIRST, 1, copy()?).await?, "out of turn");
    ensure!(!store.put(slot, SECOND, 0, copy()?).await?, "not begun");
    ensure!(store.put(slot, FIRST, 0, copy()?).await?, "in turn");
    ensure!(store.put(slot, FIRST, 0, copy()?).await?, "the same again");
    ensure!(store.begin(slot, SECOND).await?, "a newer refill");
    ensure!(!store.put(slot, FIRST, 1, copy()?).await?, "overtaken");
    ensure!(!store.end(slot, FIRST, 1, position()).await?, "overtaken");
    ensure!(!store.end(slot, SECOND, 1, position()).await?, "too few");
    ensure!(store.end(slot, SECOND, 0, position()).await?, "its end");
    ensure!(
        store.position(slot).await? == Some(position()),
        "its position"
    );
    let loaded = store.load(slot, &script.rooms()).await?;
    ensure!(
        loaded.states == [None],
        "what the first put is in the second's slot"
    );
    Ok(())
}

/// After a wipe a refill can neither go on nor end, also where it had put nothing yet.
pub async fn a_wipe_ends_a_refill<E: WindowEnvironment>(env: &E) -> anyhow::Result<()> {
    let store = env.windows(WindowLimits::default()).await?;
    let script = Script::random(14, 10, 1);
    let slot = script.slot;
    for puts in 0..2 {
        ensure!(store.begin(slot, FIRST).await?, "a lost slot");
        for n in 0..puts {
            ensure!(store.put(slot, FIRST, n, copied(&script, 5)?).await?, "put");
        }
        E::wipe(&store, slot).await?;
        ensure!(
            !store.put(slot, FIRST, puts, copied(&script, 5)?).await?,
            "a put after the wipe"
        );
        ensure!(
            !store.end(slot, FIRST, puts, (at(4), log())).await?,
            "an end after the wipe"
        );
    }
    ensure!(store.position(slot).await?.is_none(), "a position");
    Ok(())
}

/// A slot that has its position takes nothing from a refill.
pub async fn a_refill_that_is_overtaken_by_a_position_ends<E: WindowEnvironment>(
    env: &E,
) -> anyhow::Result<()> {
    let engine = engine(env).await?;
    let script = Script::random(15, 20, 1);
    let (store, slot) = (&engine.windows, script.slot);
    ensure!(store.begin(slot, FIRST).await?, "a lost slot");
    ensure!(store.put(slot, FIRST, 0, copied(&script, 5)?).await?, "put");
    let mut owner = Owner::open(engine.owner(&log()), &script).await?;
    owner.settle_to(at(9), 3).await?;
    ensure!(
        !store.put(slot, FIRST, 1, copied(&script, 5)?).await?,
        "put"
    );
    ensure!(!store.end(slot, FIRST, 1, (at(4), log())).await?, "end");
    ensure!(!store.begin(slot, SECOND).await?, "begin");
    owner.settle_to(script.end(), 3).await?;
    check_shown(&engine, &script).await
}

/// Until its end a refill is nobody's to see, and nobody's to append to.
pub async fn a_slot_that_is_refilled_shows_nothing<E: WindowEnvironment>(
    env: &E,
) -> anyhow::Result<()> {
    let engine = engine(env).await?;
    let script = Script::random(16, 20, 1);
    let (store, slot) = (&engine.windows, script.slot);
    store.begin(slot, FIRST).await?;
    store.put(slot, FIRST, 0, copied(&script, 5)?).await?;
    let window = store.room(&script.rooms()[0]).await?;
    ensure!(window.slot_position.is_none(), "{:?}", window.slot_position);
    ensure!(window.state.is_none(), "a state before the end");
    ensure!(store.load(slot, &[]).await?.position.is_none(), "a load");
    let appended = engine.owner(&log()).append(script.step(5..6)).await?;
    ensure!(appended == Appended::Other(None), "{appended:?}");
    ensure!(store.end(slot, FIRST, 1, (at(4), log())).await?, "its end");
    let shown = store.room(&script.rooms()[0]).await?;
    ensure!(shown.state.is_some(), "what was put is not there");
    Ok(())
}

/// What happens in the middle of a refill.
#[derive(Debug, Clone, Copy)]
enum Meanwhile {
    TheWatermarkMoves,
    TheSlotIsWiped,
    AnotherRefillEnds,
}

/// At whichever of a refill's reads something happens, what it ends with is one moment of the script.
pub async fn whatever_happens_meanwhile_a_refill_is_of_one_moment<E: WindowEnvironment>(
    env: &E,
) -> anyhow::Result<()> {
    let engine = engine(env).await?;
    let script = Arc::new(Script::random(17, 1_200, 3));
    settled_history(&engine.history, &script, &[at(9)]).await?;
    for meanwhile in [
        Meanwhile::TheWatermarkMoves,
        Meanwhile::TheSlotIsWiped,
        Meanwhile::AnotherRefillEnds,
    ] {
        let mut call = 0;
        loop {
            E::wipe(&engine.windows, script.slot).await?;
            let act = act::<E>(meanwhile, &engine, &script);
            let history = Meddled::new(engine.history.clone(), call, act);
            let meddled = WindowEngine {
                windows: engine.windows.clone(),
                history: history.clone(),
                owners: engine.owners.clone(),
                log_is_whole: true,
            };
            meddled.owner(&log()).open(script.slot).await?;
            check_shown(&engine, &script).await?;
            let shown = engine.shown(&script.rooms()[0]).await?;
            ensure!(shown.position >= Some(at(9)), "{:?}", shown.position);
            if !history.has_acted() {
                break;
            }
            call += 1;
        }
        ensure!(
            call > 3,
            "{meanwhile:?}: a refill reads more than {call} times"
        );
    }
    Ok(())
}

fn act<E: WindowEnvironment>(
    meanwhile: Meanwhile,
    engine: &WindowEngine<E::Windows, E::History>,
    script: &Arc<Script>,
) -> Act {
    let (engine, script) = (engine.clone(), script.clone());
    Arc::new(move || {
        let (engine, script) = (engine.clone(), script.clone());
        Box::pin(async move {
            match meanwhile {
                Meanwhile::TheWatermarkMoves => {
                    let writer = HistoryWriter::new(engine.history.clone(), log());
                    let mut owner = Owner::open(writer, &script).await?;
                    // So often that what the refill began with is removed.
                    for _ in 0..3 {
                        owner.step(5).await?;
                        owner.checkpoint().await?;
                    }
                    Ok(())
                }
                Meanwhile::TheSlotIsWiped => E::wipe(&engine.windows, script.slot).await,
                Meanwhile::AnotherRefillEnds => {
                    let mut rival = Owner::open(engine.owner(&log()), &script).await?;
                    rival.step(5).await.map(drop)
                }
            }
        })
    })
}

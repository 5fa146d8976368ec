//! Old records that are settled and stored again after what they said was taken: by a processor that
//! stood still meanwhile, or that begins at an old position.

use std::time::Duration;

use anyhow::{Context, ensure};
use danmu_projections::history::layout::{self, Table};
use danmu_projections::history::store::{HistoryStore, Order};
use danmu_projections::history::{Sweep, Swept};
use danmu_projections::projection::Appended;
use danmu_projections::segments::View;
use danmu_projections::windows::WindowRead;
use danmu_schemas::chunk::Unpacker;
use danmu_schemas::fact::Moderation;
use danmu_schemas::{Cursor, Generation, RoomId, Seq, Settled};

use super::history::{self, HistoryEngine, HistoryEnvironment};
use super::one_slot::OneSlot;
use super::script::{Line, Owner, Script, comment, delete, end, erase, log, rooms, start};
use super::windows::{self, WindowEnvironment};
use super::{Engine, check_shown};

/// In everything that ann says, who is erased.
const ERASED: &str = "said and erased";
/// In everything else.
const KEPT: &str = "said and kept";
/// The comment that is deleted.
const DELETED_SEQ: Seq = Seq(3);
/// Longer than any test takes.
const FOR_EVER: Duration = Duration::from_secs(1 << 32);
/// How many records come before it is deleted.
const SAID: usize = 32;

/// A show in which one comment is deleted and one viewer erased after everything was said.
fn script() -> Script {
    let room = rooms(1).remove(0);
    let mut lines = vec![("host", start("show"))];
    lines.push(("ann", comment(ERASED)));
    lines.push(("bob", comment("said and deleted")));
    while lines.len() < SAID {
        let (user, text) = [("ann", ERASED), ("cy", KEPT)][lines.len() % 2];
        lines.push((user, comment(text)));
    }
    lines.push(("mod", delete(DELETED_SEQ.0)));
    lines.push(("operator", erase("ann")));
    lines.push(("host", end()));
    let lines = lines.into_iter().enumerate().map(|(n, (user, body))| Line {
        room: room.clone(),
        logged_at: 1_700_000_000_000 + n as i64 * 100,
        id: n as u128,
        user: user.to_owned(),
        body,
    });
    Script::of(&lines.collect::<Vec<_>>())
}

fn has(events: &[Settled], text: &str) -> bool {
    let is_in = |datum: &[u8]| {
        datum
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    };
    events.iter().any(|event| is_in(&event.datum))
}

/// Every reader is still told what was taken. At rest a swept chunk stays as it is, and the next sweep
/// takes one with other borders.
pub async fn what_was_taken_stays_away_when_it_is_settled_again<E: HistoryEnvironment>(
    env: &E,
) -> anyhow::Result<()> {
    let engine = history::engine(env).await?;
    let script = script();
    let room = script.rooms().remove(0);
    let mut stalled = Owner::open(engine.owner(&log()), &script).await?;
    stalled.step(5).await?;
    let mut twin = Owner::open(engine.owner(&log()), &script).await?;
    twin.step(SAID).await?;
    let mut owner = Owner::open(engine.owner(&log()), &script).await?;
    owner.step(SAID).await?;
    owner.checkpoint().await?;
    owner.settle_to(script.end(), 3).await?;
    let is_stored = async || Ok::<_, anyhow::Error>(has(&stored(&engine, &room).await?, ERASED));
    ensure!(is_stored().await?, "it was never there");
    sweep(&engine, &script).await?;
    ensure!(!is_stored().await?, "it was not swept");
    check_told(&engine, &script, &room).await?;

    twin.checkpoint().await?;
    stalled.checkpoint().await?;
    ensure!(!is_stored().await?, "chunks with the same first event");
    stalled.step(3).await?;
    stalled.checkpoint().await?;
    ensure!(is_stored().await?, "a chunk with another first event");
    check_told(&engine, &script, &room).await?;
    sweep(&engine, &script).await?;
    ensure!(!is_stored().await?, "it stays");
    check_told(&engine, &script, &room).await
}

/// The segment names all that its readers have to take from it, and the watermark stands where it stood.
async fn check_told<H: HistoryStore>(
    engine: &HistoryEngine<H>,
    script: &Script,
    room: &RoomId,
) -> anyhow::Result<()> {
    let show = Cursor {
        generation: Generation::FIRST,
        seq: Seq(1),
    };
    let segment = engine.reader().segment(room, show, 0, View::Public).await?;
    let told = segment.context("the show's segment")?.moderation;
    let told: Vec<Moderation> = told.into_iter().map(|row| row.moderation).collect();
    let deleted = Moderation::Deleted {
        target: DELETED_SEQ,
    };
    let erased = Moderation::UserErased {
        user: "ann".to_owned(),
    };
    ensure!(told == [deleted, erased], "{told:?}");
    let watermark = engine.reader().watermark(script.slot).await?;
    ensure!(watermark == Some(script.end()), "back to {watermark:?}");
    Ok(())
}

/// Every stored event of the room, as often as it is stored.
async fn stored<H: HistoryStore>(
    engine: &HistoryEngine<H>,
    room: &RoomId,
) -> anyhow::Result<Vec<Settled>> {
    let chunks = layout::rows_of(Table::Chunks, room);
    let chunks = engine.history.scan(chunks, Order::Ascending, 1_000).await?;
    let mut unpacker = Unpacker::new();
    let mut events = Vec::new();
    for chunk in chunks {
        events.extend(unpacker.unpack(&chunk.body)?.1.settled);
    }
    Ok(events)
}

/// A whole sweep of the script's slot, as where late writers are about.
async fn sweep<H: HistoryStore>(engine: &HistoryEngine<H>, script: &Script) -> anyhow::Result<()> {
    let sweep = Sweep::new(engine.history.clone(), log()).among_late_writers(FOR_EVER);
    let mut sweep = sweep.of_slots(vec![script.slot]);
    while sweep.step().await? == Swept::More {}
    let _ = sweep.purge().await?;
    Ok(())
}

/// No step that begins before the slot's position is stored, whatever it says: the window stays as it is.
pub async fn a_window_does_not_take_old_records_again<E: WindowEnvironment>(
    env: &E,
) -> anyhow::Result<()> {
    let engine = windows::engine(env).await?;
    let script = script();
    let room = script.rooms().remove(0);
    E::wipe(&engine.windows, script.slot).await?;
    let mut stalled = engine.owner(&log());
    let mut owner = Owner::open(engine.owner(&log()), &script).await?;
    ensure!(owner.step(5).await? == Appended::Stored, "the first step");
    OneSlot::open(&mut stalled, script.slot).await?;
    while owner.position() < script.end() {
        owner.step(7).await?;
    }
    check_shown(&engine, &script).await?;
    let before = engine.windows.room(&room).await?;
    for last in [6, 12, SAID] {
        let appended = stalled.append(script.step(5..last)).await?;
        ensure!(
            appended == Appended::Other(Some(script.end())),
            "{appended:?}"
        );
        OneSlot::open(&mut stalled, script.slot).await?;
    }
    ensure!(engine.windows.room(&room).await? == before, "it changed");
    check_shown(&engine, &script).await
}

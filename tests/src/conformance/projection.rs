//! What every projection promises: the suite of [`Projection`], run over the windows and the history.
//!
//! Each case is a function over an [`Engine`], a store with what makes its owners and what its readers
//! see. What only windows promise is in [`windows`], [`refill`], [`blanking`] and [`following`], what only
//! a history does in [`history`], [`readers`] and [`broadcasts`]; there are the environments that adapters
//! implement. A log is a script, and whatever is shown at a position is compared with what the script
//! gives there.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail, ensure};
use danmu_processors::settle::Room;
use danmu_projections::projection::{Appended, Projection, StoreError};
use danmu_schemas::{LogIdentity, Position, RoomId, Settled, Slot};
use fastrand::Rng;

use one_slot::OneSlot;
use script::{Line, Owner, Script, Standing, at, comment, log};

pub mod blanking;
pub mod broadcasts;
pub mod following;
pub mod history;
mod meddling;
pub mod one_slot;
pub mod readers;
pub mod refill;
pub mod replaying;
pub mod script;
pub mod windows;

/// Makes a test of every case, each over the environment that `$environment` makes anew.
#[macro_export]
macro_rules! history_conformance {
    ($environment:expr) => {
        $crate::projection_cases!(
            $crate::conformance::projection::history::engine(&$environment).await?
        );
        $crate::environment_cases!($environment, history;
            rows_are_kept_by_their_keys
            a_range_goes_on_where_rows_are_kept_apart
            rooms_are_found_by_their_rows
            a_lower_write_time_never_replaces_a_higher
            what_was_swept_stays_swept
            what_was_written_is_there_after_a_restart
            an_owner_goes_on_from_the_last_checkpoint
            an_owner_that_is_behind_is_told_so
            a_load_is_of_one_watermark
            only_rows_that_nobody_needs_are_removed
        );
        $crate::environment_cases!($environment, readers;
            events_are_dense_and_stop_at_a_hole
            a_seek_lands_between_any_borders
            rooms_are_listed_as_of_a_position
        );
        $crate::environment_cases!($environment, broadcasts;
            broadcasts_come_newest_first_and_in_pages
            heat_and_interruptions_tell_the_whole_broadcast
            segments_close_at_the_watermark_and_never_change
            moderation_raises_the_revision_of_what_it_changes
            what_was_taken_is_blank_wherever_it_is_repeated
        );
        $crate::environment_cases!($environment, replaying;
            what_was_taken_stays_away_when_it_is_settled_again
        );
    };
}

/// The same for windows, which are refilled from a history.
#[macro_export]
macro_rules! window_conformance {
    ($environment:expr) => {
        $crate::projection_cases!(
            $crate::conformance::projection::windows::engine(&$environment).await?
        );
        $crate::environment_cases!($environment, refill;
            a_lost_slot_is_refilled_at_the_watermark
            without_a_watermark_only_a_whole_log_refills
            of_two_refills_one_ends
            a_wipe_ends_a_refill
            a_refill_that_is_overtaken_by_a_position_ends
            a_slot_that_is_refilled_shows_nothing
            whatever_happens_meanwhile_a_refill_is_of_one_moment
        );
        $crate::environment_cases!($environment, windows;
            chunks_leave_only_at_or_below_the_watermark
            chunks_leave_by_age
            beyond_the_hard_cap_chunks_leave_anyhow
            what_was_refused_is_told
            a_version_never_comes_twice
            a_restart_keeps_a_slot_or_loses_it_whole
        );
        $crate::environment_cases!($environment, blanking;
            erased_content_leaves_with_its_erasure
            a_refill_leaves_out_what_was_erased
            what_is_blanked_must_be_there
        );
        $crate::environment_cases!($environment, replaying;
            a_window_does_not_take_old_records_again
        );
        $crate::environment_cases!($environment, following;
            a_watch_is_told_of_everything_that_a_reader_would_see
            a_follower_misses_nothing
            only_chunks_with_news_are_read
            live_rooms_are_those_with_an_open_broadcast
        );
    };
}

/// A test of each case of the port, each over the engine that `$engine` makes anew.
#[doc(hidden)]
#[macro_export]
macro_rules! projection_cases {
    ($engine:expr) => {
        $crate::projection_cases!($engine;
            a_new_slot_stands_at_the_beginning
            a_load_gives_the_states_as_of_its_position
            an_append_names_what_it_expects
            an_append_of_nothing_only_compares
            settling_again_leaves_the_same_content
            two_owners_cannot_make_it_wrong
            a_slot_knows_nothing_of_others
            slots_of_one_call_are_independent
            another_log_is_refused
            readers_see_events_and_state_together
        );
    };
    ($engine:expr; $($case:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() -> anyhow::Result<()> {
                $crate::conformance::projection::$case(&$engine).await
            }
        )+
    };
}

/// A test of each case, each over the environment that `$environment` makes anew.
#[doc(hidden)]
#[macro_export]
macro_rules! environment_cases {
    ($environment:expr, $part:ident; $($case:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() -> anyhow::Result<()> {
                $crate::conformance::projection::$part::$case(&$environment).await
            }
        )+
    };
}

/// A store, what owns it and what reads it. Clones share it.
pub trait Engine: Clone + Send + Sync + 'static {
    /// An owner of the store.
    type Projection: Projection + 'static;

    /// Whether what an event erased is blank as soon as that event is shown.
    const BLANKS_AT_ONCE: bool;

    /// A further owner, of what is in `log`.
    fn owner(&self, log: &LogIdentity) -> Self::Projection;

    /// A room as readers see it at this moment.
    fn shown(&self, room: &RoomId) -> impl Future<Output = anyhow::Result<Shown>> + Send;
}

/// A room as readers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Up to where its slot is settled; `None` where it is lost.
    pub position: Option<Position>,
    /// Its state; `None` where the slot does not have the room.
    pub standing: Option<Standing>,
    /// Its events up to the state's last seq.
    pub events: Vec<Settled>,
}

async fn owner<'a, E: Engine>(
    engine: &E,
    script: &'a Script,
) -> anyhow::Result<Owner<'a, E::Projection>> {
    Owner::open(engine.owner(&log()), script).await
}

/// Every room is exactly what the script gives at the position that it is shown at.
pub async fn check_shown<E: Engine>(engine: &E, script: &Script) -> anyhow::Result<()> {
    for room in script.rooms() {
        check_room(engine, script, &room).await?;
    }
    Ok(())
}

async fn check_room<E: Engine>(engine: &E, script: &Script, room: &RoomId) -> anyhow::Result<()> {
    let shown = engine.shown(room).await?;
    let Some(position) = shown.position else {
        return Ok(());
    };
    let standing = script.standing(room, position);
    ensure!(
        shown.standing.as_ref() == standing,
        "{room} at {position} has another state"
    );
    let mut events = script.events(room, position);
    if let (true, Some(standing)) = (E::BLANKS_AT_ONCE, standing) {
        let now = standing.core().generation;
        let left = script.events_left(room, position).into_iter();
        let left = left.filter_map(|(generation, event)| (generation == now).then_some(event));
        events = left.collect();
    }
    let seqs = |events: &[Settled]| events.iter().map(|e| e.seq.0).collect::<Vec<_>>();
    ensure!(
        shown.events == events,
        "{room} at {position} shows {:?} and not {:?}, or the same seqs with other content",
        seqs(&shown.events),
        seqs(&events)
    );
    Ok(())
}

/// A slot that nobody has written stands before every record, and has no rooms.
pub async fn a_new_slot_stands_at_the_beginning(engine: &impl Engine) -> anyhow::Result<()> {
    let script = Script::random(1, 10, 2);
    let mut projection = engine.owner(&log());
    let position = projection.open(script.slot).await?;
    ensure!(
        position == Position::BEGIN,
        "a new slot stands at {position}"
    );
    let loaded = projection.load(script.slot, &script.rooms()).await?;
    ensure!(loaded.position == Some(Position::BEGIN), "{loaded:?}");
    ensure!(
        loaded.states == vec![None; script.rooms().len()],
        "{loaded:?}"
    );
    Ok(())
}

/// From what `load` returns at any position, the rest of the log is settled to the same end: so
/// everything that a verdict depends on is in it, repeats of gifts included.
pub async fn a_load_gives_the_states_as_of_its_position<E: Engine>(
    engine: &E,
) -> anyhow::Result<()> {
    let script = Script::random(2, 240, 3);
    let mut writer = owner(engine, &script).await?;
    let mut names = script.rooms();
    names.push(RoomId::parse("nobody-was-here")?);
    while writer.position() < script.end() {
        writer.step(20).await?;
        if writer.position().offset % 40 == 19 {
            writer.checkpoint().await?;
        }
        let mut next = engine.owner(&log());
        let from = next.open(script.slot).await?;
        let loaded = next.load(script.slot, &names).await?;
        ensure!(
            loaded.position == Some(from),
            "opened at {from}, loaded at {:?}",
            loaded.position
        );
        ensure!(loaded.states.last() == Some(&None), "nobody was there");
        let mut rooms = std::collections::BTreeMap::new();
        for (name, state) in names.iter().zip(loaded.states) {
            let Some(state) = state else {
                ensure!(script.standing(name, from).is_none(), "{name} is missing");
                continue;
            };
            let standing = script.standing(name, from).context("a room too many")?;
            let is_same = state.core == standing.core && state.fields == standing.fields;
            ensure!(is_same, "{name} is not as of {from}");
            rooms.insert(name.clone(), Room::from_stored(&state, from)?);
        }
        let first = (from.offset + 1) as usize;
        for change in script.settle(&mut rooms, first..script.len()) {
            let end = script.standing(&change.room, script.end());
            let is_same = end.is_some_and(|end| end.core == change.state.core);
            ensure!(is_same, "{} resumed at {from} ends otherwise", change.room);
        }
    }
    Ok(())
}

/// An append is stored once, where the slot is exactly where it expects; elsewhere nothing is.
pub async fn an_append_names_what_it_expects<E: Engine>(engine: &E) -> anyhow::Result<()> {
    let script = Script::random(3, 40, 2);
    let mut projection = engine.owner(&log());
    projection.open(script.slot).await?;
    for (records, expected) in [
        (0..10, Appended::Stored),
        (0..10, Appended::Already),
        (20..30, Appended::Other(Some(at(9)))),
        (5..15, Appended::Other(Some(at(9)))),
        (10..25, Appended::Stored),
        (10..25, Appended::Already),
        (0..10, Appended::Other(Some(at(24)))),
        (25..40, Appended::Stored),
    ] {
        let appended = projection.append(script.step(records.clone())).await?;
        ensure!(appended == expected, "{records:?}: {appended:?}");
    }
    projection.checkpoint(script.slot, script.end()).await?;
    let shown = engine.shown(&script.rooms()[0]).await?;
    ensure!(shown.position == Some(script.end()), "{:?}", shown.position);
    check_shown(engine, &script).await
}

/// Without changes and with `to` where it was expected, an append is a question.
pub async fn an_append_of_nothing_only_compares<E: Engine>(engine: &E) -> anyhow::Result<()> {
    let script = Script::random(4, 20, 2);
    let mut projection = engine.owner(&log());
    projection.open(script.slot).await?;
    projection.append(script.step(0..10)).await?;
    for (place, expected) in [
        (10, Appended::Stored),
        (4, Appended::Other(Some(at(9)))),
        (15, Appended::Other(Some(at(9)))),
        (10, Appended::Stored),
    ] {
        let appended = projection.append(script.step(place..place)).await?;
        ensure!(appended == expected, "at {place}: {appended:?}");
    }
    projection.append(script.step(10..20)).await?;
    projection.checkpoint(script.slot, script.end()).await?;
    check_shown(engine, &script).await
}

/// Owners come and go at any moment, with steps of any length: the content is the script's.
pub async fn settling_again_leaves_the_same_content<E: Engine>(engine: &E) -> anyhow::Result<()> {
    let script = Script::random(5, 400, 3);
    let mut rng = Rng::with_seed(5);
    for _ in 0..25 {
        let mut owner = owner(engine, &script).await?;
        for _ in 0..rng.usize(0..6) {
            owner.step(rng.usize(1..30)).await?;
            if rng.u8(..4) == 0 {
                owner.checkpoint().await?;
            }
        }
        check_shown(engine, &script).await?;
    }
    let mut last = owner(engine, &script).await?;
    last.settle_to(script.end(), 64).await?;
    let shown = engine.shown(&script.rooms()[0]).await?;
    ensure!(shown.position == Some(script.end()), "{:?}", shown.position);
    check_shown(engine, &script).await
}

/// Two owners of a slot take turns at random, each as if it were alone.
pub async fn two_owners_cannot_make_it_wrong<E: Engine>(engine: &E) -> anyhow::Result<()> {
    let script = Script::random(6, 300, 3);
    let mut rng = Rng::with_seed(6);
    let mut owners = [owner(engine, &script).await?, owner(engine, &script).await?];
    for _ in 0..120 {
        let owner = &mut owners[rng.usize(..2)];
        match rng.u8(..8) {
            0 => owner.reopen().await?,
            1 | 2 => owner.checkpoint().await?,
            _ => drop(owner.step(rng.usize(0..12)).await?),
        }
        check_shown(engine, &script).await?;
    }
    for owner in &mut owners {
        owner.settle_to(script.end(), 32).await?;
    }
    check_shown(engine, &script).await
}

/// A slot moves without another's knowing.
pub async fn a_slot_knows_nothing_of_others<E: Engine>(engine: &E) -> anyhow::Result<()> {
    let script = Script::random(7, 30, 2);
    let mut owner = owner(engine, &script).await?;
    owner.settle_to(script.end(), 10).await?;
    let other = Slot::all()
        .find(|slot| *slot != script.slot)
        .context("another slot")?;
    let mut projection = engine.owner(&log());
    let position = projection.open(other).await?;
    ensure!(position == Position::BEGIN, "slot {other} is at {position}");
    check_shown(engine, &script).await
}

/// Many slots are opened, loaded, appended to and checkpointed by one call each. Each slot has its own
/// outcome, in its place.
pub async fn slots_of_one_call_are_independent<E: Engine>(engine: &E) -> anyhow::Result<()> {
    let scripts = scripts_of_slots(150);
    let slots: Vec<Slot> = scripts.iter().map(|script| script.slot).collect();
    let mut projection = engine.owner(&log());
    for opened in projection.open_all(&slots).await {
        ensure!(opened? == Position::BEGIN, "a new slot");
    }
    let is_late = |n: usize| n.is_multiple_of(3);
    let steps = scripts.iter().enumerate();
    let steps = steps.map(|(n, script)| script.step(usize::from(is_late(n))..2));
    for (n, appended) in projection
        .append_all(steps.collect())
        .await
        .into_iter()
        .enumerate()
    {
        let expected = match is_late(n) {
            true => Appended::Other(Some(Position::BEGIN)),
            false => Appended::Stored,
        };
        ensure!(appended? == expected, "slot {n} of the first call");
    }
    let again = scripts.iter().map(|script| script.step(0..2));
    for (n, appended) in projection
        .append_all(again.collect())
        .await
        .into_iter()
        .enumerate()
    {
        let expected = match is_late(n) {
            true => Appended::Stored,
            false => Appended::Already,
        };
        ensure!(appended? == expected, "slot {n} of the second call");
    }
    let wanted: Vec<_> = scripts
        .iter()
        .map(|script| (script.slot, script.rooms()))
        .collect();
    for (script, loaded) in scripts.iter().zip(projection.load_all(&wanted).await) {
        let loaded = loaded?;
        ensure!(
            loaded.position == Some(script.end()),
            "{:?}",
            loaded.position
        );
        let room = &script.rooms()[0];
        let standing = script.standing(room, script.end()).context("a room")?;
        let state = loaded.states[0].as_ref().context("a state")?;
        ensure!(state.core == standing.core, "{room} is another's");
    }
    let reached: Vec<_> = scripts
        .iter()
        .map(|script| (script.slot, script.end()))
        .collect();
    for checkpointed in projection.checkpoint_all(&reached).await {
        checkpointed?;
    }
    let opened = engine.owner(&log()).open_all(&slots).await;
    for (script, opened) in scripts.iter().zip(opened) {
        ensure!(opened? == script.end(), "a slot is not where it was left");
        check_shown(engine, script).await?;
    }
    Ok(())
}

/// Scripts of two records, each of a room that is alone in its slot.
fn scripts_of_slots(count: usize) -> Vec<Script> {
    let mut seen = BTreeSet::new();
    let names = (0..).map(|n| RoomId::parse(&format!("apart-{n}")).expect("a valid name"));
    let rooms = names.filter(|room| seen.insert(room.slot())).take(count);
    let line = |room: &RoomId, n: u128| Line {
        room: room.clone(),
        logged_at: 1_700_000_000_000 + n as i64,
        id: n,
        user: "ann".to_owned(),
        body: comment(format!("{n} in {room}")),
    };
    rooms
        .map(|room| Script::of(&[line(&room, 0), line(&room, 1)]))
        .collect()
}

/// What belongs to another log is an error, never "already done".
pub async fn another_log_is_refused<E: Engine>(engine: &E) -> anyhow::Result<()> {
    let script = Script::random(8, 20, 1);
    let mut owner = owner(engine, &script).await?;
    owner.settle_to(at(9), 5).await?;
    let mut stranger = engine.owner(&LogIdentity("log-2".to_owned()));
    match stranger.open(script.slot).await {
        Err(StoreError::OtherLog { stored, ours, .. }) => {
            ensure!(stored == "log-1" && ours == "log-2", "{stored}, {ours}");
        }
        other => bail!("a slot of another log: {other:?}"),
    }
    owner.settle_to(script.end(), 5).await?;
    check_shown(engine, &script).await
}

/// At no moment does a reader see a state without its events, or events without their state.
pub async fn readers_see_events_and_state_together<E: Engine>(engine: &E) -> anyhow::Result<()> {
    let script = Arc::new(Script::random(9, 1_500, 1));
    let room = script.rooms().remove(0);
    let is_over = Arc::new(AtomicBool::new(false));
    let reading = {
        let (engine, script, is_over) = (engine.clone(), script.clone(), is_over.clone());
        tokio::spawn(async move {
            let mut reads = 0;
            while !is_over.load(Ordering::Acquire) || reads < 10 {
                check_room(&engine, &script, &room).await?;
                reads += 1;
                tokio::task::yield_now().await;
            }
            anyhow::Ok(())
        })
    };
    let mut writer = owner(engine, &script).await?;
    while writer.position() < script.end() {
        writer.step(7).await?;
        writer.checkpoint().await?;
        tokio::task::yield_now().await;
    }
    is_over.store(true, Ordering::Release);
    reading.await??;
    check_shown(engine, &script).await
}

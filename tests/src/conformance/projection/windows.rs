//! What windows promise beyond the port and their refills: trimming, versions, and what a restart leaves.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::ensure;
use danmu_projections::history::{HistoryReader, HistoryStore};
use danmu_projections::windows::{
    RefillOptions, RoomWindow, WindowLimits, WindowRead, WindowStore, Windows,
};
use danmu_schemas::chunk::Unpacker;
use danmu_schemas::{LogIdentity, Position, RoomId, Settled, Slot, Unsettled};

use super::history::HistoryEnvironment;
use super::refill::settled_history;
use super::script::{Line, Owner, Script, Standing, at, comment, log, rooms};
use super::{Engine, Shown, check_shown};

/// Windows that begin empty, beside a history to refill them from.
pub trait WindowEnvironment: HistoryEnvironment + 'static {
    /// The adapter.
    type Windows: WindowStore + WindowRead;

    /// The windows, keeping so much of a room.
    fn windows(
        &self,
        limits: WindowLimits,
    ) -> impl Future<Output = anyhow::Result<Self::Windows>> + Send;

    /// Ends whatever keeps the windows and starts it again.
    fn restart(
        &self,
        windows: Self::Windows,
    ) -> impl Future<Output = anyhow::Result<Self::Windows>> + Send;

    /// Says up to where the history has a slot.
    fn set_watermark(
        windows: &Self::Windows,
        slot: Slot,
        watermark: Position,
    ) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Loses a slot with all that is in it.
    fn wipe(windows: &Self::Windows, slot: Slot)
    -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// The windows and their history, as the port's cases take them.
#[derive(Clone)]
pub struct WindowEngine<W, H> {
    pub(super) windows: W,
    pub(super) history: H,
    /// Counts owners, each of which refills under a name of its own.
    pub(super) owners: Arc<AtomicU64>,
    pub(super) log_is_whole: bool,
}

impl<W: WindowStore + WindowRead, H: HistoryStore> WindowEngine<W, H> {
    /// The windows.
    pub fn windows(&self) -> &W {
        &self.windows
    }

    /// The history.
    pub fn history(&self) -> &H {
        &self.history
    }

    fn over(windows: W, history: H) -> Self {
        Self {
            windows,
            history,
            owners: Arc::default(),
            log_is_whole: true,
        }
    }
}

/// The engine of an environment.
pub async fn engine<E: WindowEnvironment>(
    env: &E,
) -> anyhow::Result<WindowEngine<E::Windows, E::History>> {
    let windows = env.windows(WindowLimits::default()).await?;
    Ok(WindowEngine::over(windows, env.history().await?))
}

impl<W: WindowStore + WindowRead, H: HistoryStore> Engine for WindowEngine<W, H> {
    type Projection = Windows<W, H>;

    const BLANKS_AT_ONCE: bool = true;

    fn owner(&self, log: &LogIdentity) -> Windows<W, H> {
        let reader = HistoryReader::new(self.history.clone(), log.clone());
        let options = RefillOptions {
            owner: self.owners.fetch_add(1, Ordering::Relaxed),
            log_is_whole: self.log_is_whole,
            events_max: 100_000,
        };
        Windows::new(self.windows.clone(), reader, log.clone(), options)
    }

    async fn shown(&self, room: &RoomId) -> anyhow::Result<Shown> {
        let window = self.windows.room(room).await?;
        Ok(Shown {
            position: window.slot_position,
            events: events(&window)?,
            standing: window.state.map(|state| Standing {
                core: state.core.clone(),
                fields: state.fields.clone(),
            }),
        })
    }
}

/// The window's events of the room's generation, which must be dense and end with the state.
fn events(window: &RoomWindow) -> anyhow::Result<Vec<Settled>> {
    let Some(state) = &window.state else {
        ensure!(window.chunks.is_empty(), "chunks without a state");
        return Ok(Vec::new());
    };
    let standing = Standing {
        core: state.core.clone(),
        fields: state.fields.clone(),
    };
    let core = standing.core();
    let mut unpacker = Unpacker::new();
    let mut events: Vec<Settled> = Vec::new();
    for chunk in &window.chunks {
        let (header, body) = unpacker.unpack(&chunk.bytes)?;
        ensure!(header == chunk.header, "a chunk and its header differ");
        if header.generation == core.generation {
            events.extend(body.settled);
        }
    }
    let is_dense = events.windows(2).all(|two| two[1].seq == two[0].seq.next());
    ensure!(is_dense, "a hole in the window");
    if let Some(last) = events.last() {
        ensure!(
            last.seq == core.last_seq,
            "the window ends before its state"
        );
    }
    Ok(events)
}

/// Limits of which only those in question can be reached.
const NO_LIMITS: WindowLimits = WindowLimits {
    events_max: usize::MAX,
    bytes_max: usize::MAX,
    age_ms_max: i64::MAX,
    hard_bytes_max: usize::MAX,
};

/// A comment a second in one room.
fn seconds(len: usize) -> Script {
    let room = rooms(1).remove(0);
    let line = |n: usize| Line {
        room: room.clone(),
        logged_at: 1_700_000_000_000 + n as i64 * 1_000,
        id: n as u128,
        user: "ann".to_owned(),
        body: comment(format!("comment {n}")),
    };
    Script::of(&(0..len).map(line).collect::<Vec<_>>())
}

/// Appends the script's records one by one, each as a chunk, and tells before each how far the history
/// is. The seqs that the window shows after each.
async fn windowed<E: WindowEnvironment>(
    env: &E,
    limits: WindowLimits,
    script: &Script,
    watermark: impl Fn(usize) -> Option<Position>,
) -> anyhow::Result<Vec<Vec<u64>>> {
    let engine = WindowEngine::over(env.windows(limits).await?, env.history().await?);
    let room = &script.rooms()[0];
    let mut owner = Owner::open(engine.owner(&log()), script).await?;
    let mut shown = Vec::new();
    for n in 0..script.len() {
        if let Some(watermark) = watermark(n) {
            E::set_watermark(&engine.windows, script.slot, watermark).await?;
        }
        owner.step(1).await?;
        let now = engine.shown(room).await?;
        let standing = script.standing(room, at(n as i64));
        ensure!(now.standing.as_ref() == standing, "a state was trimmed");
        shown.push(now.events.iter().map(|event| event.seq.0).collect());
    }
    Ok(shown)
}

/// Too many events leave, but only those that the history has; what it has later leaves later.
pub async fn chunks_leave_only_at_or_below_the_watermark<E: WindowEnvironment>(
    env: &E,
) -> anyhow::Result<()> {
    let limits = WindowLimits {
        events_max: 3,
        ..NO_LIMITS
    };
    let script = seconds(10);
    let watermark = |n| match n {
        0..5 => None,
        5 => Some(at(1)),
        6 => Some(at(0)),
        7 => None,
        _ => Some(at(6)),
    };
    let shown = windowed(env, limits, &script, watermark).await?;
    let firsts: Vec<u64> = shown.iter().map(|seqs| seqs[0]).collect();
    ensure!(firsts == [1, 1, 1, 1, 1, 3, 3, 3, 7, 8], "{firsts:?}");

    let limits = WindowLimits {
        bytes_max: 1,
        ..NO_LIMITS
    };
    let room = &script.rooms()[0];
    let windows = env.windows(limits).await?;
    let engine = WindowEngine::over(windows, env.history().await?);
    E::wipe(&engine.windows, script.slot).await?;
    let mut owner = Owner::open(engine.owner(&log()), &script).await?;
    E::set_watermark(&engine.windows, script.slot, script.end()).await?;
    owner.step(1).await?;
    owner.step(1).await?;
    let left = engine.shown(room).await?.events.len();
    ensure!(
        left == 1,
        "{left} chunks where bytes allow none: the newest stays"
    );
    Ok(())
}

/// What is older than the limit by the room's log clock leaves, with the next append.
pub async fn chunks_leave_by_age<E: WindowEnvironment>(env: &E) -> anyhow::Result<()> {
    let limits = WindowLimits {
        age_ms_max: 4_000,
        ..NO_LIMITS
    };
    let script = seconds(10);
    let shown = windowed(env, limits, &script, |_| Some(script.end())).await?;
    let firsts: Vec<u64> = shown.iter().map(|seqs| seqs[0]).collect();
    ensure!(firsts == [1, 1, 1, 1, 1, 2, 3, 4, 5, 6], "{firsts:?}");
    Ok(())
}

/// A history that stands still costs no more memory than the hard cap.
pub async fn beyond_the_hard_cap_chunks_leave_anyhow<E: WindowEnvironment>(
    env: &E,
) -> anyhow::Result<()> {
    let script = seconds(40);
    let limits = WindowLimits {
        hard_bytes_max: 1_000,
        ..NO_LIMITS
    };
    let shown = windowed(env, limits, &script, |_| None).await?;
    let lens: Vec<usize> = shown.iter().map(Vec::len).collect();
    let most = lens.iter().max().copied().unwrap_or_default();
    ensure!(
        (2..20).contains(&most),
        "up to {most} events in 1,000 bytes"
    );
    ensure!(lens[39] >= most - 1, "more leaves than must: {lens:?}");
    Ok(())
}

/// Repeats and refusals are in the window's chunks, as settle decided them.
pub async fn what_was_refused_is_told<E: WindowEnvironment>(env: &E) -> anyhow::Result<()> {
    let engine = engine(env).await?;
    let script = Script::random(18, 200, 1);
    let room = &script.rooms()[0];
    let mut owner = Owner::open(engine.owner(&log()), &script).await?;
    owner.settle_to(script.end(), 9).await?;
    let mut expected: Vec<Unsettled> = Vec::new();
    for change in script.step(0..script.len()).changes {
        expected.extend(change.runs.into_iter().flat_map(|run| run.unsettled));
    }
    ensure!(expected.len() > 10, "the script refuses little");
    let mut unpacker = Unpacker::new();
    let mut told = Vec::new();
    for chunk in engine.windows.room(room).await?.chunks {
        told.extend(unpacker.unpack(&chunk.bytes)?.1.unsettled);
    }
    ensure!(told == expected, "told {told:?}, not {expected:?}");
    Ok(())
}

/// Whoever has a room's version knows by it whether the room is as it was, over a wipe too.
pub async fn a_version_never_comes_twice<E: WindowEnvironment>(env: &E) -> anyhow::Result<()> {
    let engine = engine(env).await?;
    let script = seconds(8);
    let room = &script.rooms()[0];
    let mut seen = Vec::new();
    for _ in 0..2 {
        let mut owner = Owner::open(engine.owner(&log()), &script).await?;
        while owner.position() < script.end() {
            owner.step(1).await?;
            let version = engine.windows.room(room).await?.version;
            ensure!(!seen.contains(&version), "version {version} comes again");
            seen.push(version);
            owner.step(0).await?;
            let same = engine.windows.room(room).await?.version;
            ensure!(same == version, "another version of the same room");
        }
        E::wipe(&engine.windows, script.slot).await?;
    }
    Ok(())
}

/// After a restart a slot has everything that it had, or no position: then it is refilled.
pub async fn a_restart_keeps_a_slot_or_loses_it_whole<E: WindowEnvironment>(
    env: &E,
) -> anyhow::Result<()> {
    let script = Script::random(19, 200, 3);
    let engine = engine(env).await?;
    settled_history(&engine.history, &script, &[at(79)]).await?;
    let mut owner = Owner::open(engine.owner(&log()), &script).await?;
    owner.settle_to(at(119), 10).await?;
    drop(owner);
    let WindowEngine {
        windows, history, ..
    } = engine;
    let windows = env.restart(windows).await?;
    let engine = WindowEngine::over(windows, history);
    check_shown(&engine, &script).await?;
    let mut owner = Owner::open(engine.owner(&log()), &script).await?;
    let position = owner.position();
    ensure!([at(79), at(119)].contains(&position), "at {position}");
    owner.settle_to(script.end(), 10).await?;
    check_shown(&engine, &script).await
}

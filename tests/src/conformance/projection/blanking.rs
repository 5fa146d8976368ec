//! Erasures in windows: what a step erases leaves the window in the same append, and a refill leaves out
//! what the history still has of it.

use anyhow::{Context, ensure};
use danmu_projections::projection::{Appended, StateChange, StoredState};
use danmu_projections::windows::{
    PackedChunk, RoomWindow, WindowChange, WindowRead, WindowStep, WindowStore,
};
use danmu_schemas::chunk::{Packer, Unpacker};
use danmu_schemas::state::Field;
use danmu_schemas::{Body, RoomId};

use super::refill::settled_history;
use super::script::{Line, Owner, Script, at, comment, erase, erase_seqs, gift, log, rooms, start};
use super::windows::{WindowEngine, WindowEnvironment, engine};
use super::{Engine, check_shown};

/// In every text of ann's; bob says the same without it.
const SECRET: &str = "a secret of ann's";

/// Ann and bob in turns, in two generations, the second with ann's show and a gift of hers; then what she
/// said at seqs 3 and 5 of it is erased, she says more, and all that she did is erased.
fn script() -> Script {
    let room = rooms(1).remove(0);
    let mut lines: Vec<Line> = Vec::new();
    let mut say = |user: &str, body: Body<'static>| {
        let n = lines.len();
        lines.push(Line {
            room: room.clone(),
            logged_at: 1_700_000_000_000 + n as i64 * 500,
            id: n as u128,
            user: user.to_owned(),
            body,
        });
    };
    let talk = |say: &mut dyn FnMut(&str, Body<'static>)| {
        for n in 0..6 {
            say("ann", comment(format!("{SECRET} {n}")));
            say("bob", comment(format!("open {n}")));
        }
    };
    talk(&mut say);
    say("operator", Body::Reset);
    say("ann", start(&format!("{SECRET}: the show")));
    talk(&mut say);
    say("ann", gift("coin", 1_700_000_000_000));
    say("operator", erase_seqs(&[3, 5]));
    say("bob", comment("after the first"));
    say("ann", comment(format!("{SECRET}, told later")));
    say("operator", erase("ann"));
    say("ann", comment("back again"));
    Script::of(&lines)
}

/// How many of a window's events have the secret.
fn secrets(window: &RoomWindow) -> anyhow::Result<usize> {
    let mut unpacker = Unpacker::new();
    let mut count = 0;
    for chunk in &window.chunks {
        let (_, body) = unpacker.unpack(&chunk.bytes)?;
        let settled = body.settled.iter();
        count += settled.filter(|event| has(&event.datum, SECRET)).count();
    }
    Ok(count)
}

fn has(bytes: &[u8], text: &str) -> bool {
    let mut places = bytes.windows(text.len());
    places.any(|place| place == text.as_bytes())
}

/// Whether the title and the giver's name are in the room's state.
fn is_told_by_state(window: &RoomWindow) -> [bool; 2] {
    ["the show", "name of ann"].map(|text| {
        let fields = window.state.iter().flat_map(|state| &state.fields);
        fields.into_iter().any(|field| has(field, text))
    })
}

/// At every moment, in steps of any length, a window shows nothing that was erased up to there, and all
/// else as it was.
pub async fn erased_content_leaves_with_its_erasure<E: WindowEnvironment>(
    env: &E,
) -> anyhow::Result<()> {
    let script = script();
    let room = &script.rooms()[0];
    for count in [1, 2, 7, script.len()] {
        let engine = engine(env).await?;
        E::wipe(&engine.windows, script.slot).await?;
        let mut owner = Owner::open(engine.owner(&log()), &script).await?;
        let (mut most, mut was_told) = (0, [false; 2]);
        while owner.position() < script.end() {
            let appended = owner.step(count).await?;
            ensure!(appended == Appended::Stored, "{appended:?}");
            check_shown(&engine, &script).await?;
            let window = engine.windows.room(room).await?;
            most = most.max(secrets(&window)?);
            let told = is_told_by_state(&window);
            was_told = [was_told[0] || told[0], was_told[1] || told[1]];
        }
        let is_seen = most > 10 && was_told == [true; 2];
        ensure!(is_seen || count > 7, "{most} secrets, {was_told:?}");
        let window = engine.windows.room(room).await?;
        let told = is_told_by_state(&window);
        ensure!(told == [false; 2], "the state still tells: {told:?}");
        ensure!(
            secrets(&window)? == 0,
            "in steps of {count} secrets are left"
        );
    }
    Ok(())
}

/// What was erased up to the watermark is blank in a refilled window, though the history was not swept.
pub async fn a_refill_leaves_out_what_was_erased<E: WindowEnvironment>(
    env: &E,
) -> anyhow::Result<()> {
    let engine = engine(env).await?;
    let script = script();
    let room = &script.rooms()[0];
    let last = script.end().offset;
    for (watermark, expected) in [(last - 5, 7), (last - 2, 6), (last, 0)] {
        settled_history(&engine.history, &script, &[at(watermark)]).await?;
        E::wipe(&engine.windows, script.slot).await?;
        let mut owner = Owner::open(engine.owner(&log()), &script).await?;
        ensure!(owner.position() == at(watermark), "at {}", owner.position());
        check_shown(&engine, &script).await?;
        let left = secrets(&engine.windows.room(room).await?)?;
        ensure!(
            left == expected,
            "{left} secrets at {watermark}, not {expected}"
        );
        owner.settle_to(script.end(), 3).await?;
        check_shown(&engine, &script).await?;
        let left = secrets(&engine.windows.room(room).await?)?;
        ensure!(left == 0, "{left} secrets at the end");
    }
    Ok(())
}

/// A chunk with a header that is not stored, in the room or at all, keeps the whole step from being
/// stored; where each is there, it takes that one's place and leaves all others alone.
pub async fn what_is_blanked_must_be_there<E: WindowEnvironment>(env: &E) -> anyhow::Result<()> {
    let engine = engine(env).await?;
    let script = script();
    let room = &script.rooms()[0];
    let mut owner = Owner::open(engine.owner(&log()), &script).await?;
    owner.settle_to(at(11), 3).await?;
    let before = engine.windows.room(room).await?;
    ensure!(before.chunks.len() == 4, "{} chunks", before.chunks.len());
    let blanked = blanked(&before.chunks[1])?;

    let mut shorter = blanked.clone();
    shorter.header.last_offset -= 1;
    let mut longer = blanked.clone();
    longer.header.first_offset -= 1;
    let mut of_before = blanked.clone();
    of_before.header.generation.0 += 1;
    let elsewhere = RoomId::parse("room-without-a-window")?;
    for (room, wrong) in [
        (room, shorter),
        (room, longer),
        (room, of_before),
        (&elsewhere, blanked.clone()),
    ] {
        let appended = append(&engine, &script, room, vec![blanked.clone(), wrong]).await?;
        ensure!(appended == Appended::Other(Some(at(11))), "{appended:?}");
    }
    ensure!(engine.windows.room(room).await? == before, "a step in part");

    let appended = append(&engine, &script, room, vec![blanked.clone()]).await?;
    ensure!(appended == Appended::Stored, "{appended:?}");
    let after = engine.windows.room(room).await?;
    ensure!(after.slot_position == Some(at(12)), "the slot did not move");
    ensure!(after.version != before.version, "the same version");
    let mut expected = before.chunks;
    expected[1] = blanked.into();
    ensure!(after.chunks == expected, "other chunks");
    let again = append(&engine, &script, room, vec![]).await?;
    ensure!(again == Appended::Already, "{again:?}");
    Ok(())
}

/// What is left of a chunk whose events all say nothing.
fn blanked(chunk: &PackedChunk) -> anyhow::Result<PackedChunk> {
    let (header, mut body) = Unpacker::new().unpack(&chunk.bytes)?;
    for settled in &mut body.settled {
        let mut event = danmu_schemas::codec::decode_datum(&settled.datum)?;
        event.blank();
        let mut datum = Vec::new();
        danmu_schemas::codec::Datum::encode(&event, &mut datum);
        settled.datum = datum.into();
    }
    let bytes = Packer::new().pack(&header, &body);
    Ok(PackedChunk { header, bytes })
}

/// Appends a step of one record that only blanks chunks of a room.
async fn append<W: WindowStore + WindowRead, H: danmu_projections::history::HistoryStore>(
    engine: &WindowEngine<W, H>,
    script: &Script,
    room: &RoomId,
    blanked: Vec<PackedChunk>,
) -> anyhow::Result<Appended> {
    let known = script.rooms();
    let loaded = engine.windows.load(script.slot, &known).await?;
    let StoredState { core, fields, .. } = loaded.states[0].clone().context("a state")?;
    let state = StateChange {
        core,
        fields,
        changed: [false; Field::COUNT],
        event_memory: vec![],
        gift_memory: None,
        event_memory_since: i64::MIN,
        gift_memory_since: i64::MIN,
    };
    let change = WindowChange {
        room: room.clone(),
        state,
        chunks: vec![],
        blanked,
    };
    let step = WindowStep {
        slot: script.slot,
        log: log(),
        expected: at(11),
        to: at(12),
        changes: vec![change],
    };
    Ok(engine.windows.append_all(vec![step]).await.remove(0)?)
}

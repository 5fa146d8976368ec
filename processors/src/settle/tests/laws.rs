//! Laws over generated logs of every kind: batching, restoring, repeating, density.

use danmu_projections::projection::{RoomChange, StoredState};
use danmu_schemas::codec;
use danmu_schemas::fact::Fact;
use danmu_schemas::state::{CORE_BYTES_MAX, Field};
use danmu_schemas::{Generation, Position, Seq, Settled, Unsettled, Verdict};
use proptest::prelude::*;

use super::script::{Record, feed, parse, room_id};
use crate::settle::Room;

/// What a generated record is made of: small numbers, so that ids, users and targets meet.
type Draw = (u8, u8, u8, u8);

const KINDS: [&str; 25] = [
    "comment",
    "comment",
    "comment",
    "comment",
    "gift",
    "gift",
    "gift_reversal",
    "likes",
    "enter",
    "leave",
    "audience",
    "broadcast_start",
    "broadcast_end",
    "broadcast_interrupt",
    "broadcast_resume",
    "delete",
    "mute",
    "unmute",
    "rules",
    "pin",
    "unpin",
    "custom",
    "erase",
    "reset",
    "adopt_rules",
];
/// Steps of the log's time, to both sides of every span that settle knows.
const STEPS_MS: [i64; 12] = [
    0, 0, 1, 700, 1_000, -500, 10_000, 10_001, 60_000, 120_001, 150_000, 86_400_001,
];

fn world(draws: &[Draw]) -> Vec<Record> {
    let mut now = 100_000_000;
    let place = |(n, draw): (usize, &Draw)| {
        now += STEPS_MS[usize::from(draw.3) % STEPS_MS.len()];
        parse(&line(now, *draw), n)
    };
    draws.iter().enumerate().map(place).collect()
}

fn line(now: i64, (kind, a, b, _): Draw) -> String {
    let kind = KINDS[usize::from(kind) % KINDS.len()];
    let (user, small) = (a % 5, b % 7);
    let mut line = format!(
        "{now} {kind} user=u{user} id={}",
        u32::from(a) * 8 + u32::from(b % 8)
    );
    line += match b % 4 {
        0 => " role=moderator",
        _ => "",
    };
    let more = match kind {
        "comment" if a % 6 == 0 => format!(" recorded={}", now - 100_000 + i64::from(b) * 500),
        "gift" => format!(
            " currency=c{} combo=k{} value={b} issued={now}",
            a % 9,
            b % 2
        ),
        "gift_reversal" => format!(" target={}", u32::from(b) * 8 + u32::from(a % 8)),
        "audience" => format!(" source=s{small} viewers={b}"),
        "broadcast_start" if a % 2 == 0 => format!(" old=yes recorded={}", now - 90_000),
        "delete" if a % 2 == 0 => format!(" target={}", u32::from(b) * 8),
        "delete" | "pin" | "unpin" => format!(" seq={small}"),
        "erase" if a % 2 == 0 => format!(" who=u{small}"),
        "erase" => format!(" seq={small}"),
        "mute" | "unmute" if b % 2 == 0 => format!(" who=u{user} until={}", now + 50_000),
        "mute" | "unmute" => format!(" who=u{user} hide=0"),
        "rules" => format!(
            " slow={} comments={}",
            u32::from(small) * 500,
            ["open", "closed"][usize::from(a % 2)]
        ),
        _ => String::new(),
    };
    line + &more
}

/// Everything that settling a log brought forth, whatever the batches.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    verdicts: Vec<Verdict>,
    settled: Vec<(Generation, Settled)>,
    unsettled: Vec<Unsettled>,
    facts: Vec<Fact>,
    core: Vec<u8>,
    fields: Vec<Vec<u8>>,
}

impl Outcome {
    fn take(&mut self, change: &RoomChange) {
        for run in &change.runs {
            for (n, settled) in run.settled.iter().enumerate() {
                assert_eq!(
                    settled.seq,
                    Seq(run.first_seq.0 + n as u64),
                    "seqs are dense"
                );
                self.settled.push((run.generation, settled.clone()));
            }
            self.unsettled.extend(&run.unsettled);
        }
        self.facts.extend_from_slice(&change.facts);
        self.core = change.state.core.to_vec();
        self.fields = change
            .state
            .fields
            .iter()
            .map(|field| field.to_vec())
            .collect();
    }
}

fn store(stored: &mut StoredState, change: &RoomChange) {
    stored.core = change.state.core.clone();
    for field in Field::ALL.map(Field::index) {
        if change.state.changed[field] {
            stored.fields[field] = change.state.fields[field].clone();
        }
    }
    stored
        .event_memory
        .extend_from_slice(&change.state.event_memory);
    stored.gift_memory.extend(change.state.gift_memory.clone());
}

/// What becomes of the room after a record.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Cut {
    None,
    Take,
    Restore,
}

fn cuts() -> impl Strategy<Value = Vec<Cut>> {
    let cut = prop_oneof![3 => Just(Cut::None), 1 => Just(Cut::Take), 1 => Just(Cut::Restore)];
    prop::collection::vec(cut, 120)
}

/// Settles the log in one batch. Also returns what it stored.
fn in_one(records: &[Record]) -> (Outcome, StoredState) {
    let (mut room, mut outcome) = (Room::new(), Outcome::default());
    for (offset, record) in records.iter().enumerate() {
        let verdict = feed(&mut room, record, offset as i64).unwrap();
        outcome.verdicts.push(verdict);
    }
    let change = room.take_change(&room_id(), Position::new(0, records.len() as i64));
    let mut stored = StoredState::default();
    store(&mut stored, &change);
    outcome.take(&change);
    (outcome, stored)
}

/// Settles the log cut up; rooms are restored from what was stored, with `overlap` blocks that also
/// tell of the future.
fn cut_up(records: &[Record], cuts: &[Cut], overlap: &StoredState) -> Outcome {
    let (mut room, mut outcome) = (Room::new(), Outcome::default());
    let mut stored = StoredState::default();
    for (offset, record) in records.iter().enumerate() {
        let verdict = feed(&mut room, record, offset as i64).unwrap();
        outcome.verdicts.push(verdict);
        let last = offset + 1 == records.len();
        if cuts[offset] == Cut::None && !last {
            continue;
        }
        let position = Position::new(0, offset as i64);
        let change = room.take_change(&room_id(), position);
        store(&mut stored, &change);
        outcome.take(&change);
        if cuts[offset] == Cut::Restore {
            let mut found = stored.clone();
            found.event_memory.extend_from_slice(&overlap.event_memory);
            found.gift_memory.extend_from_slice(&overlap.gift_memory);
            room = Room::from_stored(&found, position).unwrap();
        }
    }
    outcome
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn batches_and_restarts_change_nothing(
        draws in prop::collection::vec(any::<Draw>(), 1..120),
        cuts in cuts(),
    ) {
        let records = world(&draws);
        let (whole, stored) = in_one(&records);
        prop_assert_eq!(&cut_up(&records, &cuts, &stored), &whole);
        prop_assert_eq!(&cut_up(&records, &cuts, &StoredState::default()), &whole);
        prop_assert!(whole.core.len() <= CORE_BYTES_MAX);
    }

    #[test]
    fn a_repeat_changes_a_count_alone(draws in prop::collection::vec(any::<Draw>(), 1..120)) {
        let mut room = Room::new();
        for (offset, record) in world(&draws).iter().enumerate() {
            let verdict = feed(&mut room, record, offset as i64).unwrap();
            let Verdict::Visible { seq } = verdict else { continue };
            let position = Position::new(0, offset as i64);
            let mut before = room.take_change(&room_id(), position).state;
            let again = feed(&mut room, record, offset as i64).unwrap();
            prop_assert_eq!(again, Verdict::Duplicate { first: Some(seq) });
            let after = room.take_change(&room_id(), position);
            prop_assert!(after.facts.is_empty());
            let mut core: danmu_schemas::state::StateCore =
                codec::from_stored(&before.core).unwrap();
            core.duplicates += 1;
            before.core = codec::to_stored(&core);
            prop_assert_eq!(&after.state.core, &before.core);
            prop_assert_eq!(&after.state.fields, &before.fields);
            prop_assert!(after.state.event_memory.is_empty());
            prop_assert!(after.state.gift_memory.is_none());
        }
    }

    /// Seqs are dense in each generation, and event time never passes the log clock.
    #[test]
    fn seqs_have_no_holes(draws in prop::collection::vec(any::<Draw>(), 1..120)) {
        let (outcome, _) = in_one(&world(&draws));
        let mut last = (Generation::FIRST, Seq::ZERO);
        for (generation, settled) in &outcome.settled {
            let expected = if *generation == last.0 { last.1.next() } else { Seq(1) };
            prop_assert!(*generation == last.0 || *generation == last.0.next());
            prop_assert_eq!(settled.seq, expected);
            prop_assert!(settled.at <= settled.logged_at);
            last = (*generation, settled.seq);
        }
    }
}

#[test]
fn a_memory_without_its_end_is_damaged() {
    let records = world(&[(0, 1, 1, 0), (0, 2, 2, 0)]);
    let (_, mut stored) = in_one(&records[..1]);
    let (_, whole) = in_one(&records);
    stored.core = whole.core;
    assert!(Room::from_stored(&stored, Position::new(0, 1)).is_err());
}

#[test]
fn a_gift_is_remembered_although_an_older_one_of_its_id_is_forgotten() {
    let records = world(&[
        (29, 245, 110, 0),
        (0, 0, 0, 59),
        (154, 245, 222, 0),
        (0, 0, 0, 45),
        (0, 245, 94, 0),
    ]);
    let (whole, stored) = in_one(&records);
    assert_eq!(
        whole.verdicts[4],
        Verdict::Duplicate {
            first: Some(Seq(2))
        }
    );
    let cuts = [Cut::None, Cut::None, Cut::Restore, Cut::None, Cut::None];
    assert_eq!(cut_up(&records, &cuts, &stored), whole);
}

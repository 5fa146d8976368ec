//! Every bound of a state, and what leaves first.

use std::collections::BTreeMap;

use danmu_schemas::codec;
use danmu_schemas::state::*;
use danmu_schemas::{EventId, Generation, Refusal, Seq, UserHash, Verdict};
use proptest::prelude::*;

use super::super::memory::{RecentEvents, RecentGifts};
use super::script::{feed, parse};
use crate::settle::Room;

/// Settles the lines at offsets from 0; every one must be taken.
fn settled(lines: impl IntoIterator<Item = String>) -> Room {
    let mut room = Room::new();
    for (offset, line) in lines.into_iter().enumerate() {
        let verdict = feed(&mut room, &parse(&line, offset), offset as i64).unwrap();
        assert!(!matches!(verdict, Verdict::Refused { .. }), "{line}");
    }
    room
}

#[test]
fn a_core_of_extreme_values_fits() {
    let totals = Totals {
        comments: i64::MAX as u64,
        gifts: i64::MAX as u64,
        likes: i64::MAX as u64,
        gift_value: vec![i64::MIN; CURRENCIES_MAX],
    };
    let mut core = Room::new().core().clone();
    core.generation = Generation(u32::MAX);
    core.rules_version = u32::MAX;
    core.last_seq = Seq(i64::MAX as u64);
    core.clock = i64::MIN;
    core.at = i64::MIN;
    core.totals = totals.clone();
    core.crowd = CrowdSecond {
        second: i64::MIN,
        count: u32::MAX,
        previous: u32::MAX,
    };
    core.slow_ms = u32::MAX;
    core.pinned = Some(Seq(i64::MAX as u64));
    core.duplicates = i64::MAX as u64;
    core.refused = vec![i64::MAX as u64; Refusal::ALL.len()];
    core.broadcast = Some(OpenBroadcast {
        first_seq: Seq(i64::MAX as u64),
        starter: UserHash(u64::MAX),
        started_at: i64::MIN,
        zero_at: i64::MIN,
        recorded: true,
        interrupted_at: Some(i64::MIN),
        before: totals,
        segment: i64::MIN,
        heat_bucket: i64::MIN,
    });
    let bytes = codec::to_stored(&core);
    assert!(bytes.len() <= CORE_BYTES_MAX, "{} bytes", bytes.len());
    assert_eq!(codec::from_stored::<StateCore>(&bytes), Ok(core));
}

#[test]
fn the_mute_that_ends_first_leaves() {
    let forever = (0..MUTED_LEN_MAX - 1).map(|n| format!("0 mute who=u{n}"));
    let timed = [
        "0 mute who=a until=900",
        "0 mute who=z until=800",
        "0 mute who=zz",
    ];
    let room = settled(forever.chain(timed.map(str::to_owned)));
    let muted = &room.fields().muted.users;
    assert_eq!(muted.len(), MUTED_LEN_MAX);
    assert!(muted.is_sorted_by(|a, b| a.user < b.user));
    let has = |user: &str| muted.iter().any(|muted| muted.user == user);
    assert!(has("zz") && has("u0") && !has("a") && !has("z"));
}

#[test]
fn the_combo_extended_longest_ago_closes() {
    let gifts = (0..=COMBOS_LEN_MAX).map(|n| format!("{n} gift user=u{n} combo=c"));
    let room = settled(gifts);
    let combos = &room.fields().combos.combos;
    assert_eq!(combos.len(), COMBOS_LEN_MAX);
    assert_eq!(combos[0].user, "u1");
}

#[test]
fn the_earliest_entrant_leaves() {
    let room = settled((0..=ROSTER_LEN_MAX).map(|n| format!("{n} enter user=u{n}")));
    let entrants = &room.fields().roster.entrants;
    assert_eq!(entrants.len(), ROSTER_LEN_MAX);
    assert_eq!(entrants[0].user, "u1");
}

#[test]
fn the_source_heard_of_longest_ago_leaves() {
    let first = (0..SOURCES_LEN_MAX).map(|n| format!("{n} audience source=s{n}"));
    let then = ["300 audience source=s0", "301 audience source=new"];
    let room = settled(first.chain(then.map(str::to_owned)));
    let sources = &room.fields().sources.sources;
    assert_eq!(sources.len(), SOURCES_LEN_MAX);
    let has = |name: &str| sources.iter().any(|source| source.source == name);
    assert!(has("s0") && has("new") && !has("s1"));
}

#[test]
fn a_full_memory_of_events_forgets_the_oldest() {
    let mut events = RecentEvents::default();
    events.index_authors(true);
    let id = |n: u64| EventId(u128::from(n).to_be_bytes());
    for n in 1..=EVENT_MEMORY_LEN_MAX as u64 + 1 {
        let entry = EventMemory {
            offset: n as i64,
            id: id(n),
            clock: 0,
            user: UserHash(n),
        };
        events.remember(Seq(n), entry);
    }
    assert_eq!(events.seq_of(id(1)), None);
    assert_eq!(events.commented_at(UserHash(1)), None);
    assert_eq!(events.commented_at(UserHash(2)), Some(0));
    assert_eq!(events.seq_of(id(2)), Some(Seq(2)));
}

#[test]
fn a_full_memory_of_gifts_refuses_until_one_expires() {
    let mut room = settled(["0 gift id=1".to_owned()]);
    let first = *room.gifts.get(EventId(1_u128.to_be_bytes())).unwrap();
    let mut gifts = RecentGifts::default();
    for n in 0..GIFT_MEMORY_LEN_MAX as u128 {
        let id = EventId((n + 1).to_be_bytes());
        let clock = if n == 0 { 0 } else { 1 };
        gifts.remember(GiftMemory { id, clock, ..first });
    }
    room.gifts = gifts;
    let mut verdict = |line: &str| feed(&mut room, &parse(line, 9_999_999), 1).unwrap();
    let busy = Verdict::Refused {
        reason: Refusal::RoomBusy,
        until_at: None,
    };
    assert_eq!(verdict("2 gift"), busy);
    assert_eq!(verdict("3 gift_reversal target=5"), busy);
    assert_eq!(verdict("86400001 gift"), Verdict::Visible { seq: Seq(2) });
}

proptest! {
    /// The Space-Saving bounds, with gifts taken back.
    #[test]
    fn top_givers_are_within_their_error(
        gifts in prop::collection::vec((0..60_u8, 0..20_u32, any::<bool>()), 1..300),
    ) {
        let mut lines = Vec::new();
        let mut given = BTreeMap::<String, i64>::new();
        for (n, (user, value, back)) in gifts.into_iter().enumerate() {
            lines.push(format!("0 gift id={n} user=u{user} value={value}"));
            if back {
                lines.push(format!("0 gift_reversal target={n}"));
            } else {
                *given.entry(format!("u{user}")).or_default() += i64::from(value);
            }
        }
        let room = settled(lines);
        prop_assert_eq!(&room.core().totals.gift_value, &vec![given.values().sum::<i64>()]);
        let list = room.fields().givers.by_currency.first().cloned().unwrap_or_default();
        prop_assert!(list.len() <= GIVERS_LEN_MAX);
        for giver in &list {
            let truth = given.remove(&giver.user).unwrap_or_default();
            prop_assert!((giver.value - giver.error..=giver.value).contains(&truth));
        }
        let floor = match list.last() {
            Some(last) if list.len() == GIVERS_LEN_MAX => last.value,
            _ => 0,
        };
        prop_assert!(given.values().all(|value| *value <= floor));
    }
}

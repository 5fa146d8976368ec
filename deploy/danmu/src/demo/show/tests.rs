use std::collections::{BTreeMap, BTreeSet};

use danmu_ingest::admission::{Context, EVENTS_LEN_MAX, admit};
use danmu_schemas::{Caller, RoomId};

use super::*;

const STARTED_AT: i64 = 1_700_000_000_000;
const STEP_MS: i64 = 200;

/// Ten minutes of a show, a step at a time.
fn play(seed: u64, recorded: bool) -> Vec<Vec<Act>> {
    let mut show = Show::new(&SCRIPTS[0], seed, STARTED_AT, recorded);
    (1..=10 * 60 * 1_000 / STEP_MS)
        .map(|n| show.step(STARTED_AT + n * STEP_MS, STEP_MS))
        .collect()
}

fn events(steps: &[Vec<Act>]) -> Vec<&Value> {
    fn event(act: &Act) -> Option<&Value> {
        match act {
            Act::Send(event) => Some(event),
            Act::PinNewest => None,
        }
    }
    steps.iter().flatten().filter_map(event).collect()
}

fn kinds<'a>(events: &[&'a Value]) -> BTreeMap<&'a str, usize> {
    let mut kinds = BTreeMap::new();
    for event in events {
        *kinds.entry(event["kind"].as_str().unwrap()).or_default() += 1;
    }
    kinds
}

#[test]
fn the_same_seed_makes_the_same_show() {
    assert_eq!(play(7, false), play(7, false));
    assert_ne!(play(7, false), play(8, false));
}

#[test]
fn the_server_takes_every_event_of_every_room() {
    for (script, recorded) in SCRIPTS.iter().zip([false, true, false]) {
        let mut show = Show::new(script, 3, STARTED_AT, recorded);
        let mut events = vec![show.begin()];
        for n in 1..=300 {
            let acts = show.step(STARTED_AT + n * 1_000, 1_000).into_iter();
            events.extend(acts.filter_map(Act::into_event));
        }
        events.push(show.end());
        let room = RoomId::parse(script.room).unwrap();
        let caller = Caller::unauthenticated_local();
        for part in events.chunks(EVENTS_LEN_MAX) {
            let context = Context {
                room: &room,
                caller: &caller,
                now_ms: STARTED_AT,
                idempotency_key: None,
            };
            let body = serde_json::to_vec(part).unwrap();
            let admitted = admit(&body, context, || unreachable!("every event has an id"));
            assert_eq!(admitted.unwrap().len(), part.len());
        }
    }
}

#[test]
fn ids_come_once() {
    let steps = play(1, false);
    let events = events(&steps);
    let ids: BTreeSet<&str> = events
        .iter()
        .map(|event| event["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), events.len());
}

#[test]
fn everything_that_a_show_has_happens() {
    let steps = play(1, false);
    let kinds = kinds(&events(&steps));
    let expected = [
        "audience",
        "broadcast_interrupt",
        "broadcast_resume",
        "comment",
        "custom",
        "delete",
        "enter",
        "gift",
        "likes",
        "mute",
        "rules",
    ];
    assert_eq!(kinds.keys().copied().collect::<Vec<_>>(), expected);
    assert!(steps.iter().flatten().any(|act| *act == Act::PinNewest));
    assert!(
        events(&steps)
            .iter()
            .any(|event| event.get("combo").is_some())
    );
}

#[test]
fn nobody_moderates_a_recording() {
    let steps = play(1, true);
    let kinds = kinds(&events(&steps));
    let expected = ["audience", "comment", "enter", "gift", "likes"];
    assert_eq!(kinds.into_keys().collect::<Vec<_>>(), expected);
}

#[test]
fn comments_burst_and_die_away() {
    let steps = play(1, false);
    let second = |steps: &[Vec<Act>]| kinds(&events(steps)).get("comment").copied().unwrap_or(0);
    let mut seconds: Vec<usize> = steps.chunks(1_000 / STEP_MS as usize).map(second).collect();
    seconds.sort_unstable();
    let (median, most) = (seconds[seconds.len() / 2], seconds[seconds.len() - 1]);
    assert!(
        (5..60).contains(&median),
        "{median} comments in a usual second"
    );
    assert!(
        most > 2 * median,
        "{most} comments in the liveliest second, {median} in a usual one"
    );
}

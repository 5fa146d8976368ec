use std::collections::BTreeSet;
use std::fmt::Write as _;

use danmu_schemas::RoomId;
use expect_test::{Expect, expect};

use super::*;
use crate::import::format::Format;

/// A gift before the show's zero, two comments at one moment, and likes.
const FILE: &str = r#"
{"kind":"broadcast_start","title":"T","at":1700000005000}
{"kind":"comment","at":1700000006000,"text":"one","user":{"id":"ann","name":"Ann"}}
{"kind":"comment","at":1700000006000,"text":"two"}
{"kind":"gift","at":1700000004000,"gift":"rose","name":"Rose","count":1,"unit_value":2,"user":{"id":"bob","name":"Bob"}}
{"kind":"likes","at":1700000009000,"count":3}
"#;

fn plan() -> Plan {
    let room = RoomId::parse("r1").expect("a room");
    let recording = Format::Jsonl.read(FILE.as_bytes(), room).expect("a file");
    Plan::new(recording, None).expect("a start")
}

fn pace(text: &str) -> Pace {
    text.parse().expect("a pace")
}

/// Who waits until the next event is due, each time, sends this.
fn check(pace_text: &str, expected: Expect) {
    let plan = plan();
    let mut show = Show::new(&plan, Uuid::from_u128(1), pace(pace_text));
    let mut text = String::new();
    while let Some(due) = show.next_due() {
        for event in show.take_due(due) {
            let mut request = show.request(event, 7);
            request.as_object_mut().expect("an object").remove("id");
            writeln!(text, "{:>4} {request}", due.as_millis()).expect("a string");
        }
    }
    expected.assert_eq(&text);
}

#[test]
fn events_are_live_ones_at_their_relative_times() {
    check(
        "1x",
        expect![[r#"
               0 {"count":1,"gift":"rose","issued_at":7,"kind":"gift","name":"Rose","unit_value":2,"user":{"id":"bob","name":"Bob"}}
            2000 {"kind":"comment","text":"one","user":{"id":"ann","name":"Ann"}}
            2000 {"kind":"comment","text":"two","user":{"id":"anonymous","name":""}}
            5000 {"count":3,"kind":"likes","user":{"id":"anonymous","name":""}}
        "#]],
    );
}

#[test]
fn a_pace_divides_the_times() {
    let plan = plan();
    let mut show = Show::new(&plan, Uuid::from_u128(1), pace("8x"));
    assert_eq!(show.take_due(Duration::from_millis(249)).len(), 1);
    assert_eq!(show.next_due(), Some(Duration::from_millis(250)));
    assert_eq!(show.take_due(Duration::from_millis(624)).len(), 2);
    assert_eq!(show.rest().len(), 1);
    assert_eq!(show.take_due(Duration::from_secs(3_600)).len(), 1);
    assert_eq!((show.next_due(), show.rest().len()), (None, 0));
}

#[test]
fn what_is_late_is_due_at_once_and_in_order() {
    let plan = plan();
    let mut show = Show::new(&plan, Uuid::from_u128(1), pace("1x"));
    let due = show.take_due(Duration::from_secs(60));
    let indexes: Vec<usize> = due.iter().map(|event| event.index).collect();
    assert_eq!(indexes, [2, 0, 1, 3]);
}

#[test]
fn each_run_has_ids_of_its_own() {
    let plan = plan();
    let ids = |run| {
        let show = Show::new(&plan, Uuid::from_u128(run), pace("1x"));
        let frame = [show.start(), show.end()].map(|event| event["id"].clone());
        let events = plan
            .events
            .iter()
            .map(|event| show.request(event, 7)["id"].clone());
        let ids = frame.into_iter().chain(events);
        ids.map(|id| id.as_str().expect("an id").to_owned())
            .collect::<BTreeSet<_>>()
    };
    let recorded: BTreeSet<String> = plan.events.iter().map(|e| e.id.to_string()).collect();
    assert_eq!(ids(1).len(), plan.events.len() + 2);
    assert_eq!(ids(1), ids(1));
    assert!(ids(1).is_disjoint(&ids(2)));
    assert!(ids(1).is_disjoint(&recorded));
}

#[test]
fn the_frame_is_not_a_recorded_one() {
    let plan = plan();
    let show = Show::new(&plan, Uuid::from_u128(1), pace("1x"));
    let mut start = show.start();
    start.as_object_mut().expect("an object").remove("id");
    let expected = json!({"kind": "broadcast_start", "title": "T", "role": "backend"});
    assert_eq!(start, expected);
}

#[test]
fn a_pace_is_a_whole_number_and_an_x() {
    assert_eq!("8x".parse(), Ok(Pace(NonZeroU32::new(8).expect("not 0"))));
    for wrong in ["", "x", "8", "0x", "-1x", "1.5x", "8 x"] {
        assert!(wrong.parse::<Pace>().is_err(), "{wrong}");
    }
}

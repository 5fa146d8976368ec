use std::fmt::Write as _;

use danmu_schemas::RoomId;
use expect_test::{Expect, expect};

use super::format::{Format, UnreadableFile};
use super::outcome::Outcome;
use super::plan::Plan;
use super::recording::Refused;

const NICONICO: &[u8] = include_bytes!("../../../../tests/data/niconico.json");
const XML: &[u8] = include_bytes!("../../../../tests/data/danmaku.xml");
const TWITCH: &[u8] = include_bytes!("../../../../tests/data/twitch.json");
const JSONL: &[u8] = include_bytes!("../../../../tests/data/events.jsonl");

fn plan(bytes: &[u8]) -> Plan {
    let format = Format::detect(bytes).expect("a known format");
    let recording = format.read(bytes, room()).expect("a readable file");
    Plan::new(recording, None).expect("a start")
}

fn room() -> RoomId {
    RoomId::parse("r1").expect("a room")
}

/// The frame and each event without its id, then what was refused.
fn check(bytes: &[u8], expected: Expect) {
    let plan = plan(bytes);
    let mut text = format!("zero_at {}\n", plan.zero_at);
    for event in &plan.events {
        let mut request = event.request(7);
        let fields = request.as_object_mut().expect("an object");
        fields.remove("id");
        let at = fields.remove("recorded_at").expect("a time");
        let show_ms = at.as_i64().expect("a number") - plan.zero_at;
        writeln!(text, "{:>2} {show_ms:>6} {request}", event.index).expect("a string");
    }
    for refused in &plan.refused {
        writeln!(text, "{:>2} refused: {}", refused.index, refused.reason).expect("a string");
    }
    expected.assert_eq(&visible(&text));
}

/// Format characters spelled out, so that this file shows them.
fn visible(text: &str) -> String {
    let mut visible = String::new();
    for character in text.chars() {
        match character {
            '\u{ad}' | '\u{200d}' | '\u{200e}' | '\u{202e}' => {
                visible.extend(character.escape_unicode());
            }
            _ => visible.push(character),
        }
    }
    visible
}

#[test]
fn niconico_places_styles_and_keeps_the_rest() {
    check(
        NICONICO,
        expect![[r#"
        zero_at 1700000100000
         1  -4500 {"ext":{"date":"1700000100","no":"2"},"kind":"comment","text":"before the start","user":{"id":"7","name":""}}
         2      0 {"ext":{"date":"0","no":"3"},"kind":"comment","style":{"color":16711680,"mode":"top","size":"big"},"text":"date unknown","user":{"id":"bob","name":""}}
         3   5000 {"ext":{"date":"1700000120","mail":"mincho full","no":"4"},"kind":"comment","style":{"color":1223663,"mode":"bottom","size":"small"},"text":"wwwww","user":{"id":"cid","name":""}}
         4   5000 {"ext":{"date":"1700000120","mail":"mincho full","no":"4"},"kind":"comment","style":{"color":1223663,"mode":"bottom","size":"small"},"text":"wwwww","user":{"id":"cid","name":""}}
         5   5000 {"ext":{"date":"1700000121","mail":"red","no":"4"},"kind":"comment","style":{"color":255},"text":"same id, other words","user":{"id":"dee","name":""}}
         6   5000 {"ext":{"date":"1700000130","layer":"2","mail":"ender","no":"7","owner":"true"},"kind":"comment","style":{"color":52428,"mode":"top"},"text":"　／￣＼\n　|＾o＾|\n　＼＿／\t","user":{"id":"art","name":""}}
         7   6000 {"ext":{"date":"1700000131","no":"8"},"kind":"comment","text":" 　","user":{"id":"eve","name":""}}
         8   6100 {"ext":{"date":"1700000132","mail":"184","no":"9"},"kind":"comment","style":{"mode":"scroll","size":"normal"},"text":"a\u{200d}b\u{200e}\u{ad}c"}
         9   6200 {"ext":{"date":"1700000133","no":"10"},"kind":"comment","text":"abc\u{202e}def","user":{"id":"eve","name":""}}
         0  12000 {"ext":{"date":"1700000300","mail":"184","no":"1","premium":"true"},"kind":"comment","text":"first in the file, late in the show","user":{"id":"ann","name":""}}
        10 refused: no content
        11 refused: no vpos
    "#]],
    );
}

#[test]
fn xml_reads_modes_sizes_and_entities() {
    check(
        XML,
        expect![[r#"
        zero_at 1700000050000
         1  -1250 {"ext":{"date":"1700000050","no":"2"},"kind":"comment","style":{"color":16711680,"mode":"top","size":"big"},"text":"before the start","user":{"id":"a2","name":""}}
         2      0 {"ext":{"date":"0","no":"3"},"kind":"comment","style":{"color":255,"mode":"bottom","size":"small"},"text":"date unknown","user":{"id":"a3","name":""}}
         3   3000 {"ext":{"date":"1700000060","no":"4","pool":"1"},"kind":"comment","style":{"color":65280,"mode":"reverse","size":"normal"},"text":"the other way","user":{"id":"a4","name":""}}
         4   3000 {"ext":{"date":"1700000061","mode":"7","no":"5","size":"64"},"kind":"comment","style":{"color":16777215,"mode":"scroll","size":"big"},"text":"placed <by hand>\nin two lines","user":{"id":"a5","name":""}}
         5   3000 {"ext":{"date":"1700000062","no":"6"},"kind":"comment","style":{"color":16777215,"mode":"scroll","size":"normal"},"text":"1 < 2","user":{"id":"a6","name":""}}
         6   4000 {"ext":{"date":"1700000063","no":"7"},"kind":"comment","style":{"color":16777215,"mode":"scroll","size":"normal"},"text":"   ","user":{"id":"a7","name":""}}
         0  12500 {"ext":{"date":"1700000300","no":"1"},"kind":"comment","style":{"color":16777215,"mode":"scroll","size":"normal"},"text":"late & first in the file","user":{"id":"a1","name":""}}
         7 refused: fewer than 8 fields in p
         8 refused: time is no number
    "#]],
    );
}

#[test]
fn twitch_bits_become_gifts_issued_now() {
    check(
        TWITCH,
        expect![[r##"
        zero_at 1709323200000
         1  -1600 {"kind":"comment","text":"early","user":{"ext":{"badges":"subscriber/12","color":"#FF69B4"},"id":"102","name":"Bob"}}
         0   9250 {"kind":"comment","text":"hello","user":{"ext":{"color":"#FF69B4"},"id":"101","name":"Ann"}}
         2  30000 {"count":1,"currency":"bits","gift":"bits","issued_at":7,"kind":"gift","name":"Bits","text":"Cheer250 wow","unit_value":250,"user":{"ext":{"color":"#FF69B4"},"id":"100","name":"Cid"}}
         3  31900 {"ext":{"emotes":"425618:0-2,425618:4-6"},"kind":"comment","text":"LUL LUL","user":{"ext":{"color":"#FF69B4"},"id":"101","name":"Ann"}}
         4  32000 {"kind":"comment","text":"  ","user":{"ext":{"color":"#FF69B4"},"id":"102","name":"Bob"}}
         5 refused: no message
    "##]],
    );
}

#[test]
fn jsonl_keeps_what_can_be_brought_in() {
    check(
        JSONL,
        expect![[r#"
        zero_at 1700000005000
         0  -3000 {"kind":"comment","text":"early","user":{"id":"ann","name":"Ann"}}
         2   3000 {"ext":{"a":"b"},"kind":"comment","text":"by nobody"}
         1   4000 {"kind":"comment","style":{"color":255,"mode":"top","size":"big"},"text":"out of order","user":{"id":"bob","name":"Bob"}}
         3   5000 {"count":3,"currency":"coin","gift":"rose","issued_at":7,"kind":"gift","name":"Rose","text":"for you","unit_value":10,"user":{"id":"bob","name":"Bob"}}
         7   8000 {"count":17,"kind":"likes","source":"s1"}
         4 refused: no JSON
         5 refused: deleted
         6 refused: kind is not imported
    "#]],
    );
}

#[test]
fn equal_entries_get_ids_of_their_own_and_the_same_ones_each_time() {
    let ids: Vec<_> = plan(NICONICO).events.iter().map(|e| e.id).collect();
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len());
    let again: Vec<_> = plan(NICONICO).events.iter().map(|e| e.id).collect();
    assert_eq!(ids, again);
    // Two equal entries, as every build names them.
    expect![[r#"
        55cc5a63-af8e-532d-9749-8d230f1495b6
        e526910e-f02c-5476-8b00-e3a1c93290a2
    "#]]
    .assert_eq(&format!("{}\n{}\n", ids[2], ids[3]));
}

#[test]
fn the_spelling_of_an_entry_does_not_change_its_id() {
    let one = plan(br#"[{"content":"a","vpos":1,"date":5}]"#);
    let other = plan(br#"[ { "date":5, "vpos":1, "content":"\u0061" } ]"#);
    assert_eq!(one.events[0].id, other.events[0].id);
}

#[test]
fn the_frame_holds_every_event() {
    let plan = plan(NICONICO);
    expect![[r#"
        {"id":"5787a49f-9051-52d0-9ebd-eb5a77a909bb","kind":"broadcast_start","recorded":true,"recorded_at":1700000095500,"role":"backend","title":"","zero_at":1700000100000}
        {"id":"9b0ffbb5-6598-5138-bd12-11d4cbf3b8e8","kind":"broadcast_end","recorded_at":1700000112000,"role":"backend"}"#]].assert_eq(&format!("{}\n{}", plan.start(0), plan.end(0)));
    assert_ne!(plan.start_id(0), plan.start_id(1));
}

#[test]
fn a_file_without_dates_needs_a_start() {
    let recording = Format::Niconico
        .read(br#"[{"content":"a","vpos":1,"date":0}]"#, room())
        .expect("a readable file");
    assert!(Plan::new(recording, None).is_err());
}

#[test]
fn what_does_not_fit_ext_is_named() {
    let mail = "x".repeat(2_000);
    let file = format!(r#"[{{"content":"a","vpos":1,"date":5,"mail":"{mail}"}}]"#);
    let request = plan(file.as_bytes()).events[0].request(0);
    assert_eq!(request["ext"]["left_out"], "mail");
}

#[test]
fn what_no_server_takes_is_refused_before_it_is_sent() {
    let mut refused = String::new();
    for file in [NICONICO, XML, TWITCH, JSONL] {
        let mut plan = plan(file);
        let read = plan.refused.len();
        plan.refuse_inadmissible(7);
        for Refused { index, reason } in &plan.refused[read..] {
            writeln!(refused, "{index} {reason}").expect("a string");
        }
        refused.push('\n');
    }
    expect![[r#"
        7 text is blank
        9 text holds a bidirectional override

        6 text is blank

        4 text is blank


    "#]]
    .assert_eq(&refused);
}

#[test]
fn a_file_of_no_known_format_is_told_from_an_empty_and_a_packed_one() {
    let detect = |bytes: &[u8]| Format::detect(bytes).expect_err("no format");
    for bytes in ["", "\u{feff}", " \r\n\t\n"] {
        assert!(matches!(detect(bytes.as_bytes()), UnreadableFile::Empty));
        let read = Format::Jsonl.read(bytes.as_bytes(), room());
        assert!(matches!(read, Err(UnreadableFile::Empty)));
    }
    let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x4b\x04\x00";
    assert!(matches!(detect(gzip), UnreadableFile::Compressed));
    let read = Format::Xml.read(gzip, room());
    assert!(matches!(read, Err(UnreadableFile::Compressed)));
    assert!(matches!(detect(b"12:00 hi"), UnreadableFile::UnknownFormat));
}

#[test]
fn an_outcome_names_the_entries_of_each_reason() {
    let refused = |(index, reason): (usize, &str)| Refused {
        index,
        reason: reason.to_owned(),
    };
    let muted = (0..21).rev().map(|index| (index * 2, "muted"));
    let outcome = Outcome {
        sent: 3,
        already_there: 2,
        not_played: 1,
        without_verdict: 1,
        refused: muted.chain([(1, "blank")]).map(refused).collect(),
    };
    expect![[r#"
        29 entries: 3 sent, 2 already there, 22 refused, 1 not played, 1 without a verdict
          refused 1: blank (entries 1)
          refused 21: muted (entries 0 2 4 6 8 10 12 14 16 18 20 22 24 26 28 30 32 34 36 38 …)
    "#]]
    .assert_eq(&outcome.summary(29));
    assert!(!outcome.accounts_for(29));
    assert!(outcome.accounts_for(27));
}

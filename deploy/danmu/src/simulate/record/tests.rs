use expect_test::{Expect, expect};
use serde_json::json;

use super::*;

fn id(n: u64) -> Uuid {
    Uuid::from_u128(n.into())
}

/// Does what the lines say with a room's record, and tells what comes out:
/// `send ID`, `ack ID`, `refuse ID`, `visible ID SEQ`, `likes N` (acknowledged), `likes? N`,
/// `page FROM TO SEQ=ID…` (what is left out is for density; `SEQ=ID` may be `SEQ=ID:kind`), and
/// `history LIKES SEQ=ID…`.
fn check(lines: &str, expected: Expect) {
    let mut record = Record::new("r");
    let mut told = String::new();
    for line in lines.trim().lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| -> u64 { words[at].parse().expect("a number") };
        let violations = match words[0] {
            "send" => {
                record.send(id(number(1)), Some(Duration::from_millis(number(1))));
                continue;
            }
            "ack" => {
                record.acknowledge(id(number(1)), Duration::ZERO);
                continue;
            }
            "refuse" => {
                record.refused(id(number(1)), "muted");
                continue;
            }
            "likes" | "likes?" => {
                record.likes(number(1), words[0] == "likes");
                continue;
            }
            "visible" => record
                .visible(id(number(1)), number(2))
                .err()
                .into_iter()
                .collect(),
            "page" => {
                let events = &words[3..];
                let missing = number(2) - number(1) - events.len() as u64;
                let page = json!({
                    "room": "r", "from": number(1), "to": number(2), "head": number(2),
                    "cursor": format!("1:{}", number(2)),
                    "withheld": {"count": missing, "by": {"density": missing}},
                    "events": events.iter().map(|word| shown(word)).map(|shown| json!({
                        "seq": shown.seq, "kind": shown.kind, "id": shown.id,
                    })).collect::<Vec<_>>(),
                });
                let told = Bytes::from(page.to_string());
                let first = record
                    .page(&told)
                    .map(|known| known.expect("a page").dues.len());
                let again = record
                    .page(&told)
                    .map(|known| known.expect("a page").dues.len());
                assert_eq!(first, again);
                first.err().into_iter().collect()
            }
            "history" => {
                let events: Vec<_> = words[2..].iter().map(|word| shown(word)).collect();
                record.conclude(&events, number(1))
            }
            other => panic!("{other}"),
        };
        match &violations[..] {
            [] => told += &format!("{}: as it should be\n", words[0]),
            _ => violations
                .iter()
                .for_each(|violation| told += &format!("{violation}\n")),
        }
    }
    let short = |uuid: Uuid| (uuid.to_string(), uuid.as_u128().to_string());
    for (long, short) in (0..100).map(|n| short(id(n))) {
        told = told.replace(&long, &format!("#{short}"));
    }
    expected.assert_eq(&told);
}

fn shown(word: &str) -> Shown {
    let (seq, rest) = word.split_once('=').expect("SEQ=ID");
    let (n, kind) = rest.split_once(':').unwrap_or((rest, "comment"));
    Shown {
        seq: seq.parse().expect("a seq"),
        kind: kind.to_owned(),
        id: id(n.parse().expect("an id")),
    }
}

#[test]
fn what_was_sent_told_and_kept_agrees() {
    check(
        "
        send 1
        send 2
        send 3
        send 4
        ack 1
        ack 2
        ack 3
        likes 5
        likes? 2
        refuse 3
        page 0 3 1=1 2=9:likes 3=2
        visible 2 3
        history 6 1=1 2=9:likes 3=2
        ",
        expect![[r#"
            page: as it should be
            visible: as it should be
            history: as it should be
        "#]],
    );
}

#[test]
fn readers_who_are_told_different_orders_are_found() {
    check(
        "
        send 1
        send 2
        page 0 2 1=1 2=2
        page 0 2 1=2 2=1
        page 1 2 2=3
        visible 2 7
        ",
        expect![[r#"
            page: as it should be
            #2 is seq 2 and seq 1
            seq 2 is #3 here and #2 elsewhere
            #2 is seq 2 and seq 7
        "#]],
    );
}

#[test]
fn what_is_lost_or_invented_or_refused_and_shown_is_found() {
    check(
        "
        send 1
        send 2
        send 3
        ack 1
        ack 2
        ack 3
        refuse 3
        likes 5
        history 4 1=1 2=8 3=3
        ",
        expect![[r#"
            seq 2 is a comment that nobody sent: #8
            lost: #2 was acknowledged
            #3 was refused (muted) and is seq 3
            4 likes, but 5 were acknowledged and 0 may be
        "#]],
    );
}

#[test]
fn a_history_in_another_order_or_with_a_hole_or_too_short_is_found() {
    check(
        "
        send 1
        send 2
        send 3
        page 0 3 1=1 2=2 3=3
        history 0 1=2 2=1 3=3
        history 0 1=1 3=3
        history 0 1=1 2=2
        ",
        expect![[r#"
            page: as it should be
            #2 is seq 2 and seq 1
            #1 is seq 1 and seq 2
            the history has seq 3 where 2 should be
            the history ends at 2, and a reader was told seq 3
        "#]],
    );
}

#[test]
fn what_density_must_not_leave_out_is_found() {
    check(
        "
        send 1
        send 2
        send 3
        page 0 3 1=1
        history 0 1=1 2=2:delete 3=3
        ",
        expect![[r#"
            page: as it should be
            seq 2, a delete, was left out for density
        "#]],
    );
}

#[test]
fn verdicts_are_asked_for_what_no_reader_was_shown() {
    let mut record = Record::new("r");
    for n in 1..=4 {
        record.send(id(n), None);
        record.acknowledge(id(n), Duration::from_secs(n));
    }
    record.visible(id(2), 1).expect("it agrees");
    let before = Duration::from_secs(4);
    assert_eq!(record.take_unseen(before), [id(1), id(3)]);
    assert!(record.take_unseen(before).is_empty());
    assert_eq!(record.take_unseen(Duration::MAX), [id(4)]);
}

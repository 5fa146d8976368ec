use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use uuid::Uuid;

use super::*;
use crate::simulate::page::{Shown, Withheld};

/// Has a reader take pages, one a line: the seq before it, the last one, then the seqs that are shown,
/// `-n` for what it says it withholds, `@` for another cursor than its end.
fn check(promise: Promise, pages: &str, expected: Expect) {
    let mut transcript = Transcript::begin(Cursor::START, promise);
    let mut told = String::new();
    for line in pages.trim().lines() {
        let page = page(line);
        let taken = page.check().and_then(|()| transcript.take(&page));
        match taken {
            Ok(()) => told += &format!("{}\n", transcript.cursor()),
            Err(violation) => told += &format!("{violation}\n"),
        }
    }
    for owed in transcript.owed() {
        told += &format!("owed: after {} to {}\n", owed.after, owed.to);
    }
    expected.assert_eq(&told);
}

fn page(line: &str) -> Page {
    let mut words = line.split_whitespace();
    let mut number = || words.next().and_then(|word| word.parse().ok());
    let (from, to) = (number().expect("from"), number().expect("to"));
    let mut page = Page {
        room: "r".to_owned(),
        events: Vec::new(),
        cursor: format!("1:{to}"),
        from,
        to,
        withheld: Withheld::default(),
        poll_after_ms: None,
    };
    for word in words {
        if let Some(count) = word.strip_prefix('-') {
            let count = count.parse().expect("a count");
            let by = BTreeMap::from([("density".to_owned(), count)]);
            page.withheld = Withheld { count, by };
        } else if let Some(cursor) = word.strip_prefix('@') {
            page.cursor = cursor.to_owned();
        } else {
            let seq = word.parse().expect("a seq");
            page.events.push(Shown {
                seq,
                kind: "comment".to_owned(),
                id: Uuid::from_u128(seq.into()),
            });
        }
    }
    page
}

#[test]
fn a_dense_transcript_is_taken() {
    check(
        Promise::Whole,
        "
        0 2 1 2
        2 2
        2 5 3 4 5
        ",
        expect![[r#"
            1:2
            1:2
            1:5
        "#]],
    );
}

#[test]
fn what_is_counted_is_no_hole_and_is_owed_to_who_wants_everything() {
    let pages = "
        0 4 1 4 -2
        4 9 -5
        9 10 10
        10 12 12 -1
        ";
    check(
        Promise::Counted,
        pages,
        expect![[r#"
            1:4
            1:9
            1:10
            1:12
        "#]],
    );
    check(
        Promise::WholeAgain,
        pages,
        expect![[r#"
            1:4
            1:9
            1:10
            1:12
            owed: after 0 to 9
            owed: after 1:10 to 12
        "#]],
    );
    check(
        Promise::Whole,
        "0 4 1 4 -2",
        expect![[r#"
            2 events are withheld in an answer at full density
        "#]],
    );
}

#[test]
fn holes_and_repeats_are_found_between_pages() {
    check(
        Promise::Counted,
        "
        0 2 1 2
        3 4 4
        1 4 2 3 4
        0 2 1 2
        ",
        expect![[r#"
            1:2
            a hole: after 1:2 came a page from 3
            a repeat: after 1:2 came a page from 1
            a repeat: after 1:2 came a page from 0
        "#]],
    );
}

#[test]
fn holes_repeats_and_swaps_are_found_within_a_page() {
    check(
        Promise::Counted,
        "
        0 3 1 3
        0 3 1 2 2 3
        0 3 1 3 2
        0 3 1 2 3 4
        0 3 0 1 2 3
        ",
        expect![[r#"
            1 events are left out of a page from 0 to 3 that says 0
            out of order: seq 2 after 2
            out of order: seq 2 after 3
            seq 4 in a page from 0 to 3
            seq 0 in a page from 0 to 3
        "#]],
    );
}

#[test]
fn a_wrong_count_of_what_is_withheld_is_found() {
    check(
        Promise::Counted,
        "
        0 3 1 -1
        0 3 1 -3
        0 3 1 2 3 -1
        ",
        expect![[r#"
            2 events are left out of a page from 0 to 3 that says 1
            2 events are left out of a page from 0 to 3 that says 3
            0 events are left out of a page from 0 to 3 that says 1
        "#]],
    );
}

#[test]
fn a_cursor_that_is_not_the_pages_end_is_found() {
    check(
        Promise::Counted,
        "
        0 2 1 2 @1:1
        0 2 1 2 @x
        0 2 1 2
        2 3 3 @2:3
        ",
        expect![[r#"
            the cursor "1:1" does not end a page after 0 to 2
            the cursor "x" does not end a page after 0 to 2
            1:2
            the cursor "2:3" does not end a page after 1:2 to 3
        "#]],
    );
}

//! Requests in, in order and with their moment; who may pass, as text.

use expect_test::{Expect, expect};

use super::*;

fn rates(cells_max: usize) -> Rates {
    let limits = Limits {
        user: Some("4/2s".parse().expect("a rate")),
        room: Some("6/1s".parse().expect("a rate")),
        ..Limits::NONE
    };
    Rates::bounded(limits, cells_max)
}

fn ask(scope: Scope, id: &str, count: u32) -> Ask<'_> {
    Ask {
        scope,
        id: id.as_bytes(),
        count,
    }
}

/// Each line is `moment user room count`.
fn check(rates: &Rates, requests: &str, expected: Expect) {
    let mut outcomes = Vec::new();
    for line in requests
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let words: Vec<_> = line.split_whitespace().collect();
        let [at, user, room, count] = words[..] else {
            panic!("{line}")
        };
        let count = count.parse().expect("a count");
        let asks = [ask(Scope::User, user, count), ask(Scope::Room, room, count)];
        outcomes.push(match rates.take(&asks, at.parse().expect("a moment")) {
            Ok(()) => format!("{line}: ok"),
            Err(Limited {
                limit,
                retry_after_s,
            }) => {
                let (left, quota, all_in_s) = (limit.remaining, limit.quota, limit.reset_s);
                let retry = retry_after_s.map_or("never".to_owned(), |s| format!("in {s} s"));
                let name = limit.name;
                format!("{line}: {name} has {left} of {quota}, all in {all_in_s} s, retry {retry}")
            }
        });
    }
    expected.assert_eq(&outcomes.join("\n"));
}

#[test]
fn a_quota_may_be_used_at_once_and_comes_back_evenly() {
    check(
        &rates(100),
        "0 ann r1 4
         0 ann r1 1
         499 ann r1 1
         500 ann r1 1
         500 ann r1 1
         9000 ann r1 4
         9000 ann r1 1",
        expect![[r#"
            0 ann r1 4: ok
            0 ann r1 1: user has 0 of 4, all in 2 s, retry in 1 s
            499 ann r1 1: user has 0 of 4, all in 2 s, retry in 1 s
            500 ann r1 1: ok
            500 ann r1 1: user has 0 of 4, all in 2 s, retry in 1 s
            9000 ann r1 4: ok
            9000 ann r1 1: user has 0 of 4, all in 2 s, retry in 1 s"#]],
    );
}

#[test]
fn a_refusal_takes_nothing_from_any_limit() {
    check(
        &rates(100),
        "0 ann r1 4
         0 ann r1 1
         0 bob r1 3
         0 bob r1 2
         0 cid r1 1
         0 cid r2 4",
        expect![[r#"
            0 ann r1 4: ok
            0 ann r1 1: user has 0 of 4, all in 2 s, retry in 1 s
            0 bob r1 3: room has 2 of 6, all in 1 s, retry in 1 s
            0 bob r1 2: ok
            0 cid r1 1: room has 0 of 6, all in 1 s, retry in 1 s
            0 cid r2 4: ok"#]],
    );
}

#[test]
fn more_than_the_quota_never_fits() {
    check(
        &rates(100),
        "0 ann r1 5\n9000 ann r1 5",
        expect![[r#"
        0 ann r1 5: user has 4 of 4, all in 0 s, retry never
        9000 ann r1 5: user has 4 of 4, all in 0 s, retry never"#]],
    );
}

#[test]
fn a_full_table_is_shared_by_those_who_are_not_in_it() {
    let rates = rates(2);
    check(
        &rates,
        "0 ann r1 1
         0 bob r2 3
         0 cid r3 3
         0 ann r1 1
         5000 dan r4 4",
        expect![[r#"
            0 ann r1 1: ok
            0 bob r2 3: ok
            0 cid r3 3: user has 1 of 4, all in 2 s, retry in 1 s
            0 ann r1 1: ok
            5000 dan r4 4: ok"#]],
    );
    let cells = rates.cells.lock().expect("no panic").full_at_us.len();
    assert!(cells <= 2 + 2 + 2, "{cells} cells");
}

#[test]
fn a_table_stays_bounded() {
    let rates = rates(64);
    for n in 0..10_000_i64 {
        let user = n.to_string();
        // Refused or not is not the question here.
        let _ = rates.take(&[ask(Scope::User, &user, 1)], n);
    }
    let cells = rates.cells.lock().expect("no panic").full_at_us.len();
    assert!(cells <= 64 + 1, "{cells} cells");
}

#[test]
fn what_has_no_limit_passes() {
    let rates = Rates::new(Limits::NONE);
    for scope in [
        Scope::User,
        Scope::Room,
        Scope::Address,
        Scope::Likes,
        Scope::Moderation,
    ] {
        assert_eq!(rates.take(&[ask(scope, "x", u32::MAX)], 0), Ok(()));
    }
    assert!(rates.cells.lock().expect("no panic").full_at_us.is_empty());
}

#[test]
fn a_rate_is_written_as_a_quota_and_a_window() {
    for good in ["1/1s", "20/10s", "1000000/1s"] {
        assert_eq!(
            good.parse::<Rate>().map(|rate| rate.to_string()),
            Ok(good.to_owned())
        );
    }
    for bad in [
        "",
        "20",
        "20/s",
        "0/1s",
        "1/0s",
        "-1/1s",
        "1000001/1s",
        "20/10m",
        "20/10",
    ] {
        assert!(bad.parse::<Rate>().is_err(), "{bad}");
    }
}

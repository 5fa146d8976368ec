use clap::Parser;
use expect_test::{Expect, expect};

use super::*;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    scale: Scale,
}

fn scale(flags: &str) -> Scale {
    let words = std::iter::once("simulate").chain(flags.split_whitespace());
    Command::parse_from(words).scale
}

fn sends(flags: &str) -> Vec<Send> {
    scale(flags).sends(Uuid::nil()).collect()
}

/// Tells how much of what is sent, and in which rooms.
fn check(flags: &str, expected: Expect) {
    let sends = sends(flags);
    let count = |is: fn(&What) -> bool| sends.iter().filter(|send| is(&send.what)).count();
    let in_room = |room| sends.iter().filter(|send| send.room == room).count();
    expected.assert_eq(&format!(
        "comments {}, gifts {}, likes {}, moderations {}; rooms {} {} {}\n",
        count(|what| matches!(what, What::Comment { .. })),
        count(|what| matches!(what, What::Gift { .. })),
        count(|what| matches!(what, What::Likes(_))),
        count(|what| matches!(what, What::Delete(_) | What::Mute(_))),
        in_room(0),
        in_room(1),
        in_room(2),
    ));
}

#[test]
fn what_is_sent_follows_the_rates_and_the_skew() {
    let rates = "--seconds 100 --rooms 3 --comments 50 --gifts 5 --likes 10 --moderations 2";
    check(
        &format!("{rates} --skew 0"),
        expect![[r#"
        comments 4909, gifts 516, likes 1010, moderations 210; rooms 2225 2171 2249
    "#]],
    );
    check(
        &format!("{rates} --skew 1"),
        expect![[r#"
        comments 4909, gifts 516, likes 1010, moderations 210; rooms 3616 1794 1235
    "#]],
    );
    check(
        "--comments 0 --gifts 0 --likes 0 --moderations 0",
        expect![[r#"
            comments 0, gifts 0, likes 0, moderations 0; rooms 0 0 0
        "#]],
    );
}

#[test]
fn a_seed_makes_one_plan() {
    assert_eq!(sends("--seed 7"), sends("--seed 7"));
    assert_ne!(sends("--seed 7"), sends("--seed 8"));
    assert_eq!(scale("--seed 7").readers(), scale("--seed 7").readers());
    let other: Vec<_> = scale("--seed 7").sends(Uuid::max()).collect();
    let ids = |sends: Vec<Send>| sends.into_iter().map(|send| send.id).collect::<Vec<_>>();
    assert_ne!(ids(sends("--seed 7")), ids(other));
}

#[test]
fn what_is_sent_is_in_the_order_of_time_and_within_it() {
    let sends = sends("--seconds 20");
    assert!(sends.is_sorted_by_key(|send| send.due));
    assert!(sends.iter().all(|send| send.due < Duration::from_secs(20)));
}

#[test]
fn moderation_is_of_comments_that_came_before_in_the_room() {
    let mut comments = Vec::new();
    for send in sends("--moderations 20 --rooms 3") {
        match send.what {
            What::Comment { user, .. } => comments.push((send.room, send.id, user)),
            What::Delete(target) => assert!(
                comments
                    .iter()
                    .any(|(room, id, _)| (*room, *id) == (send.room, target))
            ),
            What::Mute(target) => assert!(
                comments
                    .iter()
                    .any(|(room, _, user)| (*room, *user) == (send.room, target))
            ),
            _ => {}
        }
    }
}

#[test]
fn readers_are_as_many_as_asked_for_and_some_are_slow() {
    let readers = scale("--sockets 300 --streams 20 --polls 5 --long-polls 4 --slow 0.1").readers();
    let by = |way| readers.iter().filter(|reader| reader.way == way).count();
    assert_eq!(Way::ALL.map(by), [300, 20, 4, 5]);
    let slow = readers.iter().filter(|reader| reader.is_slow).count();
    assert!((15..60).contains(&slow), "{slow}");
    let full = readers
        .iter()
        .filter(|reader| reader.density == Density::Full);
    assert!((130..200).contains(&full.count()));
    assert!(readers.is_sorted_by_key(|reader| reader.joins_after));
}

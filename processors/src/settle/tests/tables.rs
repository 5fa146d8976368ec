//! One table a rule: the log goes in as text, verdicts and facts come out as text.

use expect_test::expect;

use super::script::check;

#[test]
fn a_retried_comment_counts_once() {
    check(
        "0 comment id=1 user=ann
         1 comment id=1 user=ann
         2 comment user=bob
         ? totals
         ? counts",
        expect![[r#"
            0 seq 1
              broadcast 1:1 started "" at 0 zero 0
              broadcast 1:1 segment 0 from seq 1, before it seq 0
              broadcast 1:1 heat 0 from seq 1, before it 0 0 0
            1 duplicate of seq 1
            2 seq 2
              totals: 2 comments, 0 likes, 0 gifts []
              counts: 1 duplicates, 0 refused
        "#]],
    );
}

#[test]
fn an_id_is_remembered_for_two_minutes_and_no_longer() {
    check(
        "0 comment id=1
         120000 comment id=1
         120001 comment id=1
         120002 comment id=1",
        expect![[r#"
            0 seq 1
              broadcast 1:1 started "" at 0 zero 0
              broadcast 1:1 segment 0 from seq 1, before it seq 0
              broadcast 1:1 heat 0 from seq 1, before it 0 0 0
            120000 duplicate of seq 1
            120001 seq 2
              broadcast 1:1 segment 4 from seq 2, before it seq 1
              broadcast 1:1 heat 12 from seq 2, before it 1 0 0
            120002 duplicate of seq 2
        "#]],
    );
}

#[test]
fn a_gifts_id_is_remembered_for_a_day() {
    check(
        "0 gift id=1
         86400000 comment id=1
         86400001 comment id=1",
        expect![[r#"
            0 seq 1
              broadcast 1:1 started "" at 0 zero 0
              broadcast 1:1 segment 0 from seq 1, before it seq 0
              broadcast 1:1 heat 0 from seq 1, before it 0 0 0
            86400000 duplicate of seq 1
            86400001 seq 2
              broadcast 1:1 segment 2880 from seq 2, before it seq 1
              broadcast 1:1 heat 8640 from seq 2, before it 0 0 1
        "#]],
    );
}

#[test]
fn a_refused_event_is_not_remembered() {
    check(
        "0 rules comments=closed
         1 comment id=1
         2 comment id=1
         3 rules comments=open
         4 comment id=1
         ? counts",
        expect![[r#"
            0 seq 1
              broadcast 1:1 started "" at 0 zero 0
              broadcast 1:1 segment 0 from seq 1, before it seq 0
              broadcast 1:1 heat 0 from seq 1, before it 0 0 0
            1 refused: comments-closed
            2 refused: comments-closed
            3 seq 2
            4 seq 3
              counts: 0 duplicates, 2 refused
        "#]],
    );
}

#[test]
fn the_log_clock_never_goes_back() {
    check(
        "1000 comment
         400 comment
         ? clock",
        expect![[r#"
            1000 seq 1
              broadcast 1:1 started "" at 1000 zero 1000
              broadcast 1:1 segment 0 from seq 1, before it seq 0
              broadcast 1:1 heat 0 from seq 1, before it 0 0 0
            400 seq 2 at 1000
              clock: 1000
        "#]],
    );
}

#[test]
fn comments_are_closed_for_viewers_alone() {
    check(
        "0 rules comments=closed
         1 comment user=ann
         2 comment user=mo role=moderator
         3 gift user=ann",
        expect![[r#"
            0 seq 1
              broadcast 1:1 started "" at 0 zero 0
              broadcast 1:1 segment 0 from seq 1, before it seq 0
              broadcast 1:1 heat 0 from seq 1, before it 0 0 0
            1 refused: comments-closed
            2 seq 2
            3 seq 3
        "#]],
    );
}

#[test]
fn slow_mode_is_by_author_and_exempts_moderators() {
    check(
        "0 rules slow=3000
         1 comment user=ann
         2 comment user=bob
         3000 comment user=ann
         3001 comment user=ann
         3002 comment user=mo role=moderator
         3003 comment user=mo role=moderator
         3004 comment
         3005 comment
         3006 gift user=ann",
        expect![[r#"
            0 seq 1
              broadcast 1:1 started "" at 0 zero 0
              broadcast 1:1 segment 0 from seq 1, before it seq 0
              broadcast 1:1 heat 0 from seq 1, before it 0 0 0
            1 seq 2
            2 seq 3
            3000 refused: slow-mode until 3001
            3001 seq 4
            3002 seq 5
            3003 seq 6
            3004 seq 7
            3005 seq 8
            3006 seq 9
        "#]],
    );
}

#[test]
fn slow_mode_counts_comments_from_before_it() {
    check(
        "0 comment user=ann
         1000 rules slow=3000
         2000 comment user=ann
         2001 rules slow=0
         2002 comment user=ann
         2003 rules slow=3000
         2004 comment user=ann",
        expect![[r#"
            0 seq 1
              broadcast 1:1 started "" at 0 zero 0
              broadcast 1:1 segment 0 from seq 1, before it seq 0
              broadcast 1:1 heat 0 from seq 1, before it 0 0 0
            1000 seq 2
            2000 refused: slow-mode until 3000
            2001 seq 3
            2002 seq 4
            2003 seq 5
            2004 refused: slow-mode until 5002
        "#]],
    );
}

#[test]
fn slow_mode_is_at_most_two_minutes() {
    check(
        "0 rules slow=999999
         1 comment user=ann
         120000 comment user=ann
         120001 comment user=ann",
        expect![[r#"
            0 seq 1
              broadcast 1:1 started "" at 0 zero 0
              broadcast 1:1 segment 0 from seq 1, before it seq 0
              broadcast 1:1 heat 0 from seq 1, before it 0 0 0
            1 seq 2
            120000 refused: slow-mode until 120001
            120001 seq 3
              broadcast 1:1 segment 4 from seq 3, before it seq 2
              broadcast 1:1 heat 12 from seq 3, before it 1 0 0
        "#]],
    );
}

#[test]
fn a_mute_ends_by_the_log_clock() {
    check(
        "0 mute who=ann until=1000
         1 mute who=bob hide=-5
         2 comment user=ann
         3 comment user=bob role=host
         4 gift user=ann
         ? muted
         1000 comment user=ann
         ? muted
         1001 unmute who=bob
         1002 comment user=bob
         1003 mute who=cy until=1003
         ? muted",
        expect![[r#"
            0 seq 1
              broadcast 1:1 started "" at 0 zero 0
              broadcast 1:1 segment 0 from seq 1, before it seq 0
              broadcast 1:1 heat 0 from seq 1, before it 0 0 0
            1 seq 2
              1:2 Hidden { user: "bob", since_at: -5 }
            2 refused: muted until 1000
            3 refused: muted
            4 seq 3
              muted: [("ann", Some(1000)), ("bob", None)]
            1000 seq 4
              muted: [("bob", None)]
            1001 seq 5
            1002 seq 6
            1003 seq 7
              muted: []
        "#]],
    );
}

#[test]
fn a_target_exists_or_the_act_is_refused() {
    check(
        "0 comment id=1
         1 delete seq=1
         2 delete seq=3
         3 delete seq=0
         4 delete target=1
         5 delete target=77
         130000 delete target=1
         130001 erase seq=1
         130002 erase seq=99
         130003 erase who=ann",
        expect![[r#"
            0 seq 1
              broadcast 1:1 started "" at 0 zero 0
              broadcast 1:1 segment 0 from seq 1, before it seq 0
              broadcast 1:1 heat 0 from seq 1, before it 0 0 0
            1 seq 2
              1:2 Deleted { target: Seq(1) }
            2 refused: target-unknown
            3 refused: target-unknown
            4 seq 3 target 1
              1:3 Deleted { target: Seq(1) }
            5 refused: target-unknown
            130000 refused: target-unknown
            130001 seq 4
              broadcast 1:1 segment 4 from seq 4, before it seq 3
              broadcast 1:1 heat 13 from seq 4, before it 1 0 0
              1:4 Erased { target: Seq(1) }
            130002 refused: target-unknown
            130003 seq 5
              1:5 UserErased { user: "ann" }
        "#]],
    );
}

#[test]
fn a_pin_lasts_until_it_is_unpinned_or_deleted() {
    check(
        "0 comment
         1 comment
         2 pin seq=9
         3 pin seq=1
         ? pinned
         4 unpin seq=2
         ? pinned
         5 unpin seq=1
         ? pinned
         6 pin seq=2
         7 delete seq=2
         ? pinned",
        expect![[r#"
            0 seq 1
              broadcast 1:1 started "" at 0 zero 0
              broadcast 1:1 segment 0 from seq 1, before it seq 0
              broadcast 1:1 heat 0 from seq 1, before it 0 0 0
            1 seq 2
            2 refused: target-unknown
            3 seq 3
              pinned: Some(1)
            4 seq 4
              pinned: Some(1)
            5 seq 5
              pinned: None
            6 seq 6
            7 seq 7
              1:7 Deleted { target: Seq(2) }
              pinned: None
        "#]],
    );
}

#[test]
fn entries_departures_and_counts_are_absorbed() {
    check(
        "0 enter user=ann
         1 enter user=bob
         2 enter user=ann
         3 enter
         ? roster
         4 leave user=bob
         ? roster
         5 audience source=a viewers=3
         6 audience source=b viewers=4
         7 audience source=a viewers=5
         ? viewers
         150006 enter
         ? viewers
         150007 enter
         ? viewers",
        expect![[r#"
            0 absorbed
            1 absorbed
            2 absorbed
            3 absorbed
              roster: ["bob", "ann"]
            4 absorbed
              roster: ["ann"]
            5 absorbed
            6 absorbed
            7 absorbed
              viewers: 9
            150006 absorbed
              viewers: 5
            150007 absorbed
              viewers: 0
        "#]],
    );
}

#[test]
fn a_gift_is_taken_within_its_window_of_issue() {
    check(
        "90000000 gift issued=7200000
         90000001 gift issued=7200000
         90000001 gift issued=90300001
         90000001 gift issued=90300002",
        expect![[r#"
            90000000 seq 1
              broadcast 1:1 started "" at 90000000 zero 90000000
              broadcast 1:1 segment 0 from seq 1, before it seq 0
              broadcast 1:1 heat 0 from seq 1, before it 0 0 0
            90000001 refused: issued-too-long-ago
            90000001 seq 2
            90000001 refused: issued-in-future
        "#]],
    );
}

#[test]
fn a_combo_goes_on_while_gifts_are_ten_seconds_apart() {
    check(
        "0 gift user=ann combo=c count=2
         10000 gift user=ann combo=c count=3
         10001 gift user=ann combo=d
         10002 gift user=bob combo=c
         10003 gift user=ann
         ? combos
         20001 custom
         ? combos
         20002 gift user=ann combo=c
         ? combos
         30003 enter
         ? combos",
        expect![[r#"
            0 seq 1 combo 2
              broadcast 1:1 started "" at 0 zero 0
              broadcast 1:1 segment 0 from seq 1, before it seq 0
              broadcast 1:1 heat 0 from seq 1, before it 0 0 0
            10000 seq 2 combo 5
              broadcast 1:1 heat 1 from seq 2, before it 0 0 2
            10001 seq 3 combo 1
            10002 seq 4 combo 1
            10003 seq 5
              combos: [("ann", 5, 50), ("ann", 1, 10), ("bob", 1, 10)]
            20001 seq 6
              broadcast 1:1 heat 2 from seq 6, before it 0 0 8
              combos: [("ann", 1, 10), ("bob", 1, 10)]
            20002 seq 7 combo 1
              combos: [("bob", 1, 10), ("ann", 1, 10)]
            30003 absorbed
              combos: []
        "#]],
    );
}

#[test]
fn a_gift_is_taken_back_once() {
    check(
        "0 gift id=1 user=ann count=2 value=5
         1 gift id=2 user=bob value=7 currency=gem
         2 gift id=3 user=bob value=0
         ? totals
         3 gift_reversal target=1
         4 gift_reversal target=1
         5 gift_reversal target=9
         ? totals
         ? givers
         86400002 gift_reversal target=2",
        expect![[r#"
            0 seq 1
              broadcast 1:1 started "" at 0 zero 0
              broadcast 1:1 segment 0 from seq 1, before it seq 0
              broadcast 1:1 heat 0 from seq 1, before it 0 0 0
            1 seq 2
            2 seq 3
              totals: 0 comments, 0 likes, 4 gifts [("coin", 10), ("gem", 7)]
            3 seq 4 target 1
            4 refused: target-unknown
            5 refused: target-unknown
              totals: 0 comments, 0 likes, 4 gifts [("coin", 0), ("gem", 7)]
              givers: [("bob", "BOB", 7, 0)]
            86400002 refused: target-unknown
        "#]],
    );
}

#[test]
fn a_ninth_currency_is_too_many() {
    check(
        "0 gift currency=a
         0 gift currency=b
         0 gift currency=c
         0 gift currency=d
         0 gift currency=e
         0 gift currency=f
         0 gift currency=g
         0 gift currency=h
         0 gift currency=i
         0 gift currency=h
         ? totals",
        expect![[r#"
            0 seq 1
              broadcast 1:1 started "" at 0 zero 0
              broadcast 1:1 segment 0 from seq 1, before it seq 0
              broadcast 1:1 heat 0 from seq 1, before it 0 0 0
            0 seq 2
            0 seq 3
            0 seq 4
            0 seq 5
            0 seq 6
            0 seq 7
            0 seq 8
            0 refused: room-busy
            0 seq 9
              totals: 0 comments, 0 likes, 9 gifts [("a", 10), ("b", 10), ("c", 10), ("d", 10), ("e", 10), ("f", 10), ("g", 10), ("h", 20)]
        "#]],
    );
}

#[test]
fn the_first_visible_event_opens_a_broadcast() {
    check(
        "0 enter user=ann
         1 broadcast_end
         2 likes count=3
         3 broadcast_end
         4 comment
         5 broadcast_end
         6 broadcast_interrupt
         7 broadcast_resume",
        expect![[r#"
            0 absorbed
            1 refused: no-broadcast
            2 seq 1
              broadcast 1:1 started "" at 2 zero 2
              broadcast 1:1 segment 0 from seq 1, before it seq 0
              broadcast 1:1 heat 0 from seq 1, before it 0 0 0
            3 seq 2
              broadcast 1:1 ended at 3 with seq 2: 0 comments, 3 likes, 0 gifts []
            4 seq 3
            5 refused: no-broadcast
            6 refused: no-broadcast
            7 refused: no-broadcast
        "#]],
    );
}

#[test]
fn a_start_ends_the_broadcast_that_is_open() {
    check(
        "0 broadcast_start title=one
         1 comment
         2 gift value=3
         3 broadcast_start title=two
         4 comment
         5 broadcast_interrupt
         6 broadcast_interrupt
         9 broadcast_resume
         10 broadcast_end",
        expect![[r#"
            0 seq 1
              broadcast 1:1 started "one" at 0 zero 0
              broadcast 1:1 segment 0 from seq 1, before it seq 0
              broadcast 1:1 heat 0 from seq 1, before it 0 0 0
            1 seq 2
            2 seq 3
            3 seq 4
              broadcast 1:1 ended at 2 with seq 3: 1 comments, 0 likes, 1 gifts [3]
              broadcast 1:4 started "two" at 3 zero 3
              broadcast 1:4 segment 0 from seq 4, before it seq 3
              broadcast 1:4 heat 0 from seq 4, before it 1 0 1
            4 seq 5
            5 seq 6
              broadcast 1:4 interrupted by seq 6 at show time 2
            6 seq 7
              broadcast 1:4 interrupted by seq 7 at show time 3
            9 seq 8
              broadcast 1:4 resumed by seq 8 at show time 6
            10 seq 9
              broadcast 1:4 ended at 10 with seq 9: 1 comments, 0 likes, 0 gifts [0]
        "#]],
    );
}

#[test]
fn segments_and_heat_follow_show_time() {
    check(
        "1000 broadcast_start
         10999 comment
         11000 likes count=2
         30999 comment
         31000 comment
         121000 comment",
        expect![[r#"
            1000 seq 1
              broadcast 1:1 started "x" at 1000 zero 1000
              broadcast 1:1 segment 0 from seq 1, before it seq 0
              broadcast 1:1 heat 0 from seq 1, before it 0 0 0
            10999 seq 2
            11000 seq 3
              broadcast 1:1 heat 1 from seq 3, before it 1 0 0
            30999 seq 4
              broadcast 1:1 heat 2 from seq 4, before it 1 2 0
            31000 seq 5 crowd 1
              broadcast 1:1 segment 1 from seq 5, before it seq 4
              broadcast 1:1 heat 3 from seq 5, before it 2 2 0
            121000 seq 6
              broadcast 1:1 segment 4 from seq 6, before it seq 5
              broadcast 1:1 heat 12 from seq 6, before it 3 2 0
        "#]],
    );
}

#[test]
fn crowd_counts_the_second_before_anew_in_each_broadcast() {
    check(
        "1000 comment
         1999 comment
         2000 comment
         2500 likes
         3000 comment
         5000 comment
         5500 broadcast_start
         6000 comment",
        expect![[r#"
            1000 seq 1
              broadcast 1:1 started "" at 1000 zero 1000
              broadcast 1:1 segment 0 from seq 1, before it seq 0
              broadcast 1:1 heat 0 from seq 1, before it 0 0 0
            1999 seq 2
            2000 seq 3 crowd 2
            2500 seq 4
            3000 seq 5 crowd 1
            5000 seq 6
            5500 seq 7
              broadcast 1:1 ended at 5000 with seq 6: 5 comments, 1 likes, 0 gifts []
              broadcast 1:7 started "x" at 5500 zero 5500
              broadcast 1:7 segment 0 from seq 7, before it seq 6
              broadcast 1:7 heat 0 from seq 7, before it 5 1 0
            6000 seq 8
        "#]],
    );
}

#[test]
fn a_recorded_broadcast_has_the_recordings_times() {
    check(
        "90000 comment recorded=5
         90001 broadcast_start old=yes recorded=1000 zero=2000
         90002 comment recorded=1500
         90003 comment recorded=1200
         90004 comment
         90005 comment recorded=40000
         90006 comment recorded=99999
         90007 gift recorded=99999 issued=90007
         90008 broadcast_end
         90009 comment recorded=5
         90010 comment
         90011 broadcast_start recorded=5",
        expect![[r#"
            90000 refused: not-recorded
            90001 seq 1 at 1000
              broadcast 1:1 started "x" at 1000 zero 2000 recorded
              broadcast 1:1 segment -1 from seq 1, before it seq 0
              broadcast 1:1 heat -1 from seq 1, before it 0 0 0
            90002 seq 2 at 1500
            90003 seq 3 at 1500
            90004 seq 4 at 1500
            90005 seq 5 at 40000
              broadcast 1:1 segment 1 from seq 5, before it seq 4
              broadcast 1:1 heat 3 from seq 5, before it 3 0 0
            90006 seq 6
              broadcast 1:1 segment 2 from seq 6, before it seq 5
              broadcast 1:1 heat 8 from seq 6, before it 4 0 0
            90007 seq 7
            90008 seq 8 at 90007
              broadcast 1:1 ended at 90007 with seq 8: 5 comments, 0 likes, 1 gifts [10]
            90009 refused: not-recorded
            90010 seq 9
            90011 refused: not-recorded
        "#]],
    );
}

#[test]
fn a_reset_begins_the_next_generation() {
    check(
        "0 gift id=1 user=ann combo=c
         1 comment id=2
         2 mute who=bob
         3 rules slow=5000
         4 enter user=ann
         5 reset id=3
         6 reset id=3
         7 gift id=1 user=ann
         8 comment id=2 user=cy
         9 comment user=cy
         10 comment user=bob
         11 gift_reversal target=1
         12 gift_reversal target=1
         13 delete seq=9
         ? totals
         ? givers
         ? combos
         ? roster
         ? muted
         ? counts",
        expect![[r#"
            0 seq 1 combo 1
              broadcast 1:1 started "" at 0 zero 0
              broadcast 1:1 segment 0 from seq 1, before it seq 0
              broadcast 1:1 heat 0 from seq 1, before it 0 0 0
            1 seq 2
            2 seq 3
            3 seq 4
            4 absorbed
            5 seq 1
              broadcast 1:1 ended at 3 with seq 4: 1 comments, 0 likes, 1 gifts [10]
            6 duplicate of seq 1
            7 duplicate from before the reset
            8 seq 2
              broadcast 2:2 started "" at 8 zero 8
              broadcast 2:2 segment 0 from seq 2, before it seq 1
              broadcast 2:2 heat 0 from seq 2, before it 0 0 0
            9 refused: slow-mode until 5008
            10 refused: muted
            11 seq 3
            12 refused: target-unknown
            13 refused: target-unknown
              totals: 1 comments, 0 likes, 0 gifts []
              givers: []
              combos: []
              roster: []
              muted: [("bob", None)]
              counts: 2 duplicates, 4 refused
        "#]],
    );
}

#[test]
fn unknown_rules_halt() {
    check(
        "0 adopt_rules version=1
         1 adopt_rules version=2
         1 comment",
        expect![[r#"
            0 seq 1
              broadcast 1:1 started "" at 0 zero 0
              broadcast 1:1 segment 0 from seq 1, before it seq 0
              broadcast 1:1 heat 0 from seq 1, before it 0 0 0
            1 halt: rules version 2 is not known to this build
            1 seq 2
        "#]],
    );
}

#[test]
fn an_erased_user_leaves_the_state_too() {
    check(
        "0 broadcast_start title=mine
         1 enter user=ann
         2 gift user=ann
         3 pin seq=1
         4 erase who=ann
         5 erase seq=1
         ? roster
         ? givers
         ? pinned
         6 broadcast_end",
        expect![[r#"
            0 seq 1
              broadcast 1:1 started "mine" at 0 zero 0
              broadcast 1:1 segment 0 from seq 1, before it seq 0
              broadcast 1:1 heat 0 from seq 1, before it 0 0 0
            1 absorbed
            2 seq 2
            3 seq 3
            4 seq 4
              1:4 UserErased { user: "ann" }
            5 seq 5
              1:5 Erased { target: Seq(1) }
              roster: []
              givers: [("ann", "", 10, 0)]
              pinned: None
            6 seq 6
              broadcast 1:1 ended at 6 with seq 6: 0 comments, 0 likes, 1 gifts [10]
        "#]],
    );
}

#[test]
fn a_title_goes_with_whoever_gave_it() {
    check(
        "0 broadcast_start title=first user=ann
         1 erase who=bob
         ? title
         2 erase who=ann
         ? title
         3 broadcast_start title=second user=bob
         4 comment user=ann
         5 erase who=ann
         ? title
         6 reset
         7 broadcast_start title=third user=ann
         8 erase seq=2
         ? title",
        expect![[r#"
            0 seq 1
              broadcast 1:1 started "first" at 0 zero 0
              broadcast 1:1 segment 0 from seq 1, before it seq 0
              broadcast 1:1 heat 0 from seq 1, before it 0 0 0
            1 seq 2
              1:2 UserErased { user: "bob" }
              title: "first"
            2 seq 3
              1:3 UserErased { user: "ann" }
              title: ""
            3 seq 4
              broadcast 1:1 ended at 2 with seq 3: 0 comments, 0 likes, 0 gifts []
              broadcast 1:4 started "second" at 3 zero 3
              broadcast 1:4 segment 0 from seq 4, before it seq 3
              broadcast 1:4 heat 0 from seq 4, before it 0 0 0
            4 seq 5
            5 seq 6
              1:6 UserErased { user: "ann" }
              title: "second"
            6 seq 1
              broadcast 1:4 ended at 5 with seq 6: 1 comments, 0 likes, 0 gifts []
            7 seq 2
              broadcast 2:2 started "third" at 7 zero 7
              broadcast 2:2 segment 0 from seq 2, before it seq 1
              broadcast 2:2 heat 0 from seq 2, before it 0 0 0
            8 seq 3
              2:3 Erased { target: Seq(2) }
              title: ""
        "#]],
    );
}

#[test]
fn a_givers_name_goes_with_the_gift_that_brought_it() {
    check(
        "0 gift user=ann
         1 gift user=ann
         2 erase seq=1
         ? givers
         3 erase seq=2
         ? givers
         4 gift user=ann
         5 erase seq=2
         ? givers
         6 reset
         7 gift user=ann
         8 erase seq=2
         ? givers",
        expect![[r#"
            0 seq 1
              broadcast 1:1 started "" at 0 zero 0
              broadcast 1:1 segment 0 from seq 1, before it seq 0
              broadcast 1:1 heat 0 from seq 1, before it 0 0 0
            1 seq 2
            2 seq 3
              1:3 Erased { target: Seq(1) }
              givers: [("ann", "ANN", 20, 0)]
            3 seq 4
              1:4 Erased { target: Seq(2) }
              givers: [("ann", "", 20, 0)]
            4 seq 5
            5 seq 6
              1:6 Erased { target: Seq(2) }
              givers: [("ann", "ANN", 30, 0)]
            6 seq 1
              broadcast 1:1 ended at 5 with seq 6: 0 comments, 0 likes, 3 gifts [30]
            7 seq 2
              broadcast 2:2 started "" at 7 zero 7
              broadcast 2:2 segment 0 from seq 2, before it seq 1
              broadcast 2:2 heat 0 from seq 2, before it 0 0 0
            8 seq 3
              2:3 Erased { target: Seq(2) }
              givers: [("ann", "", 10, 0)]
        "#]],
    );
}

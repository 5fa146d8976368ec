//! Requests in, events or refusals out, as text.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::*;

mod limits;

const NOW: i64 = 1_763_950_000_000;

fn caller(role: Role) -> Caller {
    Caller {
        roles: vec![role],
        user: Some(User {
            id: "u1".into(),
            name: "Ann".into(),
            ext: Vec::new(),
        }),
        rooms: None,
        expires_at: None,
    }
}

fn admit_as(
    caller: &Caller,
    key: Option<&str>,
    body: &[u8],
) -> Result<Vec<RoomEvent<'static>>, Rejection> {
    let room = RoomId::parse("r1").expect("a valid name");
    let mut made = 0_u8;
    let context = Context {
        room: &room,
        caller,
        now_ms: NOW,
        idempotency_key: key,
    };
    admit(body, context, || {
        made = made.wrapping_add(1);
        EventId([made; 16])
    })
}

/// What a backend's request ends as: `ok` and the bodies, or the refusal, an error a line.
fn outcome(result: Result<Vec<RoomEvent<'static>>, Rejection>) -> String {
    let list = |name: &str, errors: Vec<FieldError>| {
        let lines: Vec<_> = errors
            .iter()
            .map(|e| format!("{name} {} {}: {}", e.index, e.field, e.reason))
            .collect();
        lines.join("\n")
    };
    match result {
        Ok(events) => {
            let bodies: Vec<_> = events.iter().map(|e| format!("ok {:?}", e.body)).collect();
            bodies.join("\n")
        }
        Err(Rejection::Malformed(why)) => format!("malformed: {why}"),
        Err(Rejection::Invalid(errors)) => list("invalid", errors),
        Err(Rejection::Forbidden(errors)) => list("forbidden", errors),
    }
}

fn check(body: Value, expected: Expect) {
    let local = Caller::unauthenticated_local();
    expected.assert_eq(&outcome(admit_as(
        &local,
        None,
        body.to_string().as_bytes(),
    )));
}

/// A comment of `u1` with `text`.
fn comment(text: &str) -> Value {
    json!({"kind": "comment", "user": {"id": "u1"}, "text": text})
}

#[test]
fn a_comment_has_defaults() {
    let local = Caller::unauthenticated_local();
    let events = admit_as(&local, None, comment("hello").to_string().as_bytes());
    expect![[r#"
        Ok(
            [
                RoomEvent {
                    id: 01010101-0101-0101-0101-010101010101,
                    room: "r1",
                    accepted_at: 1763950000000,
                    recorded_at: None,
                    user: Some(
                        User {
                            id: "u1",
                            name: "",
                            ext: [],
                        },
                    ),
                    role: Viewer,
                    device: None,
                    body: Comment(
                        Comment {
                            text: "hello",
                            style: Style {
                                mode: Scroll,
                                color: 16777215,
                                size: Normal,
                            },
                            reply_to: None,
                            ext: [],
                        },
                    ),
                },
            ],
        )
    "#]]
    .assert_debug_eq(&events);
}

#[test]
fn texts_keep_to_the_contract() {
    let texts = [
        "e\u{301}",
        "comment\n\tart",
        "  kept  ",
        "a\u{200f}b",
        "a\u{202e}b",
        "a\u{202d}b",
        "a\rb",
        "a\u{0}b",
        "a\u{85}b",
        " \n\u{3000}",
        "",
    ];
    let entries: Vec<_> = texts.iter().map(|text| comment(text)).collect();
    check(
        json!(entries),
        expect![[r#"
            invalid 4 text: holds a bidirectional override
            invalid 5 text: holds a bidirectional override
            invalid 6 text: holds a control character other than newline and tab
            invalid 7 text: holds a control character other than newline and tab
            invalid 8 text: holds a control character other than newline and tab
            invalid 9 text: is blank
            invalid 10 text: is blank"#]],
    );
    let kept: Vec<_> = texts[..4].iter().map(|text| comment(text)).collect();
    let local = Caller::unauthenticated_local();
    let events = admit_as(&local, None, json!(kept).to_string().as_bytes()).unwrap();
    let texts: Vec<_> = events
        .iter()
        .map(|event| match &event.body {
            Body::Comment(comment) => comment.text.as_ref(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        texts,
        ["\u{e9}", "comment\n\tart", "  kept  ", "a\u{200f}b"]
    );
}

#[test]
fn every_bad_field_of_every_event_is_named() {
    check(
        json!([
            {"kind": "comment", "user": {"id": "", "name": 7}, "text": 5,
             "style": {"mode": "left", "color": 16_777_216, "size": 1.5}, "reply_to": "x"},
            comment("fine"),
            {"kind": "gift", "user": {"id": "u1"}, "count": 0, "unit_value": -1,
             "name": "n".repeat(65), "currency": "", "issued_at": "now"},
            {"kind": "shout"},
            {},
            7,
            {"kind": "enter", "device": {"id": "d".repeat(65)}, "user": {}},
        ]),
        expect![[r#"
            invalid 0 user.id: is empty
            invalid 0 user.name: is not a string
            invalid 0 text: is not a string
            invalid 0 style.mode: is not a word that is known here
            invalid 0 style.color: is not within 0 and 16777215
            invalid 0 style.size: is not a string
            invalid 0 reply_to: is not a UUID
            invalid 2 gift: is missing
            invalid 2 name: is longer than 64 bytes
            invalid 2 count: is not within 1 and 9999
            invalid 2 unit_value: is not within 0 and 10000000
            invalid 2 currency: is empty
            invalid 2 issued_at: is not a whole number
            invalid 3 kind: is not a kind that is known here
            invalid 4 kind: is missing
            invalid 5 : an event is an object
            invalid 6 user.id: is missing
            invalid 6 device.id: is longer than 64 bytes"#]],
    );
}

#[test]
fn ext_is_bounded_and_in_key_order() {
    let ext = |ext: Value| json!({"kind": "custom", "name": "poll", "ext": ext});
    let many: Object = (0..17).map(|n| (n.to_string(), json!("x"))).collect();
    check(
        json!([
            ext(json!(many)),
            ext(json!({"k": "v".repeat(1_024)})),
            ext(json!({"k": 1})),
            ext(json!([]))
        ]),
        expect![[r#"
            invalid 0 ext: has more than 16 keys
            invalid 1 ext: is larger than 1024 bytes
            invalid 2 ext: holds a value that is not a string
            invalid 3 ext: is not an object"#]],
    );
    check(
        ext(json!({"b": "2", "a": "1", "B": "3", "k": "v".repeat(3)})),
        expect![[
            r#"ok Custom(Custom { name: "poll", ext: [("B", "3"), ("a", "1"), ("b", "2"), ("k", "vvv")] })"#
        ]],
    );
}

#[test]
fn every_kind_is_taken_from_a_backend() {
    let id = "01900000-0000-7000-8000-000000000001";
    check(
        json!([
            {"kind": "gift", "user": {"id": "u1"}, "gift": "rose", "name": "Rose", "count": 2,
             "unit_value": 5, "text": "for you", "combo": "c1"},
            {"kind": "gift_reversal", "target_id": id, "reason": "refund"},
            {"kind": "likes", "count": 9, "source": "s"},
            {"kind": "enter", "user": {"id": "u1"}},
            {"kind": "leave", "user": {"id": "u1"}},
            {"kind": "audience", "source": "g1", "viewers": 0},
            {"kind": "broadcast_start", "title": "Show", "recorded": true, "zero_at": 5},
            {"kind": "broadcast_end"},
            {"kind": "broadcast_interrupt", "reason": "lost"},
            {"kind": "broadcast_resume"},
            {"kind": "delete", "target_seq": 3},
            {"kind": "delete", "target_id": id, "reason": "spam"},
            {"kind": "mute", "target_user": "u2", "until_at": 9, "hide_since_at": 8},
            {"kind": "unmute", "target_user": "u2"},
            {"kind": "rules", "slow_ms": 120_000, "comments": "closed"},
            {"kind": "pin", "target_seq": 1},
            {"kind": "unpin", "target_seq": 1},
            {"kind": "custom", "name": "poll"},
            {"kind": "erase", "target_seqs": [2, 1]},
            {"kind": "erase", "target_user": "u1"},
            {"kind": "reset"},
            {"kind": "adopt_rules", "version": 1},
        ]),
        expect![[r#"
            ok Gift(Gift { gift: "rose", name: "Rose", count: 2, unit_value: 5, currency: "coin", text: Some("for you"), combo: Some("c1"), issued_at: 1763950000000, ext: [] })
            ok GiftReversal(GiftReversal { target_id: 01900000-0000-7000-8000-000000000001, reason: "refund" })
            ok Likes(Likes { count: 9, source: "s" })
            ok Enter
            ok Leave
            ok Audience(Audience { source: "g1", viewers: 0 })
            ok BroadcastStart(BroadcastStart { title: "Show", recorded: true, zero_at: Some(5), ext: [] })
            ok BroadcastEnd(Reason { reason: None })
            ok BroadcastInterrupt(Reason { reason: Some("lost") })
            ok BroadcastResume(Reason { reason: None })
            ok Delete(Delete { target: Seq(3), reason: "" })
            ok Delete(Delete { target: Id(01900000-0000-7000-8000-000000000001), reason: "spam" })
            ok Mute(Mute { target_user: "u2", until_at: Some(9), hide_since_at: Some(8), reason: "" })
            ok Unmute(Unmute { target_user: "u2", reason: "" })
            ok Rules(Rules { slow_ms: Some(120000), comments_open: Some(false) })
            ok Pin(Pin { target_seq: 1 })
            ok Unpin(Pin { target_seq: 1 })
            ok Custom(Custom { name: "poll", ext: [] })
            ok Erase(Erase { target_seqs: [2, 1], target_user: None })
            ok Erase(Erase { target_seqs: [], target_user: Some("u1") })
            ok Reset
            ok AdoptRules(AdoptRules { version: 1 })"#]],
    );
}

#[test]
fn limits_of_the_kinds() {
    let gift = |issued_at: i64| {
        json!({"kind": "gift", "user": {"id": "u1"}, "gift": "g", "name": "G", "count": 1,
               "unit_value": 1, "issued_at": issued_at})
    };
    check(
        json!([
            gift(NOW - ISSUED_AGO_MS_MAX - 1),
            gift(NOW + ISSUED_AHEAD_MS_MAX + 1),
            gift(NOW - ISSUED_AGO_MS_MAX),
            {"kind": "rules"},
            {"kind": "rules", "slow_ms": 120_001},
            {"kind": "delete"},
            {"kind": "delete", "target_seq": 1, "target_id": "x"},
            {"kind": "pin", "target_seq": 0},
            {"kind": "broadcast_start", "title": "t".repeat(201)},
            {"kind": "erase"},
            {"kind": "erase", "target_user": "u1", "target_seqs": [1]},
            {"kind": "erase", "target_seqs": []},
            {"kind": "erase", "target_seqs": (1..=501).collect::<Vec<_>>()},
            {"kind": "erase", "target_seqs": [1, 0]},
            {"kind": "comment", "text": "nobody said it"},
            {"kind": "adopt_rules", "version": 2},
        ]),
        expect![[r#"
            invalid 0 issued_at: is more than 23 h ago
            invalid 1 issued_at: is more than 5 min ahead
            invalid 3 slow_ms: is missing, as is comments
            invalid 4 slow_ms: is not within 0 and 120000
            invalid 5 target_seq: is missing, as is target_id
            invalid 6 target_id: is given beside target_seq
            invalid 7 target_seq: is not within 1 and 9223372036854775807
            invalid 8 title: is longer than 200 characters
            invalid 9 target_seqs: is missing, as is target_user
            invalid 10 target_user: is given beside target_seqs
            invalid 11 target_seqs: has not 1 to 500 seqs
            invalid 12 target_seqs: has not 1 to 500 seqs
            invalid 13 target_seqs: holds what is no seq
            invalid 14 user: is missing
            invalid 15 version: is not within 1 and 1"#]],
    );
}

#[test]
fn a_whole_number_may_be_written_with_a_fraction() {
    let admit = |numbers: &str| {
        let body = format!(r#"{{"kind": "erase", "target_seqs": {numbers}}}"#);
        admit_as(&Caller::unauthenticated_local(), None, body.as_bytes())
    };
    let erased = |numbers: &str| admit(numbers).unwrap()[0].body.clone();
    assert_eq!(erased("[74.0, 7.4e1]"), erased("[74, 74]"));
    assert_eq!(erased("[562949953421312.0]"), erased("[562949953421312]"));
    for number in ["74.5", "-1.0", "562949953421313.0", "1e300"] {
        assert_eq!(
            outcome(admit(&format!("[{number}]"))),
            "invalid 0 target_seqs: holds what is no seq",
            "{number}"
        );
    }
    check(
        json!([
            {"kind": "rules", "slow_ms": 120_001.0},
            {"kind": "rules", "slow_ms": 0.5},
        ]),
        expect![[r#"
            invalid 0 slow_ms: is not within 0 and 120000
            invalid 1 slow_ms: is not a whole number"#]],
    );
    let likes = |request: Value| {
        let request = request.as_object().unwrap().clone();
        like_count(request, 1..=100).ok()
    };
    assert_eq!(likes(json!({"count": 74.0})), Some(74));
    for count in [json!(0), json!(101.0), json!(0.5), json!("1"), json!(null)] {
        assert_eq!(likes(json!({"count": count})), None, "{count}");
    }
}

#[test]
fn a_request_is_one_event_or_a_short_array() {
    let local = Caller::unauthenticated_local();
    let of = |body: &[u8]| outcome(admit_as(&local, None, body));
    expect!["malformed: not JSON: EOF while parsing an object at line 1 column 1"]
        .assert_eq(&of(b"{"));
    expect!["malformed: the array has no event"].assert_eq(&of(b"[]"));
    expect!["invalid 0 : an event is an object"].assert_eq(&of(b"null"));
    let full = vec![json!({"kind": "broadcast_end"}); EVENTS_LEN_MAX];
    assert_eq!(
        of(json!(full).to_string().as_bytes()).lines().count(),
        EVENTS_LEN_MAX
    );
    let over = vec![json!({"kind": "broadcast_end"}); EVENTS_LEN_MAX + 1];
    expect!["malformed: an array has at most 500 events"]
        .assert_eq(&of(json!(over).to_string().as_bytes()));
}

#[test]
fn roles_decide_who_may_send_what() {
    let id = "01900000-0000-7000-8000-000000000001";
    let kinds = json!([
        {"kind": "comment", "text": "hi"},
        {"kind": "enter"},
        {"kind": "delete", "target_seq": 1},
        {"kind": "rules", "slow_ms": 1},
        {"kind": "broadcast_start"},
        {"kind": "broadcast_start", "recorded": true},
        {"kind": "custom", "name": "n"},
        {"kind": "gift", "gift": "g", "name": "G", "count": 1, "unit_value": 1},
        {"kind": "gift_reversal", "target_id": id},
        {"kind": "likes", "count": 1, "source": "s"},
        {"kind": "audience", "source": "s", "viewers": 1},
        {"kind": "adopt_rules", "version": 1},
    ]);
    let table: Vec<_> = Role::ALL
        .iter()
        .map(|role| {
            let taken: Vec<_> = (0..12)
                .filter(|index| {
                    let body = kinds[*index].to_string();
                    admit_as(&caller(*role), None, body.as_bytes()).is_ok()
                })
                .map(|index| index.to_string())
                .collect();
            format!("{role}: {}", taken.join(" "))
        })
        .collect();
    expect![[r#"
        viewer: 0 1
        moderator: 0 1 2 3
        host: 0 1 2 3 4 6
        backend: 0 1 2 3 4 5 6 7 8 9 10
        operator: 11"#]]
    .assert_eq(&table.join("\n"));
}

#[test]
fn only_a_backend_speaks_for_others() {
    let of = |role: Role, body: Value| {
        outcome(admit_as(&caller(role), None, body.to_string().as_bytes()))
    };
    let other = json!({"kind": "comment", "text": "hi", "user": {"id": "u2"}});
    expect!["forbidden 0 user: only a backend may name another author"]
        .assert_eq(&of(Role::Host, other));
    let recorded = json!({"kind": "comment", "text": "hi", "recorded_at": 5});
    expect!["forbidden 0 recorded_at: only a backend may send it"]
        .assert_eq(&of(Role::Host, recorded));
    let raised = json!({"kind": "comment", "text": "hi", "role": "host"});
    expect!["forbidden 0 role: only a backend may name a role that is not its own"]
        .assert_eq(&of(Role::Viewer, raised.clone()));
    let events = admit_as(&caller(Role::Backend), None, raised.to_string().as_bytes()).unwrap();
    assert_eq!(events[0].role, Role::Host);
    let own = json!({"kind": "comment", "text": "hi", "user": {"id": "u1"}});
    let events = admit_as(&caller(Role::Moderator), None, own.to_string().as_bytes()).unwrap();
    assert_eq!(events[0].role, Role::Moderator);
    let unnamed = json!({"kind": "comment", "text": "hi", "recorded_at": 5});
    let local = Caller::unauthenticated_local();
    let events = admit_as(&local, None, unnamed.to_string().as_bytes()).unwrap();
    assert_eq!((events[0].recorded_at, &events[0].user), (Some(5), &None));
}

#[test]
fn an_idempotency_key_is_an_id_of_the_user() {
    let local = Caller::unauthenticated_local();
    let id = |user: &str, key: &str| {
        let body = json!({"kind": "comment", "user": {"id": user}, "text": "hi"}).to_string();
        admit_as(&local, Some(key), body.as_bytes()).unwrap()[0].id
    };
    assert_eq!(id("u1", "k"), id("u1", "k"));
    assert_ne!(id("u1", "k"), id("u2", "k"));
    assert_ne!(id("u1", "k"), id("u1", "l"));
    let of =
        |key: &str, body: Value| outcome(admit_as(&local, Some(key), body.to_string().as_bytes()));
    expect!["malformed: an Idempotency-Key is for a single event, not for an array"]
        .assert_eq(&of("k", json!([comment("hi")])));
    expect!["malformed: an Idempotency-Key is 1 to 128 bytes"]
        .assert_eq(&of(&"k".repeat(129), comment("hi")));
    let mut named = comment("hi");
    named["id"] = json!("01900000-0000-7000-8000-000000000001");
    expect!["invalid 0 id: is given beside an Idempotency-Key"].assert_eq(&of("k", named));
}

//! Events in, public JSON out.

use bytes::Bytes;
use danmu_schemas::event::{Comment, Delete, Device, Gift, Mute, Style};
use danmu_schemas::fact::Moderation;
use danmu_schemas::{EventId, Seq};
use expect_test::{Expect, expect};

use super::*;
use crate::overlay::{Overlay, View};

fn settled(seq: u64) -> Settled {
    Settled {
        offset: 77,
        seq: Seq(seq),
        at: 1_000 * seq as i64,
        logged_at: 1_000 * seq as i64 + 5,
        crowd: 3,
        combo_total: None,
        target_seq: None,
        datum: Bytes::new(),
    }
}

fn by(user: &'static str, body: Body<'static>) -> RoomEvent<'static> {
    RoomEvent {
        id: EventId([9; 16]),
        room: "r1".into(),
        accepted_at: 1,
        recorded_at: None,
        user: Some(User {
            id: user.into(),
            name: "A\"nn".into(),
            ext: vec![("avatar".into(), "a.png".into())],
        }),
        role: Role::Viewer,
        device: Some(Device {
            id: "secret".into(),
            kind: "ios".into(),
            version: "1".into(),
        }),
        body,
    }
}

fn comment(text: &'static str) -> Body<'static> {
    Body::Comment(Comment {
        text: text.into(),
        style: Style::default(),
        reply_to: None,
        ext: Vec::new(),
    })
}

fn check(settled: &Settled, body: Body<'static>, place: Place, hidden: bool, expected: Expect) {
    let mut out = Vec::new();
    event(settled, &by("u1", body), place, hidden, &mut out);
    let text = String::from_utf8(out).expect("JSON is UTF-8");
    let _: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    expected.assert_eq(&text);
}

#[test]
fn a_comment_live_and_in_a_replay() {
    check(
        &settled(4),
        comment("a\n\"b\""),
        Place::Live,
        false,
        expect![[
            r#"{"seq":4,"kind":"comment","at":4000,"id":"09090909-0909-0909-0909-090909090909","user":{"id":"u1","name":"A\"nn","ext":{"avatar":"a.png"}},"text":"a\n\"b\"","style":{"mode":"scroll","color":16777215,"size":"normal"}}"#
        ]],
    );
    check(
        &settled(4),
        comment("x"),
        Place::Replay { zero_at: 5_000 },
        false,
        expect![[
            r#"{"seq":4,"kind":"comment","at":4000,"id":"09090909-0909-0909-0909-090909090909","show_ms":-1000,"logged_at":4005,"crowd":3,"user":{"id":"u1","name":"A\"nn","ext":{"avatar":"a.png"}},"text":"x","style":{"mode":"scroll","color":16777215,"size":"normal"}}"#
        ]],
    );
}

#[test]
fn a_hidden_event_keeps_nothing_but_its_place() {
    check(
        &settled(4),
        comment("x"),
        Place::Live,
        true,
        expect![[
            r#"{"seq":4,"kind":"comment","at":4000,"id":"09090909-0909-0909-0909-090909090909","deleted":true}"#
        ]],
    );
}

#[test]
fn a_gift_and_a_deletion() {
    let gift = Gift {
        gift: "rose".into(),
        name: "Rose".into(),
        count: 2,
        unit_value: 5,
        currency: "coin".into(),
        text: None,
        combo: Some("c".into()),
        issued_at: 6,
        ext: Vec::new(),
    };
    let in_combo = Settled {
        combo_total: Some(7),
        ..settled(5)
    };
    check(
        &in_combo,
        Body::Gift(gift),
        Place::Live,
        false,
        expect![[
            r#"{"seq":5,"kind":"gift","at":5000,"id":"09090909-0909-0909-0909-090909090909","user":{"id":"u1","name":"A\"nn","ext":{"avatar":"a.png"}},"gift":"rose","name":"Rose","count":2,"unit_value":5,"currency":"coin","combo":"c","combo_total":7,"issued_at":6}"#
        ]],
    );
    let by_id = Settled {
        target_seq: Some(Seq(4)),
        ..settled(6)
    };
    let delete = Body::Delete(Delete {
        target: Target::Id(EventId([9; 16])),
        reason: "hate speech".into(),
    });
    check(
        &by_id,
        delete,
        Place::Live,
        false,
        expect![[
            r#"{"seq":6,"kind":"delete","at":6000,"id":"09090909-0909-0909-0909-090909090909","user":{"id":"u1","name":"A\"nn","ext":{"avatar":"a.png"}},"target_seq":4}"#
        ]],
    );
}

#[test]
fn moderation_hides_what_it_points_at() {
    let mute = by(
        "mod",
        Body::Mute(Mute {
            target_user: "u1".into(),
            until_at: None,
            hide_since_at: Some(3_000),
            reason: "".into(),
        }),
    );
    let mut overlay = Overlay::default();
    overlay.add_event(&settled(6), &mute);
    overlay.add_fact(Seq(6), &Moderation::Deleted { target: Seq(1) });
    let hidden: Vec<_> = (1..9)
        .filter(|seq| overlay.hides(&settled(*seq), &by("u1", comment("x")), View::Public))
        .collect();
    assert_eq!(hidden, [1, 3, 4, 5]);
    assert!(!overlay.hides(&settled(4), &by("u2", comment("x")), View::Public));
    assert!(!overlay.hides(
        &settled(4),
        &by(
            "u1",
            Body::BroadcastEnd(danmu_schemas::event::Reason { reason: None })
        ),
        View::Public
    ));
    let delete = by(
        "mod",
        Body::Delete(Delete {
            target: Target::Seq(2),
            reason: "".into(),
        }),
    );
    overlay.add_event(&settled(7), &delete);
    assert!(overlay.hides(&settled(2), &by("u2", comment("x")), View::Public));
}

//! Events in, files out.

use bytes::Bytes;
use danmu_schemas::event::{Comment, Mode, Size, Style, User};
use danmu_schemas::{EventId, Role, Seq, event::Body};
use expect_test::{Expect, expect};

use super::*;

const ZERO_AT: i64 = 1_763_950_000_000;

/// Comments in order: show time, style, text.
type Show = [(i64, Style, &'static str)];

fn export(format: Format, show: &Show) -> String {
    let mut out = Vec::new();
    let mut export = Export::begin(format, "A & B", ZERO_AT, &mut out);
    for (n, (show_ms, style, text)) in show.iter().enumerate() {
        let settled = Settled {
            offset: 0,
            seq: Seq(n as u64 + 1),
            at: ZERO_AT + show_ms,
            logged_at: ZERO_AT,
            crowd: 0,
            combo_total: None,
            target_seq: None,
            datum: Bytes::new(),
        };
        let event = RoomEvent {
            id: EventId([7; 16]),
            room: "r1".into(),
            accepted_at: 0,
            recorded_at: None,
            user: Some(User {
                id: "u1".into(),
                name: "".into(),
                ext: Vec::new(),
            }),
            role: Role::Viewer,
            device: None,
            body: Body::Comment(Comment {
                text: (*text).into(),
                style: *style,
                reply_to: None,
                ext: Vec::new(),
            }),
        };
        export.event(&settled, &event, *text == "hidden", &mut out);
    }
    export.end(&mut out);
    String::from_utf8(out).expect("every format is UTF-8")
}

fn check(format: Format, show: &Show, expected: Expect) {
    let text = export(format, show);
    let body = match format {
        Format::Ass => text
            .split("Effect, Text\n")
            .nth(1)
            .expect("an events section"),
        Format::Jsonl | Format::Xml => &text,
    };
    expected.assert_eq(&body.replace('\u{2060}', "<WJ>"));
}

fn style(mode: Mode, color: u32, size: Size) -> Style {
    Style { mode, color, size }
}

#[test]
fn xml_is_what_players_read() {
    check(
        Format::Xml,
        &[
            (1_234, Style::default(), "a < b & \"c\""),
            (-5, style(Mode::Top, 255, Size::Big), "early\u{ffff}"),
            (2_000, Style::default(), "hidden"),
            (61_000, style(Mode::Reverse, 0, Size::Small), "late"),
            (61_000, style(Mode::Bottom, 0, Size::Small), "low"),
        ],
        expect![[r#"
            <?xml version="1.0" encoding="UTF-8"?>
            <i>
              <title>A &amp; B</title>
              <d p="1.234,1,25,16777215,1763950001,0,9dc02546854d5df1,1">a &lt; b &amp; &quot;c&quot;</d>
              <d p="-0.005,5,36,255,1763949999,0,9dc02546854d5df1,2">early</d>
              <d p="61.000,6,18,0,1763950061,0,9dc02546854d5df1,4">late</d>
              <d p="61.000,4,18,0,1763950061,0,9dc02546854d5df1,5">low</d>
            </i>
        "#]],
    );
}

#[test]
fn ass_gives_each_comment_a_lane() {
    check(
        Format::Ass,
        &[
            (0, Style::default(), "first"),
            (0, Style::default(), "second"),
            (7_990, Style::default(), "\\N{\\b1}\nx"),
            (3_600_000, style(Mode::Top, 0x11_22_33, Size::Big), "top"),
            (3_600_000, style(Mode::Bottom, WHITE, Size::Normal), "low"),
            (3_600_000, Style::default(), "hidden"),
        ],
        expect![[r#"
            Dialogue: 0,0:00:00.00,0:00:08.00,danmu,,0,0,0,,{\move(1920,0,-110,0)}first
            Dialogue: 0,0:00:00.00,0:00:08.00,danmu,,0,0,0,,{\move(1920,54,-132,54)}second
            Dialogue: 0,0:00:07.99,0:00:15.99,danmu,,0,0,0,,{\move(1920,0,-154,0)}\<WJ>N\{\<WJ>b1\}\Nx
            Dialogue: 0,1:00:00.00,1:00:04.00,danmu,,0,0,0,,{\an8\pos(960,0)\fs64\c&H332211&}top
            Dialogue: 0,1:00:00.00,1:00:04.00,danmu,,0,0,0,,{\an2\pos(960,1080)}low
        "#]],
    );
}

const WHITE: u32 = 0xff_ffff;

#[test]
fn jsonl_tells_what_is_hidden() {
    check(
        Format::Jsonl,
        &[(5, Style::default(), "a"), (6, Style::default(), "hidden")],
        expect![[r#"
            {"seq":1,"kind":"comment","at":1763950000005,"id":"07070707-0707-0707-0707-070707070707","show_ms":5,"logged_at":1763950000000,"crowd":0,"user":{"id":"u1","name":""},"text":"a","style":{"mode":"scroll","color":16777215,"size":"normal"}}
            {"seq":2,"kind":"comment","at":1763950000006,"id":"07070707-0707-0707-0707-070707070707","show_ms":6,"deleted":true}
        "#]],
    );
}

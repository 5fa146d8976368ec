use danmu_schemas::codec;
use danmu_schemas::event::{Comment, Style, User};
use danmu_schemas::{EventId, Role};

use super::*;

/// Whether any bytes that are held have this in them.
pub(in crate::feed) fn hold(events: &Rendered, text: &str) -> bool {
    let mut blocks = events.blocks.iter();
    blocks.any(|block| has(&block.bytes, text))
}

pub(in crate::feed) fn has(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|place| place == text.as_bytes())
}

/// A comment that says its author and its seq.
fn push(events: &mut Rendered, seq: u64, user: &str) {
    let event = RoomEvent {
        id: EventId(u128::from(seq).to_be_bytes()),
        room: "r".into(),
        accepted_at: 0,
        recorded_at: None,
        user: Some(User {
            id: user.to_owned().into(),
            name: format!("{user}'s name").into(),
            ext: Vec::new(),
        }),
        role: Role::Viewer,
        device: None,
        body: Body::Comment(Comment {
            text: format!("{user} says {seq}").into(),
            style: Style::default(),
            reply_to: None,
            ext: Vec::new(),
        }),
    };
    let settled = Settled {
        offset: seq as i64,
        seq: Seq(seq),
        at: seq as i64 * 1_000,
        logged_at: seq as i64 * 1_000,
        crowd: 0,
        combo_total: None,
        target_seq: None,
        datum: codec::to_wire(&event).split_off(5).into(),
    };
    events.push(&settled, &event, 0);
}

/// Ann and bob in turns, in several small blocks.
fn talk() -> Rendered {
    let mut events = Rendered::starting_at(Seq(1), 1_000);
    for seq in 1..=20 {
        push(&mut events, seq, ["bob", "ann"][seq as usize % 2]);
    }
    assert!(events.blocks.len() > 2);
    events
}

fn written(events: &Rendered, after: u64, to: u64, view: View) -> String {
    let mut out = Vec::new();
    events.write(Seq(after), Seq(to), view, &mut out);
    String::from_utf8(out).expect("UTF-8")
}

/// An erased event is written as a deleted one is, and is nowhere held.
#[test]
fn nothing_of_an_erased_event_is_held() {
    let (mut events, mut deleted) = (talk(), talk());
    for target in [Seq(1), Seq(8), Seq(20)] {
        let (before, text) = (events.bytes, format!("says {target}\""));
        assert!(hold(&events, &text));
        events.hide(Seq(21), &Moderation::Erased { target });
        deleted.hide(Seq(21), &Moderation::Deleted { target });
        assert!(!hold(&events, &text), "{target}");
        assert!(events.bytes < before);
    }
    for (after, to) in [(0, 20), (0, 1), (7, 8), (3, 17), (19, 20)] {
        let expected = written(&deleted, after, to, View::Public);
        assert_eq!(written(&events, after, to, View::Public), expected);
        assert_eq!(
            written(&events, after, to, View::Live)
                .matches("deleted")
                .count(),
            expected.matches("deleted").count()
        );
    }
    let len = events.blocks.iter().map(|block| block.bytes.len());
    assert_eq!(events.bytes, len.sum::<usize>());
}

/// What the user does after it stays, and what is pushed after it is whole.
#[test]
fn nothing_of_an_erased_user_is_held() {
    let mut events = talk();
    let user = "ann".to_owned();
    events.hide(Seq(21), &Moderation::UserErased { user: user.clone() });
    assert!(!hold(&events, "ann"));
    assert!(hold(&events, "bob says 20"));
    push(&mut events, 21, "ann");
    events.hide(Seq(21), &Moderation::UserErased { user });
    assert!(written(&events, 20, 21, View::Public).contains("ann says 21"));
    let page = written(&events, 0, 21, View::Live);
    assert_eq!(page.matches("\"deleted\":true").count(), 10);
    assert_eq!(page.matches("\"seq\":").count(), 21);
}

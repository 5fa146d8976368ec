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
    push_in_crowd(events, seq, user, 0);
}

/// The same, after so many others within a second.
fn push_in_crowd(events: &mut Rendered, seq: u64, user: &str, crowd: u32) {
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
        crowd,
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
    events.write(Seq(after), Seq(to), (view, Density::Full), &mut out);
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

/// At each density exactly those events are written that it shows, wherever a page begins and ends.
#[test]
fn a_thinned_page_is_what_its_density_shows() {
    const LAST: u64 = 60;
    let mut events = Rendered::starting_at(Seq(1), 1_000);
    for seq in 1..=LAST {
        push_in_crowd(&mut events, seq, "ann", 100);
    }
    events.hide(Seq(LAST), &Moderation::Deleted { target: Seq(7) });
    assert!(events.blocks.len() > 2);
    let entries = events.blocks.iter().flat_map(Block::with_seqs);
    let thinnest: BTreeMap<_, _> = entries.map(|(seq, entry)| (seq, entry.thinnest)).collect();
    let mut counts = BTreeSet::new();
    for density in [Density::Low, Density::Normal, Density::High, Density::Full] {
        let shown = |from: u64, to: u64| -> Vec<u64> {
            let within = thinnest.range(Seq(from + 1)..=Seq(to));
            let shown = within.filter(|(_, least)| **least <= density);
            shown.map(|(seq, _)| seq.0).collect()
        };
        counts.insert(shown(0, LAST).len());
        for from in 0..LAST {
            for to in from + 1..=LAST {
                let mut out = b"[".to_vec();
                let sight = (View::Public, density);
                let count = events.write(Seq(from), Seq(to), sight, &mut out);
                out.push(b']');
                let page: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
                let page = page.as_array().expect("a list").iter();
                let seqs: Vec<_> = page.map(|event| event["seq"].as_u64().unwrap()).collect();
                assert_eq!(seqs, shown(from, to), "({from}, {to}] {density:?}");
                assert_eq!(count, seqs.len() as u64);
            }
            let reach = events.reach(Seq(from), 3, density);
            assert!(shown(from, reach.0).len() <= 3);
            assert!(
                reach.0 == LAST || shown(from, reach.0 + 1).len() == 4,
                "{reach}"
            );
        }
    }
    assert_eq!(counts.len(), 4, "every density shows another part");
}

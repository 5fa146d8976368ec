use super::*;
use crate::sample::{self, at};

fn opening(n: i64, seq: u64) -> Opening {
    Opening {
        n,
        position: at(seq as i64 - 1),
        opened: SegmentOpened {
            first_seq: Seq(seq),
            snapshot: sample::snapshot(seq - 1),
        },
    }
}

#[test]
fn a_segment_closes_at_or_below_the_watermark_only() {
    let next = opening(1, 4);
    assert_eq!(closed_by(Some(&next), None, at(2)), None);
    assert_eq!(closed_by(Some(&next), None, at(3)), Some(Seq(3)));
    let ended = Some((at(6), Seq(7)));
    assert_eq!(closed_by(None, ended, at(5)), None);
    assert_eq!(closed_by(None, ended, at(6)), Some(Seq(7)));
}

#[test]
fn the_revision_is_the_last_change_at_or_below_the_watermark() {
    let subjects: Vec<Subject> = (4..=6)
        .map(|seq| Subject::of(&sample::event(seq)).unwrap())
        .collect();
    let row = |by: u64, moderation| ModerationRow {
        by: Seq(by),
        position: at(by as i64 - 1),
        moderation,
    };
    let hidden = |user: &str, since_at| Moderation::Hidden {
        user: user.to_owned(),
        since_at,
    };
    let rows = [
        row(7, Moderation::Deleted { target: Seq(5) }),
        row(8, hidden("user-1", 40_001)),
        row(9, hidden("user-1", 40_000)),
        row(10, Moderation::Deleted { target: Seq(3) }),
        row(11, Moderation::Erased { target: Seq(6) }),
    ];
    let snapshot = sample::snapshot(3);
    for (watermark, expected) in [(5, 0), (6, 7), (7, 7), (8, 9), (9, 9), (10, 11)] {
        let shown = Shown {
            subjects: &subjects,
            snapshot: &snapshot,
            starter: None,
        };
        let changes = changes(&rows, shown, at(watermark));
        assert_eq!(revision(&changes), Seq(expected), "at {watermark}");
    }
}

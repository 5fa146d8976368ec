//! Erasures at rest: swept, searched for in every row and every file, proved, and cut off midway.

use std::path::Path;
use std::time::Duration;

use danmu_projections::history::store::Purged;
use danmu_projections::history::{Sweep, Swept};
use danmu_projections::projection::{Appended, StoreError};
use danmu_schemas::Cursor;
use danmu_schemas::event::{BroadcastStart, Gift};
use danmu_schemas::fact::{Fact, FactBody, Moderation};

use super::*;

/// Is part of everything that is erased, and of nothing else.
const MARK: &str = "qmarkq";
/// Longer than any test takes.
const LATE_FOR: Duration = Duration::from_secs(1 << 32);

impl Bench {
    /// A room in which `user` and others did everything that texts and names are kept of.
    async fn told() -> Self {
        let bench = Self::settled().await;
        for (n, user) in ["host", "ann", "bob", "ann"].into_iter().enumerate() {
            let n = 1_000 + 10 * n as u32;
            bench.act("d", n, user, start()).await;
            bench.act("d", n + 1, user, said(user)).await;
            bench.act("d", n + 2, user, gift(user)).await;
            bench.act("d", n + 3, user, Body::Enter).await;
            // Has its checkpoint, and with it a state.
            bench.project().await;
        }
        bench
    }

    async fn act(&self, room: &str, n: u32, user: &str, body: Body<'_>) {
        let user = User {
            id: user.into(),
            name: format!("{MARK} {user}").into(),
            ext: vec![("avatar".into(), MARK.into())],
        };
        self.send_by(room, n, Some(user), body).await;
    }

    async fn erase(&self, room: &str, n: u32, seqs: &[u64], user: Option<&str>) {
        let erase = Body::Erase(Erase {
            target_seqs: seqs.to_vec(),
            target_user: user.map(|user| user.to_owned().into()),
        });
        self.send(room, n, erase).await;
        self.project().await;
    }

    fn sweep(&self) -> Sweep<EmbeddedHistory> {
        Sweep::new(self.history.clone(), self.log.identity())
    }

    /// The texts of all rows, chunks unpacked.
    async fn at_rest(&self) -> String {
        let mut found = Vec::new();
        for table in Table::ALL {
            for name in ["a", "b", "c", "d"] {
                for row in self.rows(table, &room(name)).await {
                    found.extend_from_slice(&row.body);
                    if table == Table::Chunks {
                        let (_, body) = Unpacker::new().unpack(&row.body).expect("a chunk");
                        for settled in body.settled {
                            found.extend_from_slice(&settled.datum);
                        }
                    }
                }
            }
        }
        String::from_utf8_lossy(&found).into_owned()
    }
}

fn start() -> Body<'static> {
    Body::BroadcastStart(BroadcastStart {
        title: format!("{MARK} title").into(),
        recorded: false,
        zero_at: None,
        ext: vec![("cover".into(), MARK.into())],
    })
}

fn said(user: &str) -> Body<'static> {
    Body::Comment(Comment {
        text: format!("{MARK} by {user}").into(),
        style: Style::default(),
        reply_to: None,
        ext: vec![],
    })
}

fn gift(user: &str) -> Body<'static> {
    Body::Gift(Gift {
        gift: "rose".into(),
        name: "Rose".into(),
        count: 1,
        unit_value: 5,
        currency: "coin".into(),
        text: Some(format!("{MARK} of {user}").into()),
        combo: Some("c".into()),
        issued_at: 1_000_000,
        ext: vec![],
    })
}

async fn finish(sweep: &mut Sweep<EmbeddedHistory>) {
    while sweep.step().await.expect("a step") == Swept::More {}
}

/// How often a text is in the files below a directory.
fn in_files(directory: &Path, text: &str) -> usize {
    let entries = std::fs::read_dir(directory).expect("a directory");
    let count = |path: &Path| {
        let bytes = std::fs::read(path).unwrap_or_default();
        let windows = bytes.windows(text.len());
        windows.filter(|window| *window == text.as_bytes()).count()
    };
    entries
        .map(|entry| entry.expect("an entry").path())
        .map(|path| {
            if path.is_dir() {
                in_files(&path, text)
            } else {
                count(&path)
            }
        })
        .sum()
}

#[tokio::test]
async fn nothing_of_what_was_erased_is_left_at_rest() {
    let bench = Bench::told().await;
    let history = bench._dir.path().join("history");
    assert!(bench.at_rest().await.contains(MARK));
    assert!(
        in_files(&history, MARK) > 0,
        "the search finds what is there"
    );
    let end = Body::BroadcastEnd(Reason { reason: None });
    bench.send("d", 1_900, end).await;
    bench.project().await;
    // The host by what it did, everybody else by name.
    bench.erase("d", 2_000, &[1, 2, 3], None).await;
    bench.act("d", 2_001, "host", Body::Leave).await;
    for (n, user) in ["host", "ann", "bob"].into_iter().enumerate() {
        bench.erase("d", 2_002 + n as u32, &[], Some(user)).await;
    }
    assert_eq!(
        bench.verify().await.first_difference,
        None,
        "before the sweep"
    );

    let mut sweep = bench.sweep();
    finish(&mut sweep).await;
    assert!(!bench.at_rest().await.contains(MARK));
    assert_eq!(
        bench.verify().await.first_difference,
        None,
        "after the sweep"
    );
    assert!(sweep.owes_purge());
    assert_eq!(sweep.purge().await.expect("a purge"), Purged::Gone);
    assert_eq!(in_files(&history, MARK), 0);
    assert!(
        in_files(&bench._dir.path().join("log"), MARK) > 0,
        "the log keeps it"
    );

    // Another sweep finds its mark and nothing to do.
    let mut again = bench.sweep();
    finish(&mut again).await;
    assert!(!again.owes_purge());
    assert_eq!(bench.verify().await.first_difference, None);

    let refilled = Some(bench.windows().await);
    let report = bench.verify_with(refilled, &Options::default()).await;
    assert_eq!(report.first_difference, None, "windows filled from it");
}

#[tokio::test]
async fn a_sweep_that_is_cut_off_begins_again() {
    let bench = Bench::told().await;
    bench.erase("d", 2_000, &[], Some("ann")).await;
    for steps in 0..12 {
        let mut sweep = bench.sweep();
        for _ in 0..steps {
            sweep.step().await.expect("a step");
        }
        assert_eq!(
            bench.verify().await.first_difference,
            None,
            "after {steps} steps"
        );
    }
    let mut sweep = bench.sweep();
    finish(&mut sweep).await;
    assert!(sweep.owes_purge(), "the old values may still be there");
    let rest = bench.at_rest().await;
    assert!(!rest.contains(&format!("{MARK} by ann")) && rest.contains(&format!("{MARK} by bob")));
}

#[tokio::test]
async fn what_a_late_writer_brings_back_is_swept_again() {
    let bench = Bench::told().await;
    let before = bench.rows(Table::Chunks, &room("d")).await.remove(0);
    bench.erase("d", 2_000, &[], Some("host")).await;
    finish(&mut bench.sweep().among_late_writers(LATE_FOR)).await;
    // Under its own key it is too late, with another border it is there again.
    bench
        .history
        .write(vec![before.clone()])
        .await
        .expect("written");
    assert!(!bench.at_rest().await.contains(&format!("{MARK} by host")));
    let (mut header, mut body) = Unpacker::new().unpack(&before.body).expect("a chunk");
    body.settled.remove(0);
    header.count -= 1;
    header.first_seq = body.settled[0].seq;
    header.first_offset = body.settled[0].offset;
    let first = Position::new(header.epoch, header.first_offset);
    let late = Row {
        key: layout::chunk_key(&room("d"), header.generation, header.first_seq, first),
        body: Packer::new().pack(&header, &body),
        ..before
    };
    bench.history.write(vec![late]).await.expect("written");
    assert!(bench.at_rest().await.contains(&format!("{MARK} by host")));
    finish(&mut bench.sweep().among_late_writers(LATE_FOR)).await;
    assert!(!bench.at_rest().await.contains(&format!("{MARK} by host")));
    assert_eq!(bench.verify().await.first_difference, None);
}

/// Windows go on without the history: what they have erased is blank though no watermark has reached it,
/// and must be.
#[tokio::test]
async fn windows_that_are_ahead_of_the_history_have_nothing_that_was_erased() {
    let bench = Bench::told().await;
    let (mut filling, windows) = bench.filling();
    let erase = |seqs: &[u64], user: Option<&'static str>| {
        Body::Erase(Erase {
            target_seqs: seqs.to_vec(),
            target_user: user.map(Into::into),
        })
    };
    for now_ms in 0..100 {
        filling.turn(now_ms * 1_000).await.expect("a turn");
    }
    let before = windows.room(&room("d")).await.expect("a window");
    bench.send("d", 2_000, erase(&[3], None)).await;
    bench.send("d", 2_001, erase(&[], Some("ann"))).await;
    for now_ms in 100..200 {
        filling.turn(now_ms * 1_000).await.expect("a turn");
    }
    let verified = async || {
        let windows = Some(windows.clone());
        let report = bench.verify_with(windows, &Options::default()).await;
        report.first_difference.map(|found| (found.what, found.why))
    };
    assert_eq!(verified().await, None);

    let after = windows.room(&room("d")).await.expect("a window");
    let kept = before.chunks[0].clone();
    assert_ne!(after.chunks[0], kept, "blanked");
    put_back(&bench, &windows, kept.as_ref().clone()).await;
    let (what, why) = verified().await.expect("a difference");
    assert!(what.starts_with("the window's event 1:"), "{what}");
    assert_eq!(why, "still has what was erased");

    // And nothing else may be blank.
    put_back(&bench, &windows, after.chunks[0].as_ref().clone()).await;
    assert_eq!(verified().await, None);
    let (header, mut body) = Unpacker::new().unpack(&kept.bytes).expect("a chunk");
    for settled in &mut body.settled {
        let mut event = codec::decode_datum(&settled.datum).expect("an event");
        event.blank();
        let mut datum = Vec::new();
        event.encode(&mut datum);
        settled.datum = datum.into();
    }
    let bytes = Packer::new().pack(&header, &body);
    put_back(&bench, &windows, PackedChunk { header, bytes }).await;
    let (_, why) = verified().await.expect("a difference");
    assert_eq!(why, "is another");
}

/// Stores a chunk in room d's window in the place of the one with the same header.
async fn put_back(bench: &Bench, windows: &MemoryWindows, chunk: PackedChunk) {
    let d = room("d");
    let names = std::slice::from_ref(&d);
    let loaded = windows.load(d.slot(), names).await.expect("read");
    let state = loaded.states[0].clone().expect("a state");
    let at = loaded.position.expect("a position");
    let step = WindowStep {
        slot: d.slot(),
        log: bench.log.identity(),
        expected: at,
        to: at,
        changes: vec![WindowChange {
            room: d,
            blanked: vec![chunk],
            ..unchanged(state)
        }],
    };
    let appended = windows
        .append_all(vec![step])
        .await
        .remove(0)
        .expect("appended");
    assert_eq!(appended, Appended::Stored);
}

/// What the sweep is told of, and how far it says it is.
#[tokio::test]
async fn what_the_sweep_goes_by_is_compared_too() {
    let bench = Bench::told().await;
    bench.erase("d", 2_000, &[3], None).await;
    let mut sweep = bench.sweep();
    finish(&mut sweep).await;
    assert_eq!(sweep.purge().await.expect("a purge"), Purged::Gone);
    assert_eq!(bench.verify().await.first_difference, None);

    let d = room("d");
    let told = layout::erasures_after(d.slot(), Position::BEGIN);
    let told = bench.history.scan(told, Order::Ascending, 10).await;
    let [told] = told.expect("read").try_into().expect("one erasure");
    let keys = vec![told.key.clone()];
    bench.history.remove(keys).await.expect("removed");
    let found = bench.verify().await.first_difference.expect("a difference");
    assert!(
        found.what.starts_with("what the sweep is told of"),
        "{found:?}"
    );
    assert_eq!((found.room, &*found.why), (d.clone(), "is missing"));

    let (position, _) = layout::read_erasure(&told).expect("an erasure");
    let earlier = Position::new(position.epoch, position.offset - 1);
    let body = FactBody::Moderated {
        by: Cursor {
            generation: Generation::FIRST,
            seq: Seq(1),
        },
        moderation: Moderation::Erased { target: Seq(1) },
    };
    let position = earlier;
    let surplus = layout::erasure_row(&d, &Fact { position, body }).expect("an erasure");
    let keys = vec![surplus.key.clone()];
    let found = bench.difference_with(vec![told.clone(), surplus]).await;
    assert_eq!((found.room, &*found.why), (d.clone(), "is not in the log"));
    bench.history.remove(keys).await.expect("removed");
    assert_eq!(bench.verify().await.first_difference, None);

    let mark = bench.history.get(layout::swept_key(d.slot())).await;
    let mark = mark.expect("read").expect("a mark");
    for row in [told, mark] {
        for n in [0, row.body.len() - 1] {
            let mut altered = row.clone();
            let mut body = altered.body.to_vec();
            body[n] ^= 1;
            altered.body = body.into();
            assert_damaged(&bench, altered).await;
        }
        bench.history.write(vec![row]).await.expect("written");
        assert_eq!(bench.verify().await.first_difference, None);
    }
    let beyond = layout::swept_row(d.slot(), Position::new(0, 1_000_000));
    assert_damaged(&bench, beyond).await;
}

/// An erasure that cannot be read is also missed by its room.
async fn assert_damaged(bench: &Bench, row: Row) {
    let key = row.key.clone();
    bench.history.write(vec![row]).await.expect("written");
    match bench.try_verify(None, &Options::default()).await {
        Err(VerifyError::Store(StoreError::Damaged { what, .. })) => {
            assert_eq!(what, layout::describe(&key));
        }
        Ok(report) if report.differences == 1 => {
            let found = report.first_difference.expect("a difference");
            assert_eq!((found.room, &*found.why), (room("d"), "is missing"));
        }
        other => panic!("{} is not found: {other:?}", layout::describe(&key)),
    }
}

//! Erasures at rest: swept, searched for in every row and every file, proved, and cut off midway.

use std::path::Path;

use danmu_projections::history::{Sweep, Swept};
use danmu_schemas::event::{BroadcastStart, Gift};

use super::*;

/// Is part of everything that is erased, and of nothing else.
const MARK: &str = "qmarkq";

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
    sweep.purge().await.expect("a purge");
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
    let mut sweep = bench.sweep().among_late_writers();
    finish(&mut sweep).await;
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
    finish(&mut sweep).await;
    assert!(!bench.at_rest().await.contains(&format!("{MARK} by host")));
    assert_eq!(bench.verify().await.first_difference, None);
}

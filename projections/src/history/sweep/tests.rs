use danmu_schemas::fact::{Fact, Moderation};
use danmu_schemas::{Generation, Seq};
use tokio::time::advance;

use super::*;
use crate::history::{EmbeddedHistory, HistoryWriter};
use crate::projection::Projection;
use crate::sample::{BROADCAST, at, directory, log, room, slot, step};

const LATE_FOR: Duration = Duration::from_secs(3_600);

fn chunks() -> layout::KeyRange {
    layout::rows_of(Table::Chunks, &room())
}

/// Three events, the second of which the third erases; gives their chunk as it was written.
async fn write_erased(store: &EmbeddedHistory) -> Row {
    let mut step = step(1, 3);
    let by = Cursor {
        seq: Seq(3),
        ..BROADCAST
    };
    let moderation = Moderation::Erased { target: Seq(2) };
    step.changes[0].facts.push(Fact {
        position: at(2),
        body: FactBody::Moderated { by, moderation },
    });
    let mut writer = HistoryWriter::new(store.clone(), log());
    for opened in writer.open_all(&[slot()]).await {
        opened.expect("a new slot");
    }
    for appended in writer.append_all(vec![step]).await {
        appended.expect("an append");
    }
    for checkpointed in writer.checkpoint_all(&[(slot(), at(2))]).await {
        checkpointed.expect("a checkpoint");
    }
    let mut rows = store
        .scan(chunks(), Order::Ascending, 9)
        .await
        .expect("rows");
    rows.remove(0)
}

async fn is_erased(store: &EmbeddedHistory) -> bool {
    let rows = store.scan(chunks(), Order::Ascending, 9).await;
    let rows = rows.expect("rows");
    let has = |row: &Row| row.body.windows(9).any(|part| part == b"comment 2");
    !rows.iter().any(has)
}

/// A turn and its purge; gives how far the slot is swept for good.
async fn turn(sweep: &mut Sweep<EmbeddedHistory>) -> Position {
    while sweep.step().await.expect("a step") == Swept::More {}
    if sweep.owes_purge() {
        let _ = sweep.purge().await.expect("a purge");
    }
    sweep.reader.swept(slot()).await.expect("a mark")
}

#[tokio::test]
async fn what_a_sole_writer_wrote_is_swept_once() {
    let directory = directory();
    let store = EmbeddedHistory::open(directory.path()).expect("a history");
    write_erased(&store).await;
    assert!(!is_erased(&store).await);
    let mut sweep = Sweep::new(store.clone(), log());
    assert_eq!(turn(&mut sweep).await, at(2));
    assert!(is_erased(&store).await);
}

#[tokio::test(start_paused = true)]
async fn rows_that_come_late_are_swept_before_the_mark_moves() {
    let directory = directory();
    let store = EmbeddedHistory::open(directory.path()).expect("a history");
    let unswept = write_erased(&store).await;
    let mut sweep = Sweep::new(store.clone(), log()).among_late_writers(LATE_FOR);
    assert_eq!(turn(&mut sweep).await, Position::BEGIN);
    assert!(is_erased(&store).await);
    let late = Row {
        key: layout::chunk_key(&room(), Generation::FIRST, Seq(1), at(1)),
        ..unswept
    };
    store.write(vec![late]).await.expect("a write");
    advance(LATE_FOR / 2).await;
    assert_eq!(turn(&mut sweep).await, Position::BEGIN);
    assert!(!is_erased(&store).await, "it is swept all the time");
    advance(LATE_FOR / 2).await;
    assert_eq!(turn(&mut sweep).await, at(2));
    assert!(is_erased(&store).await);
}

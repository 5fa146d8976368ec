//! Several processes that sweep the same rows.

use anyhow::ensure;
use bytes::Bytes;
use danmu_projections::history::layout;
use danmu_projections::history::store::{HistoryStore, Row};
use danmu_schemas::{Generation, Position, RoomId, Seq};
use danmu_tests::conformance::projection::history::HistoryEnvironment;

use super::keyspace::Keyspace;

/// A row less what was erased up to an offset; the more is erased, the less are its bytes.
fn swept_to(offset: i64) -> Row {
    let room = RoomId::parse("room").unwrap();
    let last = Position::new(0, 7);
    Row {
        key: layout::chunk_key(&room, Generation::FIRST, Seq(1), last),
        timestamp: last.timestamp() | 1,
        body: Bytes::from(format!("{:08}", 1_000 - offset)),
    }
}

#[tokio::test]
async fn what_was_erased_later_stays_erased_in_whatever_order_sweeps_come() -> anyhow::Result<()> {
    let keyspace = Keyspace::new();
    let store = keyspace.history().await?;
    let mut furthest = 0;
    for offset in [9, 300, 255, 256, 8, 301, 300, 999, 0] {
        let row = swept_to(offset);
        store.rewrite(vec![row], Position::new(0, offset)).await?;
        furthest = furthest.max(offset);
        let read = store.get(swept_to(0).key).await?;
        ensure!(read == Some(swept_to(furthest)), "after {offset}: {read:?}");
    }
    let next_epoch = swept_to(1);
    store
        .rewrite(vec![next_epoch.clone()], Position::new(1, 1))
        .await?;
    let read = store.get(next_epoch.key.clone()).await?;
    ensure!(read == Some(next_epoch), "{read:?}");
    Ok(())
}

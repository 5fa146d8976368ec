use danmu_schemas::{Generation, Seq};

use super::*;
use crate::history::EmbeddedHistory;
use crate::history::store::Order;
use crate::sample::{self, at, log, room, slot, step};

#[tokio::test]
async fn a_chunk_ends_before_a_segment_begins() {
    let directory = sample::directory();
    let store = EmbeddedHistory::open(directory.path()).unwrap();
    let mut writer = HistoryWriter::new(store.clone(), log());
    writer.open_all(&[slot()]).await.remove(0).unwrap();
    let mut both = step(1, 6);
    both.changes[0].facts = vec![sample::segment_opened(0, 1), sample::segment_opened(1, 4)];
    writer.append_all(vec![both]).await.remove(0).unwrap();
    let reached = [(slot(), at(5))];
    writer.checkpoint_all(&reached).await.remove(0).unwrap();
    let range = layout::chunks_from(&room(), Generation::FIRST, Seq(0));
    let chunks = store.scan(range, Order::Ascending, 10).await.unwrap();
    let firsts = chunks
        .iter()
        .map(|row| danmu_schemas::chunk::header(&row.body).unwrap().first_seq.0);
    assert_eq!(firsts.collect::<Vec<_>>(), [1, 4]);
}

use danmu_schemas::{Generation, Seq};

use super::*;
use crate::history::EmbeddedHistory;
use crate::history::store::Order;
use crate::sample::{self, at, log, room, slot, step};

async fn opened(store: &EmbeddedHistory) -> (HistoryWriter<EmbeddedHistory>, Position) {
    let mut writer = HistoryWriter::new(store.clone(), log());
    let position = writer.open(slot()).await.unwrap();
    (writer, position)
}

async fn seqs(reader: &HistoryReader<EmbeddedHistory>, after: u64) -> Vec<u64> {
    let events = reader
        .events(&room(), Generation::FIRST, Seq(after), 10_000)
        .await
        .unwrap();
    for event in &events {
        assert_eq!(*event, sample::event(event.seq.0));
    }
    events.into_iter().map(|event| event.seq.0).collect()
}

#[tokio::test]
async fn a_new_writer_goes_on_from_the_watermark() {
    let directory = sample::directory();
    {
        let store = EmbeddedHistory::open(directory.path()).unwrap();
        let (mut writer, position) = opened(&store).await;
        assert_eq!(position, Position::BEGIN);
        assert_eq!(writer.append(step(1, 3)).await.unwrap(), Appended::Stored);
        writer.checkpoint(slot(), at(2)).await.unwrap();
        assert_eq!(writer.append(step(4, 5)).await.unwrap(), Appended::Stored);
    }
    let store = EmbeddedHistory::open(directory.path()).unwrap();
    let (mut writer, position) = opened(&store).await;
    assert_eq!(position, at(2));
    let loaded = writer.load(slot(), &[room()]).await.unwrap();
    assert_eq!(loaded.position, Some(at(2)));
    let state = loaded.states[0].as_ref().unwrap();
    assert_eq!(state.core, codec::to_stored(&sample::core(3)));
    assert_eq!(state.event_memory.len(), 1);
    assert_eq!(seqs(&writer.reader(), 0).await, [1, 2, 3]);
}

#[tokio::test]
async fn an_append_names_what_it_expects() {
    let directory = sample::directory();
    let store = EmbeddedHistory::open(directory.path()).unwrap();
    let (mut writer, _) = opened(&store).await;
    assert_eq!(writer.append(step(1, 2)).await.unwrap(), Appended::Stored);
    assert_eq!(writer.append(step(1, 2)).await.unwrap(), Appended::Already);
    let other = Appended::Other(Some(at(1)));
    assert_eq!(writer.append(step(5, 6)).await.unwrap(), other);
    writer.checkpoint(slot(), at(1)).await.unwrap();
    assert_eq!(seqs(&writer.reader(), 0).await, [1, 2]);
}

#[tokio::test]
async fn a_writer_that_is_behind_leaves_the_same_events() {
    let directory = sample::directory();
    let store = EmbeddedHistory::open(directory.path()).unwrap();
    let (mut ahead, _) = opened(&store).await;
    let (mut behind, _) = opened(&store).await;
    ahead.append(step(1, 700)).await.unwrap();
    ahead.checkpoint(slot(), at(699)).await.unwrap();
    behind.append(step(1, 100)).await.unwrap();
    behind.checkpoint(slot(), at(99)).await.unwrap();
    behind.append(step(101, 650)).await.unwrap();
    let loaded = behind.load(slot(), &[room()]).await.unwrap();
    assert_eq!(loaded.position, Some(at(699)), "told that it is behind");
    behind.checkpoint(slot(), at(649)).await.unwrap();
    let reader = ahead.reader();
    assert_eq!(reader.watermark(slot()).await.unwrap(), Some(at(699)));
    for after in [0, 50, 99, 511, 512, 640, 699] {
        let expected: Vec<u64> = (after + 1..=700).collect();
        assert_eq!(seqs(&reader, after).await, expected, "after {after}");
    }
}

#[tokio::test]
async fn only_states_that_nobody_needs_are_removed() {
    let directory = sample::directory();
    let store = EmbeddedHistory::open(directory.path()).unwrap();
    let (mut writer, _) = opened(&store).await;
    for seq in 1..=4 {
        writer.append(step(seq, seq)).await.unwrap();
        writer.checkpoint(slot(), at(seq as i64 - 1)).await.unwrap();
        let range = layout::states_until(&room(), at(100));
        let states = store.scan(range, Order::Ascending, 10).await.unwrap();
        assert_eq!(states.len() as u64, seq.min(2), "after checkpoint {seq}");
    }
    let reader = writer.reader();
    let (position, _) = reader.state(&room(), at(3)).await.unwrap().unwrap();
    assert_eq!(position, at(3));
    assert!(reader.state(&room(), at(2)).await.unwrap().is_some());
    assert!(reader.state(&room(), at(1)).await.unwrap().is_none());
}

#[tokio::test]
async fn another_log_is_refused() {
    let directory = sample::directory();
    let store = EmbeddedHistory::open(directory.path()).unwrap();
    let (mut writer, _) = opened(&store).await;
    writer.append(step(1, 1)).await.unwrap();
    writer.checkpoint(slot(), at(0)).await.unwrap();
    let mut other = HistoryWriter::new(store, LogIdentity("other".into()));
    let refused = other.open(slot()).await;
    assert!(matches!(refused, Err(StoreError::OtherLog { .. })));
}

#[tokio::test]
async fn a_chunk_ends_before_a_segment_begins() {
    let directory = sample::directory();
    let store = EmbeddedHistory::open(directory.path()).unwrap();
    let (mut writer, _) = opened(&store).await;
    let mut both = step(1, 6);
    both.changes[0].facts = vec![sample::segment_opened(0, 1), sample::segment_opened(1, 4)];
    writer.append(both).await.unwrap();
    writer.checkpoint(slot(), at(5)).await.unwrap();
    let range = layout::chunks_from(&room(), Generation::FIRST, Seq(0));
    let chunks = store.scan(range, Order::Ascending, 10).await.unwrap();
    let firsts = chunks
        .iter()
        .map(|row| danmu_schemas::chunk::header(&row.body).unwrap().first_seq.0);
    assert_eq!(firsts.collect::<Vec<_>>(), [1, 4]);
}

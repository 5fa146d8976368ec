use danmu_schemas::state::{EVENT_MEMORY_LEN_MAX, GIFT_MEMORY_LEN_MAX, GiftMemory};
use danmu_schemas::{EventId, Generation, Seq, UserHash};

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

/// What Cassandra takes at most with its defaults: half a segment of its commit log.
const MUTATION_BYTES_MAX: usize = 16 * 1_024 * 1_024;

/// A room that fills its memory between two checkpoints: far more than one row of it may hold.
#[tokio::test]
async fn rows_of_memory_stay_short_however_much_a_room_remembers() {
    let directory = sample::directory();
    let store = EmbeddedHistory::open(directory.path()).unwrap();
    let mut writer = HistoryWriter::new(store.clone(), log());
    writer.open_all(&[slot()]).await.remove(0).unwrap();
    let last = EVENT_MEMORY_LEN_MAX as u64 + 1;
    let gifts = (0..GIFT_MEMORY_LEN_MAX as i64).map(|offset| GiftMemory {
        offset,
        id: EventId([255; 16]),
        clock: i64::MAX,
        generation: Generation(i32::MAX as u32),
        seq: Seq(i64::MAX as u64),
        value: i64::MAX,
        currency: i32::MAX as u32,
        user: UserHash(u64::MAX),
        reversed: true,
    });
    let gifts = GiftMemoryBlock {
        epoch: 0,
        entries: gifts.collect(),
    };
    let mut all = step(1, last);
    let change = &mut all.changes[0];
    change.runs.clear();
    change.state.gift_memory = Some(codec::to_stored(&gifts));
    let appended = change.state.clone();
    writer.append(all).unwrap();
    let reached = [(slot(), at(last as i64 - 1))];
    writer.checkpoint_all(&reached).await.remove(0).unwrap();

    let remembered = [
        (MemoryKind::Events, last as usize),
        (MemoryKind::Gifts, GIFT_MEMORY_LEN_MAX),
    ];
    for (kind, len) in remembered {
        let range = layout::memory_until(&room(), kind, at(last as i64));
        let rows = store.scan(range, Order::Ascending, usize::MAX).await;
        let rows = rows.unwrap();
        let longest = rows.iter().map(|row| row.body.len()).max();
        assert!(
            longest < Some(MUTATION_BYTES_MAX / 32),
            "{kind:?}: {longest:?}"
        );
        assert_eq!(rows.len(), len.div_ceil(blocks::ENTRIES_MAX), "{kind:?}");
    }
    let mut after = HistoryWriter::new(store, log());
    after.open_all(&[slot()]).await.remove(0).unwrap();
    let wanted = [(slot(), vec![room()])];
    let loaded = after.load_all(&wanted).await.remove(0).unwrap();
    let state = loaded.states[0].clone().expect("the room is there");
    let mut events: Vec<EventMemoryBlock> = Vec::new();
    for block in &state.event_memory {
        join_events(&mut events, codec::from_stored(block).unwrap());
    }
    let whole: Vec<_> = events.iter().map(codec::to_stored).collect();
    assert!(
        whole == appended.event_memory,
        "the events are not the same"
    );
    let mut joined: Vec<GiftMemoryBlock> = Vec::new();
    for block in &state.gift_memory {
        join_gifts(&mut joined, codec::from_stored(block).unwrap());
    }
    assert!(joined == [gifts], "the gifts are not the same");
}

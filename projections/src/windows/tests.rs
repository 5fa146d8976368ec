use super::*;
use crate::history::{EmbeddedHistory, HistoryWriter};
use crate::projection::StoredState;
use crate::sample::{self, at, log, room, slot, step};

type Under = Windows<MemoryWindows, EmbeddedHistory>;

const LIMITS: WindowLimits = WindowLimits {
    events_max: 2,
    bytes_max: usize::MAX,
    age_ms_max: i64::MAX,
    hard_bytes_max: usize::MAX,
};

fn windows(store: &MemoryWindows, history: &EmbeddedHistory) -> Under {
    let reader = HistoryReader::new(history.clone(), log());
    let options = RefillOptions {
        owner: 1,
        log_is_whole: true,
        events_max: 1_000,
    };
    Windows::new(store.clone(), reader, log(), options)
}

#[tokio::test]
async fn an_append_names_what_it_expects() {
    let directory = sample::directory();
    let history = EmbeddedHistory::open(directory.path()).unwrap();
    let store = MemoryWindows::new(WindowLimits::default());
    let mut windows = windows(&store, &history);
    assert_eq!(windows.open(slot()).await.unwrap(), Position::BEGIN);
    assert_eq!(windows.append(step(1, 2)).await.unwrap(), Appended::Stored);
    assert_eq!(windows.append(step(1, 2)).await.unwrap(), Appended::Already);
    let other = Appended::Other(Some(at(1)));
    assert_eq!(windows.append(step(5, 6)).await.unwrap(), other);
    assert_eq!(store.room(&room()).await.unwrap().chunks.len(), 1);
    store.wipe(slot());
    let lost = windows.append(step(3, 3)).await.unwrap();
    assert_eq!(lost, Appended::Other(None));
}

#[tokio::test]
async fn a_lost_slot_is_refilled_at_the_watermark() {
    let directory = sample::directory();
    let history = EmbeddedHistory::open(directory.path()).unwrap();
    let mut writer = HistoryWriter::new(history.clone(), log());
    writer.open(slot()).await.unwrap();
    writer.append(step(1, 600)).await.unwrap();
    writer.checkpoint(slot(), at(599)).await.unwrap();
    writer.append(step(601, 605)).await.unwrap();
    let store = MemoryWindows::new(WindowLimits::default());
    let mut windows = windows(&store, &history);
    assert_eq!(windows.open(slot()).await.unwrap(), at(599));
    let filled = windows.load(slot(), &[room()]).await.unwrap();
    let resumed = HistoryReader::new(history, log())
        .state(&room(), at(599))
        .await
        .unwrap();
    assert_eq!(filled.states[0], resumed.map(|(_, state)| state));
    let window = store.room(&room()).await.unwrap();
    let counts = window.chunks.iter().map(|chunk| chunk.header.count);
    assert_eq!(counts.sum::<u32>(), 600);
}

#[tokio::test]
async fn of_two_refills_one_ends_and_a_wipe_ends_both() {
    let store = MemoryWindows::new(WindowLimits::default());
    let (first, second) = (RefillToken(1), RefillToken(2));
    let copy = || RoomCopy {
        room: room(),
        state: StoredState::default(),
        chunks: vec![],
    };
    let end = || (at(1), log());
    assert!(store.begin(slot(), first).await.unwrap());
    assert!(store.put(slot(), first, 0, copy()).await.unwrap());
    assert!(store.put(slot(), first, 0, copy()).await.unwrap(), "again");
    assert!(store.begin(slot(), second).await.unwrap());
    assert!(!store.put(slot(), first, 1, copy()).await.unwrap());
    assert!(!store.end(slot(), first, 1, end()).await.unwrap());
    store.wipe(slot());
    assert!(!store.put(slot(), second, 0, copy()).await.unwrap());
    assert!(!store.end(slot(), second, 0, end()).await.unwrap());
    assert!(store.begin(slot(), second).await.unwrap());
    assert!(!store.end(slot(), second, 1, end()).await.unwrap());
    assert!(store.end(slot(), second, 0, end()).await.unwrap());
    assert!(!store.begin(slot(), first).await.unwrap());
}

#[tokio::test]
async fn chunks_leave_only_below_the_watermark() {
    let directory = sample::directory();
    let history = EmbeddedHistory::open(directory.path()).unwrap();
    let store = MemoryWindows::new(LIMITS);
    let mut windows = windows(&store, &history);
    windows.open(slot()).await.unwrap();
    for seq in 1..=4 {
        windows.append(step(seq, seq)).await.unwrap();
    }
    assert_eq!(store.room(&room()).await.unwrap().chunks.len(), 4);
    store.set_watermark(slot(), at(0));
    windows.append(step(5, 5)).await.unwrap();
    assert_eq!(store.room(&room()).await.unwrap().chunks.len(), 4);
    store.set_watermark(slot(), at(4));
    windows.append(step(6, 6)).await.unwrap();
    assert_eq!(store.room(&room()).await.unwrap().chunks.len(), 2);
}

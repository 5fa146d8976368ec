use std::pin::pin;
use std::task::{Context, Poll, Waker};

use danmu_schemas::codec;
use danmu_schemas::state::{OpenBroadcast, StateCore, Totals};

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
        state: state_of(sample::core(0)),
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

fn state_of(core: StateCore) -> StoredState {
    StoredState {
        core: codec::to_stored(&core),
        ..StoredState::default()
    }
}

fn is_told(watch: &mut impl RoomWatch, seen: u64) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    matches!(
        pin!(watch.changed(seen)).poll(&mut context),
        Poll::Ready(Ok(()))
    )
}

#[tokio::test]
async fn a_watch_is_told_of_everything_that_a_reader_would_see() {
    let directory = sample::directory();
    let history = EmbeddedHistory::open(directory.path()).unwrap();
    let store = MemoryWindows::new(WindowLimits::default());
    let mut windows = windows(&store, &history);
    let mut watch = store.watch(&room()).await.unwrap();
    let mut seen = store.room(&room()).await.unwrap().version;
    assert!(!is_told(&mut watch, seen));

    windows.open(slot()).await.unwrap();
    assert!(
        is_told(&mut watch, seen),
        "the slot is there: the room is empty"
    );
    seen = store.room(&room()).await.unwrap().version;
    assert!(!is_told(&mut watch, seen));

    windows.append(step(1, 2)).await.unwrap();
    assert!(is_told(&mut watch, seen), "there are events");
    seen = store.room(&room()).await.unwrap().version;
    assert!(!is_told(&mut watch, seen));

    store.wipe(slot());
    assert!(is_told(&mut watch, seen), "the room is unknown");
}

#[tokio::test]
async fn only_chunks_with_news_are_read() {
    let directory = sample::directory();
    let history = EmbeddedHistory::open(directory.path()).unwrap();
    let store = MemoryWindows::new(WindowLimits::default());
    let mut windows = windows(&store, &history);
    windows.open(slot()).await.unwrap();
    windows.append(step(1, 2)).await.unwrap();
    windows.append(step(3, 5)).await.unwrap();
    for (after, chunks) in [(-1, 2), (0, 2), (1, 1), (3, 1), (4, 0)] {
        let window = store.since(&room(), at(after)).await.unwrap();
        assert_eq!(window.chunks.len(), chunks, "after {after}");
        assert!(window.state.is_some());
    }
}

#[tokio::test]
async fn live_rooms_are_those_with_an_open_broadcast() {
    let store = MemoryWindows::new(WindowLimits::default());
    let open = OpenBroadcast {
        first_seq: danmu_schemas::Seq(1),
        started_at: 0,
        zero_at: 0,
        recorded: false,
        interrupted_at: None,
        before: Totals::default(),
        segment: 0,
        heat_bucket: 0,
    };
    for (name, broadcast) in [("b", Some(open.clone())), ("a", Some(open)), ("c", None)] {
        let room = RoomId::parse(name).unwrap();
        let (slot, token) = (room.slot(), RefillToken(1));
        let core = StateCore {
            broadcast,
            ..sample::core(1)
        };
        let copy = RoomCopy {
            room,
            state: state_of(core),
            chunks: vec![],
        };
        assert!(store.begin(slot, token).await.unwrap());
        assert!(store.put(slot, token, 0, copy).await.unwrap());
        assert!(store.end(slot, token, 1, (at(0), log())).await.unwrap());
    }
    let a = RoomId::parse("a").unwrap();
    let names = async |after: Option<&RoomId>, limit| -> Vec<String> {
        let live = store.live(after, limit).await.unwrap();
        live.iter().map(|(room, _)| room.to_string()).collect()
    };
    assert_eq!(names(None, 9).await, ["a", "b"]);
    assert_eq!(names(None, 1).await, ["a"]);
    assert_eq!(names(Some(&a), 9).await, ["b"]);
    store.wipe(a.slot());
    assert_eq!(names(None, 9).await, ["b"]);
}

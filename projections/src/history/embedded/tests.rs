use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use danmu_schemas::Position;

use super::*;
use crate::history::layout::MemoryKind;

#[test]
fn any_altered_byte_is_found() {
    let value = to_value(7, b"a state, a chunk or a snapshot");
    assert!(from_value(b"key".to_vec(), &value).is_ok());
    for i in 0..value.len() {
        let mut altered = value.clone();
        altered[i] ^= 1;
        let read = from_value(b"key".to_vec(), &altered);
        assert!(matches!(read, Err(StoreError::Damaged { .. })), "byte {i}");
    }
}

/// A journal is removed with the last of its rows: also with those that came while the purge flushed.
#[test]
fn a_purge_ends_though_rows_are_written() {
    let directory = tempfile::tempdir().expect("a directory");
    let history = EmbeddedHistory::open(&directory.path().join("history")).expect("a history");
    let room = RoomId::parse("room").expect("a room");
    let is_over = AtomicBool::new(false);
    let write = || {
        for n in 0.. {
            let at = Position::new(0, n);
            let row = layout::memory_row(&room, MemoryKind::Events, at, n, Bytes::from("row"));
            done(history.write(vec![row])).expect("it is written");
            let is_sealed = history.shared.database.journal_count() > 1;
            if is_sealed || is_over.load(Ordering::Relaxed) {
                return;
            }
        }
    };
    let purged = thread::scope(|scope| {
        scope.spawn(write);
        let purged = done(history.purge());
        is_over.store(true, Ordering::Relaxed);
        purged
    });
    assert_eq!(purged.expect("it ends"), Purged::Gone);
}

/// The embedded history does its work within the call.
fn done<T>(call: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(call)
}

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use danmu_log::embedded::{self, EmbeddedLog};
use danmu_log::{Lane, LogReader, LogWriter, NewRecord};
use danmu_projections::history::layout::{self, FactKind, MemoryKind, Table};
use danmu_projections::history::store::{Order, Row};
use danmu_projections::history::{EmbeddedHistory, HistoryWriter};
use danmu_projections::projection::{Projection, StateChange, StoredState};
use danmu_projections::windows::{
    MemoryWindows, PackedChunk, RefillOptions, RoomWindow, WindowChange, WindowLimits, WindowRead,
    WindowStep, WindowStore, Windows,
};
use danmu_schemas::chunk::{ChunkBody, Packer, Unpacker};
use danmu_schemas::codec::Datum;
use danmu_schemas::event::{Body, Comment, Erase, Reason, RoomEvent, Style, User};
use danmu_schemas::state::{EventMemoryBlock, Field, StateCore};
use danmu_schemas::{EventId, Generation, Position, Role, Seq, Slot, codec};

use tokio_util::sync::CancellationToken;

mod erased;

use super::*;
use crate::projector::{self, Projector, Standing};

struct Bench {
    log: EmbeddedLog,
    history: EmbeddedHistory,
    _dir: tempfile::TempDir,
}

impl Bench {
    /// Three rooms with a broadcast each, settled into a history.
    async fn settled() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let options = embedded::Options::new(dir.path().join("log"), Arc::new(|| 1_000_000));
        let log = EmbeddedLog::open(options).expect("the log opens");
        let history = EmbeddedHistory::open(&dir.path().join("history")).expect("it opens");
        let bench = Self {
            log,
            history,
            _dir: dir,
        };
        for n in 0..60_u32 {
            let body = match n {
                57.. => Body::BroadcastEnd(Reason { reason: None }),
                _ => comment(),
            };
            bench.send(["a", "b", "c"][n as usize % 3], n, body).await;
        }
        bench.project().await;
        bench
    }

    async fn send(&self, room: &str, n: u32, body: Body<'_>) {
        self.send_by(room, n, None, body).await;
    }

    async fn send_by(&self, room: &str, n: u32, user: Option<User<'_>>, body: Body<'_>) {
        let event = RoomEvent {
            id: EventId(u128::from(n).to_be_bytes()),
            room: room.into(),
            accepted_at: 0,
            recorded_at: None,
            user,
            role: Role::Backend,
            device: None,
            body,
        };
        let route = self.log.routes().route(Slot::of(room));
        let record = NewRecord {
            epoch: route.epoch,
            lane: Lane::Viewers,
            key: Bytes::copy_from_slice(room.as_bytes()),
            value: codec::to_wire(&event).into(),
            traceparent: None,
        };
        let appended = self.log.append(Partition(route.partition), vec![record]);
        appended.await.expect("appended");
    }

    async fn project(&self) {
        let writer = HistoryWriter::new(self.history.clone(), self.log.identity());
        let options = projector::Options {
            wait: Duration::from_millis(1),
            ..projector::Options::default()
        };
        let routes = self.log.routes().clone();
        let mut projector = Projector::new(writer, self.log.reader(), routes, options);
        let standing = projector.standing();
        while !Standing::is_ready(&standing.borrow()) {
            projector.turn(0).await.expect("a turn");
        }
        projector.checkpoint_all(0).await.expect("checkpoints");
    }

    async fn verify(&self) -> Report {
        self.verify_with(None, &Options::default()).await
    }

    async fn verify_with(&self, windows: Option<MemoryWindows>, options: &Options) -> Report {
        let verified = self.try_verify(windows, options).await;
        verified.expect("verifies")
    }

    async fn try_verify(
        &self,
        windows: Option<MemoryWindows>,
        options: &Options,
    ) -> Result<Report, VerifyError> {
        let sources = Sources {
            history: HistoryReader::new(self.history.clone(), self.log.identity()),
            windows,
        };
        let mut reader = self.log.reader();
        let going_on = |_| ControlFlow::Continue(());
        verify(&mut reader, self.log.routes(), &sources, options, going_on).await
    }

    /// The room's rows of a table.
    async fn rows(&self, table: Table, room: &RoomId) -> Vec<Row> {
        let range = layout::rows_of(table, room);
        let rows = self.history.scan(range, Order::Ascending, 1_000).await;
        rows.expect("read")
    }

    /// The first difference once these rows are written over what is there.
    async fn difference_with(&self, rows: Vec<Row>) -> Difference {
        self.history.write(rows).await.expect("written");
        self.verify().await.first_difference.expect("a difference")
    }
}

fn comment() -> Body<'static> {
    Body::Comment(Comment {
        text: "hello".into(),
        style: Style::default(),
        reply_to: None,
        ext: Vec::new(),
    })
}

fn room(name: &str) -> RoomId {
    RoomId::parse(name).expect("a name")
}

#[tokio::test]
async fn a_history_equals_its_log() {
    let bench = Bench::settled().await;
    let report = bench.verify().await;
    assert_eq!(report.first_difference, None);
    assert_eq!((report.records, report.rooms, report.events), (60, 3, 60));
    // Each room has a beginning, an end, a segment and a heat bucket.
    assert_eq!((report.facts, report.states), (12, 3));
    assert_eq!(report.remembered, 60);
    assert_eq!(report, bench.verify().await);
}

/// Every row of every table of a room, one byte of its body altered: first as a disk would, then,
/// where the row has a seal of its own, as a wrong writer would.
#[tokio::test]
async fn an_altered_byte_of_any_row_is_found() {
    let bench = Bench::settled().await;
    for table in Table::ALL {
        for row in bench.rows(table, &room("b")).await {
            for n in [row.body.len() / 3, row.body.len() - 1] {
                let mut body = row.body.to_vec();
                body[n] ^= 1;
                let body = body.into();
                let altered = Row {
                    body,
                    ..row.clone()
                };
                let found = bench.difference_with(vec![altered]).await;
                assert_eq!(found.room, room("b"), "{table:?}");
            }
            bench.history.write(vec![row]).await.expect("written");
        }
    }
    assert_eq!(bench.verify().await.first_difference, None);
}

#[tokio::test]
async fn an_event_that_was_never_sent_is_found() {
    let bench = Bench::settled().await;
    let row = bench.rows(Table::Chunks, &room("b")).await.remove(0);
    let (header, mut body) = Unpacker::new().unpack(&row.body).expect("a chunk");
    body.settled[3].crowd += 1;
    let altered = Row {
        body: Packer::new().pack(&header, &body),
        ..row
    };
    let found = bench.difference_with(vec![altered]).await;
    assert_eq!((&*found.what, &*found.why), ("event 1:4", "is another"));
}

#[tokio::test]
async fn what_was_erased_may_be_gone() {
    let bench = Bench::settled().await;
    let row = bench.rows(Table::Chunks, &room("b")).await.remove(0);
    let (header, mut body) = Unpacker::new().unpack(&row.body).expect("a chunk");
    let event = &mut body.settled[3];
    let mut blanked = codec::decode_datum(&event.datum).expect("an event");
    let Body::Comment(comment) = &mut blanked.body else {
        panic!("not a comment")
    };
    comment.text = "".into();
    let mut datum = Vec::new();
    blanked.encode(&mut datum);
    event.datum = datum.into();
    let swept = Row {
        timestamp: row.timestamp + 1,
        body: Packer::new().pack(&header, &body),
        ..row
    };
    let found = bench.difference_with(vec![swept]).await;
    assert_eq!((&*found.what, &*found.why), ("event 1:4", "is another"));
    let erase = Body::Erase(Erase {
        target_seqs: vec![4],
        target_user: None,
    });
    bench.send("b", 200, erase).await;
    bench.project().await;
    assert_eq!(bench.verify().await.first_difference, None);
}

#[tokio::test]
async fn a_chunk_too_many_is_found() {
    let bench = Bench::settled().await;
    let row = bench.rows(Table::Chunks, &room("b")).await.remove(0);
    let (mut header, mut body) = Unpacker::new().unpack(&row.body).expect("a chunk");
    body.settled.truncate(1);
    body.settled[0].seq = Seq(21);
    header.first_seq = Seq(21);
    header.count = 1;
    header.last_offset = header.first_offset;
    (header.last_at, header.last_logged_at) = (body.settled[0].at, body.settled[0].logged_at);
    let first = Position::new(header.epoch, header.first_offset);
    let surplus = Row {
        key: layout::chunk_key(&room("b"), Generation::FIRST, Seq(21), first),
        timestamp: first.timestamp(),
        body: Packer::new().pack(&header, &body),
    };
    let found = bench.difference_with(vec![surplus]).await;
    assert_eq!(
        (&*found.what, &*found.why),
        ("event 1:21", "is not in the log")
    );
}

#[tokio::test]
async fn a_missing_row_of_any_table_is_found() {
    for (table, what) in [
        (Table::Chunks, "event 1:1"),
        (
            Table::Facts(FactKind::Broadcast),
            "the beginning of broadcast 1:1",
        ),
        (
            Table::Facts(FactKind::Segment),
            "segment 0 of broadcast 1:1",
        ),
        (
            Table::Facts(FactKind::Heat),
            "heat bucket 0 of broadcast 1:1",
        ),
        (Table::States, "the state"),
        (Table::Memory(MemoryKind::Events), "the event memory"),
    ] {
        let bench = Bench::settled().await;
        let row = bench.rows(table, &room("b")).await.remove(0);
        bench.history.remove(vec![row.key]).await.expect("removed");
        let found = bench.verify().await.first_difference.expect("a difference");
        assert_eq!((found.room, &*found.what), (room("b"), what));
    }
}

#[tokio::test]
async fn facts_of_another_room_are_too_many() {
    let bench = Bench::settled().await;
    for table in Table::ALL {
        for row in bench.rows(table, &room("b")).await {
            let copy = Row {
                key: rekeyed(table, &row.key),
                ..row
            };
            let found = bench.difference_with(vec![copy.clone()]).await;
            assert_eq!(found.room, neighbour(), "{table:?}");
            bench.history.remove(vec![copy.key]).await.expect("removed");
        }
    }
}

/// Another room in the slot of room b.
fn neighbour() -> RoomId {
    let mut names = (0..).map(|n| room(&format!("z{n}")));
    let in_its_slot = |other: &RoomId| other.slot() == room("b").slot();
    names.find(in_its_slot).expect("some name")
}

/// The key of room b's row as if it were its neighbour's.
fn rekeyed(table: Table, key: &[u8]) -> layout::Key {
    let prefix = |room: &RoomId| layout::rows_of(table, room).start;
    let (from, to) = (prefix(&room("b")), prefix(&neighbour()));
    [&*to, &key[from.len()..]].concat()
}

#[tokio::test]
async fn what_stands_above_the_watermark_is_no_difference() {
    let bench = Bench::settled().await;
    let row = bench.rows(Table::States, &room("b")).await.remove(0);
    let (_, at) = layout::read_state_key(&row.key).expect("a key");
    let above = Position::new(at.epoch, at.offset + 1_000);
    let state = layout::read_state(&row.body).expect("a state");
    let row = layout::state_row(&room("b"), above, &state.core, &state.fields);
    bench.history.write(vec![row]).await.expect("written");
    assert_eq!(bench.verify().await.first_difference, None);
}

#[tokio::test]
async fn an_older_state_of_another_room_is_found() {
    let bench = Bench::settled().await;
    let row = bench.rows(Table::States, &room("a")).await.remove(0);
    let state = layout::read_state(&row.body).expect("a state");
    let early = Position::new(0, 10);
    let row = layout::state_row(&room("b"), early, &state.core, &state.fields);
    let found = bench.difference_with(vec![row]).await;
    assert_eq!(found.why, "has another core");
    assert_eq!(found.what, "the state at 0/10");
}

#[tokio::test]
async fn little_memory_only_takes_more_passes() {
    let bench = Bench::settled().await;
    let whole = bench.verify().await;
    let options = Options {
        held_bytes_max: 1,
        ..Options::default()
    };
    let report = bench.verify_with(None, &options).await;
    assert_eq!(report.passes, 3);
    let passes = whole.passes;
    assert_eq!(Report { passes, ..report }, whole);
}

#[tokio::test]
async fn one_room_is_verified_alone() {
    let bench = Bench::settled().await;
    let alone = |name| Options {
        room: Some(room(name)),
        ..Options::default()
    };
    let report = bench.verify_with(None, &alone("b")).await;
    assert_eq!((report.rooms, report.events), (1, 20));
    let row = bench.rows(Table::Chunks, &room("a")).await.remove(0);
    bench.history.remove(vec![row.key]).await.expect("removed");
    let report = bench.verify_with(None, &alone("b")).await;
    assert_eq!(report.first_difference, None);
    let report = bench.verify_with(None, &alone("a")).await;
    assert_eq!(report.differences, 1);
}

impl Bench {
    /// A loop that fills windows from this log, and the windows.
    fn filling(&self) -> (Projector<impl Projection, impl LogReader>, MemoryWindows) {
        let memory = MemoryWindows::new(WindowLimits::default());
        let history = HistoryReader::new(self.history.clone(), self.log.identity());
        let refill = RefillOptions {
            owner: 1,
            log_is_whole: true,
            events_max: 1_000,
        };
        let windows = Windows::new(memory.clone(), history, self.log.identity(), refill);
        let options = projector::Options {
            wait: Duration::from_millis(1),
            ..projector::Options::default()
        };
        let routes = self.log.routes().clone();
        let filling = Projector::new(windows, self.log.reader(), routes, options);
        (filling, memory)
    }

    /// Windows that were filled from the history and then went on with the log: a comment and its
    /// repeat in each room.
    async fn windows(&self) -> MemoryWindows {
        let (mut filling, memory) = self.filling();
        let standing = filling.standing();
        while !Standing::is_ready(&standing.borrow()) {
            filling.turn(0).await.expect("a turn");
        }
        for (n, name) in ["a", "b", "c"].into_iter().enumerate() {
            for _ in 0..2 {
                self.send(name, 100 + n as u32, comment()).await;
            }
        }
        for now_ms in 1..100 {
            filling.turn(now_ms * 1_000).await.expect("a turn");
        }
        memory
    }

    /// The first difference once a change is appended to room b's window where it stands.
    async fn difference_after(
        &self,
        change: impl FnOnce(&RoomWindow, StoredState) -> WindowChange,
    ) -> Difference {
        let windows = self.windows().await;
        let options = Options::default();
        let before = self.verify_with(Some(windows.clone()), &options).await;
        assert_eq!(before.first_difference, None);
        let b = room("b");
        let window = windows.room(&b).await.expect("read");
        let loaded = windows
            .load(b.slot(), std::slice::from_ref(&b))
            .await
            .expect("read");
        let state = loaded.states[0].clone().expect("a state");
        let at = window.slot_position.expect("a position");
        let step = WindowStep {
            slot: b.slot(),
            log: self.log.identity(),
            expected: at,
            to: at,
            changes: vec![change(&window, state)],
        };
        windows
            .append_all(vec![step])
            .await
            .remove(0)
            .expect("appended");
        let after = self.verify_with(Some(windows), &options).await;
        let found = after.first_difference.expect("a difference");
        assert_eq!(found.room, b);
        found
    }
}

/// A change that changes nothing.
fn unchanged(state: StoredState) -> WindowChange {
    WindowChange {
        room: room("b"),
        state: StateChange {
            core: state.core,
            fields: state.fields,
            changed: [false; Field::COUNT],
            event_memory: Vec::new(),
            gift_memory: None,
            event_memory_since: 0,
            gift_memory_since: 0,
        },
        chunks: Vec::new(),
        blanked: Vec::new(),
    }
}

/// The last chunk of a window, its content altered.
fn last_chunk(window: &RoomWindow, alter: impl FnOnce(&mut ChunkBody)) -> PackedChunk {
    let chunk = window.chunks.last().expect("a chunk");
    let (header, mut body) = Unpacker::new().unpack(&chunk.bytes).expect("a chunk");
    alter(&mut body);
    let bytes = Packer::new().pack(&header, &body);
    PackedChunk { header, bytes }
}

#[tokio::test]
async fn windows_equal_their_log() {
    let bench = Bench::settled().await;
    let windows = bench.windows().await;
    let options = Options::default();
    let report = bench.verify_with(Some(windows.clone()), &options).await;
    assert_eq!(report.first_difference, None);
    // 21 comments and a repeat in each room; states of the history, of the window and resumed from.
    assert_eq!((report.window_events, report.states), (66, 9));
    assert_eq!(report.windows_unknown, 0);
    windows.wipe(room("a").slot());
    let report = bench.verify_with(Some(windows), &options).await;
    assert_eq!((report.windows_unknown, report.differences), (1, 0));
}

#[tokio::test]
async fn a_wrong_event_of_a_window_is_found() {
    let bench = Bench::settled().await;
    let found = bench.difference_after(|window, state| {
        let chunk = last_chunk(window, |_| ());
        let chunks = vec![chunk];
        WindowChange {
            chunks,
            ..unchanged(state)
        }
    });
    assert_eq!(found.await.why, "is not in the log");
}

#[tokio::test]
async fn a_wrong_refusal_of_a_window_is_found() {
    let bench = Bench::settled().await;
    let found = bench.difference_after(|window, state| {
        let mut chunk = last_chunk(window, |body| body.unsettled[0].logged_at += 1);
        let (mut header, mut body) = Unpacker::new().unpack(&chunk.bytes).expect("a chunk");
        body.settled.clear();
        (header.count, header.first_seq) = (0, Seq(22));
        chunk.bytes = Packer::new().pack(&header, &body);
        chunk.header = header;
        let chunks = vec![chunk];
        WindowChange {
            chunks,
            ..unchanged(state)
        }
    });
    assert!(found.await.what.contains("unsettled event"));
}

#[tokio::test]
async fn a_wrong_state_of_a_window_is_found() {
    let bench = Bench::settled().await;
    let found = bench.difference_after(|_, state| {
        let mut core: StateCore = codec::from_stored(&state.core).expect("a core");
        core.totals.likes += 1;
        let mut change = unchanged(state);
        change.state.core = codec::to_stored(&core);
        change
    });
    let found = found.await;
    assert_eq!(
        (&*found.what, &*found.why),
        ("the window's state", "has another core")
    );
}

#[tokio::test]
async fn a_wrong_memory_of_a_window_is_found() {
    let bench = Bench::settled().await;
    let found = bench.difference_after(|_, state| {
        let last = state.event_memory.last().expect("a block");
        let mut block: EventMemoryBlock = codec::from_stored(last).expect("a block");
        block.entries[0].clock += 1;
        let mut change = unchanged(state);
        change.state.event_memory = vec![codec::to_stored(&block)];
        change
    });
    let found = found.await;
    assert!(
        found.what.starts_with("the windows' event memory"),
        "{found:?}"
    );
    assert_eq!(found.why, "is another");
}

/// The stores move on while the log is settled again: no false alarm.
#[tokio::test]
async fn stores_that_move_on_meanwhile_are_equal() {
    let bench = Bench::settled().await;
    let (mut filling, memory) = bench.filling();
    let stop = CancellationToken::new();
    let moving = async {
        for n in 0.. {
            if stop.is_cancelled() {
                return;
            }
            let name = ["a", "b", "c", "new"][n as usize % 4];
            bench.send(name, 1_000 + n, comment()).await;
            filling.turn(u64::from(n) * 500).await.expect("a turn");
            if n % 7 == 0 {
                bench.project().await;
            }
        }
    };
    let verifying = async {
        for _ in 0..20 {
            let windows = Some(memory.clone());
            let report = bench.verify_with(windows, &Options::default()).await;
            assert_eq!(report.first_difference, None);
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    tokio::join!(moving, verifying);
}

#[tokio::test]
async fn windows_that_are_lost_come_back_as_they_were() {
    let bench = Bench::settled().await;
    let (mut projector, memory) = bench.filling();
    bench.send("a", 99, comment()).await;
    let a = room("a");
    let last_seq = async |now_ms, projector: &mut Projector<_, _>| {
        for _ in 0..100 {
            projector.turn(now_ms).await.expect("a turn");
        }
        let window = memory.room(&a).await.expect("a window");
        let last = window.chunks.last().expect("a chunk").header;
        (last.first_seq.0 + u64::from(last.count) - 1, window.state)
    };
    let before = last_seq(0, &mut projector).await;
    assert_eq!(before.0, 21);
    memory.wipe(a.slot());
    let after = last_seq(1_000, &mut projector).await;
    assert_eq!(after.0, 21);
    assert_eq!(
        after.1.map(|s| s.core.clone()),
        before.1.map(|s| s.core.clone())
    );
}

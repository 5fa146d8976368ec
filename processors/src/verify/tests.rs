use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use danmu_log::embedded::{self, EmbeddedLog};
use danmu_log::{LogWriter, NewRecord};
use danmu_projections::history::store::{Order, Row};
use danmu_projections::history::{EmbeddedHistory, HistoryWriter, layout};
use danmu_projections::windows::{MemoryWindows, RefillOptions, WindowLimits, WindowRead, Windows};
use danmu_schemas::event::{Body, Comment, Reason, RoomEvent, Style};
use danmu_schemas::{EventId, Generation, Role, codec};

use super::*;
use crate::projector::{Options, Projector, Standing};

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
        let event = RoomEvent {
            id: EventId(u128::from(n).to_be_bytes()),
            room: room.into(),
            accepted_at: 0,
            recorded_at: None,
            user: None,
            role: Role::Backend,
            device: None,
            body,
        };
        let route = self.log.routes().route(Slot::of(room));
        let record = NewRecord {
            epoch: route.epoch,
            key: Bytes::copy_from_slice(room.as_bytes()),
            value: codec::to_wire(&event).into(),
        };
        let appended = self.log.append(Partition(route.partition), vec![record]);
        appended.await.expect("appended");
    }

    async fn project(&self) {
        let writer = HistoryWriter::new(self.history.clone(), self.log.identity());
        let options = Options {
            wait: Duration::from_millis(1),
            ..Options::default()
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
        let history = HistoryReader::new(self.history.clone(), self.log.identity());
        verify(&mut self.log.reader(), self.log.routes(), &history)
            .await
            .expect("verifies")
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
    assert_eq!(report.facts, 6);
    assert_eq!(report, bench.verify().await);
}

#[tokio::test]
async fn one_altered_byte_of_a_chunk_is_found() {
    let bench = Bench::settled().await;
    let range = layout::chunks_from(&room("b"), Generation::FIRST, Seq::ZERO);
    let rows = bench.history.scan(range, Order::Ascending, 1).await;
    let mut row: Row = rows.expect("read").remove(0);
    let mut body = row.body.to_vec();
    let middle = body.len() / 2;
    body[middle] ^= 1;
    row.body = body.into();
    bench.history.write(vec![row]).await.expect("written");
    let report = bench.verify().await;
    assert!(report.differences > 0);
    assert_eq!(report.first_difference.expect("one").room, room("b"));
}

#[tokio::test]
async fn the_state_of_another_room_is_found() {
    let bench = Bench::settled().await;
    let history = HistoryReader::new(bench.history.clone(), bench.log.identity());
    let watermark = |room: RoomId| {
        let history = &history;
        async move {
            history
                .watermark(room.slot())
                .await
                .expect("read")
                .expect("one")
        }
    };
    bench.send("d", 99, comment()).await;
    bench.project().await;
    let of_d = history.state(&room("d"), watermark(room("d")).await).await;
    let (_, stored) = of_d.expect("read").expect("a state");
    let at = watermark(room("a")).await;
    let row = layout::state_row(&room("a"), at, &stored.core, &stored.fields);
    bench.history.write(vec![row]).await.expect("written");
    let difference = bench.verify().await.first_difference.expect("one");
    assert_eq!(
        (difference.room, difference.why.as_str()),
        (room("a"), "has another core")
    );
}

#[tokio::test]
async fn windows_that_are_lost_come_back_as_they_were() {
    let bench = Bench::settled().await;
    let memory = MemoryWindows::new(WindowLimits::default());
    let history = HistoryReader::new(bench.history.clone(), bench.log.identity());
    let refill = RefillOptions {
        owner: 1,
        log_is_whole: true,
        events_max: 1_000,
    };
    let windows = Windows::new(memory.clone(), history, bench.log.identity(), refill);
    let options = Options {
        wait: Duration::from_millis(1),
        ..Options::default()
    };
    let routes = bench.log.routes().clone();
    let mut projector = Projector::new(windows, bench.log.reader(), routes, options);
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

//! Whatever fails and whenever it crashes, each settled event is published, and below a watermark at once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use danmu_log::embedded::{self, EmbeddedLog, EmbeddedReader};
use danmu_log::{AppendError, Lane, LogReader, LogWriter, NewRecord, ReadEvent};
use danmu_projections::history::{EmbeddedHistory, HistoryReader, HistoryWriter};
use danmu_schemas::event::{Body, Comment, RoomEvent, Style, User};
use danmu_schemas::{
    EventId, Generation, Partition, Position, Role, RoomId, Seq, SettledEvent, Slot, codec,
};
use tempfile::TempDir;

use super::Published;
use crate::projector::{Options, Projector, Remedy};

const ROOMS: [&str; 4] = ["a", "b", "c", "d"];
const SEEDS: u64 = 12;
const STEPS: u64 = 40;
/// The most turns that anything here needs.
const TURNS_MAX: usize = 1_000;

type Loop = Projector<Published<HistoryWriter<EmbeddedHistory>, Unreliable>, EmbeddedReader>;

/// Every published event by its place, as its bytes.
type Content = BTreeMap<(String, Generation, Seq), Bytes>;

/// A log whose calls fail now and then, in each way that its port allows, and never answer at once.
#[derive(Clone)]
struct Unreliable {
    log: EmbeddedLog,
    fate: Arc<Mutex<fastrand::Rng>>,
    /// Of so many calls one fails, in one way or another; 0 for none.
    fails_of: u32,
    /// How often it was overloaded.
    refused: Arc<AtomicU32>,
}

enum Fate {
    Taken,
    TakenUnanswered,
    Overloaded,
    Lost,
}

impl Unreliable {
    fn fate(&self) -> Fate {
        let mut rng = self.fate.lock().expect("not poisoned");
        if self.fails_of == 0 || rng.u32(..self.fails_of) > 0 {
            return Fate::Taken;
        }
        match rng.u8(..3) {
            0 => Fate::Overloaded,
            1 => Fate::Lost,
            _ => Fate::TakenUnanswered,
        }
    }
}

impl LogWriter for Unreliable {
    async fn append(
        &self,
        partition: Partition,
        records: Vec<NewRecord>,
    ) -> Result<i64, AppendError> {
        let unknown = || AppendError::Unknown("told to fail".into());
        let fate = self.fate();
        if let Fate::Overloaded = fate {
            return Err(AppendError::Overloaded("told to"));
        }
        // Handed over, and not there yet: whoever does not wait is ahead of it.
        if self.fails_of > 0 {
            tokio::task::yield_now().await;
        }
        if let Fate::Lost = fate {
            return Err(unknown());
        }
        let appended = self.log.append(partition, records).await;
        if let Err(AppendError::Overloaded(_)) = appended {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        let first = appended?;
        match fate {
            Fate::TakenUnanswered => Err(unknown()),
            _ => Ok(first),
        }
    }

    async fn trim(&self, partition: Partition, offset: i64) -> Result<(), AppendError> {
        self.log.trim(partition, offset).await
    }
}

struct Bench {
    _dir: TempDir,
    log: EmbeddedLog,
    topic: Unreliable,
    history: EmbeddedHistory,
    sent: u64,
}

impl Bench {
    fn new(seed: u64, fails_of: u32) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let log = open_log(&dir.path().join("log"));
        let topic = Unreliable {
            log: open_log(&dir.path().join("topic")),
            fate: Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))),
            fails_of,
            refused: Arc::default(),
        };
        let history = EmbeddedHistory::open(&dir.path().join("history")).expect("a history");
        Self {
            _dir: dir,
            log,
            topic,
            history,
            sent: 0,
        }
    }

    fn projector(&self) -> Loop {
        let options = Options {
            wait: Duration::from_millis(1),
            retry_after: Duration::from_millis(1),
            ..Options::default()
        };
        let routes = self.log.routes().clone();
        let writer = HistoryWriter::new(self.history.clone(), self.log.reader().identity());
        let published = Published::new(writer, self.topic.clone(), routes.clone());
        Projector::new(published, self.log.reader(), routes, options)
    }

    fn reader(&self) -> HistoryReader<EmbeddedHistory> {
        HistoryReader::new(self.history.clone(), self.log.reader().identity())
    }

    async fn comment(&mut self, room: &str) {
        self.sent += 1;
        let event = RoomEvent {
            id: EventId(u128::from(self.sent).to_be_bytes()),
            room: room.into(),
            accepted_at: 0,
            recorded_at: None,
            user: Some(User {
                id: "ann".into(),
                name: "Ann".into(),
                ext: Vec::new(),
            }),
            role: Role::Backend,
            device: None,
            body: Body::Comment(Comment {
                text: "hello".into(),
                style: Style::default(),
                reply_to: None,
                ext: Vec::new(),
            }),
        };
        let route = self.log.routes().route(Slot::of(room));
        let record = NewRecord {
            epoch: route.epoch,
            key: Bytes::copy_from_slice(room.as_bytes()),
            value: codec::to_wire(&event).into(),
            lane: Lane::Priority,
            traceparent: None,
        };
        let appended = self.log.append(Partition(route.partition), vec![record]);
        appended.await.expect("appended");
    }

    /// What the topic holds; what it holds twice must be the same.
    async fn published(&self) -> Content {
        let mut reader = self.topic.log.reader();
        let mut content = Content::new();
        let mut ends = BTreeMap::new();
        for partition in reader.partitions() {
            ends.insert(
                partition,
                reader.end_offset(partition).await.expect("an end"),
            );
        }
        let mut read_to = BTreeMap::new();
        while ends
            .iter()
            .any(|(partition, end)| read_to.get(partition) < Some(end))
        {
            match reader.next(Duration::from_millis(1)).await.expect("read") {
                ReadEvent::Assigned(partitions) => {
                    for partition in partitions {
                        reader.seek(partition, 0).await.expect("a place");
                        read_to.insert(partition, 0);
                    }
                }
                ReadEvent::Records(batch) => {
                    for record in batch.records {
                        read_to.insert(batch.partition, record.offset + 1);
                        let (place, room) = place(&record.value);
                        assert_eq!(room.as_bytes(), record.key);
                        let first = content.entry(place).or_insert(record.value.clone());
                        assert_eq!(first, &record.value, "published twice, not the same");
                    }
                }
                ReadEvent::Revoked(_) | ReadEvent::Idle => {}
            }
        }
        content
    }

    /// What the history holds, as it should be published: all of it, or what a watermark covers.
    async fn history(&self, covered: bool) -> Content {
        let reader = self.reader();
        let mut content = Content::new();
        for name in ROOMS {
            let room = RoomId::parse(name).expect("a room");
            let watermark = reader.watermark(room.slot()).await.expect("a watermark");
            let watermark = watermark.unwrap_or(Position::BEGIN);
            let events = reader.events(&room, Generation::FIRST, Seq(0), usize::MAX / 2);
            for settled in events.await.expect("events") {
                if covered && settled.offset > watermark.offset {
                    continue;
                }
                let mut wire = Vec::new();
                codec::settled_to_wire(Generation::FIRST, &settled, &mut wire);
                let place = (name.to_owned(), Generation::FIRST, settled.seq);
                content.insert(place, wire.into());
            }
        }
        content
    }
}

fn place(wire: &[u8]) -> ((String, Generation, Seq), String) {
    let SettledEvent { seat, event } = codec::from_wire(wire).expect("a settled event");
    let room = event.room.into_owned();
    ((room.clone(), seat.generation, seat.seq), room)
}

fn open_log(dir: &Path) -> EmbeddedLog {
    let mut options = embedded::Options::new(dir, embedded::wall_clock());
    options.partitions = 2.try_into().expect("not 0");
    EmbeddedLog::open(options).expect("the log opens")
}

async fn turn(projector: &mut Loop, now_ms: u64) {
    if let Err(error) = projector.turn(now_ms).await {
        assert_eq!(error.remedy(), Remedy::Retry, "{error}");
    }
}

/// Turns until everything that was sent is in the history, below its watermarks.
async fn settle_all(bench: &Bench, projector: &mut Loop, now_ms: &mut u64) {
    for _ in 0..TURNS_MAX {
        turn(projector, *now_ms).await;
        *now_ms += 500;
        if bench.history(true).await.len() as u64 == bench.sent {
            return;
        }
    }
    panic!("not all of {} events are in the history", bench.sent);
}

/// The law: at any moment, also of a crash, whatever a watermark covers is published; in the end all is.
#[tokio::test]
async fn nothing_below_a_watermark_is_missing() {
    let (mut crashes, mut covered) = (0, 0);
    for seed in 0..SEEDS {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut bench = Bench::new(seed, 4);
        let mut projector = bench.projector();
        let mut now_ms = 0;
        for _ in 0..STEPS {
            bench.comment(ROOMS[rng.usize(..ROOMS.len())]).await;
            match rng.u8(..8) {
                0 => {
                    projector = bench.projector();
                    now_ms = 0;
                    crashes += 1;
                }
                1..=4 => {
                    now_ms += rng.u64(..6_000);
                    turn(&mut projector, now_ms).await;
                    let published = bench.published().await;
                    for (place, wire) in bench.history(true).await {
                        assert_eq!(published.get(&place), Some(&wire), "{seed}: {place:?}");
                        covered += 1;
                    }
                }
                _ => {}
            }
        }
        settle_all(&bench, &mut projector, &mut now_ms).await;
        assert_eq!(
            bench.published().await,
            bench.history(false).await,
            "{seed}"
        );
    }
    assert!(crashes > 10 && covered > 500, "{crashes}, {covered}");
}

/// A step that the history takes for a repeat, or not at all, is not forgotten either.
#[tokio::test]
async fn two_processors_publish_what_each_of_them_covers() {
    let mut bench = Bench::new(1, 0);
    let (mut first, mut second) = (bench.projector(), bench.projector());
    let mut now_ms = 0;
    for n in 0..60_usize {
        bench.comment(ROOMS[n % ROOMS.len()]).await;
        now_ms += 900;
        let turned = if n % 3 == 0 { &mut first } else { &mut second };
        turn(turned, now_ms).await;
    }
    settle_all(&bench, &mut second, &mut now_ms).await;
    assert_eq!(bench.published().await, bench.history(false).await);
}

/// A topic that takes little at a time makes its loop wait, and nothing else.
#[tokio::test]
async fn a_full_queue_is_waited_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut bench = Bench::new(1, 0);
    let mut options = embedded::Options::new(dir.path(), embedded::wall_clock());
    options.partitions = 2.try_into().expect("not 0");
    // Room for one of the four calls.
    options.queue_bytes_max = 16 * 1_024;
    bench.topic.log = EmbeddedLog::open(options).expect("the log opens");
    for n in 0..200 {
        bench.comment(ROOMS[n % ROOMS.len()]).await;
    }
    let mut projector = bench.projector();
    settle_all(&bench, &mut projector, &mut 0).await;
    assert_eq!(bench.published().await.len(), 200);
    assert!(bench.topic.refused.load(Ordering::Relaxed) > 0);
}

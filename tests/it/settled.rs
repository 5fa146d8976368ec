//! Settled events on Kafka: read as an analyst reads them, and whole after the broker was killed.
//!
//! The loop, the history and the topic are the product's own; the analyst is
//! `tests/analyst/settled_events.py`, which knows the schema files and nothing of us. `XTASK_PYTHON` names
//! a Python with confluent-kafka and fastavro; `python3` where it is not set, and then the test says aloud
//! that it was skipped where that has none.

use std::collections::BTreeMap;
use std::io::Write;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use danmu_log::embedded::{self, EmbeddedLog};
use danmu_log::kafka::topics::{self, Layout, Topics};
use danmu_log::kafka::{KafkaLog, Options, Reading};
use danmu_log::{Lane, LogReader, LogWriter, NewRecord, ReadEvent, Routes};
use danmu_processors::projector::{self, Projector};
use danmu_processors::published::Published;
use danmu_projections::history::{EmbeddedHistory, HistoryReader, HistoryWriter};
use danmu_schemas::event::{
    BroadcastStart, Comment, Delete, Gift, Mode, Reason, Size, Style, Target, User,
};
use danmu_schemas::{
    Body, EventId, Generation, LogIdentity, Partition, Role, RoomEvent, RoomId, Seq, Settled,
    SettledEvent, Slot, codec,
};
use danmu_stack::{Engine, Server, shared};
use serde_json::{Value, json};
use tempfile::TempDir;

const PARTITIONS: NonZeroU32 = NonZeroU32::new(2).expect("2 is not 0");
const ROOMS: [&str; 3] = ["stage-1", "stage-2", "stage-3"];
/// Longer than anything here takes on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(240);

type Publishing = Published<HistoryWriter<EmbeddedHistory>, KafkaLog>;
/// Room, generation and seq.
type Place = (String, Generation, Seq);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_analyst_reads_what_the_history_has() -> anyhow::Result<()> {
    let Some(python) = python() else {
        return Ok(());
    };
    let options = Options {
        topic: format!("danmu.test-{:016x}", fastrand::u64(..)),
        ..Options::new(shared::address(Engine::Kafka)?)
    };
    let mut show = Show::begin(options.clone()).await?;
    let mut projector = show.projector();
    for n in 0..40 {
        show.a_bit_of_everything(n).await?;
    }
    show.settle_all(&mut projector).await?;

    let read = analyse(&python, &options)?;
    let told = show.history().await?;
    ensure!(read.len() == told.len(), "{} of {}", read.len(), told.len());
    for (place, settled) in &told {
        let event = codec::decode_datum(&settled.datum)?;
        let expected = columns(place, settled, &event);
        let found = read.get(place).with_context(|| format!("{place:?}"))?;
        for (column, value) in expected.as_object().context("columns")? {
            ensure!(&found[column] == value, "{place:?}: {column} {found}");
        }
    }
    show.topic.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_loses_and_alters_nothing() -> anyhow::Result<()> {
    let directory = TempDir::new()?;
    let stack = danmu_stack::Options::new(directory.path());
    let mut server = Server::start(Engine::Kafka, stack)?;
    let mut show = Show::begin(Options::new(server.address())).await?;
    let mut projector = show.projector();
    for n in 0..20 {
        show.a_bit_of_everything(n).await?;
    }
    show.settle_all(&mut projector).await?;
    for n in 20..40 {
        show.a_bit_of_everything(n).await?;
    }
    // Handed over, and not acknowledged.
    server.kill();
    for _ in 0..20 {
        projector.turn(show.now_ms).await?;
    }
    let covered = show.history().await?.len();
    ensure!(covered < show.sent, "a watermark went on without the topic");
    let restarted = tokio::task::spawn_blocking(move || server.restart().map(|()| server));
    show.settle_all(&mut projector).await?;
    let _server = restarted.await??;

    let published = show.published().await?;
    let told = show.history().await?;
    ensure!(published.len() == told.len(), "{}", published.len());
    for (place, settled) in told {
        let mut wire = Vec::new();
        codec::settled_to_wire(place.1, &settled, &mut wire);
        ensure!(published[&place] == wire, "{place:?}");
    }
    show.topic.close().await;
    Ok(())
}

#[test]
fn the_reader_in_the_manual_is_the_one_that_is_tested() {
    let manual = include_str!("../../docs/ANALYTICS.md");
    assert!(manual.contains(include_str!("../analyst/settled_events.py")));
}

/// Rooms in an embedded log, settled into an embedded history, published to Kafka.
struct Show {
    _directory: TempDir,
    log: EmbeddedLog,
    history: EmbeddedHistory,
    topic: KafkaLog,
    sent: usize,
    now_ms: u64,
}

impl Show {
    async fn begin(options: Options) -> anyhow::Result<Self> {
        let layout = Layout {
            partitions: PARTITIONS,
            ..Layout::default()
        };
        Topics::connect(options.clone())?.create(&layout).await?;
        let topic = KafkaLog::connect(options).await?.settled().await?;
        let directory = TempDir::new()?;
        let mut log = embedded::Options::new(directory.path().join("log"), embedded::wall_clock());
        log.partitions = PARTITIONS;
        Ok(Self {
            log: EmbeddedLog::open(log)?,
            history: EmbeddedHistory::open(&directory.path().join("history"))?,
            _directory: directory,
            topic,
            sent: 0,
            now_ms: 0,
        })
    }

    fn log_identity(&self) -> LogIdentity {
        self.log.reader().identity()
    }

    fn routes(&self) -> Routes {
        self.log.routes().clone()
    }

    fn projector(&self) -> Projector<Publishing, embedded::EmbeddedReader> {
        let writer = HistoryWriter::new(self.history.clone(), self.log_identity());
        let published = Published::new(writer, self.topic.clone(), self.routes());
        let options = projector::Options {
            wait: Duration::from_millis(10),
            ..projector::Options::default()
        };
        Projector::new(published, self.log.reader(), self.routes(), options)
    }

    /// One event in each room.
    async fn a_bit_of_everything(&mut self, n: usize) -> anyhow::Result<()> {
        for room in ROOMS {
            let body = body(n, id(self.sent.saturating_sub(ROOMS.len())));
            let event = RoomEvent {
                id: id(self.sent),
                room: room.into(),
                accepted_at: 1_700_000_000_000 + n as i64,
                recorded_at: None,
                user: Some(User {
                    id: format!("user-{}", n % 5).into(),
                    name: "Ann 安".into(),
                    ext: vec![("头像".into(), "a.png".into())],
                }),
                role: Role::Host,
                device: None,
                body,
            };
            let route = self.log.routes().route(Slot::of(room));
            let record = NewRecord {
                epoch: route.epoch,
                key: Bytes::from_static(room.as_bytes()),
                value: codec::to_wire(&event).into(),
                lane: Lane::Priority,
                traceparent: None,
            };
            let partition = Partition(route.partition);
            self.log.append(partition, vec![record]).await?;
            self.sent += 1;
        }
        Ok(())
    }

    /// Turns until every event is in the history, which it is not before its checkpoint.
    async fn settle_all<R: LogReader>(
        &mut self,
        projector: &mut Projector<Publishing, R>,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + DEADLINE;
        while self.history().await?.len() < self.sent {
            ensure!(Instant::now() < deadline, "not all was settled in time");
            self.now_ms += 500;
            projector.turn(self.now_ms).await?;
        }
        Ok(())
    }

    async fn history(&self) -> anyhow::Result<BTreeMap<Place, Settled>> {
        let reader = HistoryReader::new(self.history.clone(), self.log_identity());
        let mut all = BTreeMap::new();
        for name in ROOMS {
            let room = RoomId::parse(name)?;
            let events = reader.events(&room, Generation::FIRST, Seq(0), self.sent);
            for settled in events.await? {
                all.insert((name.to_owned(), Generation::FIRST, settled.seq), settled);
            }
        }
        Ok(all)
    }

    /// What the topic holds; what it holds twice must be the same, in the room's own partition.
    async fn published(&self) -> anyhow::Result<BTreeMap<Place, Bytes>> {
        let mut reader = self.topic.reader(Reading::All)?;
        let mut left = BTreeMap::new();
        for partition in reader.partitions() {
            left.insert(partition, reader.end_offset(partition).await?);
        }
        left.retain(|_, end| *end > 0);
        let mut all = BTreeMap::new();
        let deadline = Instant::now() + DEADLINE;
        while !left.is_empty() {
            ensure!(Instant::now() < deadline, "not read in time: {left:?}");
            match reader.next(Duration::from_millis(100)).await? {
                ReadEvent::Assigned(partitions) => {
                    for partition in partitions {
                        let first = reader.first_offset(partition).await?;
                        reader.seek(partition, first).await?;
                    }
                }
                ReadEvent::Records(batch) => {
                    for record in batch.records {
                        let SettledEvent { seat, event } = codec::from_wire(&record.value)?;
                        let room = event.room.into_owned();
                        ensure!(room.as_bytes() == record.key, "the key is not the room");
                        let route = self.routes().route(Slot::of(&room));
                        ensure!(route.partition == batch.partition.0, "{room} elsewhere");
                        let place = (room, seat.generation, seat.seq);
                        let first = all.entry(place).or_insert(record.value.clone());
                        ensure!(*first == record.value, "twice, and not the same");
                        if left.get(&batch.partition) == Some(&(record.offset + 1)) {
                            left.remove(&batch.partition);
                        }
                    }
                }
                ReadEvent::Idle => {}
                ReadEvent::Revoked(lost) => bail!("{lost:?} were revoked"),
            }
        }
        Ok(all)
    }
}

fn id(n: usize) -> EventId {
    EventId((n as u128 + 1).to_be_bytes())
}

/// What the n-th event of a room is; `previous` is the one before it.
fn body(n: usize, previous: EventId) -> Body<'static> {
    match n {
        0 => Body::BroadcastStart(BroadcastStart {
            title: "Opening 🎉".into(),
            recorded: false,
            zero_at: None,
            ext: Vec::new(),
        }),
        39 => Body::BroadcastEnd(Reason { reason: None }),
        n if n % 7 == 3 || n % 7 == 4 => Body::Gift(Gift {
            gift: "rocket".into(),
            name: "Rocket".into(),
            count: 2,
            unit_value: 500,
            currency: "coin".into(),
            text: Some("go".into()),
            combo: Some(format!("c{}", n / 7).into()),
            issued_at: embedded::wall_clock()(),
            ext: Vec::new(),
        }),
        n if n % 7 == 6 => Body::Delete(Delete {
            target: Target::Id(previous),
            reason: "spam".into(),
        }),
        n => Body::Comment(Comment {
            text: format!("前方高能 {n}").into(),
            style: Style {
                mode: Mode::Bottom,
                color: 0xff_8800,
                size: Size::Small,
            },
            reply_to: (n > 1).then_some(previous),
            ext: vec![("badge".into(), "7".into())],
        }),
    }
}

/// What an analyst must find of an event.
fn columns(place: &Place, settled: &Settled, event: &RoomEvent<'_>) -> Value {
    let user = event
        .user
        .as_ref()
        .map(|user| json!({"id": user.id, "name": user.name, "ext": map(&user.ext)}));
    let comment = match &event.body {
        Body::Comment(comment) => json!({
            "text": comment.text,
            "style": {
                "mode": comment.style.mode.as_str(),
                "color": comment.style.color,
                "size": comment.style.size.as_str(),
            },
            "reply_to": comment.reply_to.map(|id| id.uuid().simple().to_string()),
            "ext": map(&comment.ext),
        }),
        _ => Value::Null,
    };
    let gift = match &event.body {
        Body::Gift(gift) => json!({
            "gift": gift.gift,
            "name": gift.name,
            "count": gift.count,
            "unit_value": gift.unit_value,
            "currency": gift.currency,
            "text": gift.text,
            "combo": gift.combo,
            "issued_at": gift.issued_at,
            "ext": map(&gift.ext),
        }),
        _ => Value::Null,
    };
    json!({
        "room": place.0,
        "generation": place.1.0,
        "seq": place.2.0,
        "at": settled.at,
        "logged_at": settled.logged_at,
        "crowd": settled.crowd,
        "combo_total": settled.combo_total,
        "target_seq": settled.target_seq.map(|seq| seq.0),
        "id": event.id.to_string(),
        "kind": event.body.kind(),
        "accepted_at": event.accepted_at,
        "recorded_at": event.recorded_at,
        "role": event.role.as_str(),
        "device": null,
        "user": user,
        "comment": comment,
        "gift": gift,
    })
}

fn map<K: AsRef<str>, V: AsRef<str>>(ext: &[(K, V)]) -> Value {
    let entry = |(key, value): &(K, V)| (key.as_ref().to_owned(), json!(value.as_ref()));
    Value::Object(ext.iter().map(entry).collect())
}

/// What the reader printed, by place; a place twice is an error.
pub fn analyse(python: &Path, options: &Options) -> anyhow::Result<BTreeMap<Place, Value>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(python)
        .arg(here.join("analyst/settled_events.py"))
        .args([&options.brokers, &topics::settled(&options.topic)])
        .arg(here.join("../schemas/avro"))
        .output()?;
    let complained = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{complained}");
    let mut all = BTreeMap::new();
    for line in std::str::from_utf8(&output.stdout)?.lines() {
        let event: Value = serde_json::from_str(line)?;
        let number = |column: &str| event[column].as_u64().context("a number");
        let room = event["room"].as_str().context("a room")?.to_owned();
        let generation = Generation(number("generation")?.try_into()?);
        let place = (room, generation, Seq(number("seq")?));
        ensure!(all.insert(place, event).is_none(), "twice: {line}");
    }
    Ok(all)
}

/// A Python that has what the analyst uses; without one says so.
pub fn python() -> Option<PathBuf> {
    let named = std::env::var_os("XTASK_PYTHON");
    let python = named.clone().unwrap_or_else(|| "python3".into());
    let import = Command::new(&python)
        .args(["-c", "import confluent_kafka, fastavro"])
        .output();
    if import.is_ok_and(|output| output.status.success()) {
        return Some(python.into());
    }
    assert!(named.is_none(), "{python:?} has no confluent-kafka");
    let skipped = "SKIPPED the reader of settled events: python3 has no confluent-kafka, fastavro";
    // Written past the test harness, which hides what a passing test prints.
    writeln!(std::io::stderr(), "{skipped}").expect("a standard error");
    None
}

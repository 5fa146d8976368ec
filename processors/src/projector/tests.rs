mod ledger;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use danmu_log::embedded::{self, EmbeddedLog, EmbeddedReader, LetterFile};
use danmu_log::{Lane, LogWriter, NewRecord, Undecodable};
use danmu_schemas::codec;
use danmu_schemas::event::{Body, Comment, Reason, RoomEvent, Style, User};
use danmu_schemas::{EventId, Role};
use tempfile::TempDir;

use super::*;
use ledger::Ledger;

/// Two partitions, two rooms each.
const ROOMS: [&str; 4] = ["a", "b", "c", "d"];
/// The most turns that any test needs.
const TURNS_MAX: usize = 1_000;

struct Bench {
    dir: TempDir,
    log: EmbeddedLog,
    sent: u64,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let log = open_log(&dir.path().join("log"));
        Self { dir, log, sent: 0 }
    }

    async fn append(&self, room: &str, value: Vec<u8>) {
        let route = self.log.routes().route(Slot::of(room));
        let record = NewRecord {
            epoch: route.epoch,
            lane: Lane::Viewers,
            key: Bytes::copy_from_slice(room.as_bytes()),
            value: value.into(),
            traceparent: None,
        };
        let appended = self.log.append(Partition(route.partition), vec![record]);
        appended.await.expect("appended");
    }

    async fn send(&mut self, room: &str, body: Body<'_>) {
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
            body,
        };
        self.append(room, codec::to_wire(&event)).await;
    }

    async fn comment(&mut self, room: &str) {
        self.send(room, comment("hello")).await;
    }

    fn projector(&self, ledger: &Ledger) -> Projector<Ledger, EmbeddedReader> {
        let options = Options {
            wait: Duration::from_millis(1),
            ..Options::default()
        };
        self.projector_with(ledger, options)
    }

    fn projector_with(
        &self,
        ledger: &Ledger,
        options: Options,
    ) -> Projector<Ledger, EmbeddedReader> {
        let routes = self.log.routes().clone();
        Projector::new(ledger.clone(), self.log.reader(), routes, options)
    }

    /// What the whole log is, settled at one go.
    async fn settled(&self) -> Ledger {
        let ledger = Ledger::default();
        catch_up(&mut self.projector(&ledger)).await;
        ledger
    }
}

fn open_log(dir: &Path) -> EmbeddedLog {
    let ticks = AtomicI64::new(1_000_000);
    let clock = Arc::new(move || ticks.fetch_add(7, Ordering::Relaxed));
    let mut options = embedded::Options::new(dir, clock);
    options.partitions = 2.try_into().expect("not 0");
    EmbeddedLog::open(options).expect("the log opens")
}

fn comment(text: &str) -> Body<'_> {
    Body::Comment(Comment {
        text: text.into(),
        style: Style::default(),
        reply_to: None,
        ext: Vec::new(),
    })
}

/// Turns until everything that is in the log is settled.
async fn catch_up(projector: &mut Projector<Ledger, EmbeddedReader>) {
    catch_up_at(projector, 0).await;
}

async fn catch_up_at(projector: &mut Projector<Ledger, EmbeddedReader>, now_ms: u64) {
    turn_until(projector, now_ms, |_, owned, end| {
        owned.ready && owned.read_to + 1 >= end
    })
    .await;
}

/// Turns at `now_ms` until `is_there` holds in every partition.
async fn turn_until(
    projector: &mut Projector<Ledger, EmbeddedReader>,
    now_ms: u64,
    is_there: impl Fn(Partition, &PartitionStanding, i64) -> bool,
) {
    for _ in 0..TURNS_MAX {
        projector.turn(now_ms).await.expect("a turn");
        let mut ends = Vec::new();
        for partition in projector.reader.partitions() {
            let end = projector
                .reader
                .end_offset(partition)
                .await
                .expect("an end");
            ends.push((partition, end));
        }
        let standing = projector.standing.borrow();
        let holds = |(partition, end): &(Partition, i64)| {
            let owned = standing.partitions.get(partition);
            owned.is_some_and(|owned| is_there(*partition, owned, *end))
        };
        if ends.iter().all(holds) {
            return;
        }
    }
    panic!(
        "not there after {TURNS_MAX} turns: {:?}",
        projector.standing
    );
}

fn events(ledger: &Ledger, room: &str) -> usize {
    let content = ledger.content();
    content
        .rooms
        .get(room)
        .map_or(0, |stored| stored.events.len())
}

#[tokio::test]
async fn every_event_is_settled_and_the_loop_says_so() {
    let mut bench = Bench::new();
    for room in ROOMS.iter().cycle().take(40) {
        bench.comment(room).await;
    }
    let ledger = Ledger::default();
    let mut projector = bench.projector(&ledger);
    assert!(!projector.standing().borrow().is_ready());
    catch_up(&mut projector).await;
    assert!(projector.standing().borrow().is_ready());
    assert_eq!(ROOMS.map(|room| events(&ledger, room)), [10; 4]);
}

#[tokio::test]
async fn restarting_at_any_record_gives_the_same() {
    for stop_after in 0..12 {
        let mut bench = Bench::new();
        let ledger = Ledger::default();
        for n in 0..12 {
            if n == stop_after {
                catch_up(&mut bench.projector(&ledger)).await;
            }
            bench.comment(ROOMS[n % 3]).await;
        }
        catch_up(&mut bench.projector(&ledger)).await;
        assert_eq!(ledger.rooms(), bench.settled().await.rooms());
    }
}

#[tokio::test]
async fn two_owners_at_once_do_no_harm() {
    let mut bench = Bench::new();
    let ledger = Ledger::default();
    let mut first = bench.projector(&ledger);
    let mut second = bench.projector(&ledger);
    for n in 0..30 {
        bench.comment(ROOMS[n % 4]).await;
        let owner = if n % 3 == 0 { &mut first } else { &mut second };
        owner.turn(0).await.expect("a turn");
    }
    catch_up(&mut first).await;
    catch_up(&mut second).await;
    assert_eq!(ledger.rooms(), bench.settled().await.rooms());
}

#[tokio::test]
async fn a_store_that_went_back_is_brought_forward_though_nothing_happens() {
    let mut bench = Bench::new();
    let ledger = Ledger::default();
    let mut projector = bench.projector(&ledger);
    bench.comment("a").await;
    catch_up(&mut projector).await;
    let before = ledger.content().clone();
    bench.comment("a").await;
    catch_up(&mut projector).await;
    let now = ledger.rooms();
    *ledger.content() = before;
    assert_ne!(ledger.rooms(), now);
    // The second after finds it, the turns after that settle again.
    projector.turn(1_000).await.expect("a turn");
    catch_up_at(&mut projector, 1_000).await;
    assert_eq!(ledger.rooms(), now);
}

#[tokio::test]
async fn an_unavailable_store_is_tried_again_later() {
    let mut bench = Bench::new();
    let ledger = Ledger::default();
    let mut projector = bench.projector(&ledger);
    catch_up(&mut projector).await;
    bench.comment("a").await;
    ledger.content().failing = 1;
    for _ in 0..5 {
        projector.turn(10).await.expect("a turn");
    }
    assert_eq!(events(&ledger, "a"), 0, "too early to try again");
    catch_up_at(&mut projector, 10 + 50).await;
    assert_eq!(ledger.rooms(), bench.settled().await.rooms());
}

#[tokio::test]
async fn what_nobody_can_decode_becomes_one_letter_and_keeps_its_place() {
    let mut bench = Bench::new();
    bench.comment("a").await;
    bench.append("a", vec![7, 7, 7]).await;
    bench.append("a", [0, 0, 0, 0, 1].to_vec()).await;
    bench.comment("a").await;
    let path = bench.dir.path().join("letters.jsonl");
    for _ in 0..2 {
        let ledger = Ledger::default();
        let letters = LetterFile::open(&path, bench.log.identity()).expect("letters");
        let mut projector = bench.projector(&ledger).keeping(Box::new(letters));
        catch_up(&mut projector).await;
        let content = ledger.content();
        let offsets = content.rooms["a"].events.values().map(|event| event.offset);
        assert!(offsets.into_iter().all(|offset| offset == 0 || offset == 3));
    }
    let text = std::fs::read_to_string(&path).expect("readable");
    assert_eq!(text.lines().count(), 2, "{text}");
}

/// A place of letters that is away for a while, and then is a file.
#[derive(Debug)]
struct AwayAtFirst {
    times: u32,
    file: LetterFile,
}

impl DeadLetters for AwayAtFirst {
    fn keep(
        &mut self,
        partition: Partition,
        letters: &[Undecodable<'_>],
    ) -> Result<(), DeadLetterError> {
        if self.times > 0 {
            self.times -= 1;
            return Err(DeadLetterError::Unavailable("away".into()));
        }
        self.file.keep(partition, letters)
    }
}

#[tokio::test]
async fn nothing_passes_a_letter_that_is_not_kept() {
    let mut bench = Bench::new();
    bench.comment("a").await;
    bench.append("a", vec![7, 7, 7]).await;
    bench.comment("a").await;
    let path = bench.dir.path().join("letters.jsonl");
    let ledger = Ledger::default();
    let file = LetterFile::open(&path, bench.log.identity()).expect("letters");
    let away = AwayAtFirst { times: 2, file };
    let mut projector = bench.projector(&ledger).keeping(Box::new(away));
    for now_ms in [0, 50] {
        for _ in 0..10 {
            projector.turn(now_ms).await.expect("a turn");
        }
        assert_eq!(events(&ledger, "a"), 0, "the batch was passed");
    }
    catch_up_at(&mut projector, 10_000).await;
    assert_eq!(ledger.rooms(), bench.settled().await.rooms());
    let text = std::fs::read_to_string(&path).expect("readable");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[tokio::test]
async fn an_unknown_schema_halts_its_partition_and_no_other() {
    let mut bench = Bench::new();
    let halted = Partition(bench.log.routes().route(Slot::of("a")).partition);
    let is_elsewhere =
        |room: &&&str| bench.log.routes().route(Slot::of(room)).partition != halted.0;
    let other = ROOMS.iter().find(is_elsewhere).expect("two partitions");
    bench.comment("a").await;
    let mut unknown = Vec::new();
    codec::write_header(4_000_000, &mut unknown);
    bench.append("a", unknown).await;
    bench.comment("a").await;
    bench.comment(other).await;
    let ledger = Ledger::default();
    let mut projector = bench.projector(&ledger);
    turn_until(&mut projector, 0, |partition, owned, end| {
        (partition == halted && owned.halted.is_some()) || owned.read_to + 1 >= end
    })
    .await;
    for _ in 0..10 {
        projector.turn(60_000).await.expect("a turn");
    }
    projector.checkpoint_all(60_000).await.expect("checkpoints");
    let slot = Slot::of("a");
    let content = ledger.content();
    assert_eq!(
        content.positions[&slot].offset, 0,
        "before the unknown record"
    );
    assert_eq!(content.checkpoints[&slot].offset, 0);
    assert!(!content.rooms[*other].events.is_empty());
    let standing = projector.standing();
    let told = &standing.borrow().partitions[&halted];
    assert!(
        told.halted
            .as_ref()
            .is_some_and(|why| why.contains("4000000"))
    );
    assert!(!told.ready);
}

#[tokio::test]
async fn a_read_model_that_knows_more_than_the_log_is_refused() {
    let mut bench = Bench::new();
    bench.comment("a").await;
    let ledger = bench.settled().await;
    let shorter = Bench::new();
    let mut projector = shorter.projector(&ledger);
    let error = loop {
        if let Err(error) = projector.turn(0).await {
            break error;
        }
    };
    assert!(
        matches!(error, ProjectorError::PastEnd { end: 0, .. }),
        "{error}"
    );
    assert_eq!(error.remedy(), Remedy::Stop);
}

#[tokio::test]
async fn rooms_leave_memory_and_come_back_as_they_were() {
    let mut bench = Bench::new();
    let ledger = Ledger::default();
    let options = Options {
        wait: Duration::from_millis(1),
        rooms_held_max: 1,
        ..Options::default()
    };
    let mut projector = bench.projector_with(&ledger, options);
    for n in 0..20 {
        bench.comment(ROOMS[n % 4]).await;
        catch_up(&mut projector).await;
        let held: usize = projector.slots.values().map(|held| held.rooms.len()).sum();
        assert!(held <= 1);
    }
    assert_eq!(ledger.rooms(), bench.settled().await.rooms());
}

#[tokio::test]
async fn rooms_that_would_leave_are_lost_with_their_checkpoint() {
    let mut bench = Bench::new();
    let ledger = Ledger::default();
    let options = Options {
        wait: Duration::from_millis(1),
        rooms_held_max: 0,
        ..Options::default()
    };
    let mut projector = bench.projector_with(&ledger, options);
    ledger.content().refuses_checkpoints = true;
    bench.comment("a").await;
    while ledger.rooms().is_empty() {
        projector.turn(0).await.expect("a turn");
    }
    ledger.content().refuses_checkpoints = false;
    catch_up_at(&mut projector, 1_000).await;
    assert_eq!(ledger.rooms(), bench.settled().await.rooms());
}

#[tokio::test]
async fn checkpoints_come_when_due_and_at_once_after_a_broadcast() {
    let mut bench = Bench::new();
    let ledger = Ledger::default();
    let mut projector = bench.projector(&ledger);
    let slot = Slot::of("a");
    bench.comment("a").await;
    catch_up(&mut projector).await;
    projector.turn(9_999).await.expect("a turn");
    assert!(!ledger.content().checkpoints.contains_key(&slot));
    projector.turn(10_000).await.expect("a turn");
    assert_eq!(ledger.content().checkpoints[&slot].offset, 0);
    let end = Body::BroadcastEnd(Reason { reason: None });
    bench.send("a", end).await;
    catch_up_at(&mut projector, 10_001).await;
    assert_eq!(ledger.content().checkpoints[&slot].offset, 1);
}

/// A slot that merely moved would cost the stop a write of its own: most have.
#[tokio::test]
async fn a_clean_stop_checkpoints_what_changed() {
    let mut bench = Bench::new();
    bench.comment("a").await;
    let ledger = Ledger::default();
    let options = Options {
        wait: Duration::from_millis(1),
        advance_every: Duration::ZERO,
        ..Options::default()
    };
    let projector = bench.projector_with(&ledger, options);
    let mut standing = projector.standing();
    let stop = CancellationToken::new();
    let running = tokio::spawn(projector.run(stop.clone()));
    standing
        .wait_for(Standing::is_ready)
        .await
        .expect("it runs");
    stop.cancel();
    running.await.expect("no panic").expect("a clean stop");
    let content = ledger.content();
    assert!(content.positions.len() > 1, "no other slot has moved");
    let a = (Slot::of("a"), Position::new(0, 0));
    assert_eq!(content.checkpoints, BTreeMap::from([a]));
}

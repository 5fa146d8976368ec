//! The embedded log's own promises; what any log promises is in the conformance suite.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use tempfile::TempDir;

use super::segment::{index_path, segment_path};
use super::*;
use crate::{Lane, LogReader, ReadError, ReadEvent, Record};

const DEADLINE: Duration = Duration::from_secs(20);
const P: Partition = Partition(0);

fn record(value: impl Into<Bytes>) -> NewRecord {
    NewRecord {
        epoch: 0,
        lane: Lane::Viewers,
        key: Bytes::from_static(b"room"),
        value: value.into(),
        traceparent: None,
    }
}

fn options(dir: &Path) -> Options {
    let clock = AtomicI64::new(1_000);
    Options {
        linger: Duration::ZERO,
        ..Options::new(dir, Arc::new(move || clock.fetch_add(1, Ordering::Relaxed)))
    }
}

fn at(dir: &Path, now: &Arc<AtomicI64>) -> Options {
    let now = Arc::clone(now);
    Options {
        clock: Arc::new(move || now.load(Ordering::Relaxed)),
        ..options(dir)
    }
}

fn copy(from: &Path) -> TempDir {
    let to = TempDir::new().unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.path().join(file.file_name())).unwrap();
    }
    to
}

/// Everything that is there, by partition, until the first error.
async fn contents(log: &EmbeddedLog) -> Result<Vec<Vec<Record>>, ReadError> {
    let mut reader = log.reader();
    let mut all = vec![Vec::new(); log.partitions().len()];
    let mut ends = 0;
    for partition in reader.partitions() {
        let first = reader.first_offset(partition).await?;
        ends += reader.end_offset(partition).await? - first;
        reader.seek(partition, first).await?;
    }
    while all.iter().map(Vec::len).sum::<usize>() < usize::try_from(ends).unwrap() {
        match reader.next(DEADLINE).await? {
            ReadEvent::Records(batch) => all[batch.partition.0 as usize].extend(batch.records),
            ReadEvent::Idle => panic!("what is durable did not come"),
            ReadEvent::Assigned(_) | ReadEvent::Revoked(_) => {}
        }
    }
    Ok(all)
}

async fn fill(log: &EmbeddedLog, appends: u32) {
    for n in 0..appends {
        let records =
            (0..=n % 3).map(|m| record(format!("{n}/{m} {}", "x".repeat(n as usize % 40))));
        log.append(Partition(n % 4), records.collect())
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_second_opening_is_refused_until_the_first_ends() {
    let dir = TempDir::new().unwrap();
    let log = EmbeddedLog::open(options(dir.path())).unwrap();
    let second = EmbeddedLog::open(options(dir.path()));
    assert!(matches!(second, Err(OpenError::Locked(_))), "{second:?}");
    log.close().await;
    let third = EmbeddedLog::open(options(dir.path())).unwrap();
    drop(third);
    EmbeddedLog::open(options(dir.path())).unwrap();
}

#[tokio::test]
async fn a_closed_log_refuses_and_its_readers_read_on() {
    let dir = TempDir::new().unwrap();
    let log = EmbeddedLog::open(options(dir.path())).unwrap();
    fill(&log, 10).await;
    log.close().await;
    log.close().await;
    let refused = log.append(P, vec![record("late")]).await;
    assert!(
        matches!(refused, Err(AppendError::Overloaded(_))),
        "{refused:?}"
    );
    assert!(matches!(
        log.trim(P, 0).await,
        Err(AppendError::Overloaded(_))
    ));
    assert_eq!(contents(&log).await.unwrap().concat().len(), 19);
}

#[tokio::test]
async fn partitions_identity_and_routes_stay_as_they_were_made() {
    let dir = TempDir::new().unwrap();
    let three = NonZeroU32::new(3).unwrap();
    let log = EmbeddedLog::open(Options {
        partitions: three,
        ..options(dir.path())
    })
    .unwrap();
    let (identity, routes) = (log.identity(), log.routes().clone());
    drop(log);
    let log = EmbeddedLog::open(options(dir.path())).unwrap();
    assert_eq!((log.identity(), log.routes()), (identity, &routes));
    assert_eq!(log.partitions().len(), 3);
    let other = TempDir::new().unwrap();
    assert_ne!(
        EmbeddedLog::open(options(other.path())).unwrap().identity(),
        log.identity()
    );
}

#[tokio::test]
async fn a_torn_tail_is_cut_at_every_byte() {
    let dir = TempDir::new().unwrap();
    let log = EmbeddedLog::open(options(dir.path())).unwrap();
    fill(&log, 9).await;
    let whole = contents(&log).await.unwrap();
    let file = segment_path(dir.path(), 1);
    let before = fs::read(&file).unwrap().len();
    log.append(P, vec![record("torn"), record("tail")])
        .await
        .unwrap();
    let bytes = fs::read(&file).unwrap();
    for cut in before..bytes.len() {
        for tail in [&[][..], &[0; 100], &[0xff; 7], &bytes[before..]] {
            let crashed = copy(dir.path());
            let torn = [
                &bytes[..cut],
                if cut == before && tail.len() > 100 {
                    &[]
                } else {
                    tail
                },
            ];
            let is_whole = torn.concat().starts_with(&bytes);
            fs::write(segment_path(crashed.path(), 1), torn.concat()).unwrap();
            let log = EmbeddedLog::open(options(crashed.path())).unwrap();
            let found = contents(&log).await.unwrap();
            if is_whole {
                assert_eq!(found[0].len(), whole[0].len() + 2);
                continue;
            }
            assert_eq!(found, whole, "cut at {cut}");
            assert_eq!(
                fs::metadata(segment_path(crashed.path(), 1)).unwrap().len(),
                before as u64
            );
            let next = log.append(P, vec![record("on")]).await.unwrap();
            assert_eq!(next, i64::try_from(whole[0].len()).unwrap());
        }
    }
}

#[tokio::test]
async fn a_torn_group_may_keep_any_of_its_blocks() {
    let dir = TempDir::new().unwrap();
    let lingering = Options {
        linger: Duration::from_millis(300),
        ..options(dir.path())
    };
    let log = EmbeddedLog::open(lingering).unwrap();
    let head = fs::metadata(segment_path(dir.path(), 1)).unwrap().len();
    let appends = (0..4).map(|n| {
        let log = log.clone();
        tokio::spawn(async move { log.append(Partition(n), vec![record("one group")]).await })
    });
    for append in appends.collect::<Vec<_>>() {
        append.await.unwrap().unwrap();
    }
    let bytes = fs::read(segment_path(dir.path(), 1)).unwrap();
    let block = (bytes.len() - usize::try_from(head).unwrap()) / 4;
    for lost in 0..4 {
        let crashed = copy(dir.path());
        let mut torn = bytes.clone();
        let from = usize::try_from(head).unwrap() + lost * block;
        torn[from..from + block].fill(0);
        fs::write(segment_path(crashed.path(), 1), torn).unwrap();
        let log = EmbeddedLog::open(options(crashed.path())).unwrap();
        let kept = contents(&log).await.unwrap().concat().len();
        assert_eq!(kept, lost, "blocks before the lost one stay");
    }
}

#[tokio::test]
async fn damage_before_a_synced_group_does_not_open() {
    let dir = TempDir::new().unwrap();
    let log = EmbeddedLog::open(options(dir.path())).unwrap();
    fill(&log, 2).await;
    let synced = fs::metadata(segment_path(dir.path(), 1)).unwrap().len();
    fill(&log, 1).await;
    for at in 0..usize::try_from(synced).unwrap() {
        let damaged = copy(dir.path());
        flip(&segment_path(damaged.path(), 1), at, 1);
        let opened = EmbeddedLog::open(options(damaged.path()));
        assert!(
            matches!(opened, Err(OpenError::Damaged { .. })),
            "byte {at}: {opened:?}"
        );
    }
}

#[tokio::test]
async fn no_flipped_bit_makes_a_record_that_was_not_written() {
    let dir = TempDir::new().unwrap();
    let small = |dir: &Path| Options {
        segment_bytes_max: 2_500,
        ..options(dir)
    };
    let log = EmbeddedLog::open(small(dir.path())).unwrap();
    fill(&log, 60).await;
    let whole = contents(&log).await.unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let files: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|f| f.unwrap().file_name())
        .collect();
    assert!(files.len() > 5, "several segments: {files:?}");
    let (mut refused, mut unreadable) = (0, 0);
    for _ in 0..2_000 {
        let damaged = copy(dir.path());
        let file = damaged.path().join(&files[random.usize(..files.len())]);
        let len = usize::try_from(fs::metadata(&file).unwrap().len()).unwrap();
        if len > 0 {
            flip(&file, random.usize(..len), 1 << random.u8(..8));
        }
        let Ok(log) = EmbeddedLog::open(small(damaged.path())) else {
            refused += 1;
            continue;
        };
        unreadable += u32::from(contents(&log).await.is_err());
        for partition in log.partitions() {
            let whole = &whole[partition.0 as usize];
            for record in readable(&log, partition).await {
                assert_eq!(
                    whole.get(usize::try_from(record.offset).unwrap()),
                    Some(&record)
                );
            }
        }
    }
    assert!(
        refused > 100 && unreadable > 100,
        "{refused} refused, {unreadable} unreadable"
    );
}

/// What one partition gives before its end or an error, which must be dense.
async fn readable(log: &EmbeddedLog, partition: Partition) -> Vec<Record> {
    let mut reader = log.reader();
    reader.seek(partition, 0).await.unwrap();
    let mut records: Vec<Record> = Vec::new();
    loop {
        match reader.next(Duration::ZERO).await {
            Ok(ReadEvent::Records(batch)) => records.extend(batch.records),
            Ok(ReadEvent::Idle) => break,
            Ok(ReadEvent::Assigned(_) | ReadEvent::Revoked(_)) => {}
            Err(ReadError::Damaged { offset, .. }) => {
                assert_eq!(offset, i64::try_from(records.len()).unwrap());
                break;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(
        (0..)
            .zip(&records)
            .all(|(offset, record)| record.offset == offset)
    );
    records
}

fn flip(file: &Path, at: usize, bit: u8) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= bit;
    fs::write(file, bytes).unwrap();
}

#[tokio::test]
async fn lost_files_are_never_taken_for_an_empty_log() {
    let dir = TempDir::new().unwrap();
    let small = |dir: &Path| Options {
        segment_bytes_max: 500,
        ..options(dir)
    };
    let log = EmbeddedLog::open(small(dir.path())).unwrap();
    fill(&log, 30).await;
    let names = [
        "meta.json",
        "00000000000000000001.seg",
        "00000000000000000002.seg",
    ];
    for name in names {
        let damaged = copy(dir.path());
        fs::remove_file(damaged.path().join(name)).unwrap();
        let opened = EmbeddedLog::open(small(damaged.path()));
        match name.contains("01.seg") {
            // The oldest may be gone by retention: its offsets are then out of range, not empty.
            true => assert!(opened.unwrap().reader().first_offset(P).await.unwrap() > 0),
            false => assert!(matches!(opened, Err(OpenError::Damaged { .. })), "{name}"),
        }
    }
}

#[tokio::test]
async fn a_lost_index_is_made_again() {
    let dir = TempDir::new().unwrap();
    let small = |dir: &Path| Options {
        segment_bytes_max: 500,
        ..options(dir)
    };
    let log = EmbeddedLog::open(small(dir.path())).unwrap();
    fill(&log, 30).await;
    let whole = contents(&log).await.unwrap();
    log.close().await;
    let index = index_path(dir.path(), 2);
    let bytes = fs::read(&index).unwrap();
    fs::remove_file(&index).unwrap();
    let log = EmbeddedLog::open(small(dir.path())).unwrap();
    assert_eq!(contents(&log).await.unwrap(), whole);
    assert_eq!(fs::read(&index).unwrap(), bytes);
}

#[tokio::test]
async fn an_interrupted_making_is_made_again() {
    let dir = TempDir::new().unwrap();
    fs::write(segment_path(dir.path(), 1), [0; 40]).unwrap();
    let log = EmbeddedLog::open(options(dir.path())).unwrap();
    fill(&log, 5).await;
    log.close().await;
    fs::write(segment_path(dir.path(), 2), [0; 40]).unwrap();
    let log = EmbeddedLog::open(options(dir.path())).unwrap();
    assert_eq!(log.append(P, vec![record("on")]).await.unwrap(), 3);
}

#[tokio::test]
async fn log_time_never_goes_back() {
    let dir = TempDir::new().unwrap();
    let now = Arc::new(AtomicI64::new(5_000));
    let log = EmbeddedLog::open(at(dir.path(), &now)).unwrap();
    log.append(P, vec![record("a")]).await.unwrap();
    now.store(4_000, Ordering::Relaxed);
    log.append(P, vec![record("b")]).await.unwrap();
    drop(log);
    let log = EmbeddedLog::open(at(dir.path(), &now)).unwrap();
    log.append(P, vec![record("c")]).await.unwrap();
    log.close().await;
    let log = EmbeddedLog::open(at(dir.path(), &now)).unwrap();
    log.append(Partition(1), vec![record("d")]).await.unwrap();
    now.store(6_000, Ordering::Relaxed);
    log.append(P, vec![record("e")]).await.unwrap();
    let records = contents(&log).await.unwrap();
    let times = |n: usize| {
        records[n]
            .iter()
            .map(|record| record.logged_at)
            .collect::<Vec<_>>()
    };
    assert_eq!(times(0), [5_000, 5_000, 5_000, 6_000]);
    assert_eq!(times(1), [5_000]);
}

#[tokio::test]
async fn what_does_not_fit_the_queue_is_refused_at_once() {
    let dir = TempDir::new().unwrap();
    let slow = Options {
        linger: Duration::from_secs(1),
        queue_records_max: 3,
        group_bytes_max: 10_000,
        queue_bytes_max: 12_000,
        ..options(dir.path())
    };
    let log = EmbeddedLog::open(slow).unwrap();
    let large = log.append(P, vec![record(vec![0; 10_001])]).await;
    assert!(
        matches!(large, Err(AppendError::Overloaded(_))),
        "{large:?}"
    );
    let waiting = log
        .inner
        .queue
        .append(P, vec![record("a"), record("b")])
        .unwrap();
    let refused = log.append(P, vec![record("c"), record("d")]).await;
    assert!(
        matches!(refused, Err(AppendError::Overloaded(_))),
        "{refused:?}"
    );
    assert_eq!(waiting.await.unwrap().unwrap(), 0);
    let waiting = log
        .inner
        .queue
        .append(P, vec![record(vec![0; 9_000])])
        .unwrap();
    let refused = log.append(P, vec![record(vec![0; 9_000])]).await;
    assert!(
        matches!(refused, Err(AppendError::Overloaded(_))),
        "{refused:?}"
    );
    assert_eq!(waiting.await.unwrap().unwrap(), 2);
    assert_eq!(log.append(P, vec![record("e")]).await.unwrap(), 3);
}

/// Of 16 records and 16,000 bytes that may wait, 2 and 2,000 are out of viewers' reach.
#[tokio::test]
async fn viewers_fill_the_queue_only_so_far() {
    let dir = TempDir::new().unwrap();
    let queue = Queue::new(&Options {
        queue_records_max: 16,
        queue_bytes_max: 16_000,
        ..options(dir.path())
    });
    let viewers = || vec![record("comment")];
    let priority = || NewRecord {
        lane: Lane::Priority,
        ..record("gift")
    };
    let is_refused = |records| matches!(queue.append(P, records), Err(AppendError::Overloaded(_)));
    for _ in 0..14 {
        assert!(!is_refused(viewers()));
    }
    assert!(is_refused(viewers()));
    let beside_a_gift = [viewers(), vec![priority()]].concat();
    assert!(is_refused(beside_a_gift));
    assert!(!is_refused(vec![priority()]));
    assert!(!is_refused(vec![priority()]));
    assert!(is_refused(vec![priority()]), "it is a bound for them too");
    let lanes = queue
        .take()
        .appends
        .into_iter()
        .map(|append| append.records[0].lane);
    let expected = [vec![Lane::Viewers; 14], vec![Lane::Priority; 2]].concat();
    assert_eq!(lanes.collect::<Vec<_>>(), expected);

    let large = |bytes| vec![0; bytes];
    assert!(!is_refused(vec![record(large(13_900))]));
    assert!(is_refused(vec![record(large(100))]));
    let gift = NewRecord {
        value: large(1_900).into(),
        ..priority()
    };
    assert!(!is_refused(vec![gift.clone()]));
    assert!(is_refused(vec![gift]));
}

#[tokio::test]
async fn a_failed_write_ends_all_writing() {
    let dir = TempDir::new().unwrap();
    let options = options(dir.path());
    let recovered = recovery::open(&options).unwrap();
    let identity = recovered.meta.identity;
    let durable = Arc::new(Durable::new(&options, identity, recovered.segments));
    let queue = Arc::new(Queue::new(&options));
    let mut active = recovered.active;
    // A handle that cannot write stands for a disk that fails.
    active.file = fs::File::open(segment_path(dir.path(), 1)).unwrap();
    let (shared, taken) = (Arc::clone(&durable), Arc::clone(&queue));
    let writer = Writer::new(
        options.clone(),
        identity,
        recovered.lock,
        active,
        shared,
        taken,
    );
    let log = EmbeddedLog::start(writer, durable, queue, recovered.meta.routes).unwrap();
    let failed = log.append(P, vec![record("a")]).await;
    assert!(matches!(failed, Err(AppendError::Unknown(_))), "{failed:?}");
    let why = log.refusal().unwrap();
    assert!(why.contains("must be opened again"), "{why}");
    let later = log.append(P, vec![record("b")]).await;
    assert!(
        matches!(later, Err(AppendError::Overloaded(_))),
        "{later:?}"
    );
    assert!(contents(&log).await.unwrap().concat().is_empty());
    log.close().await;
    let log = EmbeddedLog::open(options).unwrap();
    assert_eq!(log.append(P, vec![record("c")]).await.unwrap(), 0);
    assert_eq!(log.refusal(), None);
}

#[tokio::test]
async fn a_segment_that_cannot_be_made_appends_nothing() {
    let dir = TempDir::new().unwrap();
    let log = EmbeddedLog::open(Options {
        segment_bytes_max: 200,
        ..options(dir.path())
    })
    .unwrap();
    log.append(P, vec![record(vec![0; 200])]).await.unwrap();
    fs::create_dir(segment_path(dir.path(), 2)).unwrap();
    let refused = log.append(P, vec![record("b")]).await;
    assert!(
        matches!(refused, Err(AppendError::Overloaded(_))),
        "{refused:?}"
    );
    assert_eq!(contents(&log).await.unwrap().concat().len(), 1);
}

#[tokio::test]
async fn only_old_and_trimmed_segments_are_removed() {
    let dir = TempDir::new().unwrap();
    let now = Arc::new(AtomicI64::new(0));
    let options = || Options {
        segment_bytes_max: 300,
        retention: Duration::from_millis(100),
        ..at(dir.path(), &now)
    };
    let log = EmbeddedLog::open(options()).unwrap();
    let big = || record(vec![7; 300]);
    // One segment each: partition 0 twice, partition 1, partition 0.
    for partition in [0, 0, 1, 0] {
        log.append(Partition(partition), vec![big()]).await.unwrap();
        now.fetch_add(10, Ordering::Relaxed);
    }
    let mut reader = log.reader();
    let has = |n: u64| segment_path(dir.path(), n).exists();

    log.trim(P, 3).await.unwrap();
    assert_eq!(
        reader.first_offset(P).await.unwrap(),
        0,
        "none is old enough"
    );
    now.store(111, Ordering::Relaxed);
    log.trim(P, 0).await.unwrap();
    assert_eq!(
        reader.first_offset(P).await.unwrap(),
        2,
        "two are older than 100 ms"
    );
    assert!(!has(1) && !has(2) && has(3) && !index_path(dir.path(), 2).exists());
    now.store(10_000, Ordering::Relaxed);
    log.trim(P, 3).await.unwrap();
    assert_eq!(
        reader.first_offset(Partition(1)).await.unwrap(),
        0,
        "not trimmed there"
    );
    log.trim(Partition(1), 1).await.unwrap();
    assert_eq!(reader.first_offset(Partition(1)).await.unwrap(), 1);
    assert_eq!(
        reader.first_offset(P).await.unwrap(),
        2,
        "the newest segment stays"
    );
    let lost = reader.seek(P, 1).await;
    assert!(matches!(
        lost,
        Err(ReadError::OutOfRange {
            asked: 1,
            first: 2,
            end: 3,
            ..
        })
    ));

    log.close().await;
    let log = EmbeddedLog::open(options()).unwrap();
    assert_eq!(log.reader().first_offset(P).await.unwrap(), 2);
    assert_eq!(
        log.append(Partition(1), vec![big()]).await.unwrap(),
        1,
        "its end is remembered"
    );
}

#[tokio::test]
async fn a_reader_that_retention_overtook_is_told() {
    let dir = TempDir::new().unwrap();
    let now = Arc::new(AtomicI64::new(0));
    let options = Options {
        segment_bytes_max: 300,
        retention: Duration::from_millis(1),
        ..at(dir.path(), &now)
    };
    let log = EmbeddedLog::open(options).unwrap();
    let mut reader = log.reader();
    reader.next(DEADLINE).await.unwrap();
    reader.seek(P, 0).await.unwrap();
    for _ in 0..3 {
        log.append(P, vec![record(vec![7; 300])]).await.unwrap();
    }
    now.store(1_000, Ordering::Relaxed);
    log.trim(P, 3).await.unwrap();
    let told = reader.next(DEADLINE).await;
    assert!(
        matches!(
            told,
            Err(ReadError::OutOfRange {
                asked: 0,
                first: 2,
                ..
            })
        ),
        "{told:?}"
    );
}

#[tokio::test]
async fn memory_and_files_give_the_same() {
    let dir = TempDir::new().unwrap();
    let small = |tail_bytes_max| Options {
        segment_bytes_max: 2_000,
        tail_bytes_max,
        ..options(dir.path())
    };
    let log = EmbeddedLog::open(small(1 << 20)).unwrap();
    fill(&log, 200).await;
    let from_memory = contents(&log).await.unwrap();
    drop(log);
    let log = EmbeddedLog::open(small(1_000)).unwrap();
    assert_eq!(contents(&log).await.unwrap(), from_memory);
    fill(&log, 200).await;
    let both = contents(&log).await.unwrap();
    assert!(
        both.iter()
            .zip(&from_memory)
            .all(|(all, old)| all.starts_with(old))
    );
    assert_eq!(both.concat().len(), 2 * from_memory.concat().len());
}

#[tokio::test]
async fn a_log_tells_when_it_took_a_record_and_how_full_it_is() {
    let dir = TempDir::new().unwrap();
    let now = Arc::new(AtomicI64::new(0));
    let log = EmbeddedLog::open(Options {
        segment_bytes_max: 200,
        ..at(dir.path(), &now)
    })
    .unwrap();
    let empty = log.figures();
    for at in [1_000, 2_000, 3_000] {
        now.store(at, Ordering::Relaxed);
        log.append(P, vec![record(vec![0; 150]), record("b")])
            .await
            .unwrap();
    }
    let taken: Vec<_> = (-1..8).map(|offset| log.logged_at(P, offset)).collect();
    let [one, two, three] = [1_000, 2_000, 3_000].map(Some);
    assert_eq!(taken, [None, one, one, two, two, three, three, None, None]);
    assert_eq!(log.end_offset(P), 6);
    let full = log.figures();
    assert_eq!((full.waiting_records, full.waiting_bytes), (0, 0));
    assert_eq!(full.queue_percent, 0);
    assert!(full.bytes > empty.bytes + 450, "{full:?} after {empty:?}");
}

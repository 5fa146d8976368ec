//! What every log promises: the suite of [`LogWriter`] and [`LogReader`].
//!
//! Each case is a function over a fresh [`LogEnvironment`], and the macro `log_conformance!` makes a
//! test of each. Waits have a deadline, and nothing depends on offsets being dense.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use danmu_log::{
    AppendError, Lane, LogReader, LogWriter, NewRecord, ReadError, ReadEvent, Record, RecordBatch,
};
use danmu_schemas::Partition;

/// Longer than anything here takes on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// How long a reader is watched when nothing should come.
const QUIET: Duration = Duration::from_millis(50);

/// One log that can be opened, stopped and opened again. It begins empty, with at least two
/// partitions.
pub trait LogEnvironment: Sync {
    /// The write side.
    type Writer: LogWriter + Clone + 'static;
    /// The read side.
    type Reader: LogReader + 'static;

    /// Opens the log, with what was in it.
    fn open(&self) -> impl Future<Output = anyhow::Result<Self::Writer>> + Send;

    /// A reader of all its partitions, without a place in any.
    fn reader(
        &self,
        log: &Self::Writer,
    ) -> impl Future<Output = anyhow::Result<Self::Reader>> + Send;

    /// Stops the log cleanly.
    fn stop(&self, log: Self::Writer) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Ends the log as a crash would: nothing more is written, and nothing is tidied up.
    fn crash(&self, log: Self::Writer) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Makes a test of every case, each over the environment that `$environment` makes anew.
#[macro_export]
macro_rules! log_conformance {
    ($environment:expr) => {
        $crate::log_conformance!($environment;
            what_was_appended_is_read_as_it_was
            records_of_one_call_are_adjacent
            concurrent_appends_are_all_read_once_and_in_order
            partitions_are_apart
            a_reader_waits_and_is_woken
            a_reader_begins_where_it_is_told
            a_place_outside_is_refused
            readers_do_not_disturb_one_another
            nothing_is_lost_when_a_wait_is_dropped
            a_stopped_log_goes_on
            a_crashed_log_keeps_what_it_acknowledged
            a_trim_takes_nothing_that_is_young_or_above_it
            nothing_but_what_fits_is_kept_waiting
            viewers_leave_room_for_gifts
        );
    };
    ($environment:expr; $($case:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() -> anyhow::Result<()> {
                $crate::conformance::log::$case(&$environment).await
            }
        )+
    };
}

const A: Partition = Partition(0);
const B: Partition = Partition(1);

fn record(key: &str, value: impl Into<Bytes>) -> NewRecord {
    NewRecord {
        epoch: 3,
        lane: Lane::Viewers,
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: value.into(),
        traceparent: None,
    }
}

async fn start<E: LogEnvironment>(env: &E) -> anyhow::Result<(E::Writer, E::Reader)> {
    let log = env.open().await?;
    let reader = begun(env, &log).await?;
    Ok((log, reader))
}

/// A reader that has been given every partition's first offset.
async fn begun<E: LogEnvironment>(env: &E, log: &E::Writer) -> anyhow::Result<E::Reader> {
    let mut reader = assigned(env, log).await?;
    for partition in reader.partitions() {
        let first = reader.first_offset(partition).await?;
        reader.seek(partition, first).await?;
    }
    Ok(reader)
}

/// A reader that has been told that all partitions are its own, which comes before all else.
async fn assigned<E: LogEnvironment>(env: &E, log: &E::Writer) -> anyhow::Result<E::Reader> {
    let mut reader = env.reader(log).await?;
    let all = reader.partitions();
    ensure!(all.len() >= 2, "the suite needs two partitions");
    let mut told = Vec::new();
    let deadline = Instant::now() + DEADLINE;
    while told.len() < all.len() {
        ensure!(Instant::now() < deadline, "only {told:?} were assigned");
        match reader.next(QUIET).await? {
            ReadEvent::Assigned(partitions) => told.extend(partitions),
            ReadEvent::Idle => {}
            other => bail!("before the assignment came {other:?}"),
        }
    }
    told.sort_unstable();
    ensure!(told == all, "{told:?} were assigned of {all:?}");
    Ok(reader)
}

/// The next so many records, by partition. Fails if an offset does not rise.
async fn read(
    reader: &mut impl LogReader,
    count: usize,
) -> anyhow::Result<BTreeMap<Partition, Vec<Record>>> {
    let mut records: BTreeMap<Partition, Vec<Record>> = BTreeMap::new();
    let deadline = Instant::now() + DEADLINE;
    let mut missing = count;
    while missing > 0 {
        ensure!(
            Instant::now() < deadline,
            "{missing} of {count} records did not come"
        );
        let ReadEvent::Records(batch) = reader.next(QUIET).await? else {
            continue;
        };
        ensure!(!batch.records.is_empty(), "a batch has at least one record");
        missing = missing
            .checked_sub(batch.records.len())
            .context("more than were appended")?;
        records
            .entry(batch.partition)
            .or_default()
            .extend(batch.records);
    }
    for (partition, records) in &records {
        let rise = records
            .windows(2)
            .all(|pair| pair[0].offset < pair[1].offset);
        ensure!(rise, "the offsets of partition {partition} do not rise");
    }
    Ok(records)
}

async fn nothing_comes(reader: &mut impl LogReader) -> anyhow::Result<()> {
    match reader.next(QUIET).await? {
        ReadEvent::Idle => Ok(()),
        other => bail!("nothing should have come, but {other:?}"),
    }
}

fn values(records: &[Record]) -> Vec<String> {
    let text = |record: &Record| String::from_utf8_lossy(&record.value).into_owned();
    records.iter().map(text).collect()
}

/// Epoch, key and value come back, empty and large ones too; the offset is the one acknowledged.
pub async fn what_was_appended_is_read_as_it_was(env: &impl LogEnvironment) -> anyhow::Result<()> {
    let (log, mut reader) = start(env).await?;
    let sent = [
        record("room", vec![9; 300_000]),
        record("raum", ""),
        record("", vec![0, 255]),
    ];
    let mut offsets = Vec::new();
    for record in &sent {
        offsets.push(log.append(A, vec![record.clone()]).await?);
    }
    let read = read(&mut reader, sent.len())
        .await?
        .remove(&A)
        .context("records of A")?;
    for ((record, sent), offset) in read.iter().zip(&sent).zip(offsets) {
        ensure!(record.offset == offset, "{} is not {offset}", record.offset);
        let same =
            (record.epoch, &record.key, &record.value) == (sent.epoch, &sent.key, &sent.value);
        ensure!(same, "the record at {offset} is not what was appended");
    }
    nothing_comes(&mut reader).await
}

/// A call's records follow one another without a hole, whoever else appends at the time.
pub async fn records_of_one_call_are_adjacent<E: LogEnvironment>(env: &E) -> anyhow::Result<()> {
    let (log, mut reader) = start(env).await?;
    let calls = (0..20).map(|call| {
        let log = log.clone();
        tokio::spawn(async move {
            let records = (0..5).map(|n| record("room", format!("{call}/{n}")));
            (call, log.append(A, records.collect()).await)
        })
    });
    let calls: Vec<_> = calls.collect();
    let mut expected = BTreeMap::new();
    for call in calls {
        let (call, first) = call.await?;
        let first = first?;
        expected.extend((0..5).map(|n| (first + n, format!("{call}/{n}"))));
    }
    let read = read(&mut reader, 100)
        .await?
        .remove(&A)
        .context("records of A")?;
    let found: BTreeMap<_, _> = read.iter().map(|r| r.offset).zip(values(&read)).collect();
    ensure!(found == expected, "found {found:?}, expected {expected:?}");
    Ok(())
}

/// Many senders at once: each record is read once, at its offset, and a sender's own stay in order.
pub async fn concurrent_appends_are_all_read_once_and_in_order<E: LogEnvironment>(
    env: &E,
) -> anyhow::Result<()> {
    const SENDERS: u32 = 16;
    const EACH: u32 = 60;
    let (log, mut reader) = start(env).await?;
    let senders = (0..SENDERS).map(|sender| {
        let log = log.clone();
        tokio::spawn(async move {
            let mut sent = Vec::new();
            for n in 0..EACH {
                let (partition, text) = (Partition((sender + n) % 2), format!("{sender}/{n}"));
                let offset = log
                    .append(partition, vec![record("room", text.clone())])
                    .await?;
                sent.push(((partition, offset), text));
            }
            Ok::<_, AppendError>(sent)
        })
    });
    let senders: Vec<_> = senders.collect();
    let read = read(&mut reader, (SENDERS * EACH) as usize).await?;
    let mut expected = BTreeMap::new();
    for sender in senders {
        let sent = sender.await??;
        for partition in [A, B] {
            let own = || sent.iter().filter(|((of, _), _)| *of == partition);
            ensure!(
                own().zip(own().skip(1)).all(|(a, b)| a.0 < b.0),
                "a sender's order is lost"
            );
        }
        expected.extend(sent);
    }
    let mut found = BTreeMap::new();
    for (partition, records) in &read {
        let offsets = records.iter().map(|record| (*partition, record.offset));
        found.extend(offsets.zip(values(records)));
    }
    ensure!(
        found == expected,
        "what was read is not what was acknowledged"
    );
    nothing_comes(&mut reader).await
}

/// A record is in the partition that it was appended to and in no other.
pub async fn partitions_are_apart(env: &impl LogEnvironment) -> anyhow::Result<()> {
    let (log, mut reader) = start(env).await?;
    log.append(A, vec![record("room", "a")]).await?;
    log.append(B, vec![record("room", "b")]).await?;
    log.append(A, vec![record("room", "c")]).await?;
    let read = read(&mut reader, 3).await?;
    ensure!(
        read.keys().eq([&A, &B]),
        "records in other partitions: {read:?}"
    );
    ensure!(
        values(&read[&A]) == ["a", "c"] && values(&read[&B]) == ["b"],
        "{read:?}"
    );
    Ok(())
}

/// Without news a reader says so after the wait; with news it does not sleep on.
pub async fn a_reader_waits_and_is_woken<E: LogEnvironment>(env: &E) -> anyhow::Result<()> {
    let (log, mut reader) = start(env).await?;
    let from = Instant::now();
    nothing_comes(&mut reader).await?;
    ensure!(from.elapsed() >= QUIET, "idle before the wait was over");

    let from = Instant::now();
    let waiting = tokio::spawn(async move { reader.next(DEADLINE).await });
    log.append(B, vec![record("room", "news")]).await?;
    let event = waiting.await??;
    ensure!(
        matches!(&event, ReadEvent::Records(b) if values(&b.records) == ["news"]),
        "{event:?}"
    );
    ensure!(from.elapsed() < DEADLINE / 2, "the reader was not woken");
    Ok(())
}

/// Nothing comes before `seek`; then the first record at or after the offset, also going back.
pub async fn a_reader_begins_where_it_is_told(env: &impl LogEnvironment) -> anyhow::Result<()> {
    let log = env.open().await?;
    let mut offsets = Vec::new();
    for n in 0..10 {
        offsets.push(log.append(A, vec![record("room", n.to_string())]).await?);
        log.append(B, vec![record("room", "other")]).await?;
    }
    let mut reader = assigned(env, &log).await?;
    nothing_comes(&mut reader).await?;
    for from in [7, 0, 9, 4] {
        reader.seek(A, offsets[from]).await?;
        let read = read(&mut reader, 10 - from).await?;
        let expected: Vec<_> = (from..10).map(|n| n.to_string()).collect();
        ensure!(values(&read[&A]) == expected, "from {from}: {read:?}");
    }
    let end = reader.end_offset(A).await?;
    ensure!(
        end > offsets[9],
        "the end {end} is not after {}",
        offsets[9]
    );
    ensure!(
        reader.first_offset(A).await? <= offsets[0],
        "the first record is not the first"
    );
    reader.seek(A, end).await?;
    nothing_comes(&mut reader).await?;
    log.append(A, vec![record("room", "new")]).await?;
    ensure!(
        values(&read(&mut reader, 1).await?[&A]) == ["new"],
        "what came after the end"
    );
    Ok(())
}

/// A place past the end, or in no partition, is an error at the seek or at the next read.
pub async fn a_place_outside_is_refused(env: &impl LogEnvironment) -> anyhow::Result<()> {
    let (log, mut reader) = start(env).await?;
    log.append(A, vec![record("room", "a")]).await?;
    let past = reader.end_offset(A).await? + 10;
    let mut told = reader.seek(A, past).await;
    let deadline = Instant::now() + DEADLINE;
    while told.is_ok() && Instant::now() < deadline {
        told = reader.next(QUIET).await.map(drop);
    }
    let right =
        matches!(told, Err(ReadError::OutOfRange { partition: A, asked, .. }) if asked == past);
    ensure!(right, "past the end: {told:?}");
    let nowhere = reader.seek(Partition(u32::MAX), 0).await;
    ensure!(nowhere.is_err(), "a place in no partition");
    Ok(())
}

/// Two readers each see everything.
pub async fn readers_do_not_disturb_one_another(env: &impl LogEnvironment) -> anyhow::Result<()> {
    let (log, mut one) = start(env).await?;
    let mut other = begun(env, &log).await?;
    for n in 0..20 {
        log.append(Partition(n % 2), vec![record("room", n.to_string())])
            .await?;
    }
    let first = read(&mut one, 20).await?;
    log.append(A, vec![record("room", "after")]).await?;
    ensure!(
        values(&read(&mut one, 1).await?[&A]) == ["after"],
        "the first goes on"
    );
    let mut second = read(&mut other, 21).await?;
    second
        .get_mut(&A)
        .and_then(Vec::pop)
        .context("the last record")?;
    ensure!(first == second, "the second reader saw something else");
    Ok(())
}

/// `next` may be dropped at any await.
pub async fn nothing_is_lost_when_a_wait_is_dropped<E: LogEnvironment>(
    env: &E,
) -> anyhow::Result<()> {
    const COUNT: usize = 300;
    let (log, mut reader) = start(env).await?;
    let sender = tokio::spawn(async move {
        for n in 0..COUNT {
            log.append(A, vec![record("room", n.to_string())]).await?;
        }
        Ok::<_, AppendError>(())
    });
    let mut found = Vec::new();
    let deadline = Instant::now() + DEADLINE;
    while found.len() < COUNT {
        ensure!(
            Instant::now() < deadline,
            "only {} records came",
            found.len()
        );
        tokio::select! {
            biased;
            event = reader.next(DEADLINE) => {
                if let ReadEvent::Records(RecordBatch { records, .. }) = event? {
                    found.extend(values(&records));
                }
            }
            () = tokio::task::yield_now() => {}
        }
    }
    sender.await??;
    let expected: Vec<_> = (0..COUNT).map(|n| n.to_string()).collect();
    ensure!(found == expected, "{found:?}");
    Ok(())
}

/// After a clean stop the log is the same one, with the same records, and offsets go on rising.
pub async fn a_stopped_log_goes_on(env: &impl LogEnvironment) -> anyhow::Result<()> {
    let (log, reader) = start(env).await?;
    let identity = reader.identity();
    drop(reader);
    let mut last = log.append(A, vec![record("room", "0")]).await?;
    env.stop(log).await?;
    for n in 1..4 {
        let (log, mut reader) = start(env).await?;
        ensure!(
            reader.identity() == identity,
            "another identity after a stop"
        );
        let offset = log.append(A, vec![record("room", n.to_string())]).await?;
        ensure!(offset > last, "offset {offset} after {last}");
        last = offset;
        let found = values(&read(&mut reader, n + 1).await?[&A]);
        let expected: Vec<_> = (0..=n).map(|n| n.to_string()).collect();
        ensure!(found == expected, "{found:?} after {n} stops");
        env.stop(log).await?;
    }
    Ok(())
}

/// What was acknowledged before a crash is there after it, at its offset.
pub async fn a_crashed_log_keeps_what_it_acknowledged(
    env: &impl LogEnvironment,
) -> anyhow::Result<()> {
    let mut acknowledged = BTreeMap::new();
    for run in 0..4 {
        let log = env.open().await?;
        for n in 0..25 {
            let (partition, text) = (Partition(n % 2), format!("{run}/{n}"));
            let offset = log
                .append(partition, vec![record("room", text.clone())])
                .await?;
            acknowledged.insert((partition, offset), text);
        }
        env.crash(log).await?;
    }
    let (_log, mut reader) = start(env).await?;
    for (partition, records) in read(&mut reader, acknowledged.len()).await? {
        for (record, text) in records.iter().zip(values(&records)) {
            let sent = acknowledged.get(&(partition, record.offset));
            ensure!(
                sent == Some(&text),
                "{text} at {partition}/{}",
                record.offset
            );
        }
    }
    Ok(())
}

/// A trim allows and does not force: what is young, or at or above the offset, stays.
pub async fn a_trim_takes_nothing_that_is_young_or_above_it(
    env: &impl LogEnvironment,
) -> anyhow::Result<()> {
    let (log, _reader) = start(env).await?;
    for n in 0..10 {
        log.append(A, vec![record("room", n.to_string())]).await?;
    }
    log.trim(A, 5).await?;
    log.trim(A, 2).await?;
    let mut reader = begun(env, &log).await?;
    ensure!(
        read(&mut reader, 10).await?[&A].len() == 10,
        "young records are gone"
    );
    Ok(())
}

/// Far more than fits, at once: each is acknowledged or refused, what was refused as overloaded
/// never appears, and the log takes more afterwards.
pub async fn nothing_but_what_fits_is_kept_waiting<E: LogEnvironment>(
    env: &E,
) -> anyhow::Result<()> {
    const CALLS: usize = 600;
    let (log, mut reader) = start(env).await?;
    let value = Bytes::from(vec![1; 200_000]);
    let calls = (0..CALLS).map(|n| {
        let (log, value) = (log.clone(), value.clone());
        tokio::spawn(async move { log.append(A, vec![record(&n.to_string(), value)]).await })
    });
    let calls: Vec<_> = calls.collect();
    let mut expected = BTreeMap::new();
    for (n, call) in calls.into_iter().enumerate() {
        match call.await? {
            Ok(offset) => drop(expected.insert(offset, n.to_string())),
            Err(AppendError::Overloaded(_)) => {}
            Err(error @ AppendError::Unknown(_)) => return Err(error.into()),
        }
    }
    ensure!(!expected.is_empty(), "nothing was taken");
    expected.insert(
        log.append(A, vec![record("last", "")]).await?,
        "last".to_owned(),
    );
    let read = read(&mut reader, expected.len()).await?;
    let key = |r: &Record| (r.offset, String::from_utf8_lossy(&r.key).into_owned());
    let found: BTreeMap<_, _> = read[&A].iter().map(key).collect();
    ensure!(
        found == expected,
        "what was read is not what was acknowledged"
    );
    nothing_comes(&mut reader).await
}

/// Where the next record of a viewer's is refused, as large a one of the other lane is taken. What was
/// taken is there, in the order in which it came.
///
/// An append takes its place, or is refused, when its future is first polled.
pub async fn viewers_leave_room_for_gifts<E: LogEnvironment>(env: &E) -> anyhow::Result<()> {
    const GIFTS: usize = 8;
    let (log, mut reader) = start(env).await?;
    let value = Bytes::from(vec![1; 200_000]);
    let next = |key: String, lane| {
        let record = NewRecord {
            lane,
            ..record(&key, value.clone())
        };
        (key, Box::pin(log.append(A, vec![record])))
    };
    let mut taken = Vec::new();
    let mut gifts = 0;
    let deadline = Instant::now() + DEADLINE;
    while gifts < GIFTS {
        ensure!(Instant::now() < deadline, "viewers were never refused");
        let (key, mut call) = next(format!("comment {}", taken.len()), Lane::Viewers);
        let begun = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
        let Poll::Ready(Err(AppendError::Overloaded(_))) = begun else {
            ensure!(begun.is_pending(), "{key}: {begun:?}");
            taken.push((key, call));
            continue;
        };
        let (key, mut call) = next(format!("gift {gifts}"), Lane::Priority);
        let begun = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
        ensure!(begun.is_pending(), "{key}: {begun:?}");
        taken.push((key, call));
        gifts += 1;
    }
    let mut expected = Vec::new();
    for (key, call) in taken {
        expected.push((call.await?, key));
    }
    let read = read(&mut reader, expected.len()).await?;
    let key = |r: &Record| (r.offset, String::from_utf8_lossy(&r.key).into_owned());
    let found: Vec<_> = read[&A].iter().map(key).collect();
    ensure!(found == expected, "found {found:?}, expected {expected:?}");
    nothing_comes(&mut reader).await
}

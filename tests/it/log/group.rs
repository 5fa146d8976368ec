//! Readers that share a log on Kafka: nothing is lost or read out of order whoever comes and goes.
//!
//! The members do what the loop does: they begin where the common ledger stands, hand in what they read
//! by compare-and-append, and go on from the ledger where another member was there before.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use danmu_log::kafka::{KafkaLog, KafkaReader, Options, Reading};
use danmu_log::{Lane, LogReader, LogWriter, NewRecord, ReadEvent, RecordBatch};
use danmu_schemas::Partition;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::kafka::Kafka;

const PARTITIONS: NonZeroU32 = NonZeroU32::new(4).expect("4 is not 0");
/// Records of one append.
const CALL: usize = 100;
/// How long a member waits for news before it looks whether it should stop.
const NEWS: Duration = Duration::from_millis(20);
/// Longer than a session, a stall and a rebalance take on a loaded machine.
const WITHIN: Duration = Duration::from_secs(240);

/// A log, its group, and what the members have handed in.
struct Bench {
    kafka: Kafka,
    log: KafkaLog,
    group: String,
    ledger: Arc<Mutex<Ledger>>,
}

#[derive(Default)]
struct Ledger {
    /// Every value of a partition, by its offset.
    read: BTreeMap<Partition, Vec<Bytes>>,
    /// Who was told of its share.
    told: BTreeSet<String>,
    /// Who holds what, as it was told.
    held: BTreeMap<String, BTreeSet<Partition>>,
    /// How many records each member handed in.
    by: BTreeMap<String, usize>,
}

/// A running member.
struct Member {
    name: String,
    stop: CancellationToken,
    /// While set, the member asks its reader for nothing.
    stall: Arc<tokio::sync::Mutex<()>>,
    running: JoinHandle<anyhow::Result<()>>,
}

impl Bench {
    async fn new(options: impl FnOnce(&mut Options)) -> anyhow::Result<Self> {
        let kafka = Kafka::with_a_new_topic(PARTITIONS);
        let mut connect = kafka.options().await?;
        options(&mut connect);
        Ok(Self {
            log: KafkaLog::connect(connect).await?,
            kafka,
            group: format!("group-{:016x}", fastrand::u64(..)),
            ledger: Arc::default(),
        })
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    fn join(&self, name: &str) -> anyhow::Result<Member> {
        let reader = self.log.reader(Reading::Share {
            group: self.group.clone(),
            member: Some(name.to_owned()),
        })?;
        let (stop, stall) = (CancellationToken::new(), Arc::default());
        let reading = Reads {
            name: name.to_owned(),
            reader,
            ledger: Arc::clone(&self.ledger),
            next: BTreeMap::new(),
        };
        Ok(Member {
            name: name.to_owned(),
            running: tokio::spawn(reading.run(stop.clone(), Arc::clone(&stall))),
            stop,
            stall,
        })
    }

    /// Appends so many numbered records, spread over the partitions, from number `first` on.
    async fn append(&self, first: usize, count: usize) -> anyhow::Result<()> {
        for call in (first..first + count).step_by(CALL) {
            let partition = Partition((call / CALL) as u32 % PARTITIONS.get());
            let record = |number: usize| NewRecord {
                epoch: 0,
                lane: Lane::Viewers,
                key: Bytes::from_static(b"room"),
                value: number.to_string().into(),
                traceparent: None,
            };
            let records = (call..call + CALL).map(record).collect();
            self.log.append(partition, records).await?;
        }
        Ok(())
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Ledger) -> bool) -> anyhow::Result<()> {
        let deadline = Instant::now() + WITHIN;
        while !is_so(&self.ledger()) {
            let told = self.ledger().told();
            ensure!(Instant::now() < deadline, "not in time: {what}; {told}");
            sleep(NEWS).await;
        }
        Ok(())
    }

    async fn until_all_are_read(&self, count: usize) -> anyhow::Result<()> {
        self.until("all are read", |ledger| ledger.total() == count)
            .await
    }

    async fn until_each_holds_some(&self, names: &[&str]) -> anyhow::Result<()> {
        self.until("each member holds some", |ledger| {
            let held = |name: &&str| ledger.held.get(*name).is_some_and(|held| !held.is_empty());
            names.iter().all(held)
        })
        .await
    }

    /// Fails unless exactly the first `count` records were read, in their order in each partition.
    fn assert_whole(&self, count: usize) {
        let ledger = self.ledger();
        let mut expected: BTreeMap<Partition, Vec<Bytes>> = BTreeMap::new();
        for number in 0..count {
            let partition = Partition((number / CALL) as u32 % PARTITIONS.get());
            expected
                .entry(partition)
                .or_default()
                .push(number.to_string().into());
        }
        for (partition, expected) in &expected {
            let read = &ledger.read[partition];
            let other = read
                .iter()
                .zip(expected)
                .position(|(read, expected)| read != expected);
            assert_eq!((other, read.len()), (None, expected.len()), "{partition}");
        }
    }

    /// The offset that the group has committed, by partition.
    async fn committed(&self) -> anyhow::Result<BTreeMap<Partition, i64>> {
        let Options { brokers, topic, .. } = self.kafka.options().await?;
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", brokers)
            .set("group.id", &self.group);
        let mut asked = TopicPartitionList::new();
        for partition in 0..PARTITIONS.get() {
            asked.add_partition(&topic, partition as i32);
        }
        let consumer: BaseConsumer = config.create()?;
        let told = tokio::task::spawn_blocking(move || consumer.committed_offsets(asked, WITHIN));
        let told = told.await?.context("asking what is committed")?;
        let committed = told
            .elements()
            .into_iter()
            .filter_map(|one| match one.offset() {
                Offset::Offset(offset) => Some((Partition(one.partition() as u32), offset)),
                _ => None,
            });
        Ok(committed.collect())
    }
}

impl Ledger {
    fn told(&self) -> String {
        format!("{:?} {:?}", self.held, self.by)
    }

    fn total(&self) -> usize {
        self.read.values().map(Vec::len).sum()
    }

    /// The offset that is wanted next.
    fn end(&self, partition: Partition) -> i64 {
        self.read
            .get(&partition)
            .map_or(0, |read| read.len() as i64)
    }

    fn count_by(&self, name: &str) -> usize {
        self.by.get(name).copied().unwrap_or(0)
    }
}

impl Member {
    /// Leaves without a word, as a process does that ends.
    async fn leave(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.running.await?.with_context(|| self.name)
    }
}

/// What a member does.
struct Reads {
    name: String,
    reader: KafkaReader,
    ledger: Arc<Mutex<Ledger>>,
    /// The offset that must come next of each partition that is ours.
    next: BTreeMap<Partition, i64>,
}

impl Reads {
    async fn run(
        mut self,
        stop: CancellationToken,
        stall: Arc<tokio::sync::Mutex<()>>,
    ) -> anyhow::Result<()> {
        while !stop.is_cancelled() {
            let _may_go_on = stall.lock().await;
            match self.reader.next(NEWS).await? {
                ReadEvent::Assigned(partitions) => {
                    self.ledger.lock().unwrap().told.insert(self.name.clone());
                    for partition in partitions {
                        self.begin(partition).await?;
                    }
                }
                ReadEvent::Revoked(partitions) => {
                    self.next.retain(|held, _| !partitions.contains(held));
                }
                ReadEvent::Records(batch) => self.hand_in(batch).await?,
                ReadEvent::Idle => {}
            }
            self.tell();
        }
        self.next.clear();
        self.tell();
        Ok(())
    }

    /// Goes on where the ledger stands.
    async fn begin(&mut self, partition: Partition) -> anyhow::Result<()> {
        let at = self.ledger.lock().unwrap().end(partition);
        self.reader.seek(partition, at).await?;
        self.next.insert(partition, at);
        Ok(())
    }

    async fn hand_in(&mut self, batch: RecordBatch) -> anyhow::Result<()> {
        let partition = batch.partition;
        let next = self.next.get_mut(&partition);
        let next = next.with_context(|| format!("{partition} is not ours"))?;
        let from = *next;
        for record in &batch.records {
            ensure!(record.offset == *next, "{} came, not {next}", record.offset);
            *next += 1;
        }
        {
            let mut ledger = self.ledger.lock().unwrap();
            if ledger.end(partition) == from {
                *ledger.by.entry(self.name.clone()).or_default() += batch.records.len();
                let read = ledger.read.entry(partition).or_default();
                read.extend(batch.records.into_iter().map(|record| record.value));
                return Ok(());
            }
        }
        // Another member was here before.
        self.begin(partition).await
    }

    fn tell(&self) {
        let mut ledger = self.ledger.lock().unwrap();
        let held = self.next.keys().copied().collect();
        ledger.held.insert(self.name.clone(), held);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_share_the_partitions() -> anyhow::Result<()> {
    let bench = Bench::new(|_| {}).await?;
    let (a, b) = (bench.join("a")?, bench.join("b")?);
    bench
        .until("two partitions each", |ledger| {
            let held = |name| ledger.held.get(name).map_or(0, BTreeSet::len);
            held("a") == 2 && held("b") == 2
        })
        .await?;
    bench.append(0, 2_000).await?;
    bench.until_all_are_read(2_000).await?;
    bench.assert_whole(2_000);
    assert_eq!(bench.ledger().count_by("a"), 1_000);
    assert_eq!(bench.ledger().count_by("b"), 1_000);

    let ends = (0..PARTITIONS.get()).map(|partition| (Partition(partition), 500));
    let ends: BTreeMap<_, _> = ends.collect();
    let deadline = Instant::now() + WITHIN;
    while bench.committed().await? != ends {
        ensure!(Instant::now() < deadline, "{:?}", bench.committed().await?);
        sleep(NEWS).await;
    }
    a.leave().await?;
    b.leave().await
}

/// More members than partitions: who gets nothing is told so, and takes over when another leaves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_nothing_is_left_for_stands_by() -> anyhow::Result<()> {
    let bench = Bench::new(|_| {}).await?;
    let names = ["a", "b", "c", "d"];
    let mut members = names
        .map(|name| bench.join(name))
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;
    bench.until_each_holds_some(&names).await?;
    let spare = bench.join("spare")?;
    bench
        .until("the spare is told", |ledger| {
            let held = |name: &&str| ledger.held.get(*name).map_or(0, BTreeSet::len) == 1;
            ledger.told.contains("spare") && names.iter().all(held)
        })
        .await?;
    assert_eq!(bench.ledger().held["spare"].len(), 0);

    let leaves = members.pop().context("four members")?;
    leaves.leave().await?;
    bench
        .until_each_holds_some(&["a", "b", "c", "spare"])
        .await?;
    bench.append(0, 2_000).await?;
    bench.until_all_are_read(2_000).await?;
    bench.assert_whole(2_000);
    spare.leave().await?;
    for member in members {
        member.leave().await?;
    }
    Ok(())
}

/// One member stays; another comes, leaves while records flow, comes back under its name or does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_a_member_comes_and_goes() -> anyhow::Result<()> {
    const ROUNDS: usize = 4;
    const RECORDS: usize = 20_000;
    const A_ROUND: usize = RECORDS / ROUNDS;
    let bench = Bench::new(|_| {}).await?;
    let stays = bench.join("stays")?;
    for round in 0..ROUNDS {
        let first = round * A_ROUND;
        let goes = bench.join("goes")?;
        bench.until_each_holds_some(&["stays", "goes"]).await?;
        let before = bench.ledger().count_by("goes");
        let has_read = |ledger: &Ledger| ledger.count_by("goes") > before;
        let (appended, read) = tokio::join!(
            bench.append(first, A_ROUND / 2),
            bench.until("it has read some", has_read),
        );
        appended.and(read)?;
        goes.leave().await?;
        bench.append(first + A_ROUND / 2, A_ROUND / 2).await?;
        // In every second round it comes back before its session has ended.
        if round % 2 == 0 {
            let is_back = bench.join("goes")?;
            bench.until_all_are_read(first + A_ROUND).await?;
            is_back.leave().await?;
        } else {
            bench.until_all_are_read(first + A_ROUND).await?;
        }
    }
    bench.assert_whole(RECORDS);
    stays.leave().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_asks_for_nothing_loses_its_share() -> anyhow::Result<()> {
    let stalled_after = Duration::from_secs(2);
    let bench = Bench::new(|options| options.stalled_after = stalled_after).await?;
    let (works, stalls) = (bench.join("works")?, bench.join("stalls")?);
    bench.until_each_holds_some(&["works", "stalls"]).await?;
    bench.append(0, 2_000).await?;
    bench.until_all_are_read(2_000).await?;

    let stalled = stalls.stall.lock().await;
    bench.append(2_000, 2_000).await?;
    let all = |ledger: &Ledger| ledger.held["works"].len() == PARTITIONS.get() as usize;
    bench.until("the other has it all", all).await?;
    bench.until_all_are_read(4_000).await?;

    // Awake again it is told what it lost, and gets a share anew.
    drop(stalled);
    bench
        .until("it has a share again", |ledger| !all(ledger))
        .await?;
    bench.append(4_000, 2_000).await?;
    bench.until_all_are_read(6_000).await?;
    bench.assert_whole(6_000);
    works.leave().await?;
    stalls.leave().await
}

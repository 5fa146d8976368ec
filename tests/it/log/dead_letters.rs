//! Every place of dead letters passes the suite of its port; and on Kafka nothing passes a record that
//! nobody could decode before its letter is acknowledged.

mod embedded {
    use anyhow::Context;
    use danmu_log::embedded::LetterFile;
    use danmu_log::{DeadLetters, Record};
    use danmu_schemas::{LogIdentity, Partition};
    use danmu_tests::conformance::dead_letters::{Kept, LetterEnvironment};
    use serde_json::Value;
    use tempfile::TempDir;

    struct File(TempDir);

    impl LetterEnvironment for File {
        async fn log(&self) -> anyhow::Result<LogIdentity> {
            Ok(LogIdentity("a log".to_owned()))
        }

        async fn open(&self) -> anyhow::Result<Box<dyn DeadLetters>> {
            let path = self.0.path().join("letters.jsonl");
            Ok(Box::new(LetterFile::open(&path, self.log().await?)?))
        }

        async fn kept(&self) -> anyhow::Result<Vec<Kept>> {
            let text = std::fs::read_to_string(self.0.path().join("letters.jsonl"))?;
            text.lines()
                .map(|line| kept(&serde_json::from_str(line)?).context("a field is missing"))
                .collect()
        }
    }

    fn kept(letter: &Value) -> Option<Kept> {
        let text = |name: &str| Some(letter[name].as_str()?.to_owned());
        let number = |name: &str| letter[name].as_i64();
        Some(Kept {
            log: text("log")?,
            partition: Partition(number("partition")?.try_into().ok()?),
            record: Record {
                offset: number("offset")?,
                logged_at: number("logged_at")?,
                epoch: number("epoch")?.try_into().ok()?,
                key: bytes(&text("key")?)?.into(),
                value: bytes(&text("value")?)?.into(),
            },
            why: text("why")?,
        })
    }

    fn bytes(hexadecimal: &str) -> Option<Vec<u8>> {
        let pairs = (0..hexadecimal.len()).step_by(2);
        let byte = |at| u8::from_str_radix(hexadecimal.get(at..at + 2)?, 16).ok();
        pairs.map(byte).collect()
    }

    danmu_tests::dead_letters_conformance!(File(TempDir::new()?));
}

#[cfg(feature = "cluster")]
mod kafka {
    use std::num::NonZeroU32;
    use std::time::{Duration, Instant};

    use anyhow::{Context, ensure};
    use danmu_log::kafka::topics::DEAD_LETTERS;
    use danmu_log::kafka::{ConnectError, KafkaLog, LetterTopic};
    use danmu_log::{DeadLetterError, DeadLetters, Record, Undecodable};
    use danmu_schemas::{LogIdentity, Partition};
    use danmu_stack::{Engine, shared};
    use danmu_tests::conformance::dead_letters::{Kept, LetterEnvironment};
    use danmu_tests::server::Server;
    use rdkafka::admin::AdminOptions;
    use rdkafka::consumer::{BaseConsumer, Consumer};
    use rdkafka::error::KafkaError;
    use rdkafka::message::{BorrowedMessage, Headers, Message};
    use rdkafka::producer::{FutureProducer, FutureRecord};
    use rdkafka::{ClientConfig, Offset, TopicPartitionList};
    use serde_json::json;
    use tempfile::TempDir;

    use crate::log::kafka::Kafka;
    use crate::log::topics::Own;

    const ONE: NonZeroU32 = NonZeroU32::new(1).expect("1 is not 0");
    /// Longer than anything here takes on a loaded machine.
    const WITHIN: Duration = Duration::from_secs(60);
    const POLL: Duration = Duration::from_millis(100);

    impl LetterEnvironment for Kafka {
        async fn log(&self) -> anyhow::Result<LogIdentity> {
            Ok(KafkaLog::connect(self.options().await?).await?.identity())
        }

        async fn open(&self) -> anyhow::Result<Box<dyn DeadLetters>> {
            let log = KafkaLog::connect(self.options().await?).await?;
            Ok(Box::new(log.dead_letters().await?))
        }

        /// The topic is every log's: of this one's letters.
        async fn kept(&self) -> anyhow::Result<Vec<Kept>> {
            let brokers = shared::address(Engine::Kafka)?;
            let letters = tokio::task::spawn_blocking(move || letters(&brokers));
            let mut letters = letters.await??;
            let log = self.log().await?;
            letters.retain(|kept| kept.log == log.0);
            Ok(letters)
        }
    }

    danmu_tests::dead_letters_conformance!(Kafka::with_a_new_topic(ONE));

    /// Every letter of a cluster, in its order.
    fn letters(brokers: &str) -> anyhow::Result<Vec<Kept>> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", brokers)
            .set("group.id", "letters")
            .set("enable.partition.eof", "true");
        let consumer: BaseConsumer = config.create()?;
        let mut all = TopicPartitionList::new();
        all.add_partition_offset(DEAD_LETTERS, 0, Offset::Beginning)?;
        consumer.assign(&all)?;
        let deadline = Instant::now() + WITHIN;
        let mut letters = Vec::new();
        loop {
            match consumer.poll(POLL) {
                Some(Ok(message)) => letters.push(kept(&message).context("no dead letter")?),
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(letters),
                Some(Err(error)) => return Err(error.into()),
                None => ensure!(Instant::now() < deadline, "the topic has no end"),
            }
        }
    }

    fn kept(message: &BorrowedMessage<'_>) -> Option<Kept> {
        let header = |name: &str| {
            let mut headers = message.headers()?.iter();
            headers.find(|header| header.key == name)?.value
        };
        let text = |name: &str| std::str::from_utf8(header(name)?).ok();
        let mut place = std::str::from_utf8(message.key()?).ok()?.rsplitn(3, ':');
        let (offset, partition, log) = (place.next()?, place.next()?, place.next()?);
        Some(Kept {
            log: log.to_owned(),
            partition: Partition(partition.parse().ok()?),
            record: Record {
                offset: offset.parse().ok()?,
                logged_at: text("logged_at")?.parse().ok()?,
                epoch: u32::from_be_bytes(header("epoch")?.try_into().ok()?),
                key: header("key")?.to_vec().into(),
                value: message.payload()?.to_vec().into(),
            },
            why: text("why")?.to_owned(),
        })
    }

    fn keep_one(letters: &mut LetterTopic) -> Result<(), DeadLetterError> {
        let record = Record {
            offset: 1,
            logged_at: 2,
            epoch: 0,
            key: "room".into(),
            value: "no event".into(),
        };
        let letter = Undecodable {
            record: &record,
            why: "nobody wrote it".to_owned(),
        };
        letters.keep(Partition(0), &[letter])
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_cluster_that_is_away_is_waited_for_in_calls_of_their_own() -> anyhow::Result<()> {
        let mut own = Own::start()?;
        assert_eq!(own.topics("create", &["--partitions", "1"]).0, Some(0));
        let mut letters = own.connect().await?.dead_letters().await?;
        tokio::task::block_in_place(|| {
            keep_one(&mut letters)?;
            own.server.kill();
            let refused = keep_one(&mut letters);
            let is_unavailable = matches!(refused, Err(DeadLetterError::Unavailable(_)));
            ensure!(is_unavailable, "{refused:?}");
            own.server.restart()?;
            let deadline = Instant::now() + WITHIN;
            while let Err(error) = keep_one(&mut letters) {
                ensure!(Instant::now() < deadline, "{error:?}");
            }
            let kept = self::letters(&own.server.address())?;
            ensure!(kept.len() >= 2, "{kept:?}");
            ensure!(kept.iter().all(|one| *one == kept[0]), "{kept:?}");
            Ok(())
        })
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_topic_that_is_missing_is_named() -> anyhow::Result<()> {
        let own = Own::start()?;
        assert_eq!(own.topics("create", &["--partitions", "1"]).0, Some(0));
        let log = own.connect().await?;
        let operator = own.operator()?;
        operator
            .delete_topics(&[DEAD_LETTERS], &AdminOptions::new())
            .await?;
        let refused = log.dead_letters().await;
        let is_missing =
            matches!(&refused, Err(ConnectError::NoTopic(name)) if name == DEAD_LETTERS);
        assert!(is_missing, "{refused:?}");
        Ok(())
    }

    /// A whole server over the log: what stands after the garbage is shown, and the garbage is kept.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_server_puts_garbage_aside_and_goes_on() -> anyhow::Result<()> {
        const LETTERS: &str = "danmu_projector_dead_letters_total{group=\"history\"}";
        const GARBAGE: &[u8] = b"not an event";
        let kafka = Kafka::with_a_new_topic(ONE);
        let options = kafka.options().await?;
        let data = TempDir::new()?;
        let server = tokio::task::block_in_place(|| {
            let log = options.to_string();
            let server = Server::start_configured(data.path(), |command| {
                command.args(["--log", &log]);
            });
            server.wait_until_ready();
            server
        });
        let comment = |server: &Server, text: &str| {
            let body = json!({"kind": "comment", "user": {"id": "u"}, "text": text});
            server.post("/v1/rooms/a/events", &body);
        };
        tokio::task::block_in_place(|| comment(&server, "before"));
        let producer: FutureProducer = ClientConfig::new()
            .set("bootstrap.servers", &options.brokers)
            .create()?;
        let garbage = FutureRecord::to(&options.topic).key("a").payload(GARBAGE);
        let sent = producer.send(garbage, WITHIN).await;
        let offset = sent.map_err(|(error, _)| error)?.offset;

        tokio::task::block_in_place(|| {
            comment(&server, "after");
            let page = "/v1/rooms/a/events?after=0";
            server.wait_for(page, |page| page["head"] == 2);
            let deadline = Instant::now() + WITHIN;
            while server.metric(LETTERS) < 1.0 {
                ensure!(Instant::now() < deadline, "no letter was counted");
                std::thread::sleep(POLL);
            }
            let (status, lines) = server.terminate();
            ensure!(status.success(), "{lines:#?}");
            Ok(())
        })?;
        let kept = kafka.kept().await?;
        ensure!(!kept.is_empty(), "the topic has no letter");
        for letter in kept {
            assert_eq!(letter.record.value, GARBAGE);
            assert_eq!(
                (letter.partition, letter.record.offset),
                (Partition(0), offset)
            );
        }
        let file = data.path().join("dead-letters.jsonl");
        ensure!(!file.exists(), "a letter is in a file");
        Ok(())
    }
}

//! Every log passes the suite of its port; what is Kafka's own has tests of its own.

mod dead_letters;
#[cfg(feature = "cluster")]
mod group;
#[cfg(feature = "cluster")]
mod measured;
#[cfg(feature = "cluster")]
mod topics;
#[cfg(feature = "cluster")]
mod trace;

mod embedded {
    use anyhow::Context;
    use danmu_log::embedded::{EmbeddedLog, EmbeddedReader, Options, wall_clock};
    use danmu_tests::conformance::log::LogEnvironment;
    use tempfile::TempDir;

    struct Embedded {
        dir: TempDir,
        segment_bytes_max: u32,
        tail_bytes_max: usize,
    }

    impl Embedded {
        fn with_defaults() -> Self {
            let dir = TempDir::new().expect("a temporary directory");
            let Options {
                segment_bytes_max,
                tail_bytes_max,
                ..
            } = Options::new("", wall_clock());
            Self {
                dir,
                segment_bytes_max,
                tail_bytes_max,
            }
        }

        /// With segments of a few records and nothing in memory, so that readers read files.
        fn in_small_files() -> Self {
            Self {
                segment_bytes_max: 1_000,
                tail_bytes_max: 0,
                ..Self::with_defaults()
            }
        }
    }

    impl LogEnvironment for Embedded {
        type Writer = EmbeddedLog;
        type Reader = EmbeddedReader;

        async fn open(&self) -> anyhow::Result<EmbeddedLog> {
            let options = Options {
                segment_bytes_max: self.segment_bytes_max,
                tail_bytes_max: self.tail_bytes_max,
                ..Options::new(self.dir.path(), wall_clock())
            };
            EmbeddedLog::open(options).context("opening the log")
        }

        async fn reader(&self, log: &EmbeddedLog) -> anyhow::Result<EmbeddedReader> {
            Ok(log.reader())
        }

        async fn stop(&self, log: EmbeddedLog) -> anyhow::Result<()> {
            log.close().await;
            Ok(())
        }

        async fn crash(&self, log: EmbeddedLog) -> anyhow::Result<()> {
            drop(log);
            Ok(())
        }
    }

    mod with_defaults {
        danmu_tests::log_conformance!(super::Embedded::with_defaults());
    }

    mod in_small_files {
        danmu_tests::log_conformance!(super::Embedded::in_small_files());
    }
}

#[cfg(feature = "cluster")]
mod kafka {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use danmu_log::kafka::topics::{Layout, Topics};
    use danmu_log::kafka::{KafkaLog, KafkaReader, Options, Reading};
    use danmu_stack::{Engine, shared};
    use danmu_tests::conformance::log::LogEnvironment;
    use tokio::sync::OnceCell;

    /// A topic of its own in the stack's cluster.
    pub struct Kafka {
        partitions: NonZeroU32,
        topic: String,
        made: OnceCell<Options>,
    }

    impl Kafka {
        pub fn with_a_new_topic(partitions: NonZeroU32) -> Self {
            let topic = format!("danmu.test-{:016x}", fastrand::u64(..));
            Self {
                partitions,
                topic,
                made: OnceCell::new(),
            }
        }

        /// How to connect to the topic, which is made when this is asked first.
        pub async fn options(&self) -> anyhow::Result<Options> {
            let made = self.made.get_or_try_init(|| async {
                let options = Options {
                    topic: self.topic.clone(),
                    // On a machine that does much else.
                    acknowledged_within: Duration::from_secs(60),
                    ..Options::new(shared::address(Engine::Kafka)?)
                };
                let layout = Layout {
                    partitions: self.partitions,
                    ..Layout::default()
                };
                let topics = Topics::connect(options.clone())?;
                topics.create(&layout).await?;
                anyhow::Ok(options)
            });
            Ok(made.await?.clone())
        }
    }

    impl LogEnvironment for Kafka {
        type Writer = KafkaLog;
        type Reader = KafkaReader;

        async fn open(&self) -> anyhow::Result<KafkaLog> {
            Ok(KafkaLog::connect(self.options().await?).await?)
        }

        async fn reader(&self, log: &KafkaLog) -> anyhow::Result<KafkaReader> {
            Ok(log.reader(Reading::All)?)
        }

        async fn stop(&self, log: KafkaLog) -> anyhow::Result<()> {
            log.close().await;
            Ok(())
        }

        async fn crash(&self, log: KafkaLog) -> anyhow::Result<()> {
            drop(log);
            Ok(())
        }
    }

    const TWO: NonZeroU32 = NonZeroU32::new(2).expect("2 is not 0");

    danmu_tests::log_conformance!(Kafka::with_a_new_topic(TWO));
}

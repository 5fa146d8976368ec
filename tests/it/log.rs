//! Every log passes the suite of its port.

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

//! Every projection passes the suite of its port.

pub mod embedded {
    use anyhow::Context;
    use danmu_projections::EmbeddedHistory;
    use danmu_projections::windows::{MemoryWindows, WindowLimits};
    use danmu_schemas::{Position, Slot};
    use danmu_tests::conformance::projection::history::HistoryEnvironment;
    use danmu_tests::conformance::projection::windows::WindowEnvironment;
    use tempfile::TempDir;

    /// The engines of one process: windows in memory, the history in a directory.
    pub struct Embedded {
        dir: TempDir,
    }

    impl Embedded {
        pub fn new() -> Self {
            let memory = std::path::Path::new("/dev/shm");
            let dir = match memory.is_dir() {
                true => TempDir::new_in(memory),
                false => TempDir::new(),
            };
            Self {
                dir: dir.expect("a temporary directory"),
            }
        }
    }

    impl HistoryEnvironment for Embedded {
        type History = EmbeddedHistory;

        async fn history(&self) -> anyhow::Result<EmbeddedHistory> {
            EmbeddedHistory::open(self.dir.path()).context("opening the history")
        }

        async fn restart_history(
            &self,
            history: EmbeddedHistory,
        ) -> anyhow::Result<EmbeddedHistory> {
            drop(history);
            self.history().await
        }
    }

    impl WindowEnvironment for Embedded {
        type Windows = MemoryWindows;

        async fn windows(&self, limits: WindowLimits) -> anyhow::Result<MemoryWindows> {
            Ok(MemoryWindows::new(limits))
        }

        async fn restart(&self, windows: MemoryWindows) -> anyhow::Result<MemoryWindows> {
            drop(windows);
            self.windows(WindowLimits::default()).await
        }

        async fn set_watermark(
            windows: &MemoryWindows,
            slot: Slot,
            watermark: Position,
        ) -> anyhow::Result<()> {
            windows.set_watermark(slot, watermark);
            Ok(())
        }

        async fn wipe(windows: &MemoryWindows, slot: Slot) -> anyhow::Result<()> {
            windows.wipe(slot);
            Ok(())
        }
    }

    mod history {
        danmu_tests::history_conformance!(super::Embedded::new());
    }

    mod windows {
        danmu_tests::window_conformance!(super::Embedded::new());
    }
}

//! Segment files of our own: the log of one process, in one directory.
//!
//! Owns the directory's form and the handle to an open log. `meta.json` says which log it is and
//! `lock` is held while it is open; the blocks of all partitions stand in one shared series of
//! segment files. One thread writes: it takes what waits, writes one block a partition with one
//! write, syncs, and only then answers the senders and shows the records to readers.
//! Recovery cuts off only what no sync can have covered; any other damage is an error, at opening
//! or at reading, and never a record that was not written.
//!
//! Bytes of a block: `block`. Files: `segment`, `meta`. Opening: `recovery`. What readers may see:
//! `durable`. What waits: `queue`. The thread: `writer`. The read side: `reader`.
//! Beside the log, not of it: dead letters (`letters`).

mod block;
mod durable;
mod letters;
mod meta;
mod queue;
mod reader;
mod recovery;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::io;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use danmu_schemas::{LogIdentity, Partition};
use tokio_util::sync::CancellationToken;

use crate::{AppendError, LogWriter, NewRecord, Routes};
use durable::Durable;
pub use letters::LetterFile;
use queue::{Queue, Stop};
pub use reader::EmbeddedReader;
use writer::Writer;

/// Gives the time, milliseconds since 1970 UTC. It may jump; log time does not follow it back.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The machine's clock.
pub fn wall_clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
    })
}

/// How to open an embedded log.
#[derive(Clone)]
pub struct Options {
    /// The log's directory; made if it is not there. Nothing else may be kept in it.
    pub dir: PathBuf,
    /// How many partitions a new log gets, at most [`PARTITIONS_MAX`]; an old one keeps its own.
    pub partitions: NonZeroU32,
    /// How old a segment must be before a trim may remove it.
    pub retention: Duration,
    /// A segment that has reached this size is sealed; at most [`SEGMENT_BYTES_MAX`].
    pub segment_bytes_max: u32,
    /// How long the first of a group waits for others.
    pub linger: Duration,
    /// Bytes that one group commit takes; an append may not be larger. At most [`GROUP_BYTES_MAX`].
    pub group_bytes_max: usize,
    /// Bytes that may wait, in all lanes.
    pub queue_bytes_max: usize,
    /// Records that may wait, in all lanes.
    pub queue_records_max: usize,
    /// Bytes of the newest groups that are kept in memory for readers.
    pub tail_bytes_max: usize,
    /// Where log time comes from.
    pub clock: Clock,
}

/// The most partitions that a log can have: one a slot.
pub const PARTITIONS_MAX: u32 = danmu_schemas::Slot::COUNT as u32;

/// The largest size at which a segment is sealed.
pub const SEGMENT_BYTES_MAX: u32 = 1 << 30;

/// The largest group commit.
pub const GROUP_BYTES_MAX: usize = 64 << 20;

impl Options {
    /// The defaults, for a log in `dir` on the given clock.
    pub fn new(dir: impl Into<PathBuf>, clock: Clock) -> Self {
        Self {
            dir: dir.into(),
            partitions: const { NonZeroU32::new(4).expect("4 is not 0") },
            retention: Duration::from_secs(7 * 24 * 3600),
            segment_bytes_max: 64 << 20,
            linger: Duration::from_micros(100),
            group_bytes_max: 4 << 20,
            queue_bytes_max: 32 << 20,
            queue_records_max: 65_536,
            tail_bytes_max: 32 << 20,
            clock,
        }
    }

    fn check(&self) -> Result<(), OpenError> {
        if self.partitions.get() > PARTITIONS_MAX {
            return Err(OpenError::Options("more partitions than slots"));
        }
        if self.segment_bytes_max > SEGMENT_BYTES_MAX {
            return Err(OpenError::Options("segments would be larger than 1 GiB"));
        }
        if self.group_bytes_max > GROUP_BYTES_MAX {
            return Err(OpenError::Options("groups would be larger than 64 MiB"));
        }
        Ok(())
    }
}

/// Why a log does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another handle of this one, has it open.
    #[error("the log in {} is open elsewhere", .0.display())]
    Locked(PathBuf),
    /// It was written by a build with another format.
    #[error("the log has format {found}, this build knows {known}")]
    Format {
        /// What the directory says.
        found: u32,
        /// What this build reads and writes.
        known: u32,
    },
    /// Bytes on disk are not what was written; only a copy of them helps.
    #[error("{} is damaged: {what}", .file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// What was asked for cannot be.
    #[error("options of the log: {0}")]
    Options(&'static str),
    /// The system refused.
    #[error("cannot use {}", .file.display())]
    Io {
        /// The file or directory.
        file: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

impl OpenError {
    fn io(file: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let file = file.into();
        move |source| Self::Io { file, source }
    }

    fn damaged(file: impl Into<PathBuf>, what: impl Into<String>) -> Self {
        Self::Damaged {
            file: file.into(),
            what: what.into(),
        }
    }
}

/// How full a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Bytes of all segments.
    pub bytes: u64,
    /// Records that wait for the writer.
    pub waiting_records: usize,
    /// Their bytes.
    pub waiting_bytes: usize,
    /// How much of the queue they take, of its records or its bytes, whichever is more.
    pub queue_percent: u64,
}

/// An open log; clones are handles to the same one.
///
/// [`EmbeddedLog::close`] is the clean stop. Dropping the last handle also commits what waits and
/// gives the directory free, but leaves the newest segment to be scanned by the next opening, as a
/// crash does.
#[derive(Clone)]
pub struct EmbeddedLog {
    inner: Arc<Inner>,
}

struct Inner {
    queue: Arc<Queue>,
    durable: Arc<Durable>,
    routes: Routes,
    stopped: CancellationToken,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl EmbeddedLog {
    /// Opens the log in `options.dir`, making a new one where there is none.
    ///
    /// Reads the newest segment and the indexes of the others, so it takes as long as that does.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        options.check()?;
        let recovered = recovery::open(&options)?;
        let durable = Arc::new(Durable::new(
            &options,
            recovered.meta.identity,
            recovered.segments,
        ));
        let queue = Arc::new(Queue::new(&options));
        let writer = Writer::new(
            options,
            recovered.meta.identity,
            recovered.lock,
            recovered.active,
            Arc::clone(&durable),
            Arc::clone(&queue),
        );
        Self::start(writer, durable, queue, recovered.meta.routes)
    }

    fn start(
        writer: Writer,
        durable: Arc<Durable>,
        queue: Arc<Queue>,
        routes: Routes,
    ) -> Result<Self, OpenError> {
        let stopped = CancellationToken::new();
        let guard = stopped.clone().drop_guard();
        let dir = durable.dir().to_owned();
        let run = move || {
            // Dropped last: whoever sees the stop finds the directory free.
            let _guard = guard;
            writer.run();
        };
        let thread = std::thread::Builder::new()
            .name("danmu-log".to_owned())
            .spawn(run)
            .map_err(OpenError::io(dir))?;
        let thread = Mutex::new(Some(thread));
        Ok(Self {
            inner: Arc::new(Inner {
                queue,
                durable,
                routes,
                stopped,
                thread,
            }),
        })
    }

    /// A reader of all partitions. It may outlive the log and then reads what was durable.
    pub fn reader(&self) -> EmbeddedReader {
        EmbeddedReader::new(Arc::clone(&self.inner.durable))
    }

    /// Which log this is: given once, when the directory was made.
    pub fn identity(&self) -> LogIdentity {
        self.inner.durable.identity()
    }

    /// Where each slot's records go.
    pub fn routes(&self) -> &Routes {
        &self.inner.routes
    }

    /// Every partition.
    pub fn partitions(&self) -> Vec<Partition> {
        self.inner.durable.partitions()
    }

    /// When the log took the record at `offset`, if it has it: milliseconds since 1970 UTC.
    pub fn logged_at(&self, partition: Partition, offset: i64) -> Option<i64> {
        self.inner.durable.logged_at(partition, offset)
    }

    /// The offset that the next durable record of `partition` will have.
    pub fn end_offset(&self, partition: Partition) -> i64 {
        self.inner.durable.range(partition).1
    }

    /// How much is kept and how much waits, at this moment.
    pub fn figures(&self) -> Figures {
        let (waiting_records, waiting_bytes) = self.inner.queue.waiting();
        Figures {
            bytes: self.inner.durable.bytes(),
            waiting_records,
            waiting_bytes,
            queue_percent: self.inner.queue.percent(waiting_records, waiting_bytes),
        }
    }

    /// Why every append is refused from now on, until the log is opened again; nothing while it works.
    pub fn refusal(&self) -> Option<&'static str> {
        self.inner.queue.refusal()
    }

    /// Commits what waits, seals the newest segment and gives the directory free. Later appends are
    /// refused as overloaded. May be called again.
    pub async fn close(&self) {
        self.inner.queue.stop(Stop::Seal);
        self.inner.stopped.cancelled().await;
    }
}

impl LogWriter for EmbeddedLog {
    async fn append(
        &self,
        partition: Partition,
        records: Vec<NewRecord>,
    ) -> Result<i64, AppendError> {
        assert!(!records.is_empty(), "an append has at least one record");
        assert!(
            self.inner.durable.has(partition),
            "the route table names existing partitions"
        );
        let answer = self.inner.queue.append(partition, records)?;
        answer
            .await
            .unwrap_or_else(|gone| Err(AppendError::Unknown(Box::new(gone))))
    }

    async fn trim(&self, partition: Partition, offset: i64) -> Result<(), AppendError> {
        assert!(
            self.inner.durable.has(partition),
            "the route table names existing partitions"
        );
        let answer = self.inner.queue.trim(partition, offset)?;
        answer
            .await
            .unwrap_or_else(|gone| Err(AppendError::Unknown(Box::new(gone))))
    }
}

impl fmt::Debug for EmbeddedLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedLog")
            .field("dir", &self.inner.durable.dir())
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue.stop(Stop::Leave);
        let thread = self.thread.get_mut().ok().and_then(Option::take);
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the log's writer panicked");
        }
    }
}

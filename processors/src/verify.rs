//! Proof that what the read models hold is what the log says: settles the log again and compares.
//!
//! Of the history: every chunk, fact, state and block of memory at or below the watermark, whether
//! one is missing, altered or too much. Of the windows: every room's state with its memory, its
//! visible events and its unsettled ones, as far as the window reaches. Nothing is written. A room is
//! pinned when its first record is met: what the stores say then, and as of which position, is what
//! it is compared with there, so stores that move on meanwhile raise no false alarm.
//!
//! The log must still have its first records, since a room cannot be settled from its middle; where
//! it has not, [`VerifyError::StartGone`] says from where it has. Rooms are held in memory up to
//! [`Options::held_bytes_max`]; where there are more, the log is read again for the others. What may
//! be missing is what was erased, and the unsettled events of a window that was refilled.

mod chunks;
mod facts;
mod fingerprint;
mod pass;
mod pinned;
mod remembered;
mod report;
mod room;
mod states;
mod window;

use std::ops::ControlFlow;

use danmu_log::{LogReader, ReadError, Routes};
use danmu_projections::history::{HistoryReader, HistoryStore};
use danmu_projections::projection::StoreError;
use danmu_projections::windows::{WindowRead, WindowStore};
use danmu_schemas::{Partition, RoomId};
use serde::{Deserialize, Serialize};

pub use report::{Difference, Report};

use pass::Verification;

/// How much memory rooms may take, by estimate, before some are left to a later pass.
const HELD_BYTES_MAX: usize = 512 * 1_024 * 1_024;

/// The read models to compare with the log.
pub struct Sources<H, W> {
    /// The history.
    pub history: HistoryReader<H>,
    /// The windows; `None` where they are not at hand.
    pub windows: Option<W>,
}

/// What is compared, and with how much memory.
#[derive(Debug, Clone)]
pub struct Options {
    /// This room alone.
    pub room: Option<RoomId>,
    /// About how many bytes of rooms are held at once. One room is always held.
    pub held_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            room: None,
            held_bytes_max: HELD_BYTES_MAX,
        }
    }
}

/// How far a verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Which reading of the log, from 1.
    pub pass: u32,
    /// Records read in it.
    pub read: u64,
    /// Records to read in it; grows where the windows move on.
    pub total: u64,
}

/// Why nothing is proved.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The log.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A read model.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log's first records are gone.
    #[error("partition {partition} of the log begins only at {first}")]
    StartGone {
        /// Where.
        partition: Partition,
        /// The first offset that it still has.
        first: i64,
    },
    /// A read model knows more than the log.
    #[error("a read model stands at {last} of partition {partition}, which ends at {end}")]
    PastEnd {
        /// Where.
        partition: Partition,
        /// Where the read model stands.
        last: i64,
        /// The offset of the partition's next record.
        end: i64,
    },
    /// This build cannot settle all of the log.
    #[error("partition {partition} cannot be settled by this build: {why}")]
    Halted {
        /// Where.
        partition: Partition,
        /// What it does not know.
        why: String,
    },
    /// The reader brought no records although the log has them.
    #[error("the log's reader brings nothing")]
    NotRead,
    /// Whoever follows the progress ended it.
    #[error("the verification was given up")]
    GivenUp,
}

/// Settles the log again and compares it with the read models. `reader` is a fresh one of all
/// partitions. `progress` is told now and then how far it is, and may end it.
pub async fn verify<R, H, W>(
    reader: &mut R,
    routes: &Routes,
    sources: &Sources<H, W>,
    options: &Options,
    progress: impl FnMut(Progress) -> ControlFlow<()> + Send,
) -> Result<Report, VerifyError>
where
    R: LogReader,
    H: HistoryStore,
    W: WindowStore + WindowRead,
{
    let verification = Verification {
        reader,
        routes,
        sources,
        options,
        progress,
    };
    verification.run().await
}

#[cfg(test)]
mod tests;

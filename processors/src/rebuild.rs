//! Building a read model anew, from the log's first record, beside the one that is in use.
//!
//! Nothing is destroyed here: the caller gives an empty store and switches to it when it is built. A
//! log that no longer has its first records cannot give a read model back, and is refused.

use std::time::Instant;

use danmu_log::{DeadLetters, LogReader, Routes};
use danmu_projections::projection::Projection;
use danmu_schemas::Partition;

use crate::projector::{Options, Projector, ProjectorError, Standing};

/// Why a read model was not built.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The loop stopped: [`ProjectorError::BeforeFirst`] where the log's first records are gone.
    #[error(transparent)]
    Projector(#[from] ProjectorError),
    /// This build cannot settle all of the log.
    #[error("partition {partition} cannot be rebuilt by this build: {why}")]
    Halted {
        /// The partition.
        partition: Partition,
        /// What it does not know.
        why: String,
    },
}

/// Drives `projection`, over an empty store, until it stands where the log ended when reading began,
/// and checkpoints it. `reader` is a fresh one of all partitions; what is appended meanwhile is read
/// by whoever drives the projection on. Building goes on where an earlier try over the same store
/// checkpointed.
pub async fn rebuild<P: Projection, R: LogReader>(
    projection: P,
    reader: R,
    routes: Routes,
    dead_letters: Box<dyn DeadLetters>,
) -> Result<P, RebuildError> {
    let started = Instant::now();
    let now_ms = || started.elapsed().as_millis() as u64;
    let mut projector =
        Projector::new(projection, reader, routes, Options::default()).keeping(dead_letters);
    let standing = projector.standing();
    while !standing.borrow().is_ready() {
        projector.turn(now_ms()).await?;
        if let Some((partition, why)) = halted(&standing.borrow()) {
            return Err(RebuildError::Halted { partition, why });
        }
    }
    projector.checkpoint_all(now_ms()).await?;
    Ok(projector.into_projection())
}

fn halted(standing: &Standing) -> Option<(Partition, String)> {
    let mut partitions = standing.partitions.iter();
    partitions.find_map(|(partition, standing)| Some((*partition, standing.halted.clone()?)))
}

//! The port of dead letters: records that nobody could decode, kept with their place.
//!
//! A letter is known by its log, partition and offset, so that keeping it again changes nothing. Who
//! reads the log passes such a record only once it is kept: a record that is passed and kept nowhere
//! would be lost. What a record of an *unknown* kind needs is a newer build, not a letter.
//! A log in files keeps its letters in one (`embedded`), a log on Kafka in a topic (`kafka`).

use std::error::Error;
use std::fmt;

use danmu_schemas::Partition;

use crate::Record;

/// A record that nobody could decode, and why.
#[derive(Debug)]
pub struct Undecodable<'a> {
    /// The record as it stands in the log.
    pub record: &'a Record,
    /// What is wrong with it.
    pub why: String,
}

/// Where the letters of one log are kept.
///
/// Every adapter passes `tests/src/conformance/dead_letters.rs`.
pub trait DeadLetters: fmt::Debug + Send {
    /// Keeps the letters of `partition`: all of them are durable when it returns. Where it fails, any of
    /// them may be. Blocks, for seconds at most.
    fn keep(
        &mut self,
        partition: Partition,
        letters: &[Undecodable<'_>],
    ) -> Result<(), DeadLetterError>;
}

/// Why letters are not kept. The two differ in what whoever reads the log must do.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    /// It may be tried again.
    #[error("dead letters cannot be kept at the moment")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// No retry helps before an operator has looked at it.
    #[error("{place} takes no dead letters")]
    Refused {
        /// Where they should be.
        place: String,
        /// What is wrong there.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

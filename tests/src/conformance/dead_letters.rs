//! What every place of dead letters promises: the suite of [`DeadLetters`].
//!
//! Each case is a function over a fresh [`LetterEnvironment`], and the macro `dead_letters_conformance!`
//! makes a test of each.

use std::collections::BTreeMap;
use std::future::Future;

use anyhow::ensure;
use bytes::Bytes;
use danmu_log::{DeadLetters, Record, Undecodable};
use danmu_schemas::{LogIdentity, Partition};

/// A place of letters of one log, empty at first.
pub trait LetterEnvironment: Sync {
    /// Which log the letters are of.
    fn log(&self) -> impl Future<Output = anyhow::Result<LogIdentity>> + Send;

    /// Opens the place, with what was in it.
    fn open(&self) -> impl Future<Output = anyhow::Result<Box<dyn DeadLetters>>> + Send;

    /// Everything that is there, in its order.
    fn kept(&self) -> impl Future<Output = anyhow::Result<Vec<Kept>>> + Send;
}

/// A letter as it stands in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The log of the record.
    pub log: String,
    /// Its partition.
    pub partition: Partition,
    /// The record.
    pub record: Record,
    /// What is wrong with it.
    pub why: String,
}

/// Makes a test of every case, each over the environment that `$environment` makes anew.
#[macro_export]
macro_rules! dead_letters_conformance {
    ($environment:expr) => {
        $crate::dead_letters_conformance!($environment;
            a_letter_is_kept_as_the_record_was
            keeping_again_changes_nothing
            a_letter_may_be_as_large_as_a_record
        );
    };
    ($environment:expr; $($case:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() -> anyhow::Result<()> {
                $crate::conformance::dead_letters::$case(&$environment).await
            }
        )+
    };
}

const PARTITION: Partition = Partition(3);

fn record(offset: i64) -> Record {
    Record {
        offset,
        logged_at: 1_763_950_000_123,
        epoch: 7,
        key: Bytes::from_static(&[0xff, b'k']),
        value: Bytes::from(vec![0, 0xfe, offset as u8]),
    }
}

/// Keeps the records, each for a reason of its own.
async fn keep(letters: Box<dyn DeadLetters>, records: Vec<Record>) -> anyhow::Result<()> {
    let mut letters = letters;
    let keep = move || {
        let why = |record: &Record| format!("{} is cut off", record.offset);
        let undecodable = records.iter().map(|record| Undecodable {
            record,
            why: why(record),
        });
        let undecodable: Vec<_> = undecodable.collect();
        letters.keep(PARTITION, &undecodable)
    };
    Ok(tokio::task::spawn_blocking(keep).await??)
}

/// All that is known of the record is there, whatever its bytes are.
pub async fn a_letter_is_kept_as_the_record_was(
    env: &impl LetterEnvironment,
) -> anyhow::Result<()> {
    keep(env.open().await?, vec![record(4), record(9)]).await?;
    let log = env.log().await?.0;
    let expected = [4, 9].map(|offset| Kept {
        log: log.clone(),
        partition: PARTITION,
        record: record(offset),
        why: format!("{offset} is cut off"),
    });
    let kept = env.kept().await?;
    ensure!(kept == expected, "{kept:?}");
    Ok(())
}

/// A letter that is there twice is the same one.
pub async fn keeping_again_changes_nothing(env: &impl LetterEnvironment) -> anyhow::Result<()> {
    keep(env.open().await?, vec![record(4), record(9)]).await?;
    keep(env.open().await?, vec![record(9), record(12)]).await?;
    let mut by_place = BTreeMap::new();
    for kept in env.kept().await? {
        let place = (kept.partition, kept.record.offset);
        if let Some(before) = by_place.insert(place, kept.clone()) {
            ensure!(before == kept, "{before:?} and {kept:?}");
        }
    }
    let offsets: Vec<_> = by_place.keys().map(|(_, offset)| *offset).collect();
    ensure!(offsets == [4, 9, 12], "{offsets:?}");
    Ok(())
}

/// Whatever a log lets a writer of ours append, its letters take.
pub async fn a_letter_may_be_as_large_as_a_record(
    env: &impl LetterEnvironment,
) -> anyhow::Result<()> {
    const BYTES: usize = 900_000;
    let mut noise = vec![0; BYTES];
    fastrand::fill(&mut noise);
    let large = Record {
        value: noise.into(),
        ..record(4)
    };
    keep(env.open().await?, vec![large.clone()]).await?;
    let kept = env.kept().await?;
    let is_it = kept.len() == 1 && kept[0].record == large;
    ensure!(is_it, "{} letters, or other bytes", kept.len());
    Ok(())
}

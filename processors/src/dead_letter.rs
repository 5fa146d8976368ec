//! Dead letters: records that nobody could decode, kept with their place.
//!
//! An append-only file of JSON lines, one a record, keyed by log, partition and offset: writing one
//! again changes nothing. A letter is on the disk before [`DeadLetters::write`] returns, so before a
//! position passes its record. The file is bounded; a full one stops the loop, because passing a
//! record that was not kept would lose it. What a record of an *unknown* kind needs is a newer build,
//! not a letter: such records halt their partition in [`crate::projector`].

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use danmu_log::Record;
use danmu_schemas::{LogIdentity, Partition};
use serde::{Deserialize, Serialize};

/// The file takes no more letters beyond this size: thousands of the largest records.
pub const DEAD_LETTER_BYTES_MAX: u64 = 256 * 1_024 * 1_024;

/// Why letters cannot be kept; the loop stops.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    /// The file cannot be read or written.
    #[error("dead letters in {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A line is not a letter: the file is damaged, or not a file of letters.
    #[error("line {line} of {} is not a dead letter", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: u64,
    },
    /// An operator must look at the letters and move the file away.
    #[error("{} holds {DEAD_LETTER_BYTES_MAX} bytes and takes no more dead letters", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
}

/// A record that nobody could decode, and why.
#[derive(Debug)]
pub struct Undecodable<'a> {
    /// The record as it stands in the log.
    pub record: &'a Record,
    /// What is wrong with it.
    pub why: String,
}

/// The letters of one log, and the file that they are in.
#[derive(Debug)]
pub struct DeadLetters {
    path: PathBuf,
    file: File,
    len_bytes: u64,
    log: LogIdentity,
    known: BTreeSet<(Partition, i64)>,
}

/// A line of the file. Bytes are lower-case hexadecimal.
#[derive(Serialize, Deserialize)]
struct Letter {
    log: String,
    partition: u32,
    offset: i64,
    epoch: u32,
    logged_at: i64,
    why: String,
    key: String,
    value: String,
}

impl DeadLetters {
    /// Opens the file, or begins it; a last line that a crash cut off is removed.
    pub fn open(path: &Path, log: LogIdentity) -> Result<Self, DeadLetterError> {
        let failed = |source| DeadLetterError::Io {
            path: path.to_owned(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        let (known, len_bytes) = known_letters(&file, path, &log)?;
        file.set_len(len_bytes).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            len_bytes,
            log,
            known,
        })
    }

    /// How many letters of this log are kept.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Keeps those that are not kept yet, and has them on the disk when it returns.
    pub fn write(
        &mut self,
        partition: Partition,
        letters: &[Undecodable<'_>],
    ) -> Result<(), DeadLetterError> {
        let is_new =
            |letter: &&Undecodable<'_>| !self.known.contains(&(partition, letter.record.offset));
        let new: Vec<_> = letters.iter().filter(is_new).collect();
        if new.is_empty() {
            return Ok(());
        }
        let mut lines = String::new();
        for letter in &new {
            lines.push_str(&self.line(partition, letter)?);
            lines.push('\n');
        }
        if self.len_bytes + lines.len() as u64 > DEAD_LETTER_BYTES_MAX {
            return Err(DeadLetterError::Full {
                path: self.path.clone(),
            });
        }
        self.file
            .write_all(lines.as_bytes())
            .and_then(|()| self.file.sync_data())
            .map_err(|source| self.failed(source))?;
        self.len_bytes += lines.len() as u64;
        for letter in new {
            tracing::error!(%partition, offset = letter.record.offset, why = letter.why, "dead letter");
            self.known.insert((partition, letter.record.offset));
        }
        Ok(())
    }

    fn line(
        &self,
        partition: Partition,
        letter: &Undecodable<'_>,
    ) -> Result<String, DeadLetterError> {
        let line = Letter {
            log: self.log.0.clone(),
            partition: partition.0,
            offset: letter.record.offset,
            epoch: letter.record.epoch,
            logged_at: letter.record.logged_at,
            why: letter.why.clone(),
            key: hexadecimal(&letter.record.key),
            value: hexadecimal(&letter.record.value),
        };
        serde_json::to_string(&line).map_err(|error| self.failed(error.into()))
    }

    fn failed(&self, source: io::Error) -> DeadLetterError {
        DeadLetterError::Io {
            path: self.path.clone(),
            source,
        }
    }
}

/// The coordinates of the letters of `log`, and how many bytes of the file are whole lines.
fn known_letters(
    file: &File,
    path: &Path,
    log: &LogIdentity,
) -> Result<(BTreeSet<(Partition, i64)>, u64), DeadLetterError> {
    let mut known = BTreeSet::new();
    let mut whole_bytes = 0;
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = reader
            .read_until(b'\n', &mut line)
            .map_err(|source| DeadLetterError::Io {
                path: path.to_owned(),
                source,
            })?;
        if line.last() != Some(&b'\n') {
            break;
        }
        let letter: Letter =
            serde_json::from_slice(&line).map_err(|_| DeadLetterError::Damaged {
                path: path.to_owned(),
                line: number,
            })?;
        if letter.log == log.0 {
            known.insert((Partition(letter.partition), letter.offset));
        }
        whole_bytes += read as u64;
    }
    Ok((known, whole_bytes))
}

fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits =
        |byte: &u8| [byte >> 4, byte & 15].map(|nibble| char::from(DIGITS[usize::from(nibble)]));
    bytes.iter().flat_map(digits).collect()
}

#[cfg(test)]
mod tests;

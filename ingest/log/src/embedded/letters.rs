//! Dead letters in a file: JSON lines, one a record, only ever appended to.
//!
//! A letter that is there already is not written again. One that a crash cut off is removed at opening,
//! and written anew when its record is read again. The file is bounded; a full one takes no more, and
//! whoever reads the log then stops.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use danmu_schemas::{LogIdentity, Partition};
use serde::{Deserialize, Serialize};

use crate::{DeadLetterError, DeadLetters, Undecodable};

/// The file takes no more letters beyond this size: thousands of the largest records.
pub const LETTERS_BYTES_MAX: u64 = 256 * 1_024 * 1_024;

/// The letters of one log, and the file that they are in.
#[derive(Debug)]
pub struct LetterFile {
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

impl LetterFile {
    /// Opens the file, or begins it; a last line that a crash cut off is removed.
    pub fn open(path: &Path, log: LogIdentity) -> Result<Self, DeadLetterError> {
        let failed = |source| refused(path, source);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        let (known, len_bytes) = known_letters(&file, &log).map_err(failed)?;
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

    fn append(&mut self, lines: &str) -> io::Result<()> {
        if self.len_bytes + lines.len() as u64 > LETTERS_BYTES_MAX {
            let full = format!("it holds {LETTERS_BYTES_MAX} bytes: look at it, and move it away");
            return Err(io::Error::other(full));
        }
        self.file.write_all(lines.as_bytes())?;
        self.file.sync_data()?;
        self.len_bytes += lines.len() as u64;
        Ok(())
    }

    fn line(&self, partition: Partition, letter: &Undecodable<'_>) -> io::Result<String> {
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
        Ok(serde_json::to_string(&line)? + "\n")
    }
}

impl DeadLetters for LetterFile {
    fn keep(
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
        let lines: io::Result<String> = new
            .iter()
            .map(|letter| self.line(partition, letter))
            .collect();
        lines
            .and_then(|lines| self.append(&lines))
            .map_err(|source| refused(&self.path, source))?;
        let places = new.iter().map(|letter| (partition, letter.record.offset));
        self.known.extend(places);
        Ok(())
    }
}

/// The coordinates of the letters of `log`, and how many bytes of the file are whole lines.
fn known_letters(file: &File, log: &LogIdentity) -> io::Result<(BTreeSet<(Partition, i64)>, u64)> {
    let mut known = BTreeSet::new();
    let mut whole_bytes = 0;
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = reader.read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            break;
        }
        let letter: Letter = serde_json::from_slice(&line)
            .map_err(|_| io::Error::other(format!("line {number} is no dead letter")))?;
        if letter.log == log.0 {
            known.insert((Partition(letter.partition), letter.offset));
        }
        whole_bytes += read as u64;
    }
    Ok((known, whole_bytes))
}

fn refused(path: &Path, source: io::Error) -> DeadLetterError {
    DeadLetterError::Refused {
        place: path.display().to_string(),
        source: source.into(),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits =
        |byte: &u8| [byte >> 4, byte & 15].map(|nibble| char::from(DIGITS[usize::from(nibble)]));
    bytes.iter().flat_map(digits).collect()
}

#[cfg(test)]
mod tests;

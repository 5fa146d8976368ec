//! `meta.json`: which log a directory holds.
//!
//! Owns its form: `{"crc32": …, "log": {format, identity, partitions, routes}}`, the checksum being
//! over the text of `log`. It is written once, last of all when a log is made: a directory without it
//! holds no log yet, and one with it has at least one segment.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::value::RawValue;
use uuid::Uuid;

use super::{OpenError, PARTITIONS_MAX, segment};
use crate::Routes;

const NAME: &str = "meta.json";

/// The format of the directory that this build reads and writes.
pub const FORMAT: u32 = 1;

/// What is fixed when a log is made.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Meta {
    /// The format of the directory.
    pub format: u32,
    /// Which log it is.
    pub identity: Uuid,
    /// How many partitions it has.
    pub partitions: u32,
    /// Where each slot's records go.
    pub routes: Routes,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct File<'a> {
    crc32: u32,
    #[serde(borrow)]
    log: &'a RawValue,
}

#[derive(serde::Deserialize)]
struct Format {
    format: u32,
}

impl Meta {
    /// A new log's.
    pub fn new(identity: Uuid, partitions: u32) -> Self {
        Self {
            format: FORMAT,
            identity,
            partitions,
            routes: Routes::initial(partitions),
        }
    }

    /// Reads a directory's, if it has one.
    pub fn read(dir: &Path) -> Result<Option<Self>, OpenError> {
        let path = dir.join(NAME);
        match fs::read(&path) {
            Ok(bytes) => Self::decode(&bytes, &path).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(OpenError::io(path)(error)),
        }
    }

    /// Makes `dir` a log.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        let log = serde_json::value::to_raw_value(self)?;
        let crc32 = crc32fast::hash(log.get().as_bytes());
        let bytes = serde_json::to_vec(&File { crc32, log: &log })?;
        segment::write_whole(dir, NAME, &bytes)
    }

    fn decode(bytes: &[u8], path: &Path) -> Result<Self, OpenError> {
        let damaged = |what: &str| OpenError::damaged(path, what);
        let file: File<'_> = serde_json::from_slice(bytes).map_err(|_| damaged("not readable"))?;
        if crc32fast::hash(file.log.get().as_bytes()) != file.crc32 {
            return Err(damaged("its checksum is wrong"));
        }
        let log = file.log.get();
        let Format { format } = serde_json::from_str(log).map_err(|_| damaged("no format"))?;
        if format != FORMAT {
            return Err(OpenError::Format {
                found: format,
                known: FORMAT,
            });
        }
        let meta: Self = serde_json::from_str(log).map_err(|_| damaged("a field is wrong"))?;
        let counted = (1..=PARTITIONS_MAX).contains(&meta.partitions);
        match counted && meta.routes.is_complete(meta.partitions) {
            true => Ok(meta),
            false => Err(damaged("its routes do not fit its partitions")),
        }
    }
}

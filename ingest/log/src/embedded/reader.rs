//! The read side of the embedded log.
//!
//! Owns a reader's place in each partition. It gives the next run of blocks of one partition, the
//! partitions taking turns; recent ones from memory, older ones with one read of their file, each
//! checked against its checksum and its index entry before a record of it is given. A damaged block
//! is an error every time it is asked for, and is never gone past.
//! Reading a file blocks the thread: a reader belongs on a thread of its own.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use danmu_schemas::{LogIdentity, Partition};
use tokio::sync::watch;

use super::block::{self, Header, NotABlock};
use super::durable::{Durable, Limits, Next};
use super::segment::{Entry, segment_path};
use crate::{LogReader, ReadError, ReadEvent, Record, RecordBatch};

/// A batch ends with the block that reaches one of these.
const BATCH: Limits = Limits {
    span_bytes: 1 << 20,
    records: 4_096,
};

/// One reader of every partition of an embedded log.
pub struct EmbeddedReader {
    durable: Arc<Durable>,
    published: watch::Receiver<u64>,
    places: Vec<Place>,
    /// Whose turn is next.
    turn: usize,
    assigned: bool,
}

/// Where a reader is in a partition.
struct Place {
    partition: Partition,
    /// The offset that comes next, once the reader was given a place.
    next: Option<i64>,
    /// The segment that was read last.
    file: Option<(u64, File)>,
}

impl EmbeddedReader {
    pub(super) fn new(durable: Arc<Durable>) -> Self {
        let place = |partition| Place {
            partition,
            next: None,
            file: None,
        };
        Self {
            published: durable.watch(),
            places: durable.partitions().into_iter().map(place).collect(),
            durable,
            turn: 0,
            assigned: false,
        }
    }

    fn poll(&mut self) -> Result<Option<RecordBatch>, ReadError> {
        for _ in 0..self.places.len() {
            let place = &mut self.places[self.turn];
            let records = place.read(&self.durable)?;
            self.turn = (self.turn + 1) % self.places.len();
            if let Some(records) = records {
                return Ok(Some(records));
            }
        }
        Ok(None)
    }
}

impl LogReader for EmbeddedReader {
    fn identity(&self) -> LogIdentity {
        self.durable.identity()
    }

    async fn next(&mut self, wait: Duration) -> Result<ReadEvent, ReadError> {
        if !self.assigned {
            self.assigned = true;
            return Ok(ReadEvent::Assigned(self.partitions()));
        }
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            self.published.borrow_and_update();
            if let Some(batch) = self.poll()? {
                return Ok(ReadEvent::Records(batch));
            }
            let published = tokio::time::timeout_at(deadline, self.published.changed()).await;
            if published.is_err() {
                return Ok(ReadEvent::Idle);
            }
        }
    }

    async fn seek(&mut self, partition: Partition, offset: i64) -> Result<(), ReadError> {
        let (first, end) = self.durable.range(partition);
        let place = self.places.get_mut(partition.0 as usize);
        match place.filter(|_| (first..=end).contains(&offset)) {
            Some(place) => {
                place.next = Some(offset);
                Ok(())
            }
            None => Err(ReadError::OutOfRange {
                partition,
                asked: offset,
                first,
                end,
            }),
        }
    }

    async fn first_offset(&mut self, partition: Partition) -> Result<i64, ReadError> {
        Ok(self.durable.range(partition).0)
    }

    async fn end_offset(&mut self, partition: Partition) -> Result<i64, ReadError> {
        Ok(self.durable.range(partition).1)
    }

    fn partitions(&self) -> Vec<Partition> {
        self.durable.partitions()
    }
}

impl Place {
    fn read(&mut self, durable: &Durable) -> Result<Option<RecordBatch>, ReadError> {
        let Some(offset) = self.next else {
            return Ok(None);
        };
        let blocks = match durable.next(self.partition, offset, BATCH)? {
            Next::Nothing => return Ok(None),
            Next::InMemory(blocks) => blocks,
            Next::InFile {
                number,
                salt,
                blocks,
            } => self.read_file(durable, offset, number, salt, &blocks)?,
        };
        let mut records = Vec::new();
        for (entry, bytes) in &blocks {
            self.decode(entry, bytes, offset, &mut records)?;
        }
        self.next = records.last().map(|record| record.offset + 1);
        Ok(Some(RecordBatch {
            partition: self.partition,
            records,
        }))
    }

    fn read_file(
        &mut self,
        durable: &Durable,
        offset: i64,
        number: u64,
        salt: u32,
        blocks: &[Entry],
    ) -> Result<Vec<(Entry, Bytes)>, ReadError> {
        let from = blocks[0].at;
        let to = blocks[blocks.len() - 1].end();
        let read = self.file(durable, number).and_then(|file| {
            let mut span = vec![0; (to - from) as usize];
            file.read_exact_at(&mut span, u64::from(from))?;
            Ok(Bytes::from(span))
        });
        let span = read.map_err(|error| self.failed(durable, offset, error))?;
        let mut checked = Vec::with_capacity(blocks.len());
        for entry in blocks {
            let start = (entry.at - from) as usize;
            let bytes = span.slice(start..start + entry.len as usize);
            match check(entry, &bytes, salt) {
                Ok(()) => checked.push((*entry, bytes)),
                // What stands before the damage is given first.
                Err(_) if !checked.is_empty() => break,
                Err(error) => return Err(self.damaged(entry, offset, error.0)),
            }
        }
        Ok(checked)
    }

    fn file(&mut self, durable: &Durable, number: u64) -> io::Result<&File> {
        let file = match self.file.take() {
            Some((open, file)) if open == number => file,
            _ => File::open(segment_path(durable.dir(), number))?,
        };
        Ok(&self.file.insert((number, file)).1)
    }

    /// What a failed read means: retention may have come between the look-up and the read.
    fn failed(&self, durable: &Durable, offset: i64, error: io::Error) -> ReadError {
        let partition = self.partition;
        let (first, end) = durable.range(partition);
        if offset < first {
            return ReadError::OutOfRange {
                partition,
                asked: offset,
                first,
                end,
            };
        }
        match error.kind() {
            io::ErrorKind::NotFound => ReadError::Damaged {
                partition,
                offset,
                what: "its segment is missing".into(),
            },
            io::ErrorKind::UnexpectedEof => ReadError::Damaged {
                partition,
                offset,
                what: "its segment is cut short".into(),
            },
            _ => ReadError::Unavailable(Box::new(error)),
        }
    }

    fn decode(
        &self,
        entry: &Entry,
        bytes: &Bytes,
        offset: i64,
        records: &mut Vec<Record>,
    ) -> Result<(), ReadError> {
        let header = Header {
            len: entry.len,
            partition: entry.partition,
            count: entry.count,
            group: entry.at,
            first_offset: entry.first_offset,
            logged_at: entry.logged_at,
        };
        block::records(bytes, &header, offset, records)
            .map_err(|error| self.damaged(entry, offset, error.0))
    }

    fn damaged(&self, entry: &Entry, offset: i64, what: &str) -> ReadError {
        ReadError::Damaged {
            partition: self.partition,
            offset: entry.first_offset.max(offset),
            what: what.to_owned(),
        }
    }
}

fn check(entry: &Entry, bytes: &[u8], salt: u32) -> Result<(), NotABlock> {
    let header = block::check(bytes, salt)?;
    match Entry::new(entry.at, &header) == *entry {
        true => Ok(()),
        false => Err(NotABlock("another block is in its place")),
    }
}

//! Where reading goes on in each partition, and the records on their way to the inbox.
//!
//! A record that is before its partition's place, or whose partition has none, is dropped: the
//! client had it at hand from before. What is polled together is gathered in one buffer a batch, so
//! that keys and values are slices of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use danmu_schemas::Partition;
use rdkafka::message::{BorrowedMessage, Message};

use super::super::headers;
use super::super::reader::{Inbox, Told};
use super::membership::Change;
use crate::{Record, RecordBatch};

/// What one batch takes together at most, a record more or less.
const BATCH_BYTES_MAX: usize = 1 << 20;
const BATCH_RECORDS_MAX: usize = 4_096;

/// The places of a consumer.
pub struct Places {
    inbox: Arc<Inbox>,
    placed: BTreeMap<Partition, Place>,
    gathered: Option<Gathered>,
}

struct Place {
    next: i64,
    turn: u64,
    heard: Instant,
}

/// Polled records of one partition.
struct Gathered {
    partition: Partition,
    turn: u64,
    bytes: Vec<u8>,
    records: Vec<Parts>,
}

/// A record, by where its parts end in the buffer.
struct Parts {
    offset: i64,
    logged_at: i64,
    epoch: u32,
    key_end: usize,
    value_end: usize,
}

impl Places {
    /// None yet.
    pub fn new(inbox: Arc<Inbox>) -> Self {
        Self {
            inbox,
            placed: BTreeMap::new(),
            gathered: None,
        }
    }

    /// From now on records of `partition` are wanted from `offset` on.
    pub fn give(&mut self, partition: Partition, offset: i64, turn: u64) {
        self.put();
        let place = Place {
            next: offset,
            turn,
            heard: Instant::now(),
        };
        self.placed.insert(partition, place);
    }

    /// The offset that is wanted next, of every place.
    pub fn all(&self) -> impl Iterator<Item = (Partition, i64)> + '_ {
        self.placed
            .iter()
            .map(|(partition, place)| (*partition, place.next))
    }

    /// Those that heard nothing for so long, or were named here last.
    pub fn silent_for(&mut self, long: Duration) -> Vec<(Partition, i64)> {
        let mut silent = Vec::new();
        for (partition, place) in &mut self.placed {
            if place.heard.elapsed() >= long {
                place.heard = Instant::now();
                silent.push((*partition, place.next));
            }
        }
        silent
    }

    /// Takes over what came or went, and tells of it after what was gathered before.
    pub fn change(&mut self, change: Change) {
        self.put();
        let (Change::Came(partitions) | Change::Went(partitions)) = &change;
        self.placed.retain(|placed, _| !partitions.contains(placed));
        self.inbox.put(match change {
            Change::Came(partitions) => Told::Assigned(partitions),
            Change::Went(partitions) => Told::Revoked(partitions),
        });
    }

    /// Takes a record that was polled.
    pub fn gather(&mut self, message: &BorrowedMessage<'_>) {
        let partition = u32::try_from(message.partition()).map(Partition);
        let Some((partition, turn)) = partition.ok().and_then(|of| self.accept(of, message)) else {
            return;
        };
        if self
            .gathered
            .as_ref()
            .is_some_and(|open| open.partition != partition)
        {
            self.put();
        }
        let open = self.gathered.get_or_insert_with(|| Gathered {
            partition,
            turn,
            bytes: Vec::new(),
            records: Vec::new(),
        });
        open.bytes
            .extend_from_slice(message.key().unwrap_or_default());
        let key_end = open.bytes.len();
        open.bytes
            .extend_from_slice(message.payload().unwrap_or_default());
        open.records.push(Parts {
            offset: message.offset(),
            logged_at: message.timestamp().to_millis().unwrap_or(0),
            epoch: headers::epoch(message.headers()),
            key_end,
            value_end: open.bytes.len(),
        });
    }

    /// Whether what was gathered should be put before more is polled.
    pub fn has_gathered_enough(&self) -> bool {
        self.gathered.as_ref().is_some_and(|open| {
            open.bytes.len() >= BATCH_BYTES_MAX || open.records.len() >= BATCH_RECORDS_MAX
        })
    }

    /// Puts what was gathered into the inbox.
    pub fn put(&mut self) {
        let Some(gathered) = self.gathered.take() else {
            return;
        };
        if let Some(place) = self.placed.get_mut(&gathered.partition) {
            place.heard = Instant::now();
        }
        self.inbox.put(gathered.told());
    }

    /// Moves the place past the record, if it is wanted.
    fn accept(
        &mut self,
        partition: Partition,
        message: &BorrowedMessage<'_>,
    ) -> Option<(Partition, u64)> {
        let place = self.placed.get_mut(&partition)?;
        let offset = message.offset();
        if offset < place.next {
            return None;
        }
        place.next = offset + 1;
        Some((partition, place.turn))
    }
}

impl Gathered {
    fn told(self) -> Told {
        let bytes = Bytes::from(self.bytes);
        let mut start = 0;
        let record = |parts: &Parts| {
            let key = bytes.slice(start..parts.key_end);
            let value = bytes.slice(parts.key_end..parts.value_end);
            start = parts.value_end;
            Record {
                offset: parts.offset,
                logged_at: parts.logged_at,
                epoch: parts.epoch,
                key,
                value,
            }
        };
        let records = self.records.iter().map(record).collect();
        Told::Records {
            turn: self.turn,
            bytes: bytes.len(),
            batch: RecordBatch {
                partition: self.partition,
                records,
            },
        }
    }
}

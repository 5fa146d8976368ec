//! The log: the durable, partitioned, append-only record of events.
//!
//! Owns the ports [`LogWriter`] and [`LogReader`], the route table from slot to partition, the port of
//! [`dead_letters`], and the adapters behind the ports: [`embedded`], files of our own, and `kafka`
//! (feature `cluster`). A port speaks of partitions, offsets and bytes; what the bytes mean is not known
//! here, beyond that a record belongs to a room.
//! Every adapter passes the suite of its port in `tests/src/conformance`.

pub mod dead_letters;
pub mod embedded;
#[cfg(feature = "cluster")]
pub mod kafka;
mod meter;
pub mod port;
pub mod routes;

pub use dead_letters::{DeadLetterError, DeadLetters, Undecodable};
pub use port::{
    AppendError, Lane, LogReader, LogWriter, NewRecord, ReadError, ReadEvent, Record, RecordBatch,
};
pub use routes::Routes;

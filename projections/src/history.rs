//! The history: every settled event, state and fact, and a watermark for each slot.
//!
//! Owns the rows ([`layout`]), the port that keeps them ([`store`]) with its adapters, the
//! writer that is a [`Projection`](crate::Projection), the reader, and the sweep that makes erasures true
//! at rest. Rows are facts of the log:
//! writing one again changes nothing, and only the watermark says how far they are complete. What a
//! segment is and when it is closed is decided by plain functions in [`crate::segments`].

#[cfg(feature = "cluster")]
pub mod cql;
pub mod embedded;
pub mod lasting;
pub mod layout;
pub mod reader;
pub mod store;
pub mod sweep;
pub mod writer;

#[cfg(feature = "cluster")]
pub use cql::CqlHistory;
pub use embedded::EmbeddedHistory;
pub use lasting::Lasting;
pub use reader::{Broadcast, HeatBucket, HistoryReader, LATER_SEQS, ModerationRow, Tally};
pub use store::HistoryStore;
pub use sweep::{Sweep, Swept};
pub use writer::HistoryWriter;

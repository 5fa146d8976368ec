//! The vocabulary of danmu: what goes over wires and onto disks, and nothing that moves it.
//!
//! Owns every shared type (events, positions, settled events, chunks, room states, facts), its Avro
//! schema under `avro/`, and its codec. A schema file is the source of truth: a test fails when a
//! type and its schema part. No IO, no clock and no client library live here, so everything in the
//! tree may use this crate and it uses nothing of ours.

pub mod caller;
pub mod chunk;
pub mod codec;
pub mod control;
pub mod description;
pub mod event;
pub mod fact;
pub mod hash;
pub mod ids;
pub mod position;
pub mod problem;
pub mod sealed;
pub mod settled;
pub mod state;
pub mod traceparent;

pub use caller::{Caller, Peer, PrivateReads, Role};
pub use control::SlotControl;
pub use event::{Body, RoomEvent};
pub use ids::{Cursor, EventId, Generation, RoomId, Seq, Slot, UserHash};
pub use position::{LogIdentity, Partition, Position};
pub use settled::{Refusal, Settled, SettledEvent, Unsettled, Verdict};
pub use traceparent::Traceparent;

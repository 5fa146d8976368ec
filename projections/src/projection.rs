//! The rule that every projection obeys, as one port.
//!
//! For each slot a projection says how far it is (a position) and gives the rooms' states as of
//! exactly that position. Everything after it is settled again from the log and stored again, and
//! storing again leaves the same content. So the projection itself is the only checkpoint.

use std::future::Future;

use bytes::Bytes;
use danmu_schemas::fact::Fact;
use danmu_schemas::state::Field;
use danmu_schemas::{Generation, Position, RoomId, Seq, Settled, Slot, Unsettled};
use futures_util::stream::{self, StreamExt};

/// A read model fed from the log, a slot at a time.
///
/// Every adapter passes `tests/src/conformance/projection.rs`:
/// - what `load` returns is the rooms' states as of exactly the position beside them;
/// - settling and appending again from `open`'s position leaves the same content;
/// - a reader sees a chunk and the state after it together or not at all.
///
/// One value serves one owner: two processors hold two of them over the same store, and neither can
/// make the store wrong, however late its calls arrive. After any error but [`StoreError::OtherLog`]
/// the owner opens the slot again and goes on from there.
///
/// A call is about any number of slots, each at most once, so that an adapter over a server has them
/// under way together. It gives an outcome for each in their order, and what befalls one slot is no
/// other's outcome.
pub trait Projection: Send {
    /// Drops whatever is held of the slots and says how far the store is: the records after that
    /// position are still to be settled. A slot that is new stands at [`Position::BEGIN`].
    fn open_all(
        &mut self,
        slots: &[Slot],
    ) -> impl Future<Output = Vec<Result<Position, StoreError>>> + Send;

    /// Rooms' states, in the order in which a slot's rooms are named, and the position that they
    /// belong to.
    fn load_all(
        &mut self,
        wanted: &[(Slot, Vec<RoomId>)],
    ) -> impl Future<Output = Vec<Result<Loaded, StoreError>>> + Send;

    /// Takes for each slot the changes of all records after `expected` up to `to`.
    fn append_all(
        &mut self,
        steps: Vec<SlotStep>,
    ) -> impl Future<Output = Vec<Result<Appended, StoreError>>> + Send;

    /// Makes everything in a slot up to a position, that of its last append, what `open_all` goes on
    /// from.
    fn checkpoint_all(
        &mut self,
        reached: &[(Slot, Position)],
    ) -> impl Future<Output = Vec<Result<(), StoreError>>> + Send;
}

/// The outcomes of all slots of a call, where those that were `known` beforehand were not passed on and
/// the `others` were, in their order.
pub fn outcomes<T>(known: Vec<Option<T>>, others: Vec<T>) -> Vec<T> {
    let mut others = others.into_iter();
    let each = known.into_iter();
    each.map(|known| {
        let outcome = known.or_else(|| others.next());
        outcome.expect("a projection gives an outcome for each slot")
    })
    .collect()
}

/// Does all of it, at most `at_once` together; the outputs in the order of `work`.
pub(crate) async fn together<F: Future>(at_once: usize, work: Vec<F>) -> Vec<F::Output> {
    stream::iter(work).buffered(at_once).collect().await
}

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is stored.
    Stored,
    /// It was stored before.
    Already,
    /// The slot is elsewhere, nothing was stored: drop everything held of it, open it again.
    Other(Option<Position>),
}

/// States and the position that they are as of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The slot's position when the states were read; `None` where the slot has lost it.
    pub position: Option<Position>,
    /// One for each room asked for; `None` for a room that the slot does not have.
    pub states: Vec<Option<StoredState>>,
}

/// A room's state as stored bytes ([`danmu_schemas::codec::to_stored`]).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredState {
    /// A `StateCore`.
    pub core: Bytes,
    /// In the order of [`Field::ALL`]; empty bytes for a field that was never stored.
    pub fields: [Bytes; Field::COUNT],
    /// `EventMemoryBlock`s, oldest first. They may overlap and may hold more than is still
    /// remembered, never less; entries after the state's last seq do not belong to it.
    pub event_memory: Vec<Bytes>,
    /// `GiftMemoryBlock`s, oldest first, likewise; entries after the state's position do not belong.
    pub gift_memory: Vec<Bytes>,
}

impl Loaded {
    /// Of a slot that is no longer open, for so many rooms.
    pub(crate) fn lost(rooms: usize) -> Self {
        Self {
            position: None,
            states: vec![None; rooms],
        }
    }
}

/// What the records after `expected`, up to and with `to`, changed in one slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotStep {
    /// The slot.
    pub slot: Slot,
    /// Where the slot is before.
    pub expected: Position,
    /// Where it is afterwards. Equal to `expected` only without changes: then it merely compares.
    pub to: Position,
    /// One a room that had a record.
    pub changes: Vec<RoomChange>,
}

/// What a step changed in one room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomChange {
    /// The room.
    pub room: RoomId,
    /// The position of the room's last record in the step.
    pub position: Position,
    /// Its state afterwards.
    pub state: StateChange,
    /// Runs of visible events, ascending; a new run begins where the generation changes.
    pub runs: Vec<SettledRun>,
    /// What became true, in the order of the log.
    pub facts: Vec<Fact>,
}

/// Consecutive visible events of one generation, with what was refused among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettledRun {
    /// The numbering.
    pub generation: Generation,
    /// The seq of the first visible event, or the next seq where the run has none.
    pub first_seq: Seq,
    /// Visible events, dense from `first_seq`.
    pub settled: Vec<Settled>,
    /// Refused and duplicate ones, by offset.
    pub unsettled: Vec<Unsettled>,
}

/// A room's state after a step, as stored bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateChange {
    /// The core.
    pub core: Bytes,
    /// Every field as it is now, in the order of [`Field::ALL`]; empty where it was never set.
    pub fields: [Bytes; Field::COUNT],
    /// Which of them this step changed.
    pub changed: [bool; Field::COUNT],
    /// Blocks of what this step added to the memory of visible events: one a run.
    pub event_memory: Vec<Bytes>,
    /// A block of what it added to the memory of gifts.
    pub gift_memory: Option<Bytes>,
    /// The oldest log clock that the memory of events still needs: older blocks may be dropped.
    pub event_memory_since: i64,
    /// The same for gifts.
    pub gift_memory_since: i64,
}

/// Why a store did not do what it was asked. The outcome of a write is then unknown.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It may work again later: wait, open the slot again.
    #[error("the store is not available: {what}")]
    Unavailable {
        /// What was tried.
        what: &'static str,
        /// The engine's own error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It will not work until an operator has done something about the engine.
    #[error("the store refuses: {what}")]
    Refused {
        /// What was tried.
        what: &'static str,
        /// The engine's own error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What is stored belongs to another log: nothing may be read or written.
    #[error("slot {slot} belongs to log {stored}, not to {ours}")]
    OtherLog {
        /// The first slot that does.
        slot: Slot,
        /// The log that it belongs to.
        stored: String,
        /// The log that we read.
        ours: String,
    },
    /// Stored bytes cannot be decoded: an operator must rebuild the read model.
    #[error("what is stored of {what} is damaged")]
    Damaged {
        /// Of what: a table and a key, without content.
        what: String,
        /// What is wrong with it.
        #[source]
        source: danmu_schemas::codec::DecodeError,
    },
    /// A refill cannot begin at the log's start, which the log no longer has, and there is no
    /// watermark to begin at.
    #[error("slot {slot} cannot be refilled: no history, and the log's first records are gone")]
    CannotRefill {
        /// The slot.
        slot: Slot,
    },
}

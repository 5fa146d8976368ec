//! The port of what keeps the windows, and of who reads them.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use danmu_schemas::chunk::ChunkHeader;
use danmu_schemas::{LogIdentity, Position, RoomId, Slot};

use crate::projection::{Appended, Loaded, StateChange, StoreError, StoredState};

/// A chunk as stored, with its header already read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedChunk {
    /// What it says of itself.
    pub header: ChunkHeader,
    /// The whole chunk, sealed.
    pub bytes: Bytes,
}

/// A [`crate::SlotStep`] as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowStep {
    /// The slot.
    pub slot: Slot,
    /// The log that the positions belong to.
    pub log: LogIdentity,
    /// Where the slot must be before.
    pub expected: Position,
    /// Where it is afterwards.
    pub to: Position,
    /// One a room.
    pub changes: Vec<WindowChange>,
}

/// What a step changes in one room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowChange {
    /// The room.
    pub room: RoomId,
    /// Its state afterwards.
    pub state: StateChange,
    /// Its new chunks, ascending.
    pub chunks: Vec<PackedChunk>,
    /// What the step leaves of chunks that are stored, where it erased something: each takes the
    /// place of the one that has the same header.
    pub blanked: Vec<PackedChunk>,
}

/// A room as a refill copies it from the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomCopy {
    /// The room.
    pub room: RoomId,
    /// Its state, with its memory.
    pub state: StoredState,
    /// Its newest chunks up to the state's last seq, ascending.
    pub chunks: Vec<PackedChunk>,
}

/// Names one refill: no two ever have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefillToken(pub u128);

/// Keeps the windows, a slot at a time. What is done in one slot happens at once or not at all.
pub trait WindowStore: Clone + Send + Sync + 'static {
    /// Where a slot is and in which log; `None` where it is new, lost or being refilled.
    fn position(
        &self,
        slot: Slot,
    ) -> impl Future<Output = Result<Option<(Position, LogIdentity)>, StoreError>> + Send;

    /// As [`crate::Projection::load`].
    fn load(
        &self,
        slot: Slot,
        rooms: &[RoomId],
    ) -> impl Future<Output = Result<Loaded, StoreError>> + Send;

    /// Stores each step, of different slots, whose slot is exactly at `expected` and has every chunk that
    /// the step blanks. Where one is not there, the slot went back and came again with other borders:
    /// nothing is stored, as if the slot were elsewhere. The outcomes are in the order of the steps and
    /// independent of each other.
    fn append_all(
        &self,
        steps: Vec<WindowStep>,
    ) -> impl Future<Output = Vec<Result<Appended, StoreError>>> + Send;

    /// If the slot has no position: clears it and lets `(token, 0)` put.
    fn begin(
        &self,
        slot: Slot,
        token: RefillToken,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// If the slot is at `(token, n)`, or was by this very call: stores a room, moves on to `n + 1`.
    fn put(
        &self,
        slot: Slot,
        token: RefillToken,
        n: u64,
        copy: RoomCopy,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// If the slot is exactly at `(token, n)`: gives it its position, ends the refill.
    fn end(
        &self,
        slot: Slot,
        token: RefillToken,
        n: u64,
        at: (Position, LogIdentity),
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// Reads windows: snapshots of rooms, and when to look again.
///
/// A reader that follows a room calls `watch` first, then `since`, then waits for another version
/// than the one it read: so no change falls between. It asks only for the chunks that it does not
/// have. An adapter over a server tells its watches by the server's own messages and, because those
/// may be lost, compares the versions of every watched slot now and then, with one call a slot.
pub trait WindowRead: Clone + Send + Sync + 'static {
    /// Hears of one room's changes.
    type Watch: RoomWatch;

    /// Begins to hear of a room's changes.
    fn watch(&self, room: &RoomId) -> impl Future<Output = Result<Self::Watch, StoreError>> + Send;

    /// A room as it is now: its state, and from the same moment those of its chunks whose last
    /// record stands after `after`.
    fn since(
        &self,
        room: &RoomId,
        after: Position,
    ) -> impl Future<Output = Result<RoomWindow, StoreError>> + Send;

    /// A room as it is now, with all its chunks.
    fn room(&self, room: &RoomId) -> impl Future<Output = Result<RoomWindow, StoreError>> + Send {
        self.since(room, Position::BEGIN)
    }

    /// At most `limit` of the rooms in which a broadcast is open, by name, those after `after`, each
    /// with its state. Kept up with each write: no other room is looked at.
    fn live(
        &self,
        after: Option<&RoomId>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<(RoomId, Arc<StoredState>)>, StoreError>> + Send;
}

/// Hears of one room's changes, until it is dropped.
pub trait RoomWatch: Send + 'static {
    /// Waits until the room may have another version than `seen`. May be dropped while it waits.
    fn changed(&mut self, seen: u64) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// A room in the windows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoomWindow {
    /// Where the room's slot is. Without it, a missing room is unknown, not empty.
    pub slot_position: Option<Position>,
    /// The room's state, without its memory; `None` where the slot does not have the room.
    pub state: Option<Arc<StoredState>>,
    /// The chunks that were asked for, ascending.
    pub chunks: Vec<Arc<PackedChunk>>,
    /// Another one whenever the room is another, or is found or lost; 0 while it is unknown.
    pub version: u64,
}

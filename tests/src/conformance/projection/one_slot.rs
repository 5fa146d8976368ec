//! Calls of a projection that are about one slot, as most cases make them.

use std::future::Future;

use danmu_projections::projection::{Appended, Loaded, Projection, SlotStep, StoreError};
use danmu_schemas::{Position, RoomId, Slot};

/// What [`Projection`] does, with one slot.
pub trait OneSlot: Projection {
    /// As [`Projection::open_all`].
    fn open(&mut self, slot: Slot) -> impl Future<Output = Result<Position, StoreError>> + Send {
        async move { only(self.open_all(&[slot]).await) }
    }

    /// As [`Projection::load_all`].
    fn load(
        &mut self,
        slot: Slot,
        rooms: &[RoomId],
    ) -> impl Future<Output = Result<Loaded, StoreError>> + Send {
        let wanted = [(slot, rooms.to_vec())];
        async move { only(self.load_all(&wanted).await) }
    }

    /// As [`Projection::append_all`].
    fn append(
        &mut self,
        step: SlotStep,
    ) -> impl Future<Output = Result<Appended, StoreError>> + Send {
        async move { only(self.append_all(vec![step]).await) }
    }

    /// As [`Projection::checkpoint_all`].
    fn checkpoint(
        &mut self,
        slot: Slot,
        to: Position,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        async move { only(self.checkpoint_all(&[(slot, to)]).await) }
    }
}

impl<P: Projection> OneSlot for P {}

/// The outcome of the only slot.
fn only<T>(outcomes: Vec<T>) -> T {
    let [outcome] = <[T; 1]>::try_from(outcomes)
        .ok()
        .expect("one outcome for one slot");
    outcome
}

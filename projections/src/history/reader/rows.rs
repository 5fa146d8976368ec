//! Rows as they stand, one by one in the order of their keys, repeats and surplus included: for
//! whoever proves that nothing is missing, altered or too much. No watermark is minded here.

use danmu_schemas::{Position, RoomId, Slot};

use super::{HistoryReader, damaged, just_after};
use crate::history::layout::{self, Table};
use crate::history::store::{HistoryStore, Order, Row};
use crate::projection::StoreError;

impl<S: HistoryStore> HistoryReader<S> {
    /// A room's first row in a table, or the one after the key `past`.
    pub async fn row_past(
        &self,
        table: Table,
        room: &RoomId,
        past: Option<&[u8]>,
    ) -> Result<Option<Row>, StoreError> {
        let mut range = layout::rows_of(table, room);
        if let Some(past) = past {
            range.start = just_after(past.to_vec());
        }
        self.first(range, Order::Ascending).await
    }

    /// The first room with rows in a table, or the one after `past`, in the store's order.
    pub async fn room_past(
        &self,
        table: Table,
        past: Option<&RoomId>,
    ) -> Result<Option<RoomId>, StoreError> {
        self.store.room_past(table, past).await
    }

    /// Where the sweep finds a slot's erasures: the first after `past`, by position and room.
    pub async fn erasure_past(
        &self,
        slot: Slot,
        past: Option<&[u8]>,
    ) -> Result<Option<Row>, StoreError> {
        let mut range = layout::erasures_after(slot, Position::BEGIN);
        if let Some(past) = past {
            range.start = just_after(past.to_vec());
        }
        self.first(range, Order::Ascending).await
    }

    /// Up to where a slot is swept of what was erased.
    pub async fn swept(&self, slot: Slot) -> Result<Position, StoreError> {
        let Some(row) = self.store.get(layout::swept_key(slot)).await? else {
            return Ok(Position::BEGIN);
        };
        layout::read_swept(&row.body).map_err(|e| damaged(&row.key, e))
    }
}

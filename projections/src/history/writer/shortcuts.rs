//! Removing whatever is older: what a removal would be if the newest state were always the one needed.

use danmu_schemas::{Position, Slot};

use super::HistoryWriter;
use crate::history::layout::{self, Key};
use crate::history::store::{HistoryStore, Order};
use crate::projection::StoreError;
use crate::shortcuts::{Shortcut, takes};

impl<S: HistoryStore> HistoryWriter<S> {
    /// With the shortcut, every state of the slot's rooms but the newest of each.
    pub(super) async fn needless_by_shortcut(
        &self,
        slot: Slot,
        needless: Vec<Key>,
    ) -> Result<Vec<Key>, StoreError> {
        if !takes(Shortcut::WhateverIsOlderRemoved) {
            return Ok(needless);
        }
        let mut older = Vec::new();
        for room in self
            .slots
            .get(&slot)
            .iter()
            .flat_map(|lane| lane.rooms.keys())
        {
            let all = layout::states_until(room, Position::new(u32::MAX, 0));
            let states = self.store.scan(all, Order::Descending, usize::MAX).await?;
            older.extend(states.into_iter().skip(1).map(|row| row.key));
        }
        Ok(older)
    }
}

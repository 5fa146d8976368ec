//! Removing whatever is older: what a removal would be if the newest state were always the one needed.

use danmu_schemas::Position;

use super::Lane;
use crate::history::layout::{self, Key};
use crate::history::store::{HistoryStore, Order};
use crate::projection::StoreError;
use crate::shortcuts::{Shortcut, takes};

impl Lane {
    /// With the shortcut, every state of the slot's rooms but the newest of each.
    pub(super) async fn needless_by_shortcut<S: HistoryStore>(
        &self,
        store: &S,
        needless: Vec<Key>,
    ) -> Result<Vec<Key>, StoreError> {
        if !takes(Shortcut::WhateverIsOlderRemoved) {
            return Ok(needless);
        }
        let mut older = Vec::new();
        for room in self.rooms.keys() {
            let all = layout::states_until(room, Position::new(u32::MAX, 0));
            let states = store.scan(all, Order::Descending, usize::MAX).await?;
            older.extend(states.into_iter().skip(1).map(|row| row.key));
        }
        Ok(older)
    }
}

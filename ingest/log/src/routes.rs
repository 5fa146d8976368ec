//! The route table: which partition each slot is in.
//!
//! At epoch 0 slot `s` is in partition `s % partitions`. The table is versioned and kept with the
//! log, so that a log which is opened again routes as it did; every record carries its slot's epoch.

use danmu_schemas::{Partition, Slot};

/// Where each slot's records go.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Routes {
    /// Rises with every change.
    pub version: u64,
    /// One a slot, by its number.
    slots: Vec<Route>,
}

/// Where a slot's records go, and since which epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Route {
    /// Counts the times the slot has moved.
    pub epoch: u32,
    /// Where its records go now.
    pub partition: u32,
}

impl Routes {
    /// The table of a new log.
    pub fn initial(partitions: u32) -> Self {
        let route = |slot: Slot| Route {
            epoch: 0,
            partition: u32::from(slot.number()) % partitions,
        };
        Self {
            version: 1,
            slots: Slot::all().map(route).collect(),
        }
    }

    /// The table with those routes, one a slot by its number; nothing where there are more or fewer.
    #[cfg(feature = "cluster")]
    pub(crate) fn of_slots(version: u64, slots: Vec<Route>) -> Option<Self> {
        let is_whole = slots.len() == usize::from(Slot::COUNT);
        is_whole.then_some(Self { version, slots })
    }

    /// Whether the table has a route for every slot, each within `partitions`.
    pub fn is_complete(&self, partitions: u32) -> bool {
        self.slots.len() == usize::from(Slot::COUNT)
            && self.slots.iter().all(|route| route.partition < partitions)
    }

    /// Where a slot's records go.
    pub fn route(&self, slot: Slot) -> Route {
        self.slots[usize::from(slot.number())]
    }

    /// The slots whose records are in `partition`, ascending.
    pub fn slots_of(&self, partition: Partition) -> impl Iterator<Item = Slot> + '_ {
        Slot::all().filter(move |slot| self.route(*slot).partition == partition.0)
    }
}

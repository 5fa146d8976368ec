//! How far the loop is, for whoever waits for it, trims the log or watches the lag.

use std::collections::BTreeMap;

use danmu_log::Routes;
use danmu_schemas::{Partition, Slot};

use super::held::{Followed, HeldSlot, Owned};

/// How far a loop is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether the reader has been told which partitions are its own. There may be none: then others of
    /// its group have them all.
    pub is_assigned: bool,
    /// One for each partition that the loop owns.
    pub partitions: BTreeMap<Partition, PartitionStanding>,
}

/// How far a loop is in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionStanding {
    /// Everything at or before this offset is settled and appended; -1 before the first record.
    pub read_to: i64,
    /// When the log took the record there, where this loop read it: milliseconds since 1970 UTC.
    pub read_to_logged_at: Option<i64>,
    /// Everything at or before this offset is checkpointed: the log may forget it as far as this
    /// loop is concerned. `None` while a slot of the partition is not open.
    pub checkpointed_to: Option<i64>,
    /// How many slots the partition has.
    pub slots: usize,
    /// How many of them are open; the others are being found or refilled.
    pub slots_open: usize,
    /// Whether the loop stands where the log ended when it began to read here, or beyond.
    pub ready: bool,
    /// How many records it has to go until then; nothing before it has begun to read.
    pub records_to_go: Option<u64>,
    /// Why nothing of the partition is read any more; a newer build would read on.
    pub halted: Option<String>,
}

impl Standing {
    /// Whether the loop knows what it owns and is ready in all of it, which may be nothing.
    pub fn is_ready(&self) -> bool {
        self.is_assigned && self.partitions.values().all(|standing| standing.ready)
    }

    pub(super) fn of(
        is_assigned: bool,
        partitions: &BTreeMap<Partition, Owned>,
        slots: &BTreeMap<Slot, HeldSlot>,
        routes: &Routes,
    ) -> Self {
        let mut told = Self {
            is_assigned,
            partitions: BTreeMap::new(),
        };
        for (partition, owned) in partitions {
            let standing = PartitionStanding {
                read_to: owned.read_to,
                read_to_logged_at: owned.read_to_logged_at,
                checkpointed_to: Some(i64::MAX),
                slots: 0,
                slots_open: 0,
                ready: owned.is_ready(),
                records_to_go: owned.records_to_go(),
                halted: match &owned.followed {
                    Followed::Halted { why } => Some(why.clone()),
                    Followed::Following | Followed::Waiting { .. } => None,
                },
            };
            told.partitions.insert(*partition, standing);
        }
        // Told after every turn, so the open slots are walked and not looked up.
        for slot in Slot::all() {
            if let Some(standing) = told.at(routes, slot) {
                standing.slots += 1;
            }
        }
        for (slot, held) in slots {
            if let Some(standing) = told.at(routes, *slot) {
                standing.slots_open += 1;
                let slot_to = Some(held.checkpointed.offset);
                standing.checkpointed_to = standing.checkpointed_to.min(slot_to);
            }
        }
        for standing in told.partitions.values_mut() {
            if standing.slots_open < standing.slots {
                standing.checkpointed_to = None;
            }
        }
        told
    }

    fn at(&mut self, routes: &Routes, slot: Slot) -> Option<&mut PartitionStanding> {
        let partition = Partition(routes.route(slot).partition);
        self.partitions.get_mut(&partition)
    }
}

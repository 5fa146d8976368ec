//! Slot control: the records that end a slot in one partition and begin it in another.
//!
//! They have no room and no seq. The first close of an epoch counts: it moves the slot from its epoch to
//! the next, to the open's offset in the target partition.

use crate::ids::Slot;
use crate::position::Partition;

/// A control record of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotControl {
    /// The slot begins here.
    Open {
        /// Which.
        slot: Slot,
        /// The epoch that begins.
        epoch: u32,
    },
    /// The slot ends here and goes on after its open elsewhere.
    Close {
        /// Which.
        slot: Slot,
        /// The epoch that ends.
        epoch: u32,
        /// Where the slot goes on.
        target: Partition,
        /// The open's offset there; at least 0.
        open_offset: i64,
    },
}

//! `SlotControl` as `avro/slot-control.avsc` lays it out.
//!
//! `act` is a word, and the target is set exactly where the act is a close.

use super::DecodeError;
use super::primitives::{Part, datum, unknown_word};
use crate::control::SlotControl;
use crate::ids::Slot;
use crate::position::{Partition, Position};

datum! { SlotControl = 4 }

impl<'a> Part<'a> for SlotControl {
    fn write(&self, out: &mut Vec<u8>) {
        let (act, slot, epoch, target, open_offset) = match *self {
            Self::Open { slot, epoch } => ("open", slot, epoch, None, None),
            Self::Close {
                slot,
                epoch,
                target,
                open_offset,
            } => ("close", slot, epoch, Some(target.0), Some(open_offset)),
        };
        act.write(out);
        u32::from(slot.number()).write(out);
        epoch.write(out);
        target.write(out);
        open_offset.write(out);
    }

    fn read(input: &mut &'a [u8]) -> Result<Self, DecodeError> {
        let act = <&str>::read(input)?;
        let slot = u16::try_from(u32::read(input)?).ok().and_then(Slot::new);
        let slot = slot.ok_or(DecodeError::Malformed("no such slot"))?;
        let epoch = u32::read(input)?;
        let target = Option::<u32>::read(input)?.map(Partition);
        let open_offset = Option::<i64>::read(input)?;
        match (act, target, open_offset) {
            ("open", None, None) => Ok(Self::Open { slot, epoch }),
            ("close", Some(target), Some(open_offset @ 0..=Position::OFFSET_MAX)) => {
                Ok(Self::Close {
                    slot,
                    epoch,
                    target,
                    open_offset,
                })
            }
            ("open" | "close", ..) => Err(DecodeError::Malformed("the fields do not fit the act")),
            _ => Err(unknown_word("act", act)),
        }
    }
}

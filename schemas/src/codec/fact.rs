//! Facts as `avro/broadcast-started.avsc` and its siblings lay them out.
//!
//! Only what a fact says is encoded here; the position, the broadcast and the number that it belongs
//! to are the key that whoever stores it makes.

use super::DecodeError;
use super::primitives::{Part, datum, record, unknown_word};
use crate::fact::{
    BroadcastEnded, BroadcastStarted, HeatMark, Interruption, Moderation, SegmentOpened, Snapshot,
};
use crate::ids::Seq;

datum! {
    BroadcastStarted = 30,
    BroadcastEnded = 31,
    Interruption = 32,
    SegmentOpened = 33,
    HeatMark = 34,
    Moderation = 35,
}

record! { BroadcastStarted { info, started_at, zero_at, recorded } }
record! { BroadcastEnded { ended_at, last_seq, totals, currencies } }
record! { Interruption { show_ms, resumed } }
record! { SegmentOpened { first_seq, snapshot } }
record! { HeatMark { first_seq, comments, likes, gifts } }
record! { Snapshot { core, broadcast, currencies, combos, givers, roster, sources } }

/// `act` is a word, and of the other fields exactly those are set that the act has.
impl<'a> Part<'a> for Moderation {
    fn write(&self, out: &mut Vec<u8>) {
        let (act, target, user, since_at) = match self {
            Self::Deleted { target } => ("deleted", Some(*target), None, None),
            Self::Hidden { user, since_at } => ("hidden", None, Some(&**user), Some(*since_at)),
            Self::Erased { target } => ("erased", Some(*target), None, None),
            Self::UserErased { user } => ("user_erased", None, Some(&**user), None),
        };
        act.write(out);
        target.write(out);
        user.write(out);
        since_at.write(out);
    }

    fn read(input: &mut &'a [u8]) -> Result<Self, DecodeError> {
        let act = <&str>::read(input)?;
        let target = Option::<Seq>::read(input)?;
        let user = Option::<String>::read(input)?;
        let since_at = Option::<i64>::read(input)?;
        match (act, target, user, since_at) {
            ("deleted", Some(target), None, None) => Ok(Self::Deleted { target }),
            ("hidden", None, Some(user), Some(since_at)) => Ok(Self::Hidden { user, since_at }),
            ("erased", Some(target), None, None) => Ok(Self::Erased { target }),
            ("user_erased", None, Some(user), None) => Ok(Self::UserErased { user }),
            ("deleted" | "hidden" | "erased" | "user_erased", ..) => {
                Err(DecodeError::Malformed("the fields do not fit the act"))
            }
            _ => Err(unknown_word("act", act)),
        }
    }
}

//! A room's stored state as `avro/state-core.avsc` and its siblings lay it out.
//!
//! One state has one encoding, so states are equal where their bytes are. The order of fields here is
//! that of the schemas; limits and meaning are with the types, in `state.rs`.

use super::primitives::{datum, record};
use crate::state::{
    BroadcastInfo, CrowdSecond, Currencies, Entrant, EventMemory, EventMemoryBlock, GiftMemory,
    GiftMemoryBlock, Giver, MutedUser, MutedUsers, OpenBroadcast, OpenCombo, OpenCombos, Roster,
    StateCore, TopGivers, Totals, ViewerSource, ViewerSources,
};

datum! {
    StateCore = 10,
    BroadcastInfo = 11,
    Currencies = 12,
    MutedUsers = 13,
    OpenCombos = 14,
    TopGivers = 15,
    Roster = 16,
    ViewerSources = 17,
    EventMemoryBlock = 18,
    GiftMemoryBlock = 19,
}

record! {
    StateCore {
        generation,
        rules_version,
        last_seq,
        clock,
        at,
        broadcast,
        opened_once,
        totals,
        crowd,
        slow_ms,
        comments_open,
        pinned,
        duplicates,
        refused,
    }
}
record! {
    OpenBroadcast {
        first_seq,
        starter,
        started_at,
        zero_at,
        recorded,
        interrupted_at,
        before,
        segment,
        heat_bucket,
    }
}
record! { Totals { comments, gifts, likes, gift_value } }
record! { CrowdSecond { second, count, previous } }
record! { BroadcastInfo { title, ext } }
record! { Currencies { names } }
record! { MutedUsers { users } }
record! { MutedUser { user, until_at } }
record! { OpenCombos { combos } }
record! { OpenCombo { user, gift, combo, count, value, currency, first_seq, extended_at } }
record! { TopGivers { by_currency } }
record! { Giver { user, name, named_by, value, error } }
record! { Roster { entrants } }
record! { Entrant { user, name, entered_at } }
record! { ViewerSources { sources } }
record! { ViewerSource { source, viewers, counted_at } }
record! { EventMemoryBlock { generation, epoch, first_seq, entries } }
record! { EventMemory { offset, id, clock, user } }
record! { GiftMemoryBlock { epoch, entries } }
record! { GiftMemory { offset, id, clock, generation, seq, value, currency, user, reversed } }

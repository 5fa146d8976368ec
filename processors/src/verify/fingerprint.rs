//! Events as a few bytes: what is expected of a store can be held for many of them.

use std::borrow::Cow;

use danmu_schemas::Settled;
use danmu_schemas::codec::{self, Datum};
use xxhash_rust::xxh3::xxh3_64;

/// A settled event as two hashes: events are the same where both are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint {
    /// Of everything that settle decided.
    pub settled: u64,
    /// Of the event itself.
    pub datum: u64,
    /// Of what an erasure leaves of it.
    pub blanked: u64,
}

impl Fingerprint {
    pub fn of(event: &Settled) -> Self {
        let numbers = [
            event.offset as u64,
            event.seq.0,
            event.at as u64,
            event.logged_at as u64,
            u64::from(event.crowd),
            u64::from(event.combo_total.is_some()),
            event.combo_total.unwrap_or_default(),
            u64::from(event.target_seq.is_some()),
            event.target_seq.unwrap_or_default().0,
        ];
        let bytes = numbers.map(u64::to_be_bytes);
        Self {
            settled: xxh3_64(bytes.as_flattened()),
            datum: xxh3_64(&event.datum),
            blanked: xxh3_64(&blanked(&event.datum)),
        }
    }

    /// Whether what is stored is the expected event, or what is left of it if it was erased.
    pub fn stands_for(&self, expected: &Self, is_erased: impl FnOnce() -> bool) -> bool {
        let is_whole = self.datum == expected.datum;
        self.settled == expected.settled
            && (is_whole || self.blanked == expected.blanked && is_erased())
    }
}

/// What cannot be decoded stays as it is.
fn blanked(datum: &[u8]) -> Cow<'_, [u8]> {
    let Ok(mut event) = codec::decode_datum(datum) else {
        return datum.into();
    };
    event.blank();
    let mut blanked = Vec::with_capacity(datum.len());
    event.encode(&mut blanked);
    blanked.into()
}

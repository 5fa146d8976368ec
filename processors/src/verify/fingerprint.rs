//! Events as a few bytes: what is expected of a store can be held for many of them.

use danmu_schemas::Settled;
use xxhash_rust::xxh3::xxh3_64;

/// A settled event as two hashes: events are the same where both are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint {
    /// Of everything that settle decided.
    pub settled: u64,
    /// Of the event itself, which may be erased.
    pub datum: u64,
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
        }
    }
}

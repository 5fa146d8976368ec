//! Sealed bytes: a payload and its checksum, so that an altered byte at rest is found by whoever
//! reads it, whichever engine kept it. `payload ++ xxh3-64(payload)`, little-endian.

use xxhash_rust::xxh3::xxh3_64;

/// How many bytes a seal adds.
pub const SEAL_BYTES: usize = 8;

/// The bytes are not what was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stored bytes do not match their checksum")]
pub struct BrokenSeal;

/// Appends the checksum of everything that is in `payload`.
pub fn seal(payload: &mut Vec<u8>) {
    let sum = xxh3_64(payload);
    payload.extend_from_slice(&sum.to_le_bytes());
}

/// The payload of sealed bytes.
pub fn open(sealed: &[u8]) -> Result<&[u8], BrokenSeal> {
    let (payload, sum) = sealed.split_last_chunk::<SEAL_BYTES>().ok_or(BrokenSeal)?;
    if xxh3_64(payload) == u64::from_le_bytes(*sum) {
        Ok(payload)
    } else {
        Err(BrokenSeal)
    }
}

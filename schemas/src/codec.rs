//! Avro in the Confluent wire format: magic 0, a 4-byte big-endian schema id, the datum.
//!
//! Decoding untrusted bytes allocates no more than the input's own length allows, and refuses a
//! truncated datum, trailing bytes and an unknown schema, never guessing. What is kept at rest is
//! sealed besides, so that an altered byte is never taken for content.

mod control;
mod fact;
pub(crate) mod primitives;
mod room_event;
mod settled_event;
mod state;

pub use room_event::{decode_datum, decode_event};
pub use settled_event::settled_to_wire;

use bytes::Bytes;

use crate::sealed;

/// Bytes that are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Nobody can decode them: cut off, too long, or no Avro of the named schema.
    #[error("undecodable bytes: {0}")]
    Malformed(&'static str),
    /// A schema id that this build does not know: a newer build wrote them.
    #[error("schema id {0} is not known to this build")]
    UnknownSchema(u32),
    /// A kind of event, or another word of a closed vocabulary, that this build does not know.
    #[error("{vocabulary} {word:?} is not known to this build")]
    UnknownWord {
        /// Which vocabulary.
        vocabulary: &'static str,
        /// The word, cut to 64 bytes.
        word: String,
    },
    /// Stored bytes do not match their checksum.
    #[error(transparent)]
    BrokenSeal(#[from] sealed::BrokenSeal),
}

/// A value with an Avro schema of ours. `'a` is the life of the bytes that it may borrow from.
pub trait Datum<'a>: Sized {
    /// The schema's id, as `avro/ids.json` fixes it.
    const SCHEMA_ID: u32;

    /// Appends the datum, without a header.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads one datum; the caller checks that nothing is left.
    fn decode(input: &mut &'a [u8]) -> Result<Self, DecodeError>;
}

/// A value in the wire format.
pub fn to_wire<'a, T: Datum<'a>>(value: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    write_header(T::SCHEMA_ID, &mut out);
    value.encode(&mut out);
    out
}

/// The value that wire bytes hold.
pub fn from_wire<'a, T: Datum<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    let (id, mut datum) = split_header(bytes)?;
    if id != T::SCHEMA_ID {
        return Err(DecodeError::UnknownSchema(id));
    }
    let value = T::decode(&mut datum)?;
    if datum.is_empty() {
        Ok(value)
    } else {
        Err(DecodeError::Malformed("trailing bytes"))
    }
}

/// A value as it is kept at rest: the wire format, sealed.
pub fn to_stored<'a, T: Datum<'a>>(value: &T) -> Bytes {
    let mut out = to_wire(value);
    sealed::seal(&mut out);
    out.into()
}

/// The value that stored bytes hold.
pub fn from_stored<'a, T: Datum<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    from_wire(sealed::open(bytes)?)
}

/// Appends the wire format's header.
pub fn write_header(schema_id: u32, out: &mut Vec<u8>) {
    out.push(0);
    out.extend_from_slice(&schema_id.to_be_bytes());
}

/// The schema id of wire bytes, and what follows it.
pub fn split_header(bytes: &[u8]) -> Result<(u32, &[u8]), DecodeError> {
    match bytes.split_first_chunk::<5>() {
        Some(([0, id @ ..], datum)) => Ok((u32::from_be_bytes(*id), datum)),
        Some(_) => Err(DecodeError::Malformed("magic byte is not 0")),
        None => Err(DecodeError::Malformed("shorter than a wire header")),
    }
}

#[cfg(test)]
pub(crate) mod tests;

//! Avro's primitives, read strictly and without copying.
//!
//! [`Part`] is whatever a datum is made of: numbers, text, lists, unions, records. Integers are
//! Avro longs in their shortest form; text borrows from the input. Reading never panics, and a list
//! reserves no more bytes than the input still has, growing only by items that were really there.
//! Every part takes at least one byte, so no count can make the reader run on.

use std::borrow::Cow;

use super::DecodeError;
use crate::ids::{EventId, Generation, Seq, UserHash};

/// The longest zigzag varint of 64 bits.
const LONG_BYTES_MAX: usize = 10;

/// The most bytes of an unknown word that an error repeats.
const WORD_BYTES_MAX: usize = 64;

/// Something that a datum is made of. `'a` is the life of the input.
pub(crate) trait Part<'a>: Sized {
    /// Appends it.
    fn write(&self, out: &mut Vec<u8>);

    /// Reads it from the front of `input`.
    fn read(input: &mut &'a [u8]) -> Result<Self, DecodeError>;

    /// Brings a list that was read into its one order; a list of pairs is a map and overrides it.
    fn arrange(_list: &mut [Self]) -> Result<(), DecodeError> {
        Ok(())
    }
}

/// Implements [`Part`] for a record: its fields in the order of its schema.
macro_rules! record {
    ($type:ty { $($field:ident),+ $(,)? }) => {
        impl<'a> $crate::codec::primitives::Part<'a> for $type {
            fn write(&self, out: &mut Vec<u8>) {
                $($crate::codec::primitives::Part::write(&self.$field, out);)+
            }

            fn read(input: &mut &'a [u8]) -> Result<Self, $crate::codec::DecodeError> {
                Ok(Self {
                    $($field: $crate::codec::primitives::Part::read(input)?,)+
                })
            }
        }
    };
}

/// Implements [`super::Datum`] for parts that have a schema of their own, with its id.
macro_rules! datum {
    ($($type:ty = $id:literal),+ $(,)?) => {
        $(impl<'a> $crate::codec::Datum<'a> for $type {
            const SCHEMA_ID: u32 = $id;

            fn encode(&self, out: &mut Vec<u8>) {
                $crate::codec::primitives::Part::write(self, out);
            }

            fn decode(input: &mut &'a [u8]) -> Result<Self, $crate::codec::DecodeError> {
                $crate::codec::primitives::Part::read(input)
            }
        })+
    };
}

pub(crate) use {datum, record};

/// A word that its vocabulary does not have.
pub(crate) fn unknown_word(vocabulary: &'static str, word: &str) -> DecodeError {
    let end = word.floor_char_boundary(WORD_BYTES_MAX);
    DecodeError::UnknownWord {
        vocabulary,
        word: word[..end].to_owned(),
    }
}

/// Reads a word of a closed vocabulary.
pub(crate) fn read_word<T>(
    vocabulary: &'static str,
    parse: impl Fn(&str) -> Option<T>,
    input: &mut &[u8],
) -> Result<T, DecodeError> {
    let word = <&str>::read(input)?;
    parse(word).ok_or_else(|| unknown_word(vocabulary, word))
}

/// Appends a list as one block.
pub(crate) fn write_list<'a, T: Part<'a>>(
    items: impl ExactSizeIterator<Item = T>,
    out: &mut Vec<u8>,
) {
    let count = items.len();
    if count > 0 {
        write_len(count, out);
        items.for_each(|item| item.write(out));
    }
    out.push(0);
}

/// Reads the branch of a union of null and something: whether the something follows.
pub(crate) fn read_branch(input: &mut &[u8]) -> Result<bool, DecodeError> {
    match i64::read(input)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::Malformed("no such branch of a union")),
    }
}

fn write_len(len: usize, out: &mut Vec<u8>) {
    i64::try_from(len)
        .expect("nothing in memory is longer than i64::MAX")
        .write(out);
}

fn read_bytes<'a>(len: usize, input: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
    let (bytes, rest) = input
        .split_at_checked(len)
        .ok_or(DecodeError::Malformed("cut off"))?;
    *input = rest;
    Ok(bytes)
}

fn read_fixed<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], DecodeError> {
    let (bytes, rest) = input
        .split_first_chunk::<N>()
        .ok_or(DecodeError::Malformed("cut off"))?;
    *input = rest;
    Ok(*bytes)
}

/// Reads a list's block header: how many items follow, and in how many bytes if it says so.
fn read_block(input: &mut &[u8]) -> Result<(u64, Option<u64>), DecodeError> {
    let count = i64::read(input)?;
    if count >= 0 {
        return Ok((count.unsigned_abs(), None));
    }
    Ok((count.unsigned_abs(), Some(u64::read(input)?)))
}

fn unzigzag(zigzag: u64) -> i64 {
    (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64)
}

/// Reads a long of any length.
fn read_long(input: &mut &[u8]) -> Result<i64, DecodeError> {
    let mut zigzag = 0_u64;
    for (i, &byte) in input.iter().take(LONG_BYTES_MAX).enumerate() {
        let is_last_possible = i + 1 == LONG_BYTES_MAX;
        if (is_last_possible && byte > 1) || (i > 0 && byte == 0) {
            return Err(DecodeError::Malformed("a long not in its shortest form"));
        }
        zigzag |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            *input = &input[i + 1..];
            return Ok(unzigzag(zigzag));
        }
    }
    Err(DecodeError::Malformed("cut off"))
}

impl<'a> Part<'a> for i64 {
    fn write(&self, out: &mut Vec<u8>) {
        let mut rest = (self.wrapping_shl(1) ^ (self >> 63)) as u64;
        while rest >= 0x80 {
            out.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    }

    #[inline]
    fn read(input: &mut &'a [u8]) -> Result<Self, DecodeError> {
        // Most are short: branches, lengths, small counts.
        if let [byte @ 0..0x80, rest @ ..] = *input {
            *input = rest;
            return Ok(unzigzag(u64::from(*byte)));
        }
        read_long(input)
    }
}

/// As an Avro long, which ends at `i64::MAX`: what lies beyond is written as `i64::MAX`. No count or
/// seq gets there; a target that a client made up and that does, exists nowhere either way.
impl<'a> Part<'a> for u64 {
    fn write(&self, out: &mut Vec<u8>) {
        i64::try_from(*self).unwrap_or(i64::MAX).write(out);
    }

    fn read(input: &mut &'a [u8]) -> Result<Self, DecodeError> {
        Self::try_from(i64::read(input)?).map_err(|_| DecodeError::Malformed("a negative number"))
    }
}

impl<'a> Part<'a> for u32 {
    fn write(&self, out: &mut Vec<u8>) {
        i64::from(*self).write(out);
    }

    fn read(input: &mut &'a [u8]) -> Result<Self, DecodeError> {
        Self::try_from(i64::read(input)?).map_err(|_| DecodeError::Malformed("not 32 bits"))
    }
}

impl<'a> Part<'a> for bool {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn read(input: &mut &'a [u8]) -> Result<Self, DecodeError> {
        match read_fixed::<1>(input)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(DecodeError::Malformed("neither false nor true")),
        }
    }
}

impl<'a> Part<'a> for &'a [u8] {
    fn write(&self, out: &mut Vec<u8>) {
        write_len(self.len(), out);
        out.extend_from_slice(self);
    }

    fn read(input: &mut &'a [u8]) -> Result<Self, DecodeError> {
        let len = usize::try_from(u64::read(input)?);
        read_bytes(len.unwrap_or(usize::MAX), input)
    }
}

impl<'a> Part<'a> for &'a str {
    fn write(&self, out: &mut Vec<u8>) {
        self.as_bytes().write(out);
    }

    fn read(input: &mut &'a [u8]) -> Result<Self, DecodeError> {
        std::str::from_utf8(Part::read(input)?).map_err(|_| DecodeError::Malformed("not UTF-8"))
    }
}

impl<'a> Part<'a> for Cow<'a, str> {
    fn write(&self, out: &mut Vec<u8>) {
        self.as_bytes().write(out);
    }

    fn read(input: &mut &'a [u8]) -> Result<Self, DecodeError> {
        <&str>::read(input).map(Cow::Borrowed)
    }
}

impl<'a> Part<'a> for String {
    fn write(&self, out: &mut Vec<u8>) {
        self.as_bytes().write(out);
    }

    fn read(input: &mut &'a [u8]) -> Result<Self, DecodeError> {
        <&str>::read(input).map(str::to_owned)
    }
}

impl<'a> Part<'a> for EventId {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn read(input: &mut &'a [u8]) -> Result<Self, DecodeError> {
        read_fixed(input).map(Self)
    }
}

/// Eight bytes, big-endian: a hash uses every bit, a long has a sign.
impl<'a> Part<'a> for UserHash {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }

    fn read(input: &mut &'a [u8]) -> Result<Self, DecodeError> {
        read_fixed(input).map(|bytes| Self(u64::from_be_bytes(bytes)))
    }
}

impl<'a> Part<'a> for Seq {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
    }

    fn read(input: &mut &'a [u8]) -> Result<Self, DecodeError> {
        Part::read(input).map(Self)
    }
}

impl<'a> Part<'a> for Generation {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
    }

    fn read(input: &mut &'a [u8]) -> Result<Self, DecodeError> {
        Part::read(input).map(Self)
    }
}

/// A union of null and the part.
impl<'a, T: Part<'a>> Part<'a> for Option<T> {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            None => 0_i64.write(out),
            Some(part) => {
                1_i64.write(out);
                part.write(out);
            }
        }
    }

    fn read(input: &mut &'a [u8]) -> Result<Self, DecodeError> {
        read_branch(input)?.then(|| T::read(input)).transpose()
    }
}

/// An array, or of pairs a map: both are blocks of items, up to an empty block.
impl<'a, T: Part<'a>> Part<'a> for Vec<T> {
    fn write(&self, out: &mut Vec<u8>) {
        if !self.is_empty() {
            write_len(self.len(), out);
            self.iter().for_each(|item| item.write(out));
        }
        out.push(0);
    }

    fn read(input: &mut &'a [u8]) -> Result<Self, DecodeError> {
        let mut list = Self::new();
        loop {
            let (count, block_bytes) = read_block(input)?;
            if count == 0 {
                break;
            }
            let before = input.len();
            let affordable = before / size_of::<T>().max(1);
            list.reserve(affordable.min(usize::try_from(count).unwrap_or(usize::MAX)));
            for _ in 0..count {
                list.push(T::read(input)?);
            }
            if block_bytes.is_some_and(|bytes| bytes != (before - input.len()) as u64) {
                return Err(DecodeError::Malformed("a block of another length"));
            }
        }
        T::arrange(&mut list)?;
        Ok(list)
    }
}

/// An entry of a map. Ours are in key order; another writer's come in any.
impl<'a, K: Part<'a> + Ord, V: Part<'a>> Part<'a> for (K, V) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
    }

    fn read(input: &mut &'a [u8]) -> Result<Self, DecodeError> {
        Ok((K::read(input)?, V::read(input)?))
    }

    fn arrange(list: &mut [Self]) -> Result<(), DecodeError> {
        list.sort_by(|a, b| a.0.cmp(&b.0));
        if list.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(DecodeError::Malformed("a key twice in a map"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

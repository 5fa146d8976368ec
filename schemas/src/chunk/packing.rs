//! Chunks as bytes: the header, then the body, plain or compressed; all of it sealed.
//!
//! `avro/chunk.avsc` is the outside, `avro/chunk-body.avsc` what `body` holds. The seqs are not
//! written: they follow from the header. A packer and an unpacker keep their zstd contexts and
//! buffers between chunks, so each thread that packs or unpacks has its own.

use bytes::Bytes;

use super::{ChunkBody, ChunkHeader};
use crate::codec::primitives::{Part, datum, record, unknown_word, write_list};
use crate::codec::{self, DecodeError};
use crate::ids::Seq;
use crate::settled::{Refusal, Settled, Unseated, Unsettled};

/// Bodies up to this long are not worth compressing.
const PLAIN_BYTES_MAX: usize = 1_024;

/// Bodies are never longer, so that no stored chunk makes a reader allocate more.
pub const BODY_BYTES_MAX: usize = 16 * 1_024 * 1_024;

/// zstd's fastest ordinary level: chunks are packed once a flush, in the way of every viewer.
const ZSTD_LEVEL: i32 = 1;

/// What a chunk's header says, without unpacking its body.
pub fn header(chunk: &[u8]) -> Result<ChunkHeader, DecodeError> {
    codec::from_stored::<Outside<'_>>(chunk).map(|outside| outside.header)
}

/// Makes chunks' bytes.
pub struct Packer {
    compressor: zstd::bulk::Compressor<'static>,
    raw: Vec<u8>,
    compressed: Vec<u8>,
}

impl Default for Packer {
    fn default() -> Self {
        Self::new()
    }
}

impl Packer {
    /// A packer with a compression context of its own.
    pub fn new() -> Self {
        Self {
            compressor: zstd::bulk::Compressor::new(ZSTD_LEVEL)
                .expect("zstd refuses a context only where there is no memory"),
            raw: Vec::new(),
            compressed: Vec::new(),
        }
    }

    /// The chunk's bytes, sealed. The header must tell the body's count, and its seqs must be dense.
    pub fn pack(&mut self, header: &ChunkHeader, body: &ChunkBody) -> Bytes {
        assert_eq!(header.count as usize, body.settled.len(), "a chunk's count");
        let mut seqs = (header.first_seq.0..).zip(&body.settled);
        assert!(seqs.all(|(seq, s)| s.seq.0 == seq), "a chunk's seqs");

        self.raw.clear();
        write_list(body.settled.iter().map(Entry::of), &mut self.raw);
        body.unsettled.write(&mut self.raw);
        assert!(self.raw.len() <= BODY_BYTES_MAX, "a chunk's length");

        let is_smaller = self.raw.len() > PLAIN_BYTES_MAX && self.compress() < self.raw.len();
        let (codec, body) = if is_smaller {
            (Compression::Zstd, &*self.compressed)
        } else {
            (Compression::Plain, &*self.raw)
        };
        codec::to_stored(&Outside {
            header: *header,
            codec,
            raw_len: self.raw.len() as u64,
            body,
        })
    }

    /// Compresses `raw`; says to how many bytes.
    fn compress(&mut self) -> usize {
        self.compressed.clear();
        self.compressed
            .reserve(zstd::zstd_safe::compress_bound(self.raw.len()));
        self.compressor
            .compress_to_buffer(&self.raw, &mut self.compressed)
            .expect("the buffer has zstd's own bound")
    }
}

/// Reads chunks' bytes.
pub struct Unpacker {
    decompressor: zstd::bulk::Decompressor<'static>,
}

impl Default for Unpacker {
    fn default() -> Self {
        Self::new()
    }
}

impl Unpacker {
    /// An unpacker with a decompression context of its own.
    pub fn new() -> Self {
        Self {
            decompressor: zstd::bulk::Decompressor::new()
                .expect("zstd refuses a context only where there is no memory"),
        }
    }

    /// The chunk's header and content; the datums are slices of one buffer.
    pub fn unpack(&mut self, chunk: &[u8]) -> Result<(ChunkHeader, ChunkBody), DecodeError> {
        let outside = codec::from_stored::<Outside<'_>>(chunk)?;
        let raw = self.raw_body(&outside)?;
        let mut input = &*raw;
        let entries = Vec::<Entry<'_>>::read(&mut input)?;
        let unsettled = Part::read(&mut input)?;
        if !input.is_empty() {
            return Err(DecodeError::Malformed("trailing bytes"));
        }
        let header = outside.header;
        if entries.len() != header.count as usize {
            return Err(DecodeError::Malformed(
                "not the count that the header tells",
            ));
        }
        if header
            .first_seq
            .0
            .checked_add(entries.len() as u64)
            .is_none()
        {
            return Err(DecodeError::Malformed("seqs past the last one"));
        }
        let settled = (header.first_seq.0..)
            .zip(entries)
            .map(|(seq, entry)| entry.settled(Seq(seq), &raw))
            .collect();
        Ok((header, ChunkBody { settled, unsettled }))
    }

    fn raw_body(&mut self, outside: &Outside<'_>) -> Result<Bytes, DecodeError> {
        let raw_len = usize::try_from(outside.raw_len).unwrap_or(usize::MAX);
        if raw_len > BODY_BYTES_MAX {
            return Err(DecodeError::Malformed("a chunk's body too long"));
        }
        let raw = match outside.codec {
            Compression::Plain => outside.body.to_vec(),
            Compression::Zstd => self
                .decompressor
                .decompress(outside.body, raw_len)
                .map_err(|_| DecodeError::Malformed("not zstd"))?,
        };
        if raw.len() == raw_len {
            Ok(raw.into())
        } else {
            Err(DecodeError::Malformed("a chunk's body of another length"))
        }
    }
}

/// A chunk as it is written.
struct Outside<'a> {
    header: ChunkHeader,
    codec: Compression,
    raw_len: u64,
    body: &'a [u8],
}

/// How a chunk's body is written.
#[derive(Clone, Copy)]
enum Compression {
    Plain,
    Zstd,
}

/// A settled event as it is written: without its seq.
struct Entry<'a> {
    offset: i64,
    at: i64,
    logged_at: i64,
    crowd: u32,
    combo_total: Option<u64>,
    target_seq: Option<Seq>,
    datum: &'a [u8],
}

impl<'a> Entry<'a> {
    fn of(settled: &'a Settled) -> Self {
        Self {
            offset: settled.offset,
            at: settled.at,
            logged_at: settled.logged_at,
            crowd: settled.crowd,
            combo_total: settled.combo_total,
            target_seq: settled.target_seq,
            datum: &settled.datum,
        }
    }

    fn settled(self, seq: Seq, raw: &Bytes) -> Settled {
        Settled {
            offset: self.offset,
            seq,
            at: self.at,
            logged_at: self.logged_at,
            crowd: self.crowd,
            combo_total: self.combo_total,
            target_seq: self.target_seq,
            datum: raw.slice_ref(self.datum),
        }
    }
}

datum! { Outside<'a> = 2 }

record! { Outside<'a> { header, codec, raw_len, body } }
record! {
    ChunkHeader {
        generation,
        epoch,
        first_seq,
        count,
        first_offset,
        last_offset,
        last_at,
        last_logged_at,
    }
}
record! { Entry<'a> { offset, at, logged_at, crowd, combo_total, target_seq, datum } }
record! { Unsettled { offset, logged_at, id, why } }

impl<'a> Part<'a> for Compression {
    fn write(&self, out: &mut Vec<u8>) {
        let word = match self {
            Self::Plain => "plain",
            Self::Zstd => "zstd",
        };
        word.write(out);
    }

    fn read(input: &mut &'a [u8]) -> Result<Self, DecodeError> {
        match <&str>::read(input)? {
            "plain" => Ok(Self::Plain),
            "zstd" => Ok(Self::Zstd),
            word => Err(unknown_word("codec", word)),
        }
    }
}

/// `why` is `duplicate` or a refusal's name; then `first`, which only a duplicate may have, and
/// `until_at`, which only a refusal may have.
impl<'a> Part<'a> for Unseated {
    fn write(&self, out: &mut Vec<u8>) {
        let (why, first, until_at) = match *self {
            Self::Duplicate { first } => ("duplicate", first, None),
            Self::Refused { reason, until_at } => (reason.as_str(), None, until_at),
        };
        why.write(out);
        first.write(out);
        until_at.write(out);
    }

    fn read(input: &mut &'a [u8]) -> Result<Self, DecodeError> {
        let why = <&str>::read(input)?;
        let first = Part::read(input)?;
        let until_at = Part::read(input)?;
        if why == "duplicate" {
            return match until_at {
                None => Ok(Self::Duplicate { first }),
                Some(_) => Err(DecodeError::Malformed("a duplicate until some time")),
            };
        }
        let reason = Refusal::parse(why).ok_or_else(|| unknown_word("refusal", why))?;
        match first {
            None => Ok(Self::Refused { reason, until_at }),
            Some(_) => Err(DecodeError::Malformed("a refusal with a seq")),
        }
    }
}

#[cfg(test)]
mod tests;

//! The formats of recorded comment files, and how to tell them apart.
//!
//! A file is known by how it begins, not by its name; `--format` overrides. Each format's reader is a
//! pure function from bytes into a [`Recording`] in the module of its name.

use std::collections::HashMap;

use danmu_schemas::RoomId;
use serde::de::IgnoredAny;

use super::recording::Recording;
use super::{jsonl, niconico, twitch, xml};

/// A format of recorded comment files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// An array of comments with `vpos`.
    Niconico,
    /// `<d p="…">` elements.
    Xml,
    /// An object with `video` and `comments`.
    Twitch,
    /// An event a line.
    Jsonl,
}

/// How the files of gzip, zip, zstd and xz begin.
const COMPRESSED: [&[u8]; 4] = [b"\x1f\x8b", b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ"];

/// The file as a whole cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableFile {
    /// It holds nothing but white space.
    #[error("the file is empty")]
    Empty,
    /// It is packed.
    #[error("the file is compressed: unpack it first")]
    Compressed,
    /// It begins like none of the formats.
    #[error("the format is not known: give --format")]
    UnknownFormat,
    /// It is not the JSON that the format asks for.
    #[error("the file is not the JSON that its format asks for")]
    Json(#[source] serde_json::Error),
    /// It is not well-formed XML.
    #[error("the file is not well-formed XML")]
    Xml(#[source] quick_xml::Error),
}

impl Format {
    /// The format's name in ids and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Niconico => "niconico",
            Self::Xml => "xml",
            Self::Twitch => "twitch",
            Self::Jsonl => "jsonl",
        }
    }

    /// The format that `bytes` begin like.
    pub fn detect(bytes: &[u8]) -> Result<Self, UnreadableFile> {
        check_plain(bytes)?;
        let text = without_bom(bytes).trim_ascii_start();
        match text.first() {
            Some(b'<') => Ok(Self::Xml),
            Some(b'[') => Ok(Self::Niconico),
            Some(b'{') if is_single_object(text) => Ok(Self::Twitch),
            Some(b'{') => Ok(Self::Jsonl),
            _ => Err(UnreadableFile::UnknownFormat),
        }
    }

    /// Reads a whole file of this format that goes into `room`.
    pub fn read(self, bytes: &[u8], room: RoomId) -> Result<Recording, UnreadableFile> {
        check_plain(bytes)?;
        let bytes = without_bom(bytes);
        let mut recording = Recording::new(room, self);
        match self {
            Self::Niconico => {
                niconico::read(bytes, &mut recording).map_err(UnreadableFile::Json)?;
            }
            Self::Xml => xml::read(bytes, &mut recording).map_err(UnreadableFile::Xml)?,
            Self::Twitch => twitch::read(bytes, &mut recording).map_err(UnreadableFile::Json)?,
            Self::Jsonl => jsonl::read(bytes, &mut recording),
        }
        Ok(recording)
    }
}

/// Refuses what is no file of any format, whatever the caller takes it for.
fn check_plain(bytes: &[u8]) -> Result<(), UnreadableFile> {
    if without_bom(bytes).trim_ascii().is_empty() {
        return Err(UnreadableFile::Empty);
    }
    if COMPRESSED.iter().any(|magic| bytes.starts_with(magic)) {
        return Err(UnreadableFile::Compressed);
    }
    Ok(())
}

fn without_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// Whether the whole text is one object with `comments`, as a VOD file is.
fn is_single_object(text: &[u8]) -> bool {
    serde_json::from_slice::<HashMap<String, IgnoredAny>>(text)
        .is_ok_and(|file| file.contains_key("comments"))
}

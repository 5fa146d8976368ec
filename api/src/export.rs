//! A whole broadcast in a form that other programs read.
//!
//! Pure writers over events in order: they append to a buffer and keep no more than where comments
//! are on the stage, so that an export of any length is streamed. Hidden events are told only where
//! the form has a way to say so (JSONL).

mod ass;
mod jsonl;
mod xml;

use danmu_schemas::{RoomEvent, Settled};

/// The forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Every event as JSON, one a line.
    Jsonl,
    /// Comments as `<d p="…">`, the form that danmaku players read.
    Xml,
    /// Comments as subtitles that move.
    Ass,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 3] = [Self::Jsonl, Self::Xml, Self::Ass];

    /// The format's name in addresses and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Xml => "xml",
            Self::Ass => "ass",
        }
    }

    /// The format of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == name)
    }

    /// Its media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Jsonl => "application/jsonl",
            Self::Xml => "application/xml",
            Self::Ass => "text/x-ssa; charset=utf-8",
        }
    }
}

/// An export that is being written.
#[derive(Debug)]
pub struct Export {
    zero_at: i64,
    writer: Writer,
}

#[derive(Debug)]
enum Writer {
    Jsonl,
    Xml,
    Ass(Box<ass::Stage>),
}

impl Export {
    /// An export of a broadcast whose show time is zero at `zero_at`; its head goes to `out`.
    pub fn begin(format: Format, title: &str, zero_at: i64, out: &mut Vec<u8>) -> Self {
        let writer = match format {
            Format::Jsonl => Writer::Jsonl,
            Format::Xml => {
                xml::begin(title, out);
                Writer::Xml
            }
            Format::Ass => {
                ass::begin(title, out);
                Writer::Ass(Box::default())
            }
        };
        Self { zero_at, writer }
    }

    /// Adds the next event; `hidden` where the public may not see its content.
    pub fn event(
        &mut self,
        settled: &Settled,
        event: &RoomEvent<'_>,
        hidden: bool,
        out: &mut Vec<u8>,
    ) {
        match &mut self.writer {
            Writer::Jsonl => jsonl::event(settled, event, self.zero_at, hidden, out),
            Writer::Xml if !hidden => xml::event(settled, event, self.zero_at, out),
            Writer::Ass(stage) if !hidden => stage.event(settled, event, self.zero_at, out),
            Writer::Xml | Writer::Ass(_) => {}
        }
    }

    /// Ends it.
    pub fn end(self, out: &mut Vec<u8>) {
        if let Writer::Xml = self.writer {
            xml::end(out);
        }
    }
}

#[cfg(test)]
mod tests;

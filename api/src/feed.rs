//! A room's window, unpacked: what a page is cut from.
//!
//! One moment of one room: its head, its totals, its newest events without a hole, and what
//! moderation among them hides. Events before the window's first are the history's.

use danmu_projections::RoomWindow;
use danmu_schemas::chunk::Unpacker;
use danmu_schemas::codec::{self, Datum, DecodeError};
use danmu_schemas::state::{Currencies, Field, StateCore, Totals, ViewerSources};
use danmu_schemas::{Generation, Seq, Settled};

use crate::overlay::Overlay;
use crate::render::Object;

/// A room as the windows know it.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) generation: Generation,
    pub(crate) head: Seq,
    /// The seq of the first of `events`; past the head where there is none.
    pub(crate) first: Seq,
    /// Dense, from `first` to the head.
    pub(crate) events: Vec<Settled>,
    /// What the events hide.
    pub(crate) overlay: Overlay,
    totals: Totals,
    currencies: Currencies,
    viewers: u64,
}

impl Feed {
    /// A room in which nothing has happened.
    pub(crate) fn empty() -> Self {
        Self {
            generation: Generation::FIRST,
            head: Seq::ZERO,
            first: Seq(1),
            events: Vec::new(),
            overlay: Overlay::default(),
            totals: Totals::default(),
            currencies: Currencies::default(),
            viewers: 0,
        }
    }

    /// Unpacks a window; the room is empty where its slot does not have it.
    pub(crate) fn of(window: &RoomWindow) -> Result<Self, DecodeError> {
        let Some(state) = &window.state else {
            return Ok(Self::empty());
        };
        let core: StateCore = codec::from_stored(&state.core)?;
        let sources: ViewerSources = field(&state.fields[Field::Sources.index()])?;
        let events = events(window, core.generation)?;
        let mut overlay = Overlay::default();
        for settled in &events {
            overlay.add_event(settled, &codec::decode_datum(&settled.datum)?);
        }
        Ok(Self {
            generation: core.generation,
            head: core.last_seq,
            first: events
                .first()
                .map_or(core.last_seq.next(), |event| event.seq),
            events,
            overlay,
            viewers: sources.viewers(core.clock),
            totals: core.totals,
            currencies: field(&state.fields[Field::Currencies.index()])?,
        })
    }

    /// Writes the room's totals and its viewers.
    pub(crate) fn write_totals(&self, out: &mut Vec<u8>) {
        let mut object = Object::begin(out);
        write_sums(&self.totals, &self.currencies, &mut object);
        object.number("viewers", self.viewers);
        object.end();
    }
}

/// Writes sums into an object.
pub(crate) fn write_sums(totals: &Totals, currencies: &Currencies, object: &mut Object<'_>) {
    object.number("comments", totals.comments);
    object.number("gifts", totals.gifts);
    object.value("gift_value", |out| {
        let mut values = Object::begin(out);
        for (name, value) in currencies.names.iter().zip(&totals.gift_value) {
            values.named_number(name, *value);
        }
        values.end();
    });
    object.number("likes", totals.likes);
}

/// A stored field, or its default where it was never stored.
fn field<'a, T: Datum<'a> + Default>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    if bytes.is_empty() {
        return Ok(T::default());
    }
    codec::from_stored(bytes)
}

/// The window's events of a generation, each once, ascending.
fn events(window: &RoomWindow, generation: Generation) -> Result<Vec<Settled>, DecodeError> {
    let mut unpacker = Unpacker::new();
    let mut events: Vec<Settled> = Vec::new();
    let of_generation = window
        .chunks
        .iter()
        .filter(|chunk| chunk.header.generation == generation);
    for chunk in of_generation {
        let (_, body) = unpacker.unpack(&chunk.bytes)?;
        let last = events.last().map_or(Seq::ZERO, |event| event.seq);
        events.extend(body.settled.into_iter().filter(|event| event.seq > last));
    }
    Ok(events)
}

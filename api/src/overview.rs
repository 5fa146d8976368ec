//! A room at a glance: what goes on in it, its sums and rules, who gives most, who came last.
//!
//! Written from the room's state as the feed holds it. The overview is kept until the room changes,
//! so that only its first asker pays for a pinned comment that has to be read from the history.

use bytes::Bytes;
use danmu_projections::{HistoryReader, HistoryStore, StoredState, WindowRead};
use danmu_schemas::codec::{self, Datum, DecodeError};
use danmu_schemas::state::{
    BroadcastInfo, Currencies, Entrant, Field, OpenBroadcast, OpenCombos, Roster, StateCore,
    TopGivers, Totals, ViewerSources,
};
use danmu_schemas::{Cursor, RoomId, Seq};

use crate::answer::Refused;
use crate::feed::{Content, Feeds};
use crate::older::Older;
use crate::overlay::View;
use crate::pace::{Density, Level, Wanted};
use crate::page::{Form, From, Question, Span};
use crate::render::Object;
use crate::replay::state::{write_gifts, write_rules};
use crate::totals::{write_sums, write_totals};

/// A field of a state, or its default where it was never stored.
pub(crate) fn field<'a, T: Datum<'a> + Default>(
    state: &'a StoredState,
    field: Field,
) -> Result<T, DecodeError> {
    let bytes = &state.fields[field.index()];
    if bytes.is_empty() {
        return Ok(T::default());
    }
    codec::from_stored(bytes)
}

/// What one look at a room gives.
enum Look {
    Ready(Bytes),
    /// To be written from this; `pinned` is a pinned comment that is not held.
    Sketch {
        version: u64,
        sketch: Box<Sketch>,
    },
}

struct Sketch {
    cursor: Cursor,
    state: Option<std::sync::Arc<StoredState>>,
    pinned: Pinned,
}

enum Pinned {
    None,
    /// Rendered.
    Held(Vec<u8>),
    Older(Box<Older>),
}

/// `GET /v1/rooms/{room}`.
pub(crate) async fn overview<W: WindowRead, H: HistoryStore>(
    feeds: &Feeds<W>,
    history: &HistoryReader<H>,
    room: &RoomId,
) -> Result<Bytes, Refused> {
    loop {
        let feed = feeds.open(room).await?;
        let looked = feed.look(|content| match &content.overview {
            Some(overview) => Ok(Look::Ready(overview.clone())),
            None => Ok::<_, DecodeError>(Look::Sketch {
                version: feed.version(),
                sketch: Box::new(Sketch::of(content, room)?),
            }),
        })?;
        let Some(look) = looked else { continue };
        let (version, sketch) = match look? {
            Look::Ready(overview) => return Ok(overview),
            Look::Sketch { version, sketch } => (version, sketch),
        };
        let overview: Bytes = sketch.write(room, feeds.windows(), history).await?.into();
        feed.keep_overview(version, overview.clone());
        return Ok(overview);
    }
}

impl Sketch {
    fn of(content: &Content, room: &RoomId) -> Result<Self, DecodeError> {
        let state = content.state.clone();
        let core: Option<StateCore> = match &state {
            Some(state) => Some(codec::from_stored(&state.core)?),
            None => None,
        };
        Ok(Self {
            cursor: Cursor {
                generation: content.generation,
                seq: content.head(),
            },
            pinned: match core.and_then(|core| core.pinned) {
                None => Pinned::None,
                Some(seq) => Pinned::of(content, room, seq),
            },
            state,
        })
    }

    async fn write<W: WindowRead, H: HistoryStore>(
        self,
        room: &RoomId,
        windows: &W,
        history: &HistoryReader<H>,
    ) -> Result<Vec<u8>, Refused> {
        let pinned = match self.pinned {
            Pinned::None => None,
            Pinned::Held(event) => Some(event),
            Pinned::Older(older) => Some(older.events(windows, history).await?),
        };
        let mut out = Vec::new();
        let mut object = Object::begin(&mut out);
        object.string("room", room.as_str());
        object.string("cursor", &self.cursor.to_string());
        object.number("head", self.cursor.seq);
        if let Some(pinned) = pinned {
            object.value("pinned", |out| out.extend_from_slice(&pinned));
        }
        match &self.state {
            Some(state) => write_state(state, self.cursor, &mut object)?,
            None => {
                let (totals, currencies) = (Totals::default(), Currencies::default());
                object.value("totals", |out| write_totals(&totals, &currencies, 0, out));
                object.number("viewers", 0);
            }
        }
        object.end();
        Ok(out)
    }
}

impl Pinned {
    fn of(content: &Content, room: &RoomId, seq: Seq) -> Self {
        let after = Seq(seq.0.saturating_sub(1));
        if seq >= content.events.first() && seq < content.events.next() {
            let mut event = Vec::new();
            let sight = (View::Public, Density::Full);
            content.events.write(after, seq, sight, &mut event);
            return Self::Held(event);
        }
        let question = Question {
            from: From::Newest,
            limit: 1,
            behind_max: None,
            view: View::Public,
            density: Wanted::Exactly(Density::Full),
            level: Level::Rest,
            form: Form::Poll,
        };
        let span = Span {
            from: after,
            begin: after,
            to: seq,
        };
        Self::Older(Box::new(Older::of(content, room.clone(), question, span)))
    }
}

fn write_state(
    state: &StoredState,
    cursor: Cursor,
    object: &mut Object<'_>,
) -> Result<(), DecodeError> {
    let core: StateCore = codec::from_stored(&state.core)?;
    let currencies: Currencies = field(state, Field::Currencies)?;
    let sources: ViewerSources = field(state, Field::Sources)?;
    let combos: OpenCombos = field(state, Field::Combos)?;
    let givers: TopGivers = field(state, Field::Givers)?;
    let viewers = sources.viewers(core.clock);
    if let Some(open) = &core.broadcast {
        let name = Cursor {
            generation: cursor.generation,
            seq: open.first_seq,
        };
        let info: BroadcastInfo = field(state, Field::Broadcast)?;
        let totals = since(&core.totals, &open.before);
        object.value("broadcast", |out| {
            let mut object = Object::begin(out);
            object.string("broadcast", &name.to_string());
            write_broadcast(open, &info, &mut object);
            object.value("totals", |out| {
                let mut sums = Object::begin(out);
                write_sums(&totals, &currencies, &mut sums);
                sums.end();
            });
            object.end();
        });
    }
    object.value("totals", |out| {
        write_totals(&core.totals, &currencies, viewers, out);
    });
    object.number("viewers", viewers);
    write_rules(&core, object);
    write_gifts(&currencies, &combos, &givers, object);
    Ok(())
}

fn write_broadcast(open: &OpenBroadcast, info: &BroadcastInfo, object: &mut Object<'_>) {
    object.string("title", &info.title);
    object.ext("ext", &info.ext);
    object.number("started_at", open.started_at);
    object.number("zero_at", open.zero_at);
    object.boolean("recorded", open.recorded);
    object.optional_number("interrupted_at", open.interrupted_at);
}

/// What came since `before`.
fn since(now: &Totals, before: &Totals) -> Totals {
    let value_before = |n: usize| before.gift_value.get(n).copied().unwrap_or(0);
    let values = now.gift_value.iter().enumerate();
    Totals {
        comments: now.comments - before.comments,
        gifts: now.gifts - before.gifts,
        likes: now.likes - before.likes,
        gift_value: values.map(|(n, value)| value - value_before(n)).collect(),
    }
}

/// `GET /v1/rooms/{room}/users`: at most `limit` of those who came last, the latest first.
pub(crate) async fn users<W: WindowRead>(
    feeds: &Feeds<W>,
    room: &RoomId,
    limit: usize,
) -> Result<Vec<u8>, Refused> {
    let state = loop {
        let feed = feeds.open(room).await?;
        if let Some(state) = feed.look(|content| content.state.clone())? {
            break state.unwrap_or_default();
        }
    };
    let mut viewers = 0;
    if !state.core.is_empty() {
        let core: StateCore = codec::from_stored(&state.core)?;
        let sources: ViewerSources = field(&state, Field::Sources)?;
        viewers = sources.viewers(core.clock);
    }
    let roster: Roster = field(&state, Field::Roster)?;
    let mut out = Vec::new();
    let mut object = Object::begin(&mut out);
    object.string("room", room.as_str());
    object.number("viewers", viewers);
    let latest = roster.entrants.iter().rev().take(limit);
    object.array("users", latest, write_entrant);
    object.end();
    Ok(out)
}

fn write_entrant(entrant: &Entrant, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.string("id", &entrant.user);
    object.string("name", &entrant.name);
    object.number("entered_at", entrant.entered_at);
    object.end();
}

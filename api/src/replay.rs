//! Broadcasts after the fact: their list, their segments, their export.
//!
//! Everything comes from the history at or below its watermark. A segment under a revision is the
//! same bytes for ever; when moderation changes it, its revision, and so its address, changes.

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use danmu_projections::history::{Broadcast, HeatBucket, Tally};
use danmu_projections::segments::{Segment, SegmentContent};
use danmu_projections::{HistoryReader, HistoryStore, StoreError};
use danmu_schemas::fact::{HEAT_BUCKET_MS, Interruption, SEGMENT_MS};
use danmu_schemas::problem::{Problem, ProblemType};
use danmu_schemas::state::BroadcastInfo;
use danmu_schemas::{Cursor, RoomId, Seq, codec};
use futures_util::stream;

use crate::answer::{self, Refused};
use crate::export::{Export, Format};
use crate::older::write_events;
use crate::overlay::{Overlay, View};
use crate::render::{Object, Place};
use crate::totals::write_sums;

pub(crate) mod state;

use state::write_state;

/// How much show time one part of a manifest covers.
const PART_MS: i64 = 24 * 60 * 60 * 1_000;
/// How many events an export reads at once.
const EXPORT_EVENTS: usize = 512;
/// When a segment that is not closed may be there.
const SEGMENT_RETRY_S: u32 = 10;

/// The broadcasts that began before a cursor, newest first.
pub(crate) async fn broadcasts<H: HistoryStore>(
    history: &HistoryReader<H>,
    room: &RoomId,
    before: Option<Cursor>,
    limit: usize,
    view: View,
) -> Result<Response, Refused> {
    let mut shows = Vec::new();
    let broadcasts = history.broadcasts(room, before, limit).await?;
    let without_texts = history.without_texts(room, &broadcasts, view).await?;
    for mut broadcast in broadcasts {
        let tally = history.tally(room, &broadcast).await?;
        if without_texts.contains(&broadcast.cursor) {
            broadcast.started.info = BroadcastInfo::default();
        }
        shows.push(Show { broadcast, tally });
    }
    let mut out = Vec::new();
    let mut answer = Object::begin(&mut out);
    answer.array("broadcasts", &shows, |show, out| {
        let mut object = Object::begin(out);
        write_show(show, &mut object);
        object.end();
    });
    answer.end();
    Ok(answer::json_for(view, out))
}

/// A broadcast as the asker may know it, and what it amounts to, so far where it goes on.
struct Show {
    broadcast: Broadcast,
    tally: Tally,
}

fn write_show(Show { broadcast, tally }: &Show, object: &mut Object<'_>) {
    object.string("broadcast", &broadcast.cursor.to_string());
    object.string("title", &broadcast.started.info.title);
    object.number("started_at", broadcast.started.started_at);
    if let Some(ended) = &broadcast.ended {
        object.number("ended_at", ended.ended_at);
    }
    object.number("events", tally.last_seq.0 + 1 - broadcast.cursor.seq.0);
    object.value("totals", |out| {
        let mut totals = Object::begin(out);
        write_sums(&tally.totals, &tally.currencies, &mut totals);
        totals.end();
    });
    object.boolean("recorded", broadcast.started.recorded);
    object.boolean("live", broadcast.ended.is_none());
}

/// The manifest of a broadcast: the part `part` of 24 h of show time. What lies before the show's
/// zero belongs to part 0.
pub(crate) async fn manifest<H: HistoryStore>(
    history: &HistoryReader<H>,
    room: &RoomId,
    cursor: Cursor,
    part: i64,
    view: View,
) -> Result<Response, Refused> {
    let show = known(history, room, cursor, view).await?;
    let numbers = |length_ms: i64| {
        let parts = PART_MS / length_ms;
        let first = if part == 0 { -parts } else { part * parts };
        first..(part + 1) * parts
    };
    let segments = history.segments(room, cursor, numbers(SEGMENT_MS)).await?;
    let heat = history
        .heat(room, cursor, &show.tally, numbers(HEAT_BUCKET_MS))
        .await?;
    let interruptions = history.interruptions(room, cursor).await?;
    let mut out = Vec::new();
    let mut manifest = Object::begin(&mut out);
    write_show(&show, &mut manifest);
    manifest.number("zero_at", show.broadcast.started.zero_at);
    manifest.array("segments", &segments, |segment, out| {
        write_segment(room, cursor, segment, out);
    });
    manifest.array("heat", &heat, write_heat);
    manifest.array("interruptions", &interruptions, write_interruption);
    manifest.end();
    Ok(answer::json_for(view, out))
}

fn unknown() -> Refused {
    Refused::not_found("there is no such broadcast")
}

async fn known<H: HistoryStore>(
    history: &HistoryReader<H>,
    room: &RoomId,
    cursor: Cursor,
    view: View,
) -> Result<Show, Refused> {
    let mut broadcast = history.broadcast(room, cursor).await?.ok_or_else(unknown)?;
    let tally = history.tally(room, &broadcast).await?;
    let alone = std::slice::from_ref(&broadcast);
    let without_texts = history.without_texts(room, alone, view).await?;
    if !without_texts.is_empty() {
        broadcast.started.info = BroadcastInfo::default();
    }
    Ok(Show { broadcast, tally })
}

fn write_segment(room: &RoomId, cursor: Cursor, segment: &Segment, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.number("n", segment.n);
    object.number("from_ms", segment.from_ms());
    object.number("to_ms", segment.to_ms());
    object.number("first_seq", segment.first_seq);
    object.number("last_seq", segment.last_seq);
    object.number("count", segment.count());
    object.number("revision", segment.revision);
    let (n, revision) = (segment.n, segment.revision);
    let url = format!("/v1/rooms/{room}/broadcasts/{cursor}/segments/{n}?revision={revision}");
    object.string("url", &url);
    object.end();
}

fn write_heat(bucket: &HeatBucket, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.number("from_ms", bucket.n * HEAT_BUCKET_MS);
    object.number("comments", bucket.comments);
    object.number("likes", bucket.likes);
    object.number("gifts", bucket.gifts);
    object.end();
}

fn write_interruption((seq, interruption): &(Seq, Interruption), out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.number("seq", *seq);
    object.number("show_ms", interruption.show_ms);
    object.boolean("resumed", interruption.resumed);
    object.end();
}

/// A closed segment; the newest revision where none is asked for, which is then not cached.
pub(crate) async fn segment<H: HistoryStore>(
    history: &HistoryReader<H>,
    room: &RoomId,
    cursor: Cursor,
    n: i64,
    (revision, view): (Option<Seq>, View),
) -> Result<Response, Refused> {
    let broadcast = history.broadcast(room, cursor).await?;
    let broadcast = broadcast.ok_or_else(unknown)?;
    let content = history.segment(room, cursor, n, view).await?;
    let content = content.ok_or_else(not_there_yet)?;
    let current = content.segment.revision;
    if revision.is_some_and(|asked| asked < current) {
        return Err(Problem::new(ProblemType::Gone).into());
    }
    if revision.is_some_and(|asked| asked > current) {
        return Err(not_there_yet());
    }
    let body = write_content(&content, broadcast.started.zero_at, view)?;
    if view == View::Live {
        return Ok(answer::json_for(view, body));
    }
    let cache = match revision {
        Some(_) => "public, max-age=31536000, immutable",
        None => "no-cache",
    };
    let etag = format!("\"{cursor}-{n}-{current}\"");
    let mut response = answer::json(body);
    let headers = response.headers_mut();
    headers.insert(
        header::CACHE_CONTROL,
        header::HeaderValue::from_static(cache),
    );
    if let Ok(etag) = etag.parse() {
        headers.insert(header::ETAG, etag);
    }
    Ok(response)
}

fn not_there_yet() -> Refused {
    Problem::new(ProblemType::SegmentOpen)
        .retry_after_s(SEGMENT_RETRY_S)
        .into()
}

fn write_content(content: &SegmentContent, zero_at: i64, view: View) -> Result<Vec<u8>, Refused> {
    let mut overlay = Overlay::default();
    for act in &content.moderation {
        overlay.add_fact(act.by, &act.moderation);
    }
    let mut out = Vec::new();
    let mut object = Object::begin(&mut out);
    object.value("state", |out| write_state(&content.snapshot, out));
    let mut written = Ok(());
    object.value("events", |out| {
        let place = Place::Replay { zero_at };
        out.push(b'[');
        written = write_events(&content.events, &overlay, view, place, out);
        out.push(b']');
    });
    object.end();
    written?;
    Ok(out)
}

/// The whole broadcast, streamed a chunk's length at a time; one that goes on, up to the watermark.
pub(crate) async fn export<H: HistoryStore>(
    history: HistoryReader<H>,
    room: RoomId,
    cursor: Cursor,
    (format, view): (Format, View),
) -> Result<Response, Refused> {
    let Show { broadcast, tally } = known(&history, &room, cursor, view).await?;
    let mut overlay = Overlay::default();
    let acts = history.taken_since(&room, cursor.generation, cursor.seq);
    for act in acts.await? {
        overlay.add_fact(act.by, &act.moderation);
    }
    let mut head = Vec::new();
    let started = &broadcast.started;
    let export = Export::begin(format, &started.info.title, started.zero_at, &mut head);
    let run = Run {
        history,
        room,
        last: tally.last_seq,
        next: cursor,
        overlay,
        view,
        export: Some(export),
        head,
    };
    let parts = stream::unfold(run, |mut run| async move {
        let part = run.part().await?;
        Some((part, run))
    });
    let body = Body::from_stream(parts);
    let content_type = [(header::CONTENT_TYPE, format.content_type())];
    Ok(answer::for_view(view, (content_type, body).into_response()))
}

/// An export on its way.
struct Run<H> {
    history: HistoryReader<H>,
    room: RoomId,
    next: Cursor,
    last: Seq,
    overlay: Overlay,
    view: View,
    /// `None` when it has been ended.
    export: Option<Export>,
    head: Vec<u8>,
}

impl<H: HistoryStore> Run<H> {
    /// The next bytes. An error cuts the stream off, so that a part is never taken for the whole.
    async fn part(&mut self) -> Option<Result<Bytes, Refused>> {
        let mut export = self.export.take()?;
        let mut out = std::mem::take(&mut self.head);
        match self.write(&mut export, &mut out).await {
            Ok(true) => self.export = Some(export),
            Ok(false) => export.end(&mut out),
            Err(refused) => return Some(Err(refused)),
        }
        Some(Ok(out.into()))
    }

    /// Adds the next events; whether there may be more.
    async fn write(&mut self, export: &mut Export, out: &mut Vec<u8>) -> Result<bool, Refused> {
        let after = Seq(self.next.seq.0 - 1);
        let generation = self.next.generation;
        let events = self
            .history
            .events(&self.room, generation, after, EXPORT_EVENTS)
            .await?;
        let Some(newest) = events.last().map(|event| event.seq) else {
            let missing = StoreError::Unavailable {
                what: "exporting a broadcast",
                source: format!("{:?} lacks event {}", self.room, self.next).into(),
            };
            return Err(missing.into());
        };
        for settled in events.iter().take_while(|event| event.seq <= self.last) {
            let event = codec::decode_datum(&settled.datum)?;
            let hidden = self.overlay.hides(settled, &event, self.view);
            export.event(settled, &event, hidden, out);
        }
        self.next.seq = newest.next();
        Ok(newest < self.last)
    }
}

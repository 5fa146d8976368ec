//! Server-sent events: a room's pages as they come, for as long as the client reads.
//!
//! A message's `id` is the cursor after it, so that a browser that was cut off goes on where it was. The
//! response is asked for its next part only when the client has taken the last one: who reads slowly
//! has a cursor and nothing else. A client that takes nothing is the connection's to give up.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use danmu_projections::{HistoryStore, WindowRead};
use danmu_schemas::{Cursor, RoomId};
use futures_util::stream;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::answer::Refused;
use crate::connections::{Open, Reason};
use crate::http::Api;
use crate::live::{News, Reader};
use crate::pace::Wanted;
use crate::page::Form;

/// How often something is written where nothing happens, so that nobody in between gives up.
const BEAT_EVERY: Duration = Duration::from_secs(15);
/// What is written then: a comment.
const BEAT: &[u8] = b":\n\n";
/// The least time until a client that was cut off comes back, and over how much more they are spread.
const RETRY_MS: u64 = 1_000;
const RETRY_SPREAD_MS: u64 = 2_000;
/// Steps through the spread so that those who connect one after another come back far apart.
const RETRY_STEP_MS: u64 = 617;

/// A stream that is being sent.
struct Stream<W, H> {
    reader: Reader<W, H>,
    beat: Interval,
    stop: CancellationToken,
    open: Open,
    /// Said first.
    greeting: Option<Bytes>,
    has_ended: bool,
}

/// The answer that a stream is.
pub(crate) async fn answer<W: WindowRead, H: HistoryStore>(
    api: Api<W, H>,
    room: RoomId,
    (after, density): (Option<Cursor>, Wanted),
) -> Result<Response, Refused> {
    let (stop, open) = (api.feeds.stop().clone(), api.connections.open_stream());
    let (reader, _) = Reader::open(api, room, (Form::Message, density), after).await?;
    let mut beat = interval_at(Instant::now() + BEAT_EVERY, BEAT_EVERY);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let sent = Stream {
        reader,
        beat,
        stop,
        open,
        greeting: Some(retry().into()),
        has_ended: false,
    };
    let parts = stream::unfold(sent, |mut sent| async move {
        let part = sent.next().await?;
        sent.open.sent(part.len());
        Some((Ok::<_, Infallible>(part), sent))
    });
    let mut response = Response::new(Body::from_stream(parts));
    let headers = response.headers_mut();
    let event_stream = HeaderValue::from_static("text/event-stream");
    headers.insert(header::CONTENT_TYPE, event_stream);
    let no_store = HeaderValue::from_static("no-store");
    headers.insert(header::CACHE_CONTROL, no_store);
    // Proxies that gather answers would hold events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// When to come back after the end.
fn retry() -> String {
    static OPENED: AtomicU64 = AtomicU64::new(0);
    let nth = OPENED.fetch_add(1, Ordering::Relaxed);
    let after_ms = RETRY_MS + nth.wrapping_mul(RETRY_STEP_MS) % RETRY_SPREAD_MS;
    format!("retry: {after_ms}\n\n")
}

impl<W: WindowRead, H: HistoryStore> Stream<W, H> {
    /// What is sent next; `None` after the end.
    async fn next(&mut self) -> Option<Bytes> {
        if self.has_ended {
            return None;
        }
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        let news = tokio::select! {
            () = self.stop.cancelled() => return Some(self.end(Reason::Stopping, None)),
            _ = self.beat.tick() => return Some(Bytes::from_static(BEAT)),
            news = self.reader.next() => news,
        };
        Some(match news {
            Ok(News::Page(page)) => page.body,
            Ok(News::Replaced(refused)) => problem(&refused).into(),
            Err(refused) => self.end(Reason::Refused, Some(&refused)),
        })
    }

    /// The last message: what happened and what a socket's close code would have been.
    fn end(&mut self, reason: Reason, why: Option<&Refused>) -> Bytes {
        self.has_ended = true;
        self.open.closes(reason);
        let mut last = why.map(problem).unwrap_or_default();
        let (code, text) = (reason.close_code(), reason.text());
        last += &format!("event: end\ndata: {{\"code\":{code},\"reason\":\"{text}\"}}\n\n");
        last.into()
    }
}

fn problem(refused: &Refused) -> String {
    let id = match refused.room_goes_on_from() {
        Some(cursor) => format!("id: {cursor}\n"),
        None => String::new(),
    };
    format!("event: problem\n{id}data: {}\n\n", refused.to_message())
}

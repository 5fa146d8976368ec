//! Polls and long polls, and senders who wait for verdicts: three ways to read a room's feed.
//!
//! Whoever waits subscribes first and looks then, so that no change falls between, and waits no
//! longer than it asked to, or than the process runs.

use std::time::Duration;

use bytes::Bytes;
use danmu_projections::{HistoryStore, WindowRead};
use danmu_schemas::{EventId, RoomId};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout, timeout_at};

use crate::answer::Refused;
use crate::feed::{Feeds, Reply};
use crate::http::Api;
use crate::older::Older;
use crate::page::{Page, Question};

/// The most pages that are read from the history at once.
const OLDER_READS_MAX: usize = 64;
/// How long a reader waits for its turn.
const OLDER_TURN_WITHIN: Duration = Duration::from_secs(2);

/// Turns at reading the history.
pub(crate) struct OlderReads(Semaphore);

impl Default for OlderReads {
    fn default() -> Self {
        Self(Semaphore::new(OLDER_READS_MAX))
    }
}

/// The page that a question asks for; where there is no news, the next one within `wait`.
pub(crate) async fn page<W: WindowRead, H: HistoryStore>(
    api: &Api<W, H>,
    room: &RoomId,
    (question, wait): (Question, Duration),
) -> Result<Bytes, Refused> {
    let feeds = &api.feeds;
    let deadline = Instant::now() + wait;
    loop {
        let feed = feeds.open(room).await?;
        let mut version = feed.subscribe();
        loop {
            match feed.ask(&question)? {
                Reply::Page(page) => {
                    let wait_on = page.is_empty && question.waits_for_news();
                    if !wait_on || !changed(feeds, &mut version, deadline).await {
                        return Ok(page.body);
                    }
                }
                Reply::Older(older) => {
                    return Ok(older_page(api, *older).await?.body);
                }
                Reply::LetGo => break,
            }
        }
    }
}

/// A page that the feed does not hold, when it is its turn.
pub(crate) async fn older_page<W: WindowRead, H: HistoryStore>(
    api: &Api<W, H>,
    older: Older,
) -> Result<Page, Refused> {
    let turn = timeout(OLDER_TURN_WITHIN, api.older_reads.0.acquire()).await;
    let Ok(Ok(_turn)) = turn else {
        return Err(Refused::overloaded());
    };
    older.answer(api.feeds.windows(), &api.history).await
}

/// What became of the events; where something is unknown, what is known of them after `wait`.
pub(crate) async fn verdicts<W: WindowRead>(
    feeds: &Feeds<W>,
    room: &RoomId,
    ids: &[EventId],
    wait: Duration,
) -> Result<Bytes, Refused> {
    let deadline = Instant::now() + wait;
    loop {
        let feed = feeds.open(room).await?;
        let mut version = feed.subscribe();
        while let Some(known) = feed.verdicts(ids)? {
            if known.is_complete || !changed(feeds, &mut version, deadline).await {
                return Ok(known.body);
            }
        }
    }
}

/// Waits for a change; `false` where there was none in time.
async fn changed<W: WindowRead>(
    feeds: &Feeds<W>,
    version: &mut watch::Receiver<u64>,
    deadline: Instant,
) -> bool {
    let changed = timeout_at(deadline, version.changed());
    let changed = feeds.stop().run_until_cancelled(changed).await;
    matches!(changed, Some(Ok(Ok(()))))
}

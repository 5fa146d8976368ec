//! The one task that follows a watched room: hear of a change, read what is new, take it in.
//!
//! Ends when nobody has read the room for a while, when its bytes cannot be read, or with the
//! process. What readers were shown stays while the windows are away.

use std::sync::Arc;
use std::time::Duration;

use danmu_projections::{RoomWatch, StoreError, WindowRead};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until};

use super::content::News;
use super::room::{Held, RoomFeed};
use super::{FeedLimits, Feeds, verdicts};
use crate::answer::Refused;
use crate::pace;

/// The most events that are read at once: beyond as many no verdict is held, and far fewer events are.
const EVENTS_MAX: usize = verdicts::KEPT_LEN_MAX;
/// When windows that did not answer are asked again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long a room whose bytes cannot be read is not tried again.
const DAMAGED_FOR: Duration = Duration::from_secs(5);
/// How often within the idle time one looks whether anybody reads.
const IDLE_LOOKS: u32 = 3;

/// Why following was interrupted.
enum Interrupted {
    Idle,
    Store(StoreError),
    Damaged,
}

impl std::convert::From<StoreError> for Interrupted {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl std::convert::From<Refused> for Interrupted {
    /// Whoever made the refusal has said why.
    fn from(_: Refused) -> Self {
        Self::Damaged
    }
}

/// Follows the room until nobody reads it.
pub(super) async fn follow<W: WindowRead>(feeds: Feeds<W>, feed: Arc<RoomFeed>) {
    loop {
        match follow_once(&feeds, &feed).await {
            Interrupted::Idle => {
                if feeds.let_go(&feed) {
                    return;
                }
            }
            Interrupted::Store(error @ StoreError::Unavailable { .. }) => {
                tracing::warn!(%error, room = %feed.room, "the windows do not answer");
                feed.is_unknown();
                sleep(RETRY_AFTER).await;
            }
            Interrupted::Store(error) => {
                tracing::error!(%error, room = %feed.room, "the windows cannot be read");
                return give_up(&feeds, &feed).await;
            }
            Interrupted::Damaged => return give_up(&feeds, &feed).await,
        }
    }
}

/// Says that the room cannot be read, and lets the next one try again after a while.
async fn give_up<W: WindowRead>(feeds: &Feeds<W>, feed: &RoomFeed) {
    feed.replace(Held::Damaged);
    sleep(DAMAGED_FOR).await;
    feeds.remove(feed);
}

async fn follow_once<W: WindowRead>(feeds: &Feeds<W>, feed: &RoomFeed) -> Interrupted {
    let Err(interrupted) = read_on(feeds, feed).await;
    interrupted
}

/// Watches first and reads then, so that no change falls between.
async fn read_on<W: WindowRead>(
    feeds: &Feeds<W>,
    feed: &RoomFeed,
) -> Result<std::convert::Infallible, Interrupted> {
    let windows = feeds.windows();
    let FeedLimits {
        idle_after,
        room_bytes_max,
        ..
    } = feeds.limits();
    let mut watch = windows.watch(&feed.room).await?;
    let every = idle_after / IDLE_LOOKS;
    let mut looks = interval_at(Instant::now() + every, every);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut quiet_looks = 0;
    loop {
        let window = windows.since(&feed.room, feed.read_to()).await?;
        let version = window.version;
        let mut events = 0;
        if window.slot_position.is_none() {
            feed.is_unknown();
        } else {
            let news = News::of(window, EVENTS_MAX).map_err(Refused::from)?;
            events = feeds.with_unpacker(|unpacker| feed.take(news, unpacker, room_bytes_max))?;
        }
        // Changes that are closer are taken in together.
        let next_read = Instant::now() + Duration::from_millis(pace::flush_after_ms(events));
        loop {
            tokio::select! {
                told = watch.changed(version) => break told?,
                _ = looks.tick() => {
                    quiet_looks = if feed.is_quiet() { quiet_looks + 1 } else { 0 };
                    if quiet_looks >= IDLE_LOOKS {
                        return Err(Interrupted::Idle);
                    }
                }
            }
        }
        sleep_until(next_read).await;
    }
}

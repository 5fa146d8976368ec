//! A reader of a live room by cursor: what streams and sockets have in common.
//!
//! It asks the feed for the page after its cursor and waits where there is none, so it holds a cursor
//! and no queue: whoever stands at the same place gets the same bytes. One that was at the head and fell
//! behind skips forward, with what it skipped counted as withheld; one that comes back after an absence
//! gets everything, from the history if need be. Dropping a wait loses nothing.

use std::sync::Arc;

use danmu_projections::{HistoryStore, WindowRead};
use danmu_schemas::{Cursor, RoomId, Seq};
use tokio::sync::watch;

use crate::answer::Refused;
use crate::feed::{Reply, RoomFeed};
use crate::http::Api;
use crate::http::parameters::{LIMIT_DEFAULT, LIMIT_MAX};
use crate::overlay::View;
use crate::pace::Wanted;
use crate::page::{Form, From, Page, Question};
use crate::poll;

/// How many events before the head a reader may fall behind that was there once.
const BEHIND_MAX: u64 = 1_000;

/// A reader of one room.
pub(crate) struct Reader<W, H> {
    api: Api<W, H>,
    room: RoomId,
    question: Question,
    watched: Option<Watched>,
}

/// The feed that is read, and its changes.
pub(crate) struct Watched {
    pub(crate) feed: Arc<RoomFeed>,
    pub(crate) version: watch::Receiver<u64>,
}

/// What a reader hears.
pub(crate) enum News {
    /// What came after its cursor.
    Page(Page),
    /// The room's numbering began anew; it goes on from there.
    Replaced(Refused),
}

/// Where a reader begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begin {
    /// What comes after it follows.
    pub(crate) cursor: Cursor,
    /// The room's last seq.
    pub(crate) head: Seq,
}

impl<W: WindowRead, H: HistoryStore> Reader<W, H> {
    /// A reader of what comes after `after`; where it is left out, of the newest page and what comes
    /// after that.
    pub(crate) async fn open(
        api: Api<W, H>,
        room: RoomId,
        (form, density): (Form, Wanted),
        after: Option<Cursor>,
    ) -> Result<(Self, Begin), Refused> {
        let begin = begin(&api, &room, after).await?;
        let question = Question {
            from: From::After(begin.cursor),
            limit: LIMIT_MAX,
            behind_max: None,
            view: View::Public,
            density,
            level: api.feeds.level(),
            form,
        };
        let reader = Self {
            api,
            room,
            question,
            watched: None,
        };
        Ok((reader, begin))
    }

    /// What comes next, however long that takes.
    pub(crate) async fn next(&mut self) -> Result<News, Refused> {
        loop {
            let watched = watch(&self.api, &self.room, &mut self.watched).await?;
            watched.version.borrow_and_update();
            self.question.level = self.api.feeds.level();
            match watched.feed.ask(&self.question.served()) {
                Ok(Reply::Page(page)) if page.is_empty => {
                    self.question.behind_max = Some(BEHIND_MAX);
                    watched.changed().await;
                }
                Ok(Reply::Page(page)) => return Ok(self.go_on(page)),
                Ok(Reply::Older(older)) => {
                    let page = poll::older_page(&self.api, *older).await?;
                    return Ok(self.go_on(page));
                }
                Ok(Reply::LetGo) => self.watched = None,
                Err(refused) => {
                    let Some(cursor) = refused.room_goes_on_from() else {
                        return Err(refused);
                    };
                    self.question.from = From::After(cursor);
                    return Ok(News::Replaced(refused));
                }
            }
        }
    }

    fn go_on(&mut self, page: Page) -> News {
        self.question.from = From::After(page.cursor);
        News::Page(page)
    }
}

impl Watched {
    /// Waits until something has changed since it was looked at last.
    pub(crate) async fn changed(&mut self) {
        let changed = self.version.changed().await;
        changed.expect("the feed is held, and its sender with it");
    }
}

/// The room's feed with its changes: the one that is known, or the one that follows it.
pub(crate) async fn watch<'w, W: WindowRead, H: HistoryStore>(
    api: &Api<W, H>,
    room: &RoomId,
    known: &'w mut Option<Watched>,
) -> Result<&'w mut Watched, Refused> {
    if known.is_none() {
        let feed = api.feeds.open(room).await?;
        let version = feed.subscribe();
        *known = Some(Watched { feed, version });
    }
    Ok(known.as_mut().expect("it was made if it was not there"))
}

async fn begin<W: WindowRead, H: HistoryStore>(
    api: &Api<W, H>,
    room: &RoomId,
    after: Option<Cursor>,
) -> Result<Begin, Refused> {
    loop {
        let feed = api.feeds.open(room).await?;
        let looked = feed.look(|content| {
            let head = content.head();
            let newest = head.0.saturating_sub(LIMIT_DEFAULT.into());
            // A newest page may begin anywhere: at the latest with what is held.
            let seq = Seq(newest.max(content.events.first().0 - 1));
            let generation = content.generation;
            let cursor = after.unwrap_or(Cursor { generation, seq });
            Begin { cursor, head }
        })?;
        if let Some(begin) = looked {
            return Ok(begin);
        }
    }
}

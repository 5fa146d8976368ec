//! What became of the events that were said over a socket: told once each, when it is known.
//!
//! At most [`OWN_MAX`] ids are waited for, each for as long as verdicts are kept; whoever says more at
//! once asks for the others over HTTP.

use std::collections::VecDeque;

use danmu_projections::{HistoryStore, WindowRead};
use danmu_schemas::{EventId, RoomId};
use tokio::time::{Duration, Instant, timeout_at};

use super::frame;
use crate::answer::Refused;
use crate::http::Api;
use crate::live::{Watched, watch};

/// Ids that are waited for.
const OWN_MAX: usize = 64;
/// How long one is.
const AWAITED_FOR: Duration = Duration::from_secs(120);

/// The events of one socket.
pub(super) struct Own<W, H> {
    api: Api<W, H>,
    room: RoomId,
    awaited: VecDeque<(EventId, Instant)>,
    watched: Option<Watched>,
}

impl<W: WindowRead, H: HistoryStore> Own<W, H> {
    pub(super) fn of(api: Api<W, H>, room: RoomId) -> Self {
        Self {
            api,
            room,
            awaited: VecDeque::new(),
            watched: None,
        }
    }

    /// Waits for these too; the oldest are given up where there are too many.
    pub(super) fn await_all(&mut self, ids: Vec<EventId>) {
        let until = Instant::now() + AWAITED_FOR;
        self.awaited.extend(ids.into_iter().map(|id| (id, until)));
        let surplus = self.awaited.len().saturating_sub(OWN_MAX);
        self.awaited.drain(..surplus);
    }

    /// The verdicts that became known, as frames. Dropping the wait loses none.
    pub(super) async fn decided(&mut self) -> Result<Vec<u8>, Refused> {
        loop {
            let Some(&(_, until)) = self.awaited.front() else {
                self.watched = None;
                return std::future::pending().await;
            };
            let watched = watch(&self.api, &self.room, &mut self.watched).await?;
            watched.version.borrow_and_update();
            let awaited = &mut self.awaited;
            let looked = watched.feed.look(|content| {
                let mut frames = Vec::new();
                awaited.retain(|(id, _)| {
                    let is_known = content.verdicts.knows(*id);
                    if is_known {
                        let mut message = b"{\"verdict\":".to_vec();
                        content.verdicts.write(*id, &mut message);
                        message.push(b'}');
                        frames.extend(frame::text(&message));
                    }
                    !is_known
                });
                frames
            })?;
            match looked {
                Some(frames) if !frames.is_empty() => return Ok(frames),
                Some(_) => {
                    if timeout_at(until, watched.changed()).await.is_err() {
                        self.awaited.pop_front();
                    }
                }
                None => self.watched = None,
            }
        }
    }
}

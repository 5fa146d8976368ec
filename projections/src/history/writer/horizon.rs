//! Watermarks that wait until what is below them is durable.
//!
//! Where the store acknowledges before it is safe, the rows of a checkpoint are durable a horizon later,
//! if none of its servers has started anew meanwhile. So long the watermark waits; and what it makes
//! needless is removed when the watermark itself has become durable, another horizon later. Before either
//! the store is asked again. If a server has started, any row of the last horizon may be gone: all that is
//! held is dropped, and every slot is settled and written again from its watermark.
//!
//! What waits is looked at with the appends, of which every slot has one a second.

use std::time::Duration;

use tokio::time::Instant;

use super::{HistoryWriter, Lane};
use crate::history::lasting::Waiting;
use crate::history::layout;
use crate::history::store::{Durability, HistoryStore};
use crate::projection::StoreError;

/// How often at most the store is asked, and what waits is looked through.
const LOOKED_EVERY: Duration = Duration::from_secs(1);

impl<S: HistoryStore> HistoryWriter<S> {
    /// Asks the store before anything is written to it whose durability is still to be told.
    pub(super) async fn learn_durability(&mut self) -> Result<(), StoreError> {
        if self.durability.is_none() {
            self.durability = Some(self.store.durability().await?);
        }
        Ok(())
    }

    /// How long watermarks wait; `None` where what is acknowledged is durable.
    pub(super) fn horizon(&self) -> Option<Duration> {
        match self.durability {
            Some(Durability::Lazy { horizon, .. }) => Some(horizon),
            Some(Durability::Acknowledged) | None => None,
        }
    }

    /// Moves the watermarks whose time has come, and removes what those before them made needless.
    pub(super) async fn look(&mut self) -> Result<(), StoreError> {
        let now = Instant::now();
        let Some(horizon) = self.horizon() else {
            return Ok(());
        };
        if self.look_at.is_none_or(|at| now < at) {
            return Ok(());
        }
        self.look_at = Some(now + LOOKED_EVERY);
        let first = self.slots.values().filter_map(Lane::waits_since).min();
        match first.map(|since| since + horizon) {
            None => self.look_at = None,
            Some(ripe) if ripe > now => self.look_at = Some(ripe),
            Some(_) => match self.move_ripe(horizon, now).await {
                Err(StoreError::Unavailable { source, .. }) => {
                    tracing::warn!(error = source, "watermarks wait for the history's servers");
                }
                moved => return moved,
            },
        }
        Ok(())
    }

    /// Whether every server has run since before what is held was written. If not, nothing is held any
    /// more.
    pub(super) async fn is_unbroken(&mut self) -> Result<bool, StoreError> {
        let durability = self.store.durability().await?;
        let is_unbroken = self.durability.as_ref() == Some(&durability);
        if !is_unbroken {
            tracing::warn!("a server of the history has started or gone: back to the watermarks");
            self.slots.clear();
            self.look_at = None;
            self.durability = Some(durability);
        }
        Ok(is_unbroken)
    }

    async fn move_ripe(&mut self, horizon: Duration, now: Instant) -> Result<(), StoreError> {
        if !self.is_unbroken().await? {
            return Ok(());
        }
        let (mut moved, mut needless) = (Vec::new(), Vec::new());
        for (slot, lane) in &mut self.slots {
            if let Some(written) = lane.removals.take_ripe(horizon, now) {
                needless.extend(lane.needless(written));
            }
            if let Some(to) = lane.marks.take_ripe(horizon, now) {
                moved.push((*slot, to));
            }
        }
        let rows = moved.iter();
        let rows = rows.map(|(slot, to)| layout::watermark_row(*slot, *to, &self.log));
        if let Err(error) = self.store.write(rows.collect()).await {
            for (slot, _) in moved {
                self.slots.remove(&slot);
            }
            return Err(error);
        }
        let written = Instant::now();
        for (slot, to) in moved {
            if let Some(lane) = self.slots.get_mut(&slot) {
                lane.watermark = to;
                lane.removals.push(to, written);
            }
        }
        match needless.is_empty() {
            true => Ok(()),
            false => self.store.remove(needless).await,
        }
    }
}

impl Lane {
    fn waits_since(&self) -> Option<Instant> {
        let waiting = [&self.marks, &self.removals];
        waiting.into_iter().filter_map(Waiting::first_since).min()
    }
}

#[cfg(test)]
mod tests;

//! When what the servers acknowledged is durable, where an operator accepts that it is not at once.
//!
//! A lazy server syncs its commit log once a period, and holds up its answers while a sync is half a
//! period late. So a row is durable three periods after it was acknowledged, if none of its servers has
//! started anew meanwhile; a start gives a server another number ([`super::servers`]).
//!
//! A server that cannot be asked counts as one that is down, and neither acknowledges nor answers
//! others: its going and its coming count as starts.

use std::time::Duration;

use futures_util::future::try_join_all;
use scylla::client::session::Session;

use super::attempts::{refused, unavailable};
use super::servers::{self, Syncs};
use crate::history::store::{Durability, Starts};
use crate::projection::StoreError;

/// How many periods a row takes at most to be durable.
const HORIZON_PERIODS: u32 = 3;
/// However short a period is, a busy machine may take so long about it.
const HORIZON_MIN: Duration = Duration::from_secs(1);
/// A server that does not answer is asked so often.
const ASKED_TIMES: u32 = 2;

/// What the servers' commit logs may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CommitLog {
    /// Synced before a row is acknowledged.
    #[default]
    Synced,
    /// Also synced once a period: then watermarks wait for it.
    Periodic,
}

impl CommitLog {
    /// Its name in a configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::Periodic => "periodic",
        }
    }

    /// The one of that name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let named = [Self::Synced, Self::Periodic].into_iter();
        let mut named = named.filter(|one| one.as_str() == text);
        let unknown = || format!("{text:?} is neither synced nor periodic");
        named.next().ok_or_else(unknown)
    }
}

/// How long what a server that syncs once a period has acknowledged may take to be durable.
pub(super) fn horizon(period: Duration) -> Duration {
    period.saturating_mul(HORIZON_PERIODS).max(HORIZON_MIN)
}

/// Asks every server.
pub(super) async fn of_servers(session: &Session) -> Result<Durability, StoreError> {
    let cluster = session.get_cluster_state();
    let asked = cluster.get_nodes_info().iter().map(async |node| {
        for _ in 0..ASKED_TIMES {
            let started = servers::started(session, node).await;
            let told = match started {
                Ok(started) => servers::syncs(session, node)
                    .await
                    .map(|syncs| (started, syncs)),
                Err(error) => Err(error),
            };
            match told {
                Err(StoreError::Unavailable { source, .. }) => {
                    tracing::debug!(server = %node.address, error = source, "does not answer");
                }
                told => return told.map(|told| (node.host_id.as_u128(), Some(told))),
            }
        }
        Ok((node.host_id.as_u128(), None))
    });
    let mut starts = Starts::new();
    let mut longest = None;
    for (server, told) in try_join_all(asked).await? {
        let (started, syncs) = told.unzip();
        let horizon = match syncs {
            None => None,
            Some(Syncs::First(_)) => Some(Duration::ZERO),
            Some(Syncs::Every(period)) => Some(horizon(period)),
            Some(Syncs::Unknown(how)) => {
                let what = "a server of the history syncs its commit log in an unknown way";
                return Err(refused(what, how));
            }
        };
        starts.insert(server, started);
        longest = longest.max(horizon);
    }
    match longest {
        Some(horizon) => Ok(Durability::Lazy { horizon, starts }),
        None => Err(unavailable(
            "asking the history's servers",
            "none of them answers",
        )),
    }
}

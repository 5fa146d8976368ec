//! What each server says of itself: how it syncs its commit log, and since when it runs.
//!
//! A server is asked itself, never another about it. Cassandra and ScyllaDB tell their settings in
//! different tables, under names and with units of their own.

use std::sync::Arc;
use std::time::Duration;

use scylla::client::session::Session;
use scylla::cluster::Node;
use scylla::deserialize::row::DeserializeRow;
use scylla::errors::{DbError, ExecutionError, RequestAttemptError};
use scylla::policies::load_balancing::{NodeIdentifier, SingleTargetLoadBalancingPolicy};
use scylla::statement::{Consistency, Statement};

use super::attempts::{failed, rows_of};
use crate::projection::StoreError;

/// Where servers tell their settings: Cassandra and ScyllaDB.
const SETTINGS: [&str; 2] = ["system_views.settings", "system.config"];
/// What they call how often a lazy server syncs.
const PERIODS: [&str; 2] = ["commitlog_sync_period", "commitlog_sync_period_in_ms"];
/// The setting where what was acknowledged survives a crash of all servers.
const SYNCED: [&str; 2] = ["group", "batch"];
/// The setting where what was acknowledged waits for the next sync.
const PERIODIC: &str = "periodic";

/// How a server syncs its commit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Syncs {
    /// Before it acknowledges, by the setting of that name.
    First(String),
    /// So often, whatever it has acknowledged meanwhile.
    Every(Duration),
    /// Nobody can tell from a setting like this.
    Unknown(String),
}

/// How a server syncs its commit log.
pub(super) async fn syncs(session: &Session, node: &Arc<Node>) -> Result<Syncs, StoreError> {
    let Some(how) = setting(session, node, "commitlog_sync").await? else {
        return Ok(Syncs::Unknown("unknown".to_owned()));
    };
    if SYNCED.contains(&how.as_str()) {
        return Ok(Syncs::First(how));
    }
    if how != PERIODIC {
        return Ok(Syncs::Unknown(how));
    }
    for name in PERIODS {
        if let Some(period) = setting(session, node, name).await? {
            let every = duration(&period).map(Syncs::Every);
            return Ok(every.unwrap_or_else(|| Syncs::Unknown(format!("{how}, every {period}"))));
        }
    }
    Ok(Syncs::Unknown(how))
}

/// A number that is another after each start of the server.
pub(super) async fn started(session: &Session, node: &Arc<Node>) -> Result<i32, StoreError> {
    let asked = "SELECT gossip_generation FROM system.local";
    let rows: Vec<(i32,)> = ask(session, node, asked).await?.unwrap_or_default();
    let generation = rows.into_iter().next();
    generation
        .map(|(generation,)| generation)
        .ok_or_else(|| StoreError::Refused {
            what: "asking a server of the history since when it runs",
            source: "it does not tell".into(),
        })
}

async fn setting(
    session: &Session,
    node: &Arc<Node>,
    name: &str,
) -> Result<Option<String>, StoreError> {
    for table in SETTINGS {
        let asked = format!("SELECT value FROM {table} WHERE name = '{name}'");
        let values: Option<Vec<(Option<String>,)>> = ask(session, node, &asked).await?;
        let value = values.and_then(|values| values.into_iter().next()?.0);
        if let Some(value) = value {
            return Ok(Some(value.trim_matches('"').to_owned()));
        }
    }
    Ok(None)
}

/// What a server itself answers; `None` where it has no such table.
async fn ask<R>(
    session: &Session,
    node: &Arc<Node>,
    asked: &str,
) -> Result<Option<Vec<R>>, StoreError>
where
    R: for<'a> DeserializeRow<'a, 'a>,
{
    let mut statement = Statement::new(asked);
    statement.set_consistency(Consistency::One);
    let only = NodeIdentifier::Node(Arc::clone(node));
    let only = SingleTargetLoadBalancingPolicy::new(only, None);
    statement.set_load_balancing_policy(Some(only));
    match session.query_unpaged(statement, ()).await {
        Ok(answer) => rows_of(answer).map(Some),
        Err(error) if is_unknown_table(&error) => Ok(None),
        Err(error) => Err(failed("asking a server of the history about itself", error)),
    }
}

fn is_unknown_table(error: &ExecutionError) -> bool {
    matches!(
        error,
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(DbError::Invalid, _))
    )
}

/// A duration as servers write it: `10s`, `10000ms`, and milliseconds where there is no unit.
fn duration(text: &str) -> Option<Duration> {
    let end = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let number: u64 = number.parse().ok()?;
    match unit {
        "" | "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::duration;
    use std::time::Duration;

    #[test]
    fn durations_are_read_as_servers_write_them() {
        let ms = |ms| Some(Duration::from_millis(ms));
        for (text, read) in [
            ("10s", ms(10_000)),
            ("10000ms", ms(10_000)),
            ("10000", ms(10_000)),
            ("2m", ms(120_000)),
            ("", None),
            ("s", None),
            ("1.5s", None),
            ("10h", None),
            ("99999999999999999999s", None),
        ] {
            assert_eq!(duration(text), read, "{text:?}");
        }
    }
}

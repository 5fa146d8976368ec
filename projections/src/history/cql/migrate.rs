//! Makes and changes the tables: the only part of danmu that does, and only when an operator asks.
//!
//! A migration is a file of statements that may be executed again; a table keeps which were applied. A
//! released migration never changes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use scylla::client::session::Session;
use scylla::statement::Statement;

use super::attempts::{failed, refused, rows_of};
use super::session::{self, CqlOptions};
use crate::projection::StoreError;

/// How long one statement that changes tables may take.
const CHANGE_WITHIN: Duration = Duration::from_secs(60);
/// The most copies of a row in one data centre.
const COPIES_MAX: usize = 3;

/// The table of applied migrations.
pub(super) const MIGRATIONS: &str = "migrations";

/// A file of statements.
pub(super) struct Migration {
    /// Ascending and without a gap.
    pub(super) number: i32,
    pub(super) name: &'static str,
    statements: &'static str,
}

/// All of them, in their order.
pub(super) const ALL: [Migration; 1] = [Migration {
    number: 1,
    name: "tables",
    statements: include_str!("0001_tables.cql"),
}];

const MAKE_MIGRATIONS: &str =
    "CREATE TABLE IF NOT EXISTS migrations (number int PRIMARY KEY, name text)";

/// Makes the keyspace where it is not there, with up to three copies in each data centre, and applies
/// what was not applied yet. Gives the names of what was. Refuses where a newer danmu has been.
pub async fn migrate(options: &CqlOptions) -> Result<Vec<&'static str>, StoreError> {
    let session = session::open(options).await?;
    let keyspace = &options.address.keyspace;
    change(&session, &make_keyspace(&session, keyspace)).await?;
    let used = session.use_keyspace(keyspace, false).await;
    used.map_err(|e| refused("using the history's keyspace", e))?;
    change(&session, MAKE_MIGRATIONS).await?;
    let applied = applied(&session, keyspace).await?;
    if let Some(newer) = newer(&applied).next() {
        return Err(refused("changing the history's tables", newer));
    }
    let mut names = Vec::new();
    for migration in ALL {
        if applied.contains(&migration.number) {
            continue;
        }
        for statement in statements(migration.statements) {
            change(&session, &statement).await?;
        }
        let (number, name) = (migration.number, migration.name);
        change(
            &session,
            &format!("INSERT INTO {MIGRATIONS} (number, name) VALUES ({number}, '{name}')"),
        )
        .await?;
        names.push(name);
    }
    Ok(names)
}

/// The numbers of the migrations that were applied.
pub(super) async fn applied(
    session: &Session,
    keyspace: &str,
) -> Result<BTreeSet<i32>, StoreError> {
    let asked = format!("SELECT number FROM {keyspace}.{MIGRATIONS}");
    let answer = session.query_unpaged(asked, ()).await;
    let answer = answer.map_err(|e| failed("reading which migrations were applied", e))?;
    let numbers: Vec<(i32,)> = rows_of(answer)?;
    Ok(numbers.into_iter().map(|(number,)| number).collect())
}

/// What is said of each migration that this build does not know.
pub(super) fn newer(applied: &BTreeSet<i32>) -> impl Iterator<Item = String> + '_ {
    let unknown = applied.iter().filter(|number| {
        let mut known = ALL.iter();
        !known.any(|migration| migration.number == **number)
    });
    unknown.map(|number| format!("migration {number} is of a newer danmu than this"))
}

fn make_keyspace(session: &Session, keyspace: &str) -> String {
    let mut nodes: BTreeMap<String, usize> = BTreeMap::new();
    for node in session.get_cluster_state().get_nodes_info() {
        *nodes
            .entry(node.datacenter.clone().unwrap_or_default())
            .or_default() += 1;
    }
    let copies: String = nodes
        .into_iter()
        .map(|(centre, nodes)| {
            let centre = centre.replace('\'', "''");
            format!(", '{centre}': {}", COPIES_MAX.min(nodes))
        })
        .collect();
    format!(
        "CREATE KEYSPACE IF NOT EXISTS {keyspace} \
         WITH replication = {{'class': 'NetworkTopologyStrategy'{copies}}}"
    )
}

/// The driver waits until all servers agree about the change.
async fn change(session: &Session, text: &str) -> Result<(), StoreError> {
    let mut statement = Statement::new(text);
    statement.set_request_timeout(Some(CHANGE_WITHIN));
    statement.set_is_idempotent(true);
    let changed = session.query_unpaged(statement, ()).await;
    changed.map_err(|e| failed("changing the history's tables", e))?;
    Ok(())
}

/// The statements of a file, without its comments, which stand on lines of their own.
fn statements(file: &str) -> Vec<String> {
    let lines = file.lines().filter(|line| !line.starts_with("--"));
    let text = lines.collect::<Vec<_>>().join("\n");
    let statements = text.split(';').map(str::trim);
    statements
        .filter(|statement| !statement.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests;

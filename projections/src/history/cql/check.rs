//! Tells what is wrong with a keyspace and its servers, without changing anything.

use std::collections::{BTreeMap, BTreeSet};

use scylla::client::session::Session;

use super::attempts::{failed, rows_of};
use super::durability::{self, CommitLog};
use super::migrate::{self, MIGRATIONS};
use super::servers::{self, Syncs};
use super::session::{self, CqlOptions};
use super::statements::{SHELVES, table_of};
use crate::history::layout::Family;
use crate::projection::StoreError;

/// A column as the servers describe it: its kind, its place among its kind, its type.
type Column = (&'static str, i32, &'static str);

/// Columns by their name.
type Shape = BTreeMap<&'static str, Column>;

/// What a check saw, a line each.
#[derive(Debug, Default)]
pub struct Checked {
    /// What is as it should be.
    pub right: Vec<String>,
    /// What an operator has to put right before danmu may write; nothing where all is well.
    pub wrong: Vec<String>,
}

/// Looks at the servers and at the keyspace's tables.
pub async fn check(options: &CqlOptions) -> Result<Checked, StoreError> {
    let session = session::open(options).await?;
    let mut checked = Checked::default();
    check_servers(&session, options.commit_log, &mut checked).await?;
    check_tables(&session, &options.address.keyspace, &mut checked).await?;
    Ok(checked)
}

/// Servers that acknowledge before they have synced are wrong where nobody accepts it. Each is asked
/// itself.
async fn check_servers(
    session: &Session,
    accepted: CommitLog,
    checked: &mut Checked,
) -> Result<(), StoreError> {
    for node in session.get_cluster_state().get_nodes_info() {
        let syncs = servers::syncs(session, node).await?;
        let told = |how: &str| format!("{}: commitlog_sync is {how}", node.address);
        match (syncs, accepted) {
            (Syncs::First(how), _) => checked.right.push(told(&how)),
            (Syncs::Every(period), CommitLog::Periodic) => {
                let horizon = durability::horizon(period);
                checked.right.push(format!(
                    "{}, every {period:?}, which is accepted: watermarks wait {horizon:?}",
                    told("periodic")
                ));
            }
            (Syncs::Every(_), CommitLog::Synced) => checked.wrong.push(format!(
                "{}: it must be group or batch, or a crash loses what was acknowledged",
                told("periodic")
            )),
            (Syncs::Unknown(how), _) => checked
                .wrong
                .push(format!("{}: it must be group or batch", told(&how))),
        }
    }
    Ok(())
}

async fn check_tables(
    session: &Session,
    keyspace: &str,
    checked: &mut Checked,
) -> Result<(), StoreError> {
    let found = columns(session, keyspace).await?;
    if !found.contains_key(MIGRATIONS) {
        checked.wrong.push(format!(
            "{keyspace} has no tables of a history: `danmu history migrate` makes them"
        ));
        return Ok(());
    }
    let shapes = shapes();
    let wrong = shapes
        .iter()
        .filter_map(|(table, shape)| wrong_shape(keyspace, table, shape, found.get(*table)));
    let mut wrong: Vec<_> = wrong.collect();
    let applied = migrate::applied(session, keyspace).await?;
    wrong.extend(not_applied(&applied));
    wrong.extend(migrate::newer(&applied));
    if wrong.is_empty() {
        let (tables, migrations) = (shapes.len(), applied.len());
        checked.right.push(format!(
            "{keyspace}: {tables} tables, migrations applied: {migrations}"
        ));
    }
    checked.wrong.extend(wrong);
    Ok(())
}

/// What tables have to be like.
fn shapes() -> Vec<(&'static str, Shape)> {
    let rows = Shape::from([
        ("shelf", ("partition_key", 0, "blob")),
        ("key", ("clustering", 0, "blob")),
        ("body", ("regular", -1, "blob")),
    ]);
    let shelves = Shape::from([
        ("family", ("partition_key", 0, "text")),
        ("slot", ("partition_key", 1, "smallint")),
        ("shelf", ("clustering", 0, "blob")),
    ]);
    let migrations = Shape::from([
        ("number", ("partition_key", 0, "int")),
        ("name", ("regular", -1, "text")),
    ]);
    let families = Family::ALL.map(|family| (table_of(family), rows.clone()));
    let others = [(SHELVES, shelves), (MIGRATIONS, migrations)];
    families.into_iter().chain(others).collect()
}

/// The columns of every table of a keyspace: `(kind, position, type)` by table and name.
async fn columns(
    session: &Session,
    keyspace: &str,
) -> Result<BTreeMap<String, BTreeMap<String, (String, i32, String)>>, StoreError> {
    let asked = "SELECT table_name, column_name, kind, position, type \
                 FROM system_schema.columns WHERE keyspace_name = ?";
    let answer = session.query_unpaged(asked, (keyspace,)).await;
    let answer = answer.map_err(|e| failed("reading what the history's tables are like", e))?;
    let mut tables: BTreeMap<String, BTreeMap<_, _>> = BTreeMap::new();
    for (table, name, kind, place, of_type) in
        rows_of::<(String, String, String, i32, String)>(answer)?
    {
        tables
            .entry(table)
            .or_default()
            .insert(name, (kind, place, of_type));
    }
    Ok(tables)
}

fn wrong_shape(
    keyspace: &str,
    table: &str,
    shape: &Shape,
    found: Option<&BTreeMap<String, (String, i32, String)>>,
) -> Option<String> {
    let Some(found) = found else {
        return Some(format!("{keyspace}.{table} is missing"));
    };
    let wanted = shape
        .iter()
        .map(|(name, (kind, place, of_type))| (*name, *kind, *place, *of_type));
    let is_right = wanted.eq(found.iter().map(|(name, (kind, place, of_type))| {
        (name.as_str(), kind.as_str(), *place, of_type.as_str())
    }));
    (!is_right).then(|| {
        format!(
            "{keyspace}.{table} has other columns than {:?}",
            shape.keys()
        )
    })
}

fn not_applied(applied: &BTreeSet<i32>) -> impl Iterator<Item = String> + '_ {
    let numbers = migrate::ALL.iter().map(|migration| migration.number);
    let missing = numbers.filter(|number| !applied.contains(number));
    missing.map(|number| {
        format!("migration {number} was not applied: `danmu history migrate` does it")
    })
}

//! The statements, prepared: five for each family's table, three for the table of shelves.

use futures_util::stream::{self, StreamExt, TryStreamExt};
use scylla::client::session::Session;
use scylla::statement::Statement;
use scylla::statement::prepared::PreparedStatement;

use super::attempts::not_prepared;
use crate::history::layout::Family;
use crate::projection::StoreError;

/// How many families are prepared at once.
const PREPARED_AT_ONCE: usize = 4;

/// The table of shelves.
pub(super) const SHELVES: &str = "shelves";

/// Every statement of a keyspace.
pub(super) struct Statements {
    /// In the order of [`Family::ALL`].
    families: Vec<FamilyStatements>,
    pub(super) shelves: ShelfStatements,
}

/// What is done with the rows of a family.
pub(super) struct FamilyStatements {
    pub(super) table: &'static str,
    /// `(shelf, key, body, timestamp)`.
    pub(super) write: PreparedStatement,
    /// `(timestamp, shelf, key)`.
    pub(super) remove: PreparedStatement,
    /// `(shelf, key)` gives `(body, timestamp)`.
    pub(super) get: PreparedStatement,
    /// `(shelf, start, end, limit)` gives `(key, body, timestamp)`.
    pub(super) ascending: PreparedStatement,
    /// The same from the other end.
    pub(super) descending: PreparedStatement,
}

/// What is done with the names of shelves.
pub(super) struct ShelfStatements {
    /// `(family, slot, shelf, timestamp)`.
    pub(super) write: PreparedStatement,
    /// `(family, slot, start, end, limit)` gives `(shelf)`.
    pub(super) ascending: PreparedStatement,
    /// The same from the other end.
    pub(super) descending: PreparedStatement,
}

/// The table of a family.
pub(super) fn table_of(family: Family) -> &'static str {
    match family {
        Family::Watermarks => "watermarks",
        Family::States => "states",
        Family::EventMemory => "event_memory",
        Family::GiftMemory => "gift_memory",
        Family::Chunks => "chunks",
        Family::Broadcasts => "broadcasts",
        Family::Segments => "segments",
        Family::Heat => "heat",
        Family::Interruptions => "interruptions",
        Family::Moderation => "moderation",
        Family::Erasures => "erasures",
        Family::Sweeps => "sweeps",
    }
}

impl Statements {
    pub(super) async fn prepare(session: &Session, keyspace: &str) -> Result<Self, StoreError> {
        let families = stream::iter(Family::ALL)
            .map(|family| FamilyStatements::prepare(session, keyspace, table_of(family)))
            .buffered(PREPARED_AT_ONCE);
        Ok(Self {
            families: families.try_collect().await?,
            shelves: ShelfStatements::prepare(session, keyspace).await?,
        })
    }

    pub(super) fn of(&self, family: Family) -> &FamilyStatements {
        &self.families[family as usize]
    }
}

impl FamilyStatements {
    async fn prepare(
        session: &Session,
        keyspace: &str,
        table: &'static str,
    ) -> Result<Self, StoreError> {
        let name = format!("{keyspace}.{table}");
        let range = format!(
            "SELECT key, body, WRITETIME(body) FROM {name} WHERE shelf = ? AND key >= ? AND key < ?"
        );
        let write =
            format!("INSERT INTO {name} (shelf, key, body) VALUES (?, ?, ?) USING TIMESTAMP ?");
        let remove = format!("DELETE FROM {name} USING TIMESTAMP ? WHERE shelf = ? AND key = ?");
        let get = format!("SELECT body, WRITETIME(body) FROM {name} WHERE shelf = ? AND key = ?");
        Ok(Self {
            table,
            write: prepare(session, write).await?,
            remove: prepare(session, remove).await?,
            get: prepare(session, get).await?,
            ascending: prepare(session, format!("{range} LIMIT ?")).await?,
            descending: prepare(session, format!("{range} ORDER BY key DESC LIMIT ?")).await?,
        })
    }
}

impl ShelfStatements {
    async fn prepare(session: &Session, keyspace: &str) -> Result<Self, StoreError> {
        let name = format!("{keyspace}.{SHELVES}");
        let write =
            format!("INSERT INTO {name} (family, slot, shelf) VALUES (?, ?, ?) USING TIMESTAMP ?");
        let range = format!(
            "SELECT shelf FROM {name} WHERE family = ? AND slot = ? AND shelf >= ? AND shelf < ?"
        );
        Ok(Self {
            write: prepare(session, write).await?,
            ascending: prepare(session, format!("{range} LIMIT ?")).await?,
            descending: prepare(session, format!("{range} ORDER BY shelf DESC LIMIT ?")).await?,
        })
    }
}

/// All of them may be repeated: what they write is the same each time.
async fn prepare(session: &Session, text: String) -> Result<PreparedStatement, StoreError> {
    let mut statement = Statement::new(text);
    statement.set_is_idempotent(true);
    session.prepare(statement).await.map_err(|error| {
        not_prepared(
            "the history's tables (`danmu history check` tells what is wrong with them)",
            error,
        )
    })
}

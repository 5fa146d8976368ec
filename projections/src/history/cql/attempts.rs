//! What is done about a call that fails: repeated after a pause, until a deadline, or given up at once.
//!
//! The driver repeats nothing by itself, so this is the only place where calls are repeated; all of them
//! may be. Who gets [`StoreError::Unavailable`] goes on from the watermark.

use std::time::Duration;

use scylla::client::session::Session;
use scylla::deserialize::row::DeserializeRow;
use scylla::errors::{DbError, ExecutionError, PrepareError, RequestAttemptError};
use scylla::response::query_result::QueryResult;
use scylla::serialize::row::SerializeRow;
use scylla::statement::prepared::PreparedStatement;
use tokio::time::{Instant, sleep};

use crate::projection::StoreError;

/// How long a call may take with all its repetitions, but for the last one's own time.
const CALL_WITHIN: Duration = Duration::from_secs(10);
/// The pause before the first repetition; each following one is twice as long…
const PAUSE: Duration = Duration::from_millis(20);
/// …up to this.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Executes a statement, again and again while that may help.
pub(super) async fn execute(
    session: &Session,
    statement: &PreparedStatement,
    values: &impl SerializeRow,
) -> Result<QueryResult, StoreError> {
    let deadline = Instant::now() + CALL_WITHIN;
    let mut pause = PAUSE;
    loop {
        let error = match session.execute_unpaged(statement, values).await {
            Ok(result) => return Ok(result),
            Err(error) => error,
        };
        if is_refusal(&error) || Instant::now() + pause > deadline {
            return Err(failed("a statement of the history", error));
        }
        tracing::debug!(%error, "a statement is tried again");
        sleep(pause).await;
        pause = PAUSE_MAX.min(2 * pause);
    }
}

/// The rows of an answer.
pub(super) fn rows_of<R>(result: QueryResult) -> Result<Vec<R>, StoreError>
where
    R: for<'a> DeserializeRow<'a, 'a>,
{
    const WHAT: &str = "reading the history's answer";
    let rows = result.into_rows_result().map_err(|e| refused(WHAT, e))?;
    let rows = rows.rows::<R>().map_err(|e| refused(WHAT, e))?;
    rows.collect::<Result<_, _>>().map_err(|e| refused(WHAT, e))
}

/// The error of a statement that was executed.
pub(super) fn failed(what: &'static str, error: ExecutionError) -> StoreError {
    match is_refusal(&error) {
        true => refused(what, error),
        false => unavailable(what, error),
    }
}

/// The error of a statement that was prepared.
pub(super) fn not_prepared(what: &'static str, error: PrepareError) -> StoreError {
    failed(what, ExecutionError::PrepareError(error))
}

pub(super) fn refused(
    what: &'static str,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> StoreError {
    StoreError::Refused {
        what,
        source: error.into(),
    }
}

pub(super) fn unavailable(
    what: &'static str,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> StoreError {
    StoreError::Unavailable {
        what,
        source: error.into(),
    }
}

/// Whether the same call would be answered the same until somebody has done something about it.
fn is_refusal(error: &ExecutionError) -> bool {
    let of_attempt = |error: &RequestAttemptError| match error {
        RequestAttemptError::SerializationError(_)
        | RequestAttemptError::CqlRequestSerialization(_) => true,
        RequestAttemptError::DbError(error, _) => matches!(
            error,
            DbError::SyntaxError
                | DbError::Invalid
                | DbError::AlreadyExists { .. }
                | DbError::AuthenticationError
                | DbError::Unauthorized
                | DbError::ConfigError
                | DbError::ProtocolError
        ),
        _ => false,
    };
    match error {
        ExecutionError::BadQuery(_) => true,
        ExecutionError::LastAttemptError(error)
        | ExecutionError::PrepareError(PrepareError::AllAttemptsFailed {
            first_attempt: error,
        }) => of_attempt(error),
        _ => false,
    }
}

//! Answers of the read side: JSON, and problems.
//!
//! No error leaves without a problem body: what axum itself answers (404, 405, a bad path or query)
//! is given one on the way out.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use danmu_projections::StoreError;
use danmu_schemas::Cursor;
use danmu_schemas::codec::DecodeError;
use danmu_schemas::problem::{Problem, ProblemType};

use crate::overlay::View;

/// When to try again what the history does not have yet.
const BEHIND_RETRY_S: u32 = 1;
/// When to try again where too many read at once.
const OVERLOADED_RETRY_S: u32 = 2;

/// A problem on its way to the client.
#[derive(Debug)]
pub(crate) struct Refused(Box<Problem>);

impl Refused {
    /// The request is malformed.
    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Problem::new(ProblemType::BadRequest).detail(detail).into()
    }

    /// There is no such thing.
    pub(crate) fn not_found(detail: &str) -> Self {
        Problem::new(ProblemType::NotFound).detail(detail).into()
    }

    /// The caller's role does not allow this.
    pub(crate) fn forbidden(detail: &str) -> Self {
        Problem::new(ProblemType::Forbidden).detail(detail).into()
    }

    /// Too many read at once.
    pub(crate) fn overloaded() -> Self {
        Problem::new(ProblemType::Overloaded)
            .retry_after_s(OVERLOADED_RETRY_S)
            .into()
    }

    /// Neither the windows nor the history can tell yet.
    pub(crate) fn history_behind() -> Self {
        Problem::new(ProblemType::HistoryBehind)
            .retry_after_s(BEHIND_RETRY_S)
            .into()
    }

    /// Where the room goes on, if its numbering began anew.
    pub(crate) fn room_goes_on_from(&self) -> Option<Cursor> {
        self.0.cursor.as_ref()?.parse().ok()
    }

    /// The problem as a message of its own.
    pub(crate) fn to_message(&self) -> String {
        self.0.to_message()
    }

    /// Whether that is why.
    pub(crate) fn is_history_behind(&self) -> bool {
        self.0.problem_type == ProblemType::HistoryBehind
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "a read failed");
        match error {
            StoreError::Unavailable { .. } => Self::history_behind(),
            _ => Problem::new(ProblemType::Internal).into(),
        }
    }
}

impl From<DecodeError> for Refused {
    fn from(error: DecodeError) -> Self {
        tracing::error!(%error, "stored bytes could not be decoded");
        Problem::new(ProblemType::Internal).into()
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.problem_type.title())
    }
}

impl std::error::Error for Refused {}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.0.to_json()));
        *response.status_mut() = StatusCode::from_u16(self.0.problem_type.status())
            .expect("every problem type has a valid status");
        for (name, value) in self.0.headers() {
            let value = value.try_into().expect("a problem's headers are ASCII");
            response.headers_mut().insert(name, value);
        }
        // For whoever counts refusals outside of this crate.
        response.extensions_mut().insert(self.0.problem_type);
        response
    }
}

/// 200 with JSON that was written into a buffer.
pub(crate) fn json(body: impl Into<Body>) -> Response {
    json_of(body.into())
}

/// The same, with a body of one's own.
pub(crate) fn json_of<B>(body: B) -> Response<B> {
    let mut response = Response::new(body);
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// The same as [`json`] for one who looks in that way.
pub(crate) fn json_for(view: View, body: impl Into<Body>) -> Response {
    for_view(view, json(body))
}

/// An answer for one who looks in that way: no cache keeps what is for moderators alone.
pub(crate) fn for_view(view: View, mut response: Response) -> Response {
    if view == View::Live {
        let private = HeaderValue::from_static("private, no-store");
        response
            .headers_mut()
            .insert(header::CACHE_CONTROL, private);
    }
    response
}

/// Gives an error that is no problem yet the body of one; its `Allow` stays.
pub(crate) async fn as_problem(response: Response) -> Response {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.map(|known| known.as_bytes());
    let Some(problem) = Problem::lacking(response.status().as_u16(), content_type) else {
        return response;
    };
    let mut given = Refused::from(problem).into_response();
    if let Some(allow) = response.headers().get(header::ALLOW) {
        given.headers_mut().insert(header::ALLOW, allow.clone());
    }
    given
}

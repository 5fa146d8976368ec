//! Answers of the write side: what was accepted, and problems.
//!
//! No error leaves without a problem body: what axum itself answers (404, 405, 413, a bad path) is
//! given one on the way out.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use danmu_schemas::EventId;
use danmu_schemas::problem::{CONTENT_TYPE, Problem, ProblemType};

/// A problem on its way to the client.
#[derive(Debug)]
pub(super) struct Refused(Box<Problem>);

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let problem = &*self.0;
        let status = StatusCode::from_u16(problem.problem_type.status())
            .expect("every problem type has a valid status");
        let body = serde_json::to_vec(problem).expect("a problem has string keys only");
        let mut response = (status, Body::from(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        if let Some(seconds) = problem.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        // For whoever counts refusals outside of this crate.
        response.extensions_mut().insert(problem.problem_type);
        response
    }
}

/// 200 `{"accepted":[…]}`.
pub(super) fn accepted(ids: &[EventId]) -> Response {
    let mut body = Vec::with_capacity(16 + ids.len() * 40);
    body.extend_from_slice(b"{\"accepted\":[");
    for (n, id) in ids.iter().enumerate() {
        let comma = if n == 0 { "" } else { "," };
        body.extend_from_slice(format!("{comma}\"{id}\"").as_bytes());
    }
    body.extend_from_slice(b"]}");
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Gives an error that is no problem yet the body of one; its other headers stay.
pub(super) async fn as_problem(response: Response) -> Response {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let content_type = response.headers().get(header::CONTENT_TYPE);
    if !is_error || content_type.is_some_and(|known| known == CONTENT_TYPE) {
        return response;
    }
    let problem = Problem::new(ProblemType::of_status(status.as_u16()));
    let mut given = Refused::from(problem).into_response();
    if let Some(allow) = response.headers().get(header::ALLOW) {
        given.headers_mut().insert(header::ALLOW, allow.clone());
    }
    given
}

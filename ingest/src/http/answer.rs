//! Answers of the write side: what was accepted, and problems.
//!
//! No error leaves without a problem body: what axum itself answers (404, 405, 413, a bad path) is
//! given one on the way out.

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use danmu_schemas::EventId;
use danmu_schemas::problem::Problem;

/// A problem on its way to the client.
#[derive(Debug)]
pub struct Refused(Box<Problem>);

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        *refused.0
    }
}

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

/// Gives an error that is no problem yet the body of one; its `Allow` stays.
pub async fn as_problem(response: Response) -> Response {
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

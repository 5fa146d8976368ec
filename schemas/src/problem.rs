//! What is told to a client when a request is not answered: RFC 9457 as plain data.
//!
//! Owns the names (`urn:danmu:problem:NAME`), their titles and statuses, so that the write side and
//! the read side tell the same problem in the same words. Turning one into a response is each HTTP
//! crate's own.

use serde::{Serialize, Serializer};

/// The media type of a problem.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// A problem's name: stable, unlike its title and detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is its title")]
pub enum ProblemType {
    BadRequest,
    InvalidRoom,
    InvalidEvents,
    Unauthenticated,
    Forbidden,
    NotFound,
    SegmentOpen,
    MethodNotAllowed,
    RoomReplaced,
    Gone,
    TooLarge,
    Internal,
    Overloaded,
    OutcomeUnknown,
    HistoryBehind,
    Starting,
}

impl ProblemType {
    /// Every type.
    pub const ALL: [Self; 16] = [
        Self::BadRequest,
        Self::InvalidRoom,
        Self::InvalidEvents,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::SegmentOpen,
        Self::MethodNotAllowed,
        Self::RoomReplaced,
        Self::Gone,
        Self::TooLarge,
        Self::Internal,
        Self::Overloaded,
        Self::OutcomeUnknown,
        Self::HistoryBehind,
        Self::Starting,
    ];

    /// The type's URN, HTTP status and title.
    fn parts(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::BadRequest => (
                "urn:danmu:problem:bad-request",
                400,
                "the request is malformed",
            ),
            Self::InvalidRoom => (
                "urn:danmu:problem:invalid-room",
                400,
                "this cannot be a room's name",
            ),
            Self::InvalidEvents => (
                "urn:danmu:problem:invalid-events",
                400,
                "nothing was taken: events are not valid",
            ),
            Self::Unauthenticated => (
                "urn:danmu:problem:unauthenticated",
                401,
                "the caller is not known",
            ),
            Self::Forbidden => (
                "urn:danmu:problem:forbidden",
                403,
                "the caller's role does not allow this",
            ),
            Self::NotFound => ("urn:danmu:problem:not-found", 404, "there is no such thing"),
            Self::SegmentOpen => (
                "urn:danmu:problem:segment-open",
                404,
                "the segment is not there yet",
            ),
            Self::MethodNotAllowed => (
                "urn:danmu:problem:method-not-allowed",
                405,
                "the method is not allowed here",
            ),
            Self::RoomReplaced => (
                "urn:danmu:problem:room-replaced",
                409,
                "the room's numbering began anew",
            ),
            Self::Gone => (
                "urn:danmu:problem:gone",
                410,
                "this revision has been replaced",
            ),
            Self::TooLarge => (
                "urn:danmu:problem:too-large",
                413,
                "the request's body is too large",
            ),
            Self::Internal => (
                "urn:danmu:problem:internal",
                500,
                "the server could not answer",
            ),
            Self::Overloaded => (
                "urn:danmu:problem:overloaded",
                503,
                "the server takes no more at the moment",
            ),
            Self::OutcomeUnknown => (
                "urn:danmu:problem:outcome-unknown",
                503,
                "it may or may not have been taken: retry with the same ids",
            ),
            Self::HistoryBehind => (
                "urn:danmu:problem:history-behind",
                503,
                "this range is not readable yet",
            ),
            Self::Starting => (
                "urn:danmu:problem:starting",
                503,
                "the server is still starting",
            ),
        }
    }

    /// `urn:danmu:problem:NAME`.
    pub fn urn(self) -> &'static str {
        self.parts().0
    }

    /// The NAME of the URN.
    pub fn name(self) -> &'static str {
        self.urn().rsplit(':').next().unwrap_or_default()
    }

    /// The HTTP status it goes with.
    pub fn status(self) -> u16 {
        self.parts().1
    }

    /// What it means, for people.
    pub fn title(self) -> &'static str {
        self.parts().2
    }

    /// The general problem of a status, for an answer that says no more than that.
    pub fn of_status(status: u16) -> Self {
        match status {
            401 => Self::Unauthenticated,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            405 => Self::MethodNotAllowed,
            413 => Self::TooLarge,
            503 => Self::Overloaded,
            400..=499 => Self::BadRequest,
            _ => Self::Internal,
        }
    }
}

/// What is wrong with one field of one event of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// The event's place in the array; 0 for a single one.
    pub index: usize,
    /// The field, nested ones with a dot: `user.id`.
    pub field: String,
    /// What is wrong.
    pub reason: String,
}

/// A problem as a client is told it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Which.
    #[serde(flatten, serialize_with = "type_members")]
    pub problem_type: ProblemType,
    /// What happened this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Every bad field, where events were sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// The room's cursor to go on from, where the numbering began anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Seconds to wait before the next try: the `Retry-After` header.
    #[serde(skip)]
    pub retry_after_s: Option<u32>,
}

impl Problem {
    /// A problem that its type says all of.
    pub fn new(problem_type: ProblemType) -> Self {
        Self {
            problem_type,
            detail: None,
            errors: Vec::new(),
            cursor: None,
            retry_after_s: None,
        }
    }

    /// The same, saying what happened this time.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The same, listing what is wrong with which field.
    pub fn errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }

    /// The same, saying from where the room goes on.
    pub fn cursor(mut self, cursor: impl ToString) -> Self {
        self.cursor = Some(cursor.to_string());
        self
    }

    /// The same, saying when to try again.
    pub fn retry_after_s(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }
}

fn type_members<S: Serializer>(problem_type: &ProblemType, to: S) -> Result<S::Ok, S::Error> {
    use serde::ser::SerializeMap;
    let mut members = to.serialize_map(Some(3))?;
    members.serialize_entry("type", problem_type.urn())?;
    members.serialize_entry("title", problem_type.title())?;
    members.serialize_entry("status", &problem_type.status())?;
    members.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_as_the_rfc_says() {
        let problem = Problem::new(ProblemType::InvalidEvents).errors(vec![FieldError {
            index: 2,
            field: "user.id".into(),
            reason: "is missing".into(),
        }]);
        expect_test::expect![[r#"
            {
              "type": "urn:danmu:problem:invalid-events",
              "title": "nothing was taken: events are not valid",
              "status": 400,
              "errors": [
                {
                  "index": 2,
                  "field": "user.id",
                  "reason": "is missing"
                }
              ]
            }"#]]
        .assert_eq(&serde_json::to_string_pretty(&problem).unwrap());
    }

    #[test]
    fn names_are_distinct() {
        let mut urns: Vec<_> = ProblemType::ALL.map(ProblemType::urn).to_vec();
        urns.sort_unstable();
        urns.dedup();
        assert_eq!(urns.len(), ProblemType::ALL.len());
    }
}

//! What is told to a client when a request is not answered: RFC 9457 as plain data.
//!
//! Owns the names (`urn:danmu:problem:NAME`), their titles and statuses, so that the write side and
//! the read side tell the same problem in the same words, and the headers and body of its answer.
//! Putting these into a response is each HTTP crate's own.

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
    InvalidToken,
    Forbidden,
    NotFound,
    SegmentOpen,
    MethodNotAllowed,
    RoomReplaced,
    Gone,
    RequestTimeout,
    TooLarge,
    UnsupportedEncoding,
    RateLimited,
    HeadTooLarge,
    Internal,
    Overloaded,
    OutcomeUnknown,
    HistoryBehind,
    Starting,
}

impl ProblemType {
    /// Every type.
    pub const ALL: [Self; 21] = [
        Self::BadRequest,
        Self::InvalidRoom,
        Self::InvalidEvents,
        Self::Unauthenticated,
        Self::InvalidToken,
        Self::Forbidden,
        Self::NotFound,
        Self::SegmentOpen,
        Self::MethodNotAllowed,
        Self::RoomReplaced,
        Self::Gone,
        Self::RequestTimeout,
        Self::TooLarge,
        Self::UnsupportedEncoding,
        Self::RateLimited,
        Self::HeadTooLarge,
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
            Self::InvalidToken => (
                "urn:danmu:problem:invalid-token",
                401,
                "the token proves nothing",
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
            Self::RequestTimeout => (
                "urn:danmu:problem:request-timeout",
                408,
                "the request took too long to arrive",
            ),
            Self::TooLarge => (
                "urn:danmu:problem:too-large",
                413,
                "the request's body is too large",
            ),
            Self::UnsupportedEncoding => (
                "urn:danmu:problem:unsupported-encoding",
                415,
                "the request's body is encoded in a way that is not taken",
            ),
            Self::RateLimited => ("urn:danmu:problem:rate-limited", 429, "too much at once"),
            Self::HeadTooLarge => (
                "urn:danmu:problem:head-too-large",
                431,
                "the request's head is too large",
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
            408 => Self::RequestTimeout,
            413 => Self::TooLarge,
            415 => Self::UnsupportedEncoding,
            429 => Self::RateLimited,
            431 => Self::HeadTooLarge,
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
    /// Which limit was met, as the `RateLimit` and `RateLimit-Policy` headers.
    #[serde(skip)]
    pub rate_limit: Option<RateLimit>,
}

/// A limit on how often something may be done, as draft-ietf-httpapi-ratelimit-headers tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// Whose limit: a token's characters.
    pub name: &'static str,
    /// How many in a window.
    pub quota: u32,
    /// The window, seconds.
    pub window_s: u32,
    /// How many are left now.
    pub remaining: u32,
    /// When all of them are there again, seconds from now.
    pub reset_s: u32,
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
            rate_limit: None,
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

    /// The same, saying which limit was met.
    pub fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.rate_limit = Some(limit);
        self
    }

    /// The problem that an answer lacks: none where it is no error, or has a problem's body already.
    pub fn lacking(status: u16, content_type: Option<&[u8]>) -> Option<Self> {
        let told = content_type == Some(CONTENT_TYPE.as_bytes());
        (status >= 400 && !told).then(|| Self::new(ProblemType::of_status(status)))
    }

    /// The answer's body.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a problem has string keys only")
    }

    /// The problem as a message of its own, where there are no headers: with `retry_after_s` among its
    /// members.
    pub fn to_message(&self) -> String {
        let mut problem = serde_json::to_value(self).expect("a problem has string keys only");
        if let Some(seconds) = self.retry_after_s {
            problem["retry_after_s"] = seconds.into();
        }
        problem.to_string()
    }

    /// The answer's headers, names in lower case.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![("content-type", CONTENT_TYPE.to_owned())];
        match self.problem_type {
            ProblemType::Unauthenticated => headers.push(("www-authenticate", challenge(""))),
            ProblemType::InvalidToken => {
                headers.push(("www-authenticate", challenge(", error=\"invalid_token\"")));
            }
            ProblemType::UnsupportedEncoding => {
                headers.push(("accept-encoding", "identity".to_owned()));
            }
            _ => {}
        }
        if let Some(seconds) = self.retry_after_s {
            headers.push(("retry-after", seconds.to_string()));
        }
        if let Some(limit) = &self.rate_limit {
            let name = limit.name;
            let policy = format!("\"{name}\";q={};w={}", limit.quota, limit.window_s);
            headers.push(("ratelimit-policy", policy));
            let left = format!("\"{name}\";r={};t={}", limit.remaining, limit.reset_s);
            headers.push(("ratelimit", left));
        }
        headers
    }
}

/// How to make oneself known (RFC 6750).
fn challenge(error: &str) -> String {
    format!("Bearer realm=\"danmu\"{error}")
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
    fn headers_say_what_to_do() {
        let limit = RateLimit {
            name: "user",
            quota: 20,
            window_s: 10,
            remaining: 0,
            reset_s: 10,
        };
        let limited = Problem::new(ProblemType::RateLimited)
            .retry_after_s(1)
            .rate_limit(limit);
        let told = [
            Problem::new(ProblemType::Unauthenticated),
            Problem::new(ProblemType::InvalidToken),
            limited,
        ];
        let lines: Vec<_> = told.iter().flat_map(Problem::headers).collect();
        let lines: Vec<_> = lines
            .iter()
            .filter(|(name, _)| *name != "content-type")
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        expect_test::expect![[r#"
            www-authenticate: Bearer realm="danmu"
            www-authenticate: Bearer realm="danmu", error="invalid_token"
            retry-after: 1
            ratelimit-policy: "user";q=20;w=10
            ratelimit: "user";r=0;t=10"#]]
        .assert_eq(&lines.join("\n"));
    }

    #[test]
    fn only_an_error_without_a_problem_lacks_one() {
        let lacking = |status, content_type: Option<&str>| {
            Problem::lacking(status, content_type.map(str::as_bytes))
                .map(|problem| problem.problem_type)
        };
        assert_eq!(lacking(200, None), None);
        assert_eq!(lacking(404, Some(CONTENT_TYPE)), None);
        assert_eq!(lacking(404, None), Some(ProblemType::NotFound));
        assert_eq!(
            lacking(417, Some("text/plain")),
            Some(ProblemType::BadRequest)
        );
        assert_eq!(lacking(500, None), Some(ProblemType::Internal));
    }

    #[test]
    fn names_are_distinct() {
        let mut urns: Vec<_> = ProblemType::ALL.map(ProblemType::urn).to_vec();
        urns.sort_unstable();
        urns.dedup();
        assert_eq!(urns.len(), ProblemType::ALL.len());
    }
}

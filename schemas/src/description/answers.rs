//! Answers: what a 200 holds, and the problems by their statuses.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::{ContentBuilder, Header, Ref, RefOr, Responses, ResponsesBuilder};

use super::AnySchema;
use super::shapes::{integer, plain, reference};
use crate::problem::{CONTENT_TYPE, Problem, ProblemType};

/// An example by its name.
pub type Example = (String, RefOr<utoipa::openapi::example::Example>);

/// A 200.
pub struct Answer {
    response: ResponseBuilder,
}

impl Answer {
    /// JSON of that shape, with an example.
    pub fn json(description: &str, schema: &str, example: Value) -> Self {
        let content = ContentBuilder::new()
            .schema(Some(reference(schema)))
            .example(Some(example))
            .build();
        let response = ResponseBuilder::new()
            .description(description)
            .content("application/json", content);
        Self { response }
    }

    /// Text of these media types.
    pub fn text(description: &str, media_types: &[&str]) -> Self {
        let mut response = ResponseBuilder::new().description(description);
        for media_type in media_types {
            let content = ContentBuilder::new().schema(Some(plain())).build();
            response = response.content(*media_type, content);
        }
        Self { response }
    }

    /// A header that it has.
    pub fn header(mut self, name: &str, description: &str) -> Self {
        self.response = self.response.header(name, header(plain(), description));
        self
    }

    pub(super) fn into_response(self) -> Response {
        self.response.build()
    }
}

/// An example of a request.
pub fn example(name: &str, value: Value) -> Example {
    let example = ExampleBuilder::new().value(Some(value)).build();
    (name.to_owned(), example.into())
}

/// An example of each problem, by its name.
pub fn problem_examples() -> impl Iterator<Item = Example> {
    ProblemType::ALL.into_iter().map(|problem_type| {
        let mut problem = Problem::new(problem_type);
        match problem_type {
            ProblemType::InvalidEvents => problem = problem.errors(vec![bad_field()]),
            ProblemType::RoomReplaced => problem = problem.cursor("2:0"),
            _ => {}
        }
        let value = serde_json::to_value(&problem).expect("a problem has string keys only");
        let example = ExampleBuilder::new()
            .summary(problem_type.title())
            .value(Some(value))
            .build();
        (problem_type.name().to_owned(), example.into())
    })
}

fn bad_field() -> crate::problem::FieldError {
    crate::problem::FieldError {
        index: 0,
        field: "user.id".to_owned(),
        reason: "is missing".to_owned(),
    }
}

/// Adds the problems to a route's answers, by status.
pub(super) fn problems(responses: ResponsesBuilder, problems: &[ProblemType]) -> Responses {
    let mut by_status: BTreeMap<u16, Vec<ProblemType>> = BTreeMap::new();
    for problem_type in ProblemType::ALL {
        if problems.contains(&problem_type) {
            by_status
                .entry(problem_type.status())
                .or_default()
                .push(problem_type);
        }
    }
    let responses = by_status
        .into_iter()
        .fold(responses, |responses, (status, types)| {
            responses.response(status.to_string(), refusal(&types))
        });
    responses.build()
}

fn refusal(types: &[ProblemType]) -> Response {
    let told: Vec<_> = types
        .iter()
        .map(|problem_type| format!("`{}`: {}", problem_type.name(), problem_type.title()))
        .collect();
    let examples = types.iter().map(|problem_type| {
        let name = problem_type.name();
        let shared = Ref::new(format!("#/components/examples/{name}"));
        (name, RefOr::Ref(shared))
    });
    let content = ContentBuilder::new()
        .schema(Some(reference("Problem")))
        .examples_from_iter(examples)
        .build();
    let mut response = ResponseBuilder::new()
        .description(told.join("; "))
        .content(CONTENT_TYPE, content);
    for (name, description, schema) in types.iter().flat_map(|told| headers(*told)) {
        response = response.header(*name, header(schema(), description));
    }
    response.build()
}

type HeaderOf = (&'static str, &'static str, fn() -> AnySchema);

/// The headers of a problem's answer.
fn headers(problem_type: ProblemType) -> &'static [HeaderOf] {
    const RETRY: HeaderOf = (
        "Retry-After",
        "Seconds to wait before the next try.",
        || integer("", 0..=i64::MAX).into(),
    );
    const CHALLENGE: HeaderOf = (
        "WWW-Authenticate",
        "How to make oneself known (RFC 6750).",
        plain,
    );
    const ALLOW: HeaderOf = ("Allow", "The methods that are allowed here.", plain);
    const LIMIT: HeaderOf = (
        "RateLimit",
        "What is left of the limit that was met, as `\"user\";r=0;t=10`.",
        plain,
    );
    const POLICY: HeaderOf = (
        "RateLimit-Policy",
        "The limit that was met, as `\"user\";q=20;w=10`.",
        plain,
    );
    const ENCODING: HeaderOf = ("Accept-Encoding", "What is taken: `identity`.", plain);
    match problem_type {
        ProblemType::Unauthenticated | ProblemType::InvalidToken => &[CHALLENGE],
        ProblemType::MethodNotAllowed => &[ALLOW],
        ProblemType::RateLimited => &[RETRY, LIMIT, POLICY],
        // Where it is an array that no rate would ever let pass.
        ProblemType::TooLarge => &[LIMIT, POLICY],
        ProblemType::UnsupportedEncoding => &[ENCODING],
        ProblemType::SegmentOpen
        | ProblemType::Overloaded
        | ProblemType::OutcomeUnknown
        | ProblemType::HistoryBehind
        | ProblemType::Starting => &[RETRY],
        ProblemType::BadRequest
        | ProblemType::InvalidRoom
        | ProblemType::InvalidEvents
        | ProblemType::Forbidden
        | ProblemType::NotFound
        | ProblemType::RoomReplaced
        | ProblemType::Gone
        | ProblemType::RequestTimeout
        | ProblemType::HeadTooLarge
        | ProblemType::Internal => &[],
    }
}

fn header(schema: AnySchema, description: &str) -> Header {
    HeaderBuilder::new()
        .schema(Some(schema))
        .description(Some(description))
        .build()
}

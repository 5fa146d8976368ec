//! Words to describe routes with: what both HTTP sides put into the OpenAPI document.
//!
//! Owns an operation on its way into the document ([`Described`]), the shapes that both sides share
//! and the problems as answers. Each side describes its own routes beside their handlers; the schemas
//! of what is written and read by hand are written by hand too, and the integration tests hold every
//! answer and every request against them. A field that an answer leaves out is never `null` there;
//! a request may say `null` for what it leaves out.

mod answers;
mod shapes;

use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, Paths,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{
    Components, ContentBuilder, OpenApi, OpenApiBuilder, RefOr, Required, ResponsesBuilder, Schema,
};

pub use answers::{Answer, Example, example, problem_examples};
pub use shapes::{
    Fields, any_of, boolean, cursor, ext, id, integer, list, map_of_numbers, moment, name, null,
    nullable, reference, room_name, seq, shared, text, word,
};

use crate::problem::ProblemType;

/// The name of the scheme by which a token is a header.
pub const BEARER: &str = "bearer";
/// The name of the scheme by which a token is a query parameter.
pub const ACCESS_TOKEN: &str = "access_token";

/// What every route may answer instead, whatever is asked.
const ALWAYS: [ProblemType; 9] = [
    ProblemType::BadRequest,
    ProblemType::InvalidToken,
    ProblemType::MethodNotAllowed,
    ProblemType::RequestTimeout,
    ProblemType::RateLimited,
    ProblemType::HeadTooLarge,
    ProblemType::Internal,
    ProblemType::Overloaded,
    ProblemType::Starting,
];

/// A schema, or a reference to one.
pub type AnySchema = RefOr<Schema>;

/// A route as the document has it.
pub struct Described {
    path: String,
    method: HttpMethod,
    operation: OperationBuilder,
    responses: ResponsesBuilder,
    problems: Vec<ProblemType>,
}

impl Described {
    /// A GET, under a tag, that generated clients call `operation_id`.
    pub fn get(path: &str, operation_id: &str, tag: &str) -> Self {
        Self::new(HttpMethod::Get, path, operation_id, tag)
    }

    /// A POST.
    pub fn post(path: &str, operation_id: &str, tag: &str) -> Self {
        Self::new(HttpMethod::Post, path, operation_id, tag)
    }

    fn new(method: HttpMethod, path: &str, operation_id: &str, tag: &str) -> Self {
        Self {
            path: path.to_owned(),
            method,
            operation: OperationBuilder::new()
                .operation_id(Some(operation_id))
                .tag(tag),
            responses: ResponsesBuilder::new(),
            problems: ALWAYS.to_vec(),
        }
    }

    /// What it is for: a line, and more.
    pub fn says(mut self, summary: &str, description: &str) -> Self {
        self.operation = self
            .operation
            .summary(Some(summary))
            .description(Some(description));
        self
    }

    /// A parameter; those in the path are always needed.
    pub fn parameter(mut self, parameter: ParameterBuilder) -> Self {
        self.operation = self.operation.parameter(parameter);
        self
    }

    /// The JSON that is sent, with examples.
    pub fn body(mut self, schema: AnySchema, examples: Vec<Example>) -> Self {
        let content = ContentBuilder::new()
            .schema(Some(schema))
            .examples_from_iter(examples)
            .build();
        let body = RequestBodyBuilder::new()
            .required(Some(Required::True))
            .content("application/json", content)
            .build();
        self.operation = self.operation.request_body(Some(body));
        self
    }

    /// What a 200 is.
    pub fn answers(mut self, answer: Answer) -> Self {
        self.responses = self.responses.response("200", answer.into_response());
        self
    }

    /// Which problems there may be beside those of every route.
    pub fn problems(mut self, problems: &[ProblemType]) -> Self {
        self.problems.extend(problems);
        self
    }

    /// A read of a room: a token is needed only where reads are private.
    pub fn public_read(mut self) -> Self {
        self.problems
            .extend([ProblemType::Unauthenticated, ProblemType::Forbidden]);
        self.operation = self
            .operation
            .security(SecurityRequirement::default())
            .security(SecurityRequirement::new(BEARER, NO_SCOPES))
            .security(SecurityRequirement::new(ACCESS_TOKEN, NO_SCOPES));
        self
    }

    /// A write: needs a token.
    pub fn write(mut self) -> Self {
        self.problems
            .extend([ProblemType::Unauthenticated, ProblemType::Forbidden]);
        self.operation = self
            .operation
            .security(SecurityRequirement::new(BEARER, NO_SCOPES));
        self
    }

    /// The document's entry, for a router that keeps a document beside its routes.
    pub fn into_paths(self) -> Paths {
        let responses = answers::problems(self.responses, &self.problems);
        let operation: Operation = self.operation.responses(responses).build();
        let mut paths = Paths::new();
        paths.add_path_operation(self.path, vec![self.method], operation);
        paths
    }
}

const NO_SCOPES: [&str; 0] = [];

/// A document of schemas by their names, and nothing else yet.
pub fn document(schemas: impl IntoIterator<Item = (&'static str, AnySchema)>) -> OpenApi {
    let mut components = Components::new();
    for (name, schema) in schemas {
        components.schemas.insert(name.to_owned(), schema);
    }
    OpenApiBuilder::new().components(Some(components)).build()
}

/// A parameter of the query that may be left out.
pub fn query(name: &str, description: &str, schema: impl Into<AnySchema>) -> ParameterBuilder {
    parameter(ParameterIn::Query, name, description, schema)
}

/// A parameter of the path.
pub fn path(name: &str, description: &str, schema: impl Into<AnySchema>) -> ParameterBuilder {
    parameter(ParameterIn::Path, name, description, schema).required(Required::True)
}

/// A request's header that may be left out.
pub fn header(name: &str, description: &str, schema: impl Into<AnySchema>) -> ParameterBuilder {
    parameter(ParameterIn::Header, name, description, schema)
}

/// The room of a path.
pub fn room() -> ParameterBuilder {
    path("room", "The room's name.", reference("RoomName"))
}

fn parameter(
    place: ParameterIn,
    name: &str,
    description: &str,
    schema: impl Into<AnySchema>,
) -> ParameterBuilder {
    Parameter::builder()
        .name(name)
        .parameter_in(place)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
}

//! The OpenAPI document and a page that shows it.
//!
//! Each side describes its own routes; here they become one document, with what is true of all of them:
//! tags, tokens, shared schemas and an example of each problem. It is made once and is the same bytes for
//! the same build; `docs/openapi.json` is a copy. The page reads the document from this server and needs
//! nothing else.

use anyhow::Context;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Router, middleware};
use bytes::Bytes;
use danmu_ingest::http::as_problem;
use danmu_schemas::description::{
    ACCESS_TOKEN, Answer, BEARER, Described, Fields, document, problem_examples, shared,
};
use hyper::header;
use serde_json::json;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Info, License, OpenApi, OpenApiVersion};
use utoipa_axum::router::OpenApiRouter;

/// The page, whole: no other file belongs to it.
const PAGE: &str = include_str!("document/docs.html");
/// The page may run its own script and ask its own server, and nothing else.
const PAGE_MAY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                        connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The tags of routes, and what they are about.
const TAGS: [(&str, &str); 4] = [
    (
        "write",
        "Events and likes in: a 200 means that they are durable.",
    ),
    ("live", "Rooms as they go on."),
    ("replay", "Broadcasts afterwards."),
    ("document", "This document."),
];

/// The routes, and two more that tell of them all.
pub fn documented(routes: OpenApiRouter) -> anyhow::Result<Router> {
    let own = OpenApiRouter::with_openapi(document([(
        "Document",
        Fields::of("An OpenAPI 3.1 document.").end(),
    )]));
    let (document_route, page_route) = (describe_document(), describe_page());
    let described = routes.merge(own);
    let (router, mut openapi) = described.split_for_parts();
    for route in [document_route, page_route] {
        openapi.paths.merge(route.into_paths());
    }
    complete(&mut openapi);
    let json = openapi.to_pretty_json().context("the OpenAPI document")? + "\n";
    let json = Bytes::from(json);
    let own = Router::new()
        .route(
            "/openapi.json",
            get(async || ([(header::CONTENT_TYPE, "application/json")], json)),
        )
        .route("/docs", get(page))
        .layer(middleware::map_response(as_problem));
    Ok(router.merge(own))
}

async fn page() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, PAGE_MAY),
    ];
    (headers, PAGE)
}

fn describe_document() -> Described {
    let example = json!({"openapi": "3.1.0"});
    Described::get("/openapi.json", "readDocument", "document")
        .says("Reads this document", "Clients can be generated from it.")
        .answers(Answer::json(
            "An OpenAPI 3.1 document.",
            "Document",
            example,
        ))
}

fn describe_page() -> Described {
    Described::get("/docs", "readDocs", "document")
        .says("Shows this document", "A page for people; works offline.")
        .answers(Answer::text("The page.", &["text/html"]))
}

/// Adds what is true of every route.
fn complete(openapi: &mut OpenApi) {
    openapi.openapi = OpenApiVersion::Version31;
    openapi.info = Info::builder()
        .title("danmu")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Live bullet comments and live-room events. Every event of a room has a dense `seq`; a \
             cursor says what a client has. Problems are RFC 9457. Ignore fields and kinds that you do \
             not know. Without a token secret the server listens on loopback and trusts every caller.",
        ))
        .license(Some(License::builder().name("MIT OR Apache-2.0").identifier(Some("MIT OR Apache-2.0")).build()))
        .build();
    let tag = |(name, about): (&str, &str)| {
        utoipa::openapi::tag::TagBuilder::new()
            .name(name)
            .description(Some(about))
            .build()
    };
    openapi.tags = Some(TAGS.into_iter().map(tag).collect());
    let components = openapi.components.get_or_insert_default();
    for (name, schema) in shared() {
        components.schemas.insert(name.to_owned(), schema);
    }
    components.examples.extend(problem_examples());
    components.add_security_scheme(BEARER, bearer());
    components.add_security_scheme(ACCESS_TOKEN, access_token());
}

fn bearer() -> SecurityScheme {
    let bearer = Http::builder()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("Claims `sub`, `name`, `ext`, `role`, `rooms`, `exp`."))
        .build();
    SecurityScheme::Http(bearer)
}

fn access_token() -> SecurityScheme {
    let about = "The same token, for a client that cannot set headers: on a GET.";
    SecurityScheme::ApiKey(ApiKey::Query(ApiKeyValue::with_description(
        ACCESS_TOKEN,
        about,
    )))
}

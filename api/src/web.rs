//! The viewers' page, served out of the binary: nothing else has to be installed or reached.
//!
//! `api/web/dist` holds what vite makes of the sources beside it; it is in the tree, so that building the
//! binary needs no npm, and a test holds it against the sources. The names of assets follow from their
//! content, so caches may keep them for ever; the page itself is asked for anew and answered with a 304
//! while it is the same. Files are compressed once, at the start. The policy lets the page
//! run its own script and talk to its own server; only a recording may come from where a viewer says.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use include_dir::{Dir, include_dir};

use crate::answer;

/// What vite made.
static DIST: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/web/dist");
/// The file that is the page.
const PAGE: &str = "index.html";
/// Files below it are named after their content.
const ASSETS: &str = "assets/";

/// What the page may do.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self'; media-src http: https: blob:; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";
const FOR_EVER: &str = "public, max-age=31536000, immutable";
const ASK_ANEW: &str = "no-cache";

/// The page at `/`, and its files where it looks for them.
pub fn router() -> Router {
    let mut files = Vec::new();
    collect(&DIST, &mut files);
    let routed = files.into_iter().fold(Router::new(), |router, file| {
        let path = match file.name {
            PAGE => "/".to_owned(),
            name => format!("/{name}"),
        };
        let answer = async move |headers: HeaderMap| file.answer(&headers);
        router.route(&path, get(answer))
    });
    routed.layer(middleware::map_response(answer::as_problem))
}

fn collect(folder: &'static Dir<'_>, files: &mut Vec<Arc<File>>) {
    for file in folder.files() {
        let name = file.path().to_str().expect("vite's names are ASCII");
        files.push(Arc::new(File::new(name, file.contents())));
    }
    for inner in folder.dirs() {
        collect(inner, files);
    }
}

/// A file of the page.
struct File {
    name: &'static str,
    plain: Variant,
    gzip: Variant,
}

/// A file's bytes, as they are or encoded, under a tag of their own.
struct Variant {
    bytes: Bytes,
    etag: String,
}

impl File {
    fn new(name: &'static str, content: &'static [u8]) -> Self {
        Self {
            name,
            plain: Variant::new(Bytes::from_static(content)),
            gzip: Variant::new(compressed(content)),
        }
    }

    fn answer(&self, asked: &HeaderMap) -> Response {
        let is_encoded = takes_gzip(asked);
        let variant = if is_encoded { &self.gzip } else { &self.plain };
        let common: [(HeaderName, &str); 7] = [
            (CONTENT_TYPE, content_type(self.name)),
            (CACHE_CONTROL, self.cache_control()),
            (ETAG, &variant.etag),
            (VARY, "accept-encoding"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
            (CONTENT_SECURITY_POLICY, POLICY),
        ];
        if has(asked, &variant.etag) {
            return (StatusCode::NOT_MODIFIED, common).into_response();
        }
        let body = Body::from(variant.bytes.clone());
        if is_encoded {
            return (common, [(CONTENT_ENCODING, "gzip")], body).into_response();
        }
        (common, body).into_response()
    }

    fn cache_control(&self) -> &'static str {
        if self.name.starts_with(ASSETS) {
            FOR_EVER
        } else {
            ASK_ANEW
        }
    }
}

impl Variant {
    fn new(bytes: Bytes) -> Self {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let etag = format!("\"{:016x}\"", hasher.finish());
        Self { bytes, etag }
    }
}

fn compressed(content: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(content).and_then(|()| encoder.finish());
    written.expect("memory takes every write").into()
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    }
}

/// Whether the client says that it takes gzip, and not that it takes it never.
fn takes_gzip(asked: &HeaderMap) -> bool {
    let mut codings = values(asked, &ACCEPT_ENCODING);
    codings.any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let is_never = weight.trim().strip_prefix("q=").map(str::parse) == Some(Ok(0.0));
        name.trim().eq_ignore_ascii_case("gzip") && !is_never
    })
}

/// Whether the client has what bears the tag.
fn has(asked: &HeaderMap, etag: &str) -> bool {
    values(asked, &IF_NONE_MATCH).any(|had| had == "*" || had.trim_start_matches("W/") == etag)
}

/// The members of a header that is a list.
fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter();
    let lines = lines.filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests;

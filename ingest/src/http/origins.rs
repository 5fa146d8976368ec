//! Which web pages may talk to the server: the origins that an operator lists, and its own.
//!
//! A browser lets a page read an answer only if the answer names the page's origin, and asks first
//! (a preflight) before it sends JSON or a token. A write from a page that is not listed is refused here
//! as well, and a socket of one, because a browser sends some requests without asking; a client that is
//! no browser sends no `Origin`. Reads need no header that would make a browser ask.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Router, middleware};
use danmu_schemas::problem::{Problem, ProblemType};

use super::answer::Refused;

/// The methods that pages may use.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST");
/// The headers that pages may send.
const HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, idempotency-key, last-event-id, traceparent",
);
/// The headers that pages may read beside the ones that they always may.
const EXPOSED: HeaderValue = HeaderValue::from_static("retry-after, ratelimit, ratelimit-policy");
/// How long a browser may remember the answer to a preflight, in seconds: the most that one does.
const PREFLIGHT_MAX_AGE_S: HeaderValue = HeaderValue::from_static("7200");

/// The origins whose pages may talk to the server.
#[derive(Debug, Clone, Default)]
pub struct Origins(Arc<Allowed>);

#[derive(Debug, Default)]
enum Allowed {
    /// The server's own alone.
    #[default]
    Own,
    /// These too.
    These(Vec<HeaderValue>),
    /// All.
    Any,
}

impl Origins {
    /// The origins of a list: each a scheme, a host and maybe a port, as `https://example.org`, or a `*`
    /// alone for all. Tells what cannot be one.
    pub fn parse<'a>(list: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let list: Vec<_> = list.into_iter().collect();
        let allowed = match list[..] {
            [] => Allowed::Own,
            ["*"] => Allowed::Any,
            _ => Allowed::These(list.into_iter().map(origin).collect::<Result<_, _>>()?),
        };
        Ok(Self(Arc::new(allowed)))
    }

    /// Answers preflights before `router` and marks its answers.
    pub fn before(self, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state(self, share))
    }

    /// Tells browsers whether the page of `origin` may read an answer.
    pub fn mark(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        let allowed = match (&*self.0, origin) {
            (Allowed::Own, _) => return,
            (Allowed::Any, _) => Some(HeaderValue::from_static("*")),
            (Allowed::These(these), origin) => {
                headers.append(header::VARY, HeaderValue::from_static("origin"));
                origin.filter(|origin| these.contains(origin)).cloned()
            }
        };
        if let Some(allowed) = allowed {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }

    fn may_write(&self, origin: &HeaderValue, host: Option<&HeaderValue>) -> bool {
        match &*self.0 {
            Allowed::Any => true,
            Allowed::These(these) if these.contains(origin) => true,
            _ => is_own(origin, host),
        }
    }
}

/// Whether a page of `origin` came from the host that it now talks to.
fn is_own(origin: &HeaderValue, host: Option<&HeaderValue>) -> bool {
    let origin = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"));
    let host = host.and_then(|host| host.to_str().ok());
    match (origin, host) {
        (Some((_, authority)), Some(host)) => authority.eq_ignore_ascii_case(host),
        _ => false,
    }
}

fn origin(text: &str) -> Result<HeaderValue, String> {
    let authority = ["https://", "http://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    let is_authority = |authority: &str| {
        let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-:[]".contains(c);
        !authority.is_empty() && authority.chars().all(known)
    };
    let value = authority
        .filter(|authority| is_authority(authority))
        .and_then(|_| HeaderValue::from_str(text).ok());
    value.ok_or_else(|| format!("{text:?} is no origin like https://example.org"))
}

async fn share(State(origins): State<Origins>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let asks = request
        .headers()
        .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if *request.method() == Method::OPTIONS && asks {
        preflight()
    } else if is_foreign_write(&origins, &request, origin.as_ref()) {
        foreign()
    } else {
        next.run(request).await
    };
    origins.mark(origin.as_ref(), response.headers_mut());
    response
}

/// Whether it writes, or opens a socket, over which a page could write and read: browsers ask nobody
/// before they open one.
fn may_write_by(request: &Request) -> bool {
    *request.method() == Method::POST || request.headers().contains_key(header::UPGRADE)
}

fn is_foreign_write(origins: &Origins, request: &Request, origin: Option<&HeaderValue>) -> bool {
    let host = request.headers().get(header::HOST);
    may_write_by(request) && origin.is_some_and(|origin| !origins.may_write(origin, host))
}

fn foreign() -> Response {
    let problem = Problem::new(ProblemType::Forbidden);
    Refused::from(problem.detail("pages of this origin may not write here")).into_response()
}

/// What pages may do; whether this page may is told by the mark.
fn preflight() -> Response {
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
        (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE_S),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

#[cfg(test)]
mod tests;

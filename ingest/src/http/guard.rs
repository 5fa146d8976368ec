//! The guard before every route: who calls, and whether they may read.
//!
//! Puts the verified [`Caller`] among the request's extensions, for the write side and the read side
//! alike, and takes the token out of the request, so that nothing behind it can log one. A token that is
//! not valid is refused even where none is needed: its sender should know. Whether a caller may *send*
//! is admission's.

use std::sync::Arc;

use axum::extract::{RawPathParams, Request, State};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderValue, Method, Uri, header};
use axum::middleware::Next;
use axum::response::Response;
use axum::{RequestExt, Router, middleware};
use danmu_schemas::problem::{Problem, ProblemType};
use danmu_schemas::{Caller, PrivateReads, RoomId};

use super::answer::Refused;
use crate::admission::OTHER_ROOMS;
use crate::identity::Identity;

/// The query parameter that may carry a token where a client cannot set headers.
const TOKEN_PARAMETER: &str = "access_token";
/// Everything below it is of rooms.
const ROOMS_PATH: &str = "/v1/rooms";

/// Who may call.
#[derive(Debug, Clone)]
pub struct Guard {
    /// Checks tokens; `None` where every caller is trusted with everything.
    pub identity: Option<Arc<Identity>>,
    /// Whether reads of a room need a token that is for it.
    pub private_reads: bool,
    /// The clock, milliseconds since 1970 UTC.
    pub now_ms: fn() -> i64,
}

impl Guard {
    /// Stands before every route that `router` has.
    pub fn before(self, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state(self, check))
    }

    fn caller(&self, token: Option<Token>) -> Result<Option<Caller>, Refused> {
        let Some(identity) = &self.identity else {
            return Ok(Some(Caller::unauthenticated_local()));
        };
        let token = match token {
            None => return Ok(None),
            Some(Token::Unclear(why)) => return Err(bad_token(why)),
            Some(Token::Given(token)) => token,
        };
        let caller = identity.caller(&token, (self.now_ms)());
        caller.map(Some).map_err(|bad| bad_token(bad.to_string()))
    }

    fn check_read(&self, caller: Option<&Caller>, room: Option<&RoomId>) -> Result<(), Refused> {
        let Some(caller) = caller else {
            return Err(Problem::new(ProblemType::Unauthenticated).into());
        };
        if room.is_none_or(|room| caller.may_read_privately(room)) {
            return Ok(());
        }
        Err(Problem::new(ProblemType::Forbidden)
            .detail(OTHER_ROOMS)
            .into())
    }
}

/// What a request brings to make its sender known.
enum Token {
    Given(String),
    /// It is told why it cannot be used.
    Unclear(&'static str),
}

async fn check(
    State(guard): State<Guard>,
    mut request: Request,
    next: Next,
) -> Result<Response, Refused> {
    let token = take_token(&mut request);
    let caller = guard.caller(token)?;
    let private = guard.private_reads && is_read(&request);
    if private {
        let room = room(&mut request).await;
        guard.check_read(caller.as_ref(), room.as_ref())?;
        request.extensions_mut().insert(PrivateReads);
    }
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller);
    }
    let mut response = next.run(request).await;
    if private {
        keep_from_shared_caches(response.headers_mut());
    }
    Ok(response)
}

fn bad_token(why: impl Into<String>) -> Refused {
    Problem::new(ProblemType::InvalidToken).detail(why).into()
}

fn is_read(request: &Request) -> bool {
    request.method() != Method::POST && request.uri().path().starts_with(ROOMS_PATH)
}

/// The room that the path names, as the route's own handler will read it.
async fn room(request: &mut Request) -> Option<RoomId> {
    let parameters: RawPathParams = request.extract_parts().await.ok()?;
    let mut named = parameters.iter().filter(|(name, _)| *name == "room");
    named.next().and_then(|(_, room)| RoomId::parse(room).ok())
}

/// An answer that not everybody may have must not be kept for everybody.
fn keep_from_shared_caches(headers: &mut HeaderMap) {
    let control = headers.get(header::CACHE_CONTROL);
    let control = control.and_then(|control| control.to_str().ok());
    let private = match control {
        Some(control) => control.replace("public", "private"),
        None => "private".to_owned(),
    };
    let private = HeaderValue::try_from(private).expect("made of a header's text");
    headers.insert(header::CACHE_CONTROL, private);
}

/// Takes the token out of the request's headers, or of a GET's query.
fn take_token(request: &mut Request) -> Option<Token> {
    let from_query = take_from_query(request.uri_mut());
    let is_get = matches!(*request.method(), Method::GET | Method::HEAD);
    let from_query = from_query.filter(|_| is_get);
    match (take_from_headers(request.headers_mut()), from_query) {
        (Some(_), Some(_)) => Some(Token::Unclear("it is given twice")),
        (from_headers, None) => from_headers,
        (None, from_query) => from_query.map(Token::Given),
    }
}

fn take_from_headers(headers: &mut HeaderMap) -> Option<Token> {
    let several = headers.get_all(header::AUTHORIZATION).iter().count() > 1;
    let value = headers.remove(header::AUTHORIZATION)?;
    if several {
        return Some(Token::Unclear("it is given twice"));
    }
    let bearer = value.to_str().ok().and_then(|value| value.split_once(' '));
    match bearer {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            Some(Token::Given(token.trim_start().to_owned()))
        }
        _ => Some(Token::Unclear(
            "the Authorization header is no Bearer token",
        )),
    }
}

fn take_from_query(uri: &mut Uri) -> Option<String> {
    let query = uri.query()?;
    let is_token = |pair: &&str| pair.split('=').next() == Some(TOKEN_PARAMETER);
    let pair = query.split('&').find(is_token)?;
    let token = pair.split_once('=').map(|(_, token)| token.to_owned());
    let rest: Vec<_> = query.split('&').filter(|pair| !is_token(pair)).collect();
    let rest = if rest.is_empty() {
        uri.path().to_owned()
    } else {
        format!("{}?{}", uri.path(), rest.join("&"))
    };
    let mut parts = std::mem::take(uri).into_parts();
    parts.path_and_query = PathAndQuery::try_from(rest).ok();
    *uri = Uri::from_parts(parts).expect("a part of a valid address");
    Some(token.unwrap_or_default())
}

#[cfg(test)]
mod tests;

//! The shortest way from a poll to its page.
//!
//! A request that asks for a page which lies ready needs no router, no extractors and no task: it is
//! recognised by its bytes, and answered with bytes that every asker shares. Whatever is not plainly
//! such a request (a token, an origin, a view, a wait without news) is not for here.

use axum::http::{Method, Request, header};
use axum::response::Response;
use bytes::Bytes;
use danmu_projections::{HistoryStore, WindowRead};
use http_body_util::Full;

use crate::answer;
use crate::http::Api;
use crate::http::parameters::{LIMIT_DEFAULT, LIMIT_MAX};
use crate::overlay::View;
use crate::pace::{Level, Wanted};
use crate::page::{Form, From, Question};

impl<W: WindowRead, H: HistoryStore> Api<W, H> {
    /// The answer to a poll, if it was given before and nothing has changed since. `None` says
    /// nothing of the request. Only for servers whose rooms anybody may read.
    pub fn ready<B>(&self, request: &Request<B>) -> Option<Response<Full<Bytes>>> {
        let headers = request.headers();
        let is_plain = request.method() == Method::GET
            && !headers.contains_key(header::AUTHORIZATION)
            && !headers.contains_key(header::ORIGIN);
        if !is_plain {
            return None;
        }
        let path = request.uri().path().strip_prefix("/v1/rooms/")?;
        let room = path.strip_suffix("/events")?;
        let query = request.uri().query().unwrap_or_default();
        let poll = Poll::parse(query, self.feeds.level())?;
        let page = self.feeds.peek(room, |feed| feed.ready(&poll.question))??;
        if page.is_empty && poll.waits {
            return None;
        }
        Some(answer::json_of(Full::new(page.body)))
    }
}

/// A poll of the public view, written as plainly as clients write it.
struct Poll {
    question: Question,
    waits: bool,
}

impl Poll {
    fn parse(query: &str, level: Level) -> Option<Self> {
        let mut from = None;
        let mut limit = None;
        let mut waits = None;
        let mut density = None;
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=')? {
                ("after", cursor) if from.is_none() => {
                    from = Some(From::After(cursor.parse().ok()?));
                }
                ("limit", number) if limit.is_none() => limit = Some(number.parse().ok()?),
                ("wait", seconds) if waits.is_none() => {
                    waits = Some(matches!(seconds.parse(), Ok(1_u8..=30)));
                }
                ("density", name) if density.is_none() => density = Some(Wanted::parse(name)?),
                _ => return None,
            }
        }
        let limit = limit.unwrap_or(LIMIT_DEFAULT);
        let question = Question {
            from: from.unwrap_or(From::Newest),
            limit,
            behind_max: None,
            view: View::Public,
            density: density.unwrap_or(Wanted::Auto),
            level,
            form: Form::Poll,
        };
        let is_valid = (1..=LIMIT_MAX).contains(&limit);
        is_valid.then_some(Self {
            question,
            waits: waits.unwrap_or(false),
        })
    }
}

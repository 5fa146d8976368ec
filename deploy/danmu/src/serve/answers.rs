//! What a listener answers: what lies ready, and everything else by a router.
//!
//! The hot path of a server is a poll whose page lies ready. It is answered here, before the router,
//! its layers and its extractors, so whatever a layer must see or decide has to be left to the router
//! by whoever says what is ready.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use tower::ServiceExt as _;

/// Says what lies ready for a request.
pub type Ready = Arc<dyn Fn(&Request<Incoming>) -> Option<Response<Full<Bytes>>> + Send + Sync>;

/// Bytes that lay ready, which need no box, or whatever the router gives.
pub type Answer = Response<Either<Full<Bytes>, Body>>;

/// Answers requests. Clones answer alike.
#[derive(Clone)]
pub struct Answers {
    router: Router,
    ready: Option<Ready>,
}

impl Answers {
    /// What `ready` has, and otherwise what the router says.
    pub fn new(router: Router, ready: Ready) -> Self {
        let ready = Some(ready);
        Self { router, ready }
    }
}

impl From<Router> for Answers {
    fn from(router: Router) -> Self {
        Self {
            router,
            ready: None,
        }
    }
}

impl Answers {
    /// What lies ready for the request.
    pub fn ready(&self, request: &Request<Incoming>) -> Option<Answer> {
        let ready = self.ready.as_ref()?;
        Some(ready(request)?.map(Either::Left))
    }

    /// What the router says to it.
    pub async fn route(&self, request: Request<Incoming>) -> Result<Answer, Infallible> {
        let routed = self.router.clone().oneshot(request.map(Body::new)).await?;
        Ok(routed.map(Either::Right))
    }
}

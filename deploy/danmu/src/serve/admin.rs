//! The admin listener: is the process alive, is it ready and why not, which build is it, what does it
//! measure, and are its read models what its log says.
//!
//! It is a listener of its own, so that an operator can reach it when the public one is full, and so
//! that what it tells never reaches a viewer.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::metrics::{Gauges, Metrics};
use super::now_ms;
use super::readiness::Readiness;
use super::verify::{self, Asked, Verifications};

/// The media type of what Prometheus reads.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the admin listener tells from.
#[derive(Clone)]
pub struct Admin {
    /// Whether requests should be sent here.
    pub readiness: Readiness,
    /// What was measured.
    pub metrics: Metrics,
    /// What is looked up for each answer.
    pub gauges: Arc<Gauges>,
    /// What proves the read models.
    pub verifications: Verifications,
}

/// The admin endpoints.
pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/version", get(version))
        .route("/verify", post(verified))
        .with_state(admin)
}

async fn readyz(State(admin): State<Admin>) -> (StatusCode, String) {
    match admin.readiness.why_not() {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    admin.gauges.update(now_ms());
    (
        [(header::CONTENT_TYPE, METRICS_TYPE)],
        admin.metrics.render(),
    )
        .into_response()
}

async fn verified(State(admin): State<Admin>, Query(asked): Query<Asked>) -> Response {
    verify::verify(admin.verifications, asked).await
}

async fn version() -> Json<Value> {
    Json(json!({
        "name": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
    }))
}

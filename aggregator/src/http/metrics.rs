//! The counters, as `OpenMetrics` text.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

use super::HttpState;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Counters and gauges for monitoring, as `OpenMetrics` text
#[utoipa::path(get, path = "/metrics", tag = "operation",
    responses((status = 200, content_type = "application/openmetrics-text", body = String)))]
pub(super) async fn metrics(State(state): State<HttpState>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, OPENMETRICS)], state.metrics.encode())
}

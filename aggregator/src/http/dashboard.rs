//! The dashboard: one page with its script, style and icon, compiled in.
//!
//! Browsers keep no copy without asking, so that a page and its script are always of one version.

use axum::Router;
use axum::http::header;
use axum::routing::get;

/// The routes of the page and what it loads.
pub(super) fn routes() -> Router {
    let file = |media: &'static str, text: &'static str| {
        get(move || async move { ([(header::CONTENT_TYPE, media), (header::CACHE_CONTROL, "no-cache")], text) })
    };
    Router::new()
        .route("/", file("text/html; charset=utf-8", include_str!("../../dashboard/index.html")))
        .route("/alarms.js", file("text/javascript; charset=utf-8", include_str!("../../dashboard/alarms.js")))
        .route("/app.js", file("text/javascript; charset=utf-8", include_str!("../../dashboard/app.js")))
        .route("/style.css", file("text/css; charset=utf-8", include_str!("../../dashboard/style.css")))
        .route("/icon.svg", file("image/svg+xml", include_str!("../../dashboard/icon.svg")))
}

//! HTTP: the picture, its history and its changes for people and programs; health for operators.
//!
//! In: the live core's [`View`] snapshots, its broadcast of changed feeds, the store's history, the
//! metrics. Out: JSON, server-sent events, `OpenMetrics` text, and the dashboard. Nothing here writes.
//!
//! | file | serves |
//! |---|---|
//! | `status` | `/api/v1/status`, `/api/v1/regions/{code}`, `/api/v1/hospitals/{hospital}` |
//! | `history` | `/api/v1/history` |
//! | `events` | `/api/v1/events` |
//! | `openapi` | `/openapi.json`, which describes all of these |
//! | `metrics`, `health` | `/metrics`, `/healthz`, `/readyz` |
//! | `dashboard` | `/`, with its script, style and icon |
//! | `problem` | what an error looks like: always JSON with `error` and `detail` |
//!
//! Invariants: no request waits for the live core or holds it up. A snapshot is read without a lock,
//! and a change is encoded once, whatever the number of readers; a slow reader loses only its own
//! place. Every answer carries the headers that keep a browser from doing more than it was asked.

mod atom;
mod dashboard;
mod events;
mod health;
mod history;
mod metrics;
mod openapi;
mod problem;
mod status;

use std::future::IntoFuture as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;
use vardpuls_shared::clock::Clock;
use vardpuls_shared::key::PublicKey;

use self::events::Relay;
use self::problem::Problem;
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::store::Store;
use crate::view::{Change, View};

/// How long an answer may take to begin. Only the history waits for anything.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// How long open connections may take to end at shutdown; then they are cut.
const DRAIN_WITHIN: Duration = Duration::from_secs(3);

/// What the dashboard may do: load its own files and ask its own server, nothing else.
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the handlers read from.
#[derive(Clone)]
pub struct HttpState {
    /// The live picture. The core replaces it *before* it sends the change to `events`: a reader who
    /// subscribes first and looks second then misses nothing.
    pub view: Arc<ArcSwap<View>>,
    /// Each changed feed of each publication round, and what changed about alarms.
    pub events: broadcast::Sender<Change>,
    /// Where the history comes from.
    pub store: Store,
    /// What `/metrics` shows.
    pub metrics: Arc<Metrics>,
    /// What `/readyz` shows.
    pub readiness: Arc<Readiness>,
    /// The key that signs the feed, told in `status` so that readers can check what they got by MQTT.
    pub public_key: PublicKey,
    /// The default end of a history.
    pub clock: Clock,
    /// Shown above the figures and in `status`, such as "SIMULATED DATA".
    pub notice: Option<String>,
}

/// Serves until `shutdown`, then lets open answers end. Event streams end at once.
pub async fn serve(listener: TcpListener, state: HttpState, shutdown: CancellationToken) -> io::Result<()> {
    let (relay, relaying) = Relay::new(&state.events, shutdown.clone());
    let router = router(state, relay);
    let serving = axum::serve(listener, router).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let cut = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN_WITHIN).await;
    };
    tokio::select! {
        result = async { tokio::join!(serving.into_future(), relaying).0 } => result,
        () = cut => Ok(()),
    }
}

fn router(state: HttpState, relay: Relay) -> Router {
    let api = Router::new()
        .route("/api/v1/status", get(status::status))
        .route("/api/v1/regions/{code}", get(status::region))
        .route("/api/v1/hospitals/{hospital}", get(status::hospital))
        .route("/api/v1/history", get(history::history))
        .route("/api/v1/alerts.atom", get(atom::atom))
        .route("/metrics", get(metrics::metrics))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .with_state(state.clone())
        .route("/api/v1/events", get(events::events).with_state((state, relay)))
        .route("/openapi.json", get(openapi::openapi))
        .layer(header_unless_set(header::CACHE_CONTROL, "no-store"));
    Router::new()
        .merge(api)
        .merge(dashboard::routes())
        .fallback(async |uri: Uri| Problem::NoSuchPath(uri.path().to_owned()))
        .method_not_allowed_fallback(async || Problem::ReadOnly)
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, ANSWER_WITHIN))
        .layer(header_unless_set(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        .layer(header_unless_set(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(header_unless_set(header::REFERRER_POLICY, "no-referrer"))
}

fn header_unless_set(name: header::HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
}

#[cfg(test)]
mod tests;

//! HTTP: the picture and the alarms for people and programs, acting on alarms, health for operators.
//!
//! In: snapshots of the picture ([`View`]) and of what stands ([`Standing`]), the broadcast of their
//! changes, the store's history and journal, the metrics; orders of people with tokens. Out: JSON,
//! server-sent events, `OpenMetrics` text, the dashboard, and [`Order`]s. Nothing here decides or writes.
//!
//! | file | serves |
//! |---|---|
//! | `status` | `/api/v1/status`, `/api/v1/regions/{code}`, `/api/v1/hospitals/{hospital}` |
//! | `history` | `/api/v1/history` |
//! | `alerts` | `/api/v1/alerts`, `/api/v1/alerts/{id}`, `/api/v1/alerts/rules` |
//! | `declared`, `exercise` | `/api/v1/declared`, `/api/v1/exercise`: seeing and doing |
//! | `acting` | `/api/v1/alerts/{id}/…`, `/api/v1/points/{point}/…` |
//! | `journal` | `/api/v1/journal` |
//! | `access`, `body` | `/api/v1/me`; who is let in, and what a request to act says |
//! | `events` | `/api/v1/events` |
//! | `openapi` | `/openapi.json`, which describes all of these |
//! | `metrics`, `health` | `/metrics`, `/healthz`, `/readyz` |
//! | `dashboard` | `/`, with its script, style and icon |
//! | `problem` | what an error looks like: always JSON with `error` and `detail` |
//!
//! Invariants: no request waits for the live core or holds it up. A snapshot is read without a lock,
//! and a change is encoded once, whatever the number of readers; a slow reader loses only its own
//! place. Every answer carries the headers that keep a browser from doing more than it was asked.

mod access;
mod acting;
mod alerts;
mod atom;
mod body;
mod dashboard;
mod declared;
mod events;
mod exercise;
mod health;
mod history;
mod journal;
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
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post, put};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;
use vardpuls_shared::clock::Clock;
use vardpuls_shared::key::PublicKey;

use self::access::Door;
use self::events::Relay;
use self::problem::Problem;
use crate::alert::command::Order;
use crate::alert::standing::Standing;
use crate::metrics::Metrics;
use crate::operators::{Operators, Role};
use crate::readiness::Readiness;
use crate::store::Store;
use crate::view::{Change, View};

/// How long an answer may take to begin. Only what asks the store or gives an order waits for anything.
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
    /// What stands, replaced before its changes are sent too.
    pub standing: Arc<ArcSwap<Standing>>,
    /// Each changed feed of each publication round, each change of an alarm, and of what stands.
    pub events: broadcast::Sender<Change>,
    /// Where orders go; each is answered once it is durable.
    pub orders: mpsc::Sender<Order>,
    /// Who has a token.
    pub operators: Arc<ArcSwap<Operators>>,
    /// Where the history and the journal come from.
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
    let door = |role| from_fn_with_state(Door { state: state.clone(), role }, access::guard);
    let viewer = Router::new()
        .route("/api/v1/me", get(access::me))
        .route("/api/v1/journal", get(journal::journal))
        .route_layer(door(Role::Viewer));
    let operator = Router::new()
        .route("/api/v1/alerts/{id}/acknowledge", post(acting::acknowledge))
        .route("/api/v1/alerts/{id}/comment", post(acting::comment))
        .route("/api/v1/alerts/{id}/shelve", post(acting::shelve))
        .route("/api/v1/points/{point}/unshelve", post(acting::unshelve))
        .route("/api/v1/declared/{*scope}", put(declared::declare).delete(declared::take_back))
        .route_layer(door(Role::Operator));
    let administrator = Router::new()
        .route("/api/v1/points/{point}/remove-from-service", post(acting::remove_from_service))
        .route("/api/v1/points/{point}/return-to-service", post(acting::return_to_service))
        .route("/api/v1/exercise", post(exercise::begin).delete(exercise::finish))
        .route("/api/v1/exercise/alarms", post(exercise::raise))
        .route_layer(door(Role::Administrator));
    let api = Router::new()
        .route("/api/v1/status", get(status::status))
        .route("/api/v1/regions/{code}", get(status::region))
        .route("/api/v1/hospitals/{hospital}", get(status::hospital))
        .route("/api/v1/history", get(history::history))
        .route("/api/v1/alerts.atom", get(atom::atom))
        .route("/api/v1/alerts", get(alerts::alerts))
        .route("/api/v1/alerts/rules", get(alerts::rules))
        .route("/api/v1/alerts/{id}", get(alerts::alert))
        .route("/api/v1/declared", get(declared::declared))
        .merge(viewer)
        .merge(operator)
        .merge(administrator)
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
        .method_not_allowed_fallback(async || Problem::Method)
        .layer(DefaultBodyLimit::max(body::MAX_BODY))
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

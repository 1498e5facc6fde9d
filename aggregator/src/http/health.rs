//! Whether the process lives and whether the centre can do its work, for supervisors and balancers.
//!
//! `/healthz` answers as long as the runtime runs. `/readyz` is 503 while a part is missing; the
//! picture is still served then, with the age that it has.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::HttpState;

/// The process answers.
#[derive(Serialize, ToSchema)]
pub(super) struct Alive {
    alive: bool,
}

/// What must hold for the centre to do its work.
#[derive(Serialize, ToSchema)]
#[expect(
    clippy::struct_excessive_bools,
    clippy::struct_field_names,
    reason = "one word for each condition, for people"
)]
pub(super) struct Ready {
    /// All of the others.
    ready: bool,
    /// The broker answers.
    broker_connected: bool,
    /// The last commit succeeded.
    store_works: bool,
    /// The live picture stands again as the store has it.
    rebuilt: bool,
}

/// Whether the process lives
#[utoipa::path(get, path = "/healthz", tag = "operation", responses((status = 200, body = Alive)))]
pub(super) async fn alive() -> Json<Alive> {
    Json(Alive { alive: true })
}

/// Whether the centre can do its work
#[utoipa::path(get, path = "/readyz", tag = "operation",
    responses((status = 200, body = Ready), (status = 503, description = "Not ready", body = Ready)))]
pub(super) async fn ready(State(state): State<HttpState>) -> (StatusCode, Json<Ready>) {
    let readiness = &state.readiness;
    let ready = readiness.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = Ready {
        ready,
        broker_connected: readiness.broker_connected(),
        store_works: readiness.store_works(),
        rebuilt: readiness.rebuilt(),
    };
    (status, Json(body))
}

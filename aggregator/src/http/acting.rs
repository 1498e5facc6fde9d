//! Acting on alarms: acknowledge, comment, shelve, take out of service.
//!
//! In: a request of somebody who may. Out: an order to whoever keeps the book, and the journal
//! entries that it led to once they are durable, or why it was declined.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::Deserialize;
use tokio::sync::oneshot;
use utoipa::ToSchema;
use vardpuls_shared::alert::AlertId;

use super::access::Caller;
use super::body::{Reason, Said, end, required};
use super::journal::Journal;
use super::problem::Problem;
use super::{HttpState, openapi};
use crate::alert::command::{Command, Declined, Order};
use crate::alert::entry::PointKey;

/// Gives an order and waits until it is durable. An asker who goes away does not take it back.
pub(super) async fn give(
    state: &HttpState,
    Caller(operator): &Caller,
    command: Command,
    why: Option<String>,
) -> Result<Json<Journal>, Problem> {
    let (reply, answer) = oneshot::channel();
    let order = Order { command, operator: operator.name.clone(), why, reply };
    state.orders.send(order).await.map_err(|_| Declined::NotDurable)?;
    let entries = answer.await.map_err(|_| Declined::NotDurable)??;
    Ok(Json(Journal::with_names(entries)))
}

/// Acknowledges an alarm
#[utoipa::path(post, path = "/api/v1/alerts/{id}/acknowledge", tag = "acting", security(("token" = ["operator"])),
    params(("id" = String, Path, description = "The alarm")), request_body = Option<Reason>,
    responses((status = 200, body = Journal), openapi::NotDone))]
pub(super) async fn acknowledge(
    State(state): State<HttpState>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
    Said(said): Said<Reason>,
) -> Result<Json<Journal>, Problem> {
    give(&state, &caller, Command::Acknowledge(read_id(id)?), said.given()?).await
}

/// Writes something about an alarm
#[utoipa::path(post, path = "/api/v1/alerts/{id}/comment", tag = "acting", security(("token" = ["operator"])),
    params(("id" = String, Path, description = "The alarm")), request_body = Reason,
    responses((status = 200, body = Journal), openapi::NotDone))]
pub(super) async fn comment(
    State(state): State<HttpState>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
    Said(said): Said<Reason>,
) -> Result<Json<Journal>, Problem> {
    give(&state, &caller, Command::Comment(read_id(id)?), said.required()?).await
}

/// For how long, and why.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Shelving {
    /// When it comes back by itself, RFC 3339; or give `minutes`.
    #[schema(format = DateTime, nullable = false)]
    until: Option<String>,
    /// How many minutes until it comes back by itself.
    #[schema(nullable = false)]
    minutes: Option<u32>,
    /// Why, in your words. Required.
    #[schema(nullable = false, required)]
    why: Option<String>,
}

/// Sets an alarm aside for a time
#[utoipa::path(post, path = "/api/v1/alerts/{id}/shelve", tag = "acting", security(("token" = ["operator"])),
    description = "Sets an alarm aside: its rule says nothing at its target until that time. A reason is required.",
    params(("id" = String, Path, description = "The alarm")), request_body = Shelving,
    responses((status = 200, body = Journal), openapi::NotDone))]
pub(super) async fn shelve(
    State(state): State<HttpState>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
    Said(Shelving { until, minutes, why }): Said<Shelving>,
) -> Result<Json<Journal>, Problem> {
    let id = read_id(id)?;
    let alert = state.standing.load().alerts.iter().find(|alert| alert.id == id).cloned();
    let alert = alert.ok_or(Declined::NoSuchAlarm(id))?;
    let point = PointKey { rule: alert.rule.clone(), target: alert.target.clone() };
    let until = end(until.as_deref(), minutes, state.clock.now())?;
    give(&state, &caller, Command::Shelve(point, until), required(why)?).await
}

/// Takes a point back from the shelf
#[utoipa::path(post, path = "/api/v1/points/{point}/unshelve", tag = "acting", security(("token" = ["operator"])),
    description = "Takes a point back from the shelf. A point is a rule at a target, written `<rule>@<target>` with dots \
        for the target's slashes: `icu-full@region.01`. A slash as %2F is the same.",
    params(("point" = String, Path, description = "The point", example = "icu-full@region.01")),
    request_body = Option<Reason>, responses((status = 200, body = Journal), openapi::NotDone))]
pub(super) async fn unshelve(
    State(state): State<HttpState>,
    Extension(caller): Extension<Caller>,
    point: Result<Path<String>, PathRejection>,
    Said(said): Said<Reason>,
) -> Result<Json<Journal>, Problem> {
    give(&state, &caller, Command::Unshelve(read_point(point)?), said.given()?).await
}

/// Takes a point out of service
#[utoipa::path(post, path = "/api/v1/points/{point}/remove-from-service", tag = "acting",
    security(("token" = ["administrator"])),
    description = "Takes a point out of service until somebody returns it. A reason is required.",
    params(("point" = String, Path, description = "The point, as with unshelve", example = "icu-full@region.01")),
    request_body = Reason, responses((status = 200, body = Journal), openapi::NotDone))]
pub(super) async fn remove_from_service(
    State(state): State<HttpState>,
    Extension(caller): Extension<Caller>,
    point: Result<Path<String>, PathRejection>,
    Said(said): Said<Reason>,
) -> Result<Json<Journal>, Problem> {
    give(&state, &caller, Command::RemoveFromService(read_point(point)?), said.required()?).await
}

/// Brings a point back into service
#[utoipa::path(post, path = "/api/v1/points/{point}/return-to-service", tag = "acting",
    security(("token" = ["administrator"])), description = "Brings a point back into service. A reason is required.",
    params(("point" = String, Path, description = "The point, as with unshelve", example = "icu-full@region.01")),
    request_body = Reason, responses((status = 200, body = Journal), openapi::NotDone))]
pub(super) async fn return_to_service(
    State(state): State<HttpState>,
    Extension(caller): Extension<Caller>,
    point: Result<Path<String>, PathRejection>,
    Said(said): Said<Reason>,
) -> Result<Json<Journal>, Problem> {
    give(&state, &caller, Command::ReturnToService(read_point(point)?), said.required()?).await
}

fn read_id(id: Result<Path<String>, PathRejection>) -> Result<AlertId, Problem> {
    let Path(id) = id?;
    id.parse().map_err(|_| Problem::UnknownAlarm(id))
}

/// `<rule>@<target with dots>`.
fn read_point(point: Result<Path<String>, PathRejection>) -> Result<PointKey, Problem> {
    let Path(text) = point?;
    let undotted = text.split_once('@').map(|(rule, target)| format!("{rule}@{}", target.replace('.', "/")));
    undotted.and_then(|point| point.parse().ok()).ok_or(Problem::UnknownPoint(text))
}

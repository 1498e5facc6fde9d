//! Drills: seen by everybody, run by administrators.

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vardpuls_shared::alert::Target;
use vardpuls_shared::clock::Time;

use super::access::Caller;
use super::acting::give;
use super::body::{Reason, Said, end, reason};
use super::journal::Journal;
use super::problem::Problem;
use super::{HttpState, openapi};
use crate::alert::command::Command;
use crate::alert::standing::Standing;

/// The longest name of a drill, in characters: it stands on every alarm of it.
const LONGEST_NAME: usize = 100;

/// The drill that is on.
#[derive(Serialize, ToSchema)]
pub(super) struct Drill {
    /// What it is called.
    name: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    since: Time,
    /// When it ends by itself.
    #[schema(value_type = String, format = DateTime)]
    until: Time,
}

impl Drill {
    /// The drill that is on.
    pub(super) fn of(standing: &Standing) -> Option<Drill> {
        let exercise = standing.exercise.as_ref()?;
        Some(Drill { name: exercise.name.clone(), since: exercise.since, until: exercise.until })
    }
}

/// A drill to begin.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Beginning {
    /// What it is called.
    name: String,
    /// When it ends by itself, RFC 3339; or give `minutes`.
    #[schema(format = DateTime, nullable = false)]
    until: Option<String>,
    /// How many minutes until it ends by itself.
    #[schema(nullable = false)]
    minutes: Option<u32>,
    /// Why, in your words.
    #[schema(nullable = false)]
    why: Option<String>,
}

/// Begins a drill
#[utoipa::path(post, path = "/api/v1/exercise", tag = "acting", security(("token" = ["administrator"])),
    description = "Begins a drill, which ends by itself. Every alarm raised as part of it says so everywhere.",
    request_body = Beginning, responses((status = 200, body = Journal), openapi::NotDone))]
pub(super) async fn begin(
    State(state): State<HttpState>,
    Extension(caller): Extension<Caller>,
    Said(Beginning { name, until, minutes, why }): Said<Beginning>,
) -> Result<Json<Journal>, Problem> {
    let name = name.trim().to_owned();
    if name.chars().any(char::is_control) || name.chars().count() > LONGEST_NAME {
        return Err(Problem::Body(format!("name: write at most {LONGEST_NAME} characters on one line")));
    }
    let until = end(until.as_deref(), minutes, state.clock.now())?;
    give(&state, &caller, Command::BeginExercise { name, until }, reason(why)?).await
}

/// Ends the drill
#[utoipa::path(delete, path = "/api/v1/exercise", tag = "acting", security(("token" = ["administrator"])),
    request_body = Option<Reason>, responses((status = 200, body = Journal), openapi::NotDone))]
pub(super) async fn finish(
    State(state): State<HttpState>,
    Extension(caller): Extension<Caller>,
    Said(said): Said<Reason>,
) -> Result<Json<Journal>, Problem> {
    give(&state, &caller, Command::EndExercise, said.given()?).await
}

/// An alarm to raise as part of the drill.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Inject {
    /// The rule; /api/v1/alerts/rules lists them.
    rule: String,
    /// `nation`, `region/<code>`, `hospital/<hospital>` or `hospital/<hospital>/<ward>`.
    #[schema(value_type = String, example = "region/01")]
    target: Target,
    /// Why, in your words.
    #[schema(nullable = false)]
    why: Option<String>,
}

/// Raises a rule's alarm as part of the drill
#[utoipa::path(post, path = "/api/v1/exercise/alarms", tag = "acting", security(("token" = ["administrator"])),
    request_body = Inject, responses((status = 200, body = Journal), openapi::NotDone))]
pub(super) async fn raise(
    State(state): State<HttpState>,
    Extension(caller): Extension<Caller>,
    Said(Inject { rule, target, why }): Said<Inject>,
) -> Result<Json<Journal>, Problem> {
    give(&state, &caller, Command::RaiseInExercise { rule, target }, reason(why)?).await
}

//! The levels that people have declared: seen by everybody, typed by operators, never computed.

use std::collections::BTreeMap;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vardpuls_shared::alert::Declared;
use vardpuls_shared::clock::Time;
use vardpuls_shared::topic::Scope;

use super::access::Caller;
use super::acting::give;
use super::body::{Reason, Said, reason};
use super::journal::Journal;
use super::problem::{Problem, ProblemBody};
use super::{HttpState, openapi};
use crate::alert::book;
use crate::alert::command::Command;
use crate::alert::standing::Standing;

/// A declared level.
#[derive(Serialize, ToSchema)]
pub(super) struct DeclaredLevel {
    #[schema(value_type = String, example = "forstarkning")]
    level: Declared,
    /// What people call it.
    #[schema(example = "förstärkningsläge")]
    title: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    since: Time,
    /// Why, in the words of whoever declared it; only for those with a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    why: Option<String>,
}

/// The declared levels by scope, with the words of people or without.
pub(super) fn levels(standing: &Standing, names: bool) -> BTreeMap<String, DeclaredLevel> {
    let level = |(scope, declaration): (&Scope, &book::Declaration)| {
        let level = DeclaredLevel {
            level: declaration.level,
            title: declaration.level.title(),
            since: declaration.since,
            why: declaration.why.clone().filter(|_| names),
        };
        (scope.to_string(), level)
    };
    standing.declared.iter().map(level).collect()
}

/// The levels that are declared
#[derive(Serialize, ToSchema)]
pub(super) struct DeclaredLevels {
    /// The last journal entry that this takes in.
    number: u64,
    declared: BTreeMap<String, DeclaredLevel>,
}

/// The levels that people have declared
#[utoipa::path(get, path = "/api/v1/declared", tag = "alarms", security((), ("token" = ["viewer"])),
    responses((status = 200, body = DeclaredLevels),
        (status = 401, description = "The token is not in force", body = ProblemBody)))]
pub(super) async fn declared(
    State(state): State<HttpState>,
    headers: HeaderMap,
) -> Result<Json<DeclaredLevels>, Problem> {
    let names = state.sees_names(&headers)?;
    let standing = state.standing.load();
    Ok(Json(DeclaredLevels { number: standing.number, declared: levels(&standing, names) }))
}

/// What is declared.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Declaration {
    /// `stab`, `forstarkning` or `katastrof` for a region or a hospital, `stage-1` to `stage-9` for the nation.
    #[schema(value_type = String, example = "stab")]
    level: Declared,
    /// Why, in your words.
    #[schema(nullable = false)]
    why: Option<String>,
}

/// Declares a level
#[utoipa::path(put, path = "/api/v1/declared/{scope}", tag = "acting", security(("token" = ["operator"])),
    description = "Declares a level for a scope. The scope is written `nation`, `region.01` or `hospital.SE2321000016-1003`; \
        a slash in place of the dot, plain or as %2F, is the same.",
    params(("scope" = String, Path, description = "The scope", example = "region.01")), request_body = Declaration,
    responses((status = 200, body = Journal), openapi::NotDone))]
pub(super) async fn declare(
    State(state): State<HttpState>,
    Extension(caller): Extension<Caller>,
    scope: Result<Path<String>, PathRejection>,
    Said(declaration): Said<Declaration>,
) -> Result<Json<Journal>, Problem> {
    let command = Command::Declare(read_scope(&scope?)?, Some(declaration.level));
    give(&state, &caller, command, reason(declaration.why)?).await
}

/// Takes a declared level back
#[utoipa::path(delete, path = "/api/v1/declared/{scope}", tag = "acting", security(("token" = ["operator"])),
    params(("scope" = String, Path, description = "The scope, as with PUT", example = "region.01")),
    request_body = Option<Reason>, responses((status = 200, body = Journal), openapi::NotDone))]
pub(super) async fn take_back(
    State(state): State<HttpState>,
    Extension(caller): Extension<Caller>,
    scope: Result<Path<String>, PathRejection>,
    Said(said): Said<Reason>,
) -> Result<Json<Journal>, Problem> {
    give(&state, &caller, Command::Declare(read_scope(&scope?)?, None), said.given()?).await
}

fn read_scope(text: &str) -> Result<Scope, Problem> {
    text.replace('.', "/").parse().map_err(|_| Problem::UnknownScope(text.to_owned()))
}

//! The journal: everything that happened to alarms and that people did, which can only grow.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vardpuls_shared::clock::Time;

use super::problem::{Problem, ProblemBody};
use super::{HttpState, openapi};
use crate::alert::entry::{Act, Actor, Entry, Said};
use crate::store::JournalQuery;

const DEFAULT_LIMIT: u32 = 100;

/// The longest answer.
pub(super) const MOST_ENTRIES: u32 = 1000;

/// Journal entries.
#[derive(Serialize, ToSchema)]
pub(super) struct Journal {
    #[schema(value_type = Vec<openapi::JournalEntry>)]
    entries: Vec<Line>,
}

/// An entry as it is shown: with the names and words of people, or without.
#[derive(Serialize)]
pub(super) struct Line {
    number: u64,
    at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<Actor>,
    #[serde(flatten)]
    act: Act,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    said: Option<Said>,
}

impl Line {
    pub(super) fn of(entry: Entry, names: bool) -> Line {
        let Entry { number, at, by, act, why, said } = entry;
        Line { number, at, by: names.then_some(by), act, why: why.filter(|_| names), said }
    }
}

impl Journal {
    /// For those who may see names.
    pub(super) fn with_names(entries: Vec<Entry>) -> Journal {
        Journal { entries: entries.into_iter().map(|entry| Line::of(entry, true)).collect() }
    }
}

/// Which entries.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Parameters {
    /// Entries with a greater number, the oldest first; without it the newest come first
    after: Option<u64>,
    /// Entries with a smaller number
    before: Option<u64>,
    /// At most this many: 100 by default, 1000 at most
    limit: Option<u32>,
}

/// The journal of alarms and of what people did
#[utoipa::path(get, path = "/api/v1/journal", tag = "acting", security(("token" = ["viewer"])), params(Parameters),
    responses((status = 200, body = Journal), (status = 400, description = "A parameter is wrong", body = ProblemBody),
        (status = 401, description = "No token that is in force", body = ProblemBody),
        (status = 503, description = "The store cannot be read", body = ProblemBody)))]
pub(super) async fn journal(
    State(state): State<HttpState>,
    parameters: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<Journal>, Problem> {
    let Query(Parameters { after, before, limit }) = parameters?;
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if limit == 0 || limit > MOST_ENTRIES {
        let detail = format!("{limit} is not between 1 and {MOST_ENTRIES}");
        return Err(Problem::Parameter { parameter: "limit", detail });
    }
    let query = JournalQuery {
        after: after.unwrap_or(0),
        before,
        alarm: None,
        said_only: false,
        limit,
        newest_first: after.is_none(),
    };
    Ok(Json(Journal::with_names(state.store.journal(&query).await?)))
}

//! How a scope's figures went: the store's samples, one for each step.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use jiff::{Span, SpanRelativeTo};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vardpuls_shared::care::CareType;
use vardpuls_shared::clock::Time;
use vardpuls_shared::feed::{Coverage, Figures};
use vardpuls_shared::topic::Scope;

use super::problem::{Problem, ProblemBody};
use super::{HttpState, openapi};
use crate::store::{HistoryPoint, HistoryQuery};
use crate::view::View;

const DEFAULT_SPAN: Duration = Duration::from_hours(24);
const DEFAULT_STEP: Duration = Duration::from_mins(5);
const SHORTEST_STEP: Duration = Duration::from_secs(1);

/// The longest answer: three months by the quarter of an hour, or a month by five minutes.
const MOST_POINTS: u128 = 10_000;

/// Which history is asked for.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Parameters {
    /// `nation` (the default), `region/<code>` or `hospital/<hospital>`
    #[param(example = "region/01")]
    scope: Option<String>,
    /// One care type; without it, all together
    #[param(example = "icu")]
    care: Option<String>,
    /// The first instant, RFC 3339; 24 hours before `to` by default
    #[param(example = "2026-01-31T06:00:00Z")]
    from: Option<String>,
    /// The end, RFC 3339, itself not included; now by default
    #[param(example = "2026-02-01T06:00:00Z")]
    to: Option<String>,
    /// One point for each of these; `5m` by default
    #[param(example = "1h")]
    step: Option<String>,
}

/// The figures of one scope over time.
#[derive(Serialize, ToSchema)]
pub(super) struct History {
    /// Of what: `nation`, `region/<code>` or `hospital/<hospital>`.
    scope: String,
    /// The care type; null for all together.
    #[schema(value_type = Option<openapi::Care>, required)]
    care: Option<CareType>,
    /// The first instant.
    #[schema(value_type = String, format = DateTime)]
    from: Time,
    /// The end, itself not included.
    #[schema(value_type = String, format = DateTime)]
    to: Time,
    /// Seconds from one point to the next.
    step_seconds: u64,
    /// By rising time. A step without a sample has no point.
    points: Vec<Point>,
}

/// The last sample of one step.
#[derive(Serialize, ToSchema)]
pub(super) struct Point {
    /// When the figures held.
    #[schema(value_type = String, format = DateTime)]
    time: Time,
    /// Occupied by staffed; null where nothing is known or no bed is staffed.
    #[schema(required)]
    occupancy: Option<f64>,
    #[schema(value_type = openapi::Figures)]
    figures: Figures,
    #[schema(value_type = openapi::Coverage)]
    coverage: Coverage,
}

impl From<HistoryPoint> for Point {
    fn from(HistoryPoint { time, figures, coverage, occupancy }: HistoryPoint) -> Point {
        Point { time, occupancy, figures, coverage }
    }
}

/// How a scope's figures went
#[utoipa::path(get, path = "/api/v1/history", tag = "picture", params(Parameters),
    responses((status = 200, body = History),
        (status = 400, description = "A parameter is wrong", body = ProblemBody),
        (status = 404, description = "Unknown scope", body = ProblemBody),
        (status = 503, description = "The store cannot be read", body = ProblemBody)))]
pub(super) async fn history(
    State(state): State<HttpState>,
    parameters: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<History>, Problem> {
    let Query(parameters) = parameters?;
    let query = parameters.query(state.clock.now())?;
    let points = state.store.history(&query).await?;
    // A hospital that has left keeps its history, so only a scope with neither is a mistake.
    if points.is_empty() && !knows(&state.view.load(), &query.scope) {
        return Err(Problem::UnknownScope(query.scope.to_string()));
    }
    Ok(Json(History {
        scope: query.scope.to_string(),
        care: query.care,
        from: query.from,
        to: query.to,
        step_seconds: query.step.as_secs(),
        points: points.into_iter().map(Point::from).collect(),
    }))
}

fn knows(view: &View, scope: &Scope) -> bool {
    match scope {
        Scope::Nation => true,
        Scope::Region(code) => view.regions.contains_key(code),
        Scope::Hospital(hospital) => view.hospitals.contains_key(hospital),
    }
}

impl Parameters {
    /// What to ask the store, with the defaults filled in.
    fn query(&self, now: Time) -> Result<HistoryQuery, Problem> {
        let scope = read("scope", self.scope.as_deref(), |text| text.parse::<Scope>().map_err(|e| e.to_string()))?;
        let care = read("care", self.care.as_deref(), |text| text.parse::<CareType>().map_err(|e| e.to_string()))?;
        let to = read("to", self.to.as_deref(), time)?.unwrap_or(now);
        let from = read("from", self.from.as_deref(), time)?.unwrap_or(to.minus(DEFAULT_SPAN));
        let step = read("step", self.step.as_deref(), step)?.unwrap_or(DEFAULT_STEP);
        if from >= to {
            let detail = format!("{from} is not before to, which is {to}");
            return Err(Problem::Parameter { parameter: "from", detail });
        }
        let points = to.since(from).as_millis().div_ceil(step.as_millis());
        if points > MOST_POINTS {
            let detail = format!(
                "would give {points} points, and {MOST_POINTS} is the most; take a longer step or a shorter time"
            );
            return Err(Problem::Parameter { parameter: "step", detail });
        }
        Ok(HistoryQuery { scope: scope.unwrap_or(Scope::Nation), care, from, to, step })
    }
}

fn read<T>(
    parameter: &'static str,
    text: Option<&str>,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, Problem> {
    text.map(parse).transpose().map_err(|detail| Problem::Parameter { parameter, detail })
}

fn time(text: &str) -> Result<Time, String> {
    text.parse().map_err(|_| {
        format!("{text:?} is not an RFC 3339 time; write 2026-02-01T06:00:00Z, and %2B for the + of an offset")
    })
}

/// Whole seconds, such as `5m`, `1h` or `1d`.
fn step(text: &str) -> Result<Duration, String> {
    let span: Result<Span, _> = text.parse();
    span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .filter(|step| *step >= SHORTEST_STEP && step.subsec_nanos() == 0)
        .ok_or_else(|| format!("{text:?} is not a step of whole seconds; write 30s, 5m, 1h or 1d"))
}

//! The alarms that stand, one alarm with its journal, and the rules that raise them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vardpuls_shared::alert::{Alert, AlertId, Severity, State as Stage};
use vardpuls_shared::clock::Time;
use vardpuls_shared::hospital::RegionCode;

use super::declared::{DeclaredLevel, levels};
use super::exercise::Drill;
use super::journal::{Line, MOST_ENTRIES};
use super::problem::{Problem, ProblemBody};
use super::{HttpState, openapi};
use crate::alert::rules::Rules;
use crate::alert::standing::Standing;
use crate::store::JournalQuery;

/// Which alarms.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Parameters {
    /// At least this bad: `notice`, `warning`, `severe` or `critical`
    #[param(value_type = Option<String>, example = "severe")]
    severity: Option<Severity>,
    /// About this target or something in it: `nation`, `region/<code>`, `hospital/<hospital>`, `hospital/<hospital>/<ward>`
    #[param(example = "hospital/SE2321000016-1003")]
    target: Option<String>,
    /// In this region
    #[param(value_type = Option<String>, example = "01")]
    region: Option<RegionCode>,
    /// In this state: `active_unacknowledged`, `active_acknowledged` or `cleared_unacknowledged`
    #[param(value_type = Option<String>)]
    state: Option<Stage>,
    /// Only hidden ones, or only those that are not
    hidden: Option<bool>,
}

/// The open alarms.
#[derive(Serialize, ToSchema)]
pub(super) struct Alerts {
    /// The last journal entry that this takes in.
    number: u64,
    counts: AlertCounts,
    /// The worst first, then the newest. Hidden ones are among them, and say why they are hidden.
    #[schema(value_type = Vec<openapi::Alert>)]
    #[serde(rename = "alerts")]
    open: Vec<Arc<Alert>>,
    /// What is on the shelf, whether its alarm is open or not: by point, until when.
    #[schema(value_type = BTreeMap<String, String>)]
    shelved: BTreeMap<String, Time>,
    /// The points that are out of service.
    out_of_service: Vec<String>,
    /// The levels that people have declared, by scope.
    declared: BTreeMap<String, DeclaredLevel>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    exercise: Option<Drill>,
}

/// How many alarms.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct AlertCounts {
    critical: usize,
    severe: usize,
    warning: usize,
    notice: usize,
    /// Those that are hidden, which are not in the other counts.
    hidden: usize,
}

impl AlertCounts {
    pub(super) fn of<'a>(alerts: impl IntoIterator<Item = &'a Arc<Alert>>) -> AlertCounts {
        let mut counts = AlertCounts::default();
        for alert in alerts {
            let count = match alert.severity {
                _ if alert.hidden.is_some() => &mut counts.hidden,
                Severity::Critical => &mut counts.critical,
                Severity::Severe => &mut counts.severe,
                Severity::Warning => &mut counts.warning,
                Severity::Notice => &mut counts.notice,
            };
            *count += 1;
        }
        counts
    }
}

/// What stands beside the alarms; data of the event `standing`.
#[derive(Serialize, ToSchema)]
pub(super) struct StandingNow {
    /// The last journal entry that this takes in.
    pub(super) number: u64,
    counts: AlertCounts,
    /// The levels that people have declared, by scope.
    declared: BTreeMap<String, DeclaredLevel>,
    /// The drill that is on; null where there is none.
    #[schema(required)]
    exercise: Option<Drill>,
}

impl StandingNow {
    pub(super) fn of(standing: &Standing) -> StandingNow {
        StandingNow {
            number: standing.number,
            counts: AlertCounts::of(&standing.alerts),
            declared: levels(standing, false),
            exercise: Drill::of(standing),
        }
    }
}

impl Parameters {
    fn fits(&self, alert: &Alert) -> bool {
        let within = |target: &str| {
            let own = alert.target.to_string();
            own.strip_prefix(target).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.severity.is_none_or(|least| alert.severity >= least)
            && self.target.as_deref().is_none_or(within)
            && self.region.as_ref().is_none_or(|region| alert.region.as_ref() == Some(region))
            && self.state.is_none_or(|state| alert.state == state)
            && self.hidden.is_none_or(|hidden| alert.hidden.is_some() == hidden)
    }
}

/// The open alarms
#[utoipa::path(get, path = "/api/v1/alerts", tag = "alarms", params(Parameters),
    responses((status = 200, body = Alerts), (status = 400, description = "A parameter is wrong", body = ProblemBody)))]
pub(super) async fn alerts(
    State(state): State<HttpState>,
    parameters: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<Alerts>, Problem> {
    let Query(parameters) = parameters?;
    if let Some(target) = &parameters.target {
        target
            .parse::<vardpuls_shared::alert::Target>()
            .map_err(|e| Problem::Parameter { parameter: "target", detail: e.to_string() })?;
    }
    let standing = state.standing.load();
    let alerts: Vec<_> = standing.alerts.iter().filter(|alert| parameters.fits(alert)).cloned().collect();
    Ok(Json(Alerts {
        number: standing.number,
        counts: AlertCounts::of(&alerts),
        open: alerts,
        shelved: standing.shelved.iter().map(|(point, &until)| (point.to_string(), until)).collect(),
        out_of_service: standing.out_of_service.iter().map(ToString::to_string).collect(),
        declared: levels(&standing, false),
        exercise: Drill::of(&standing),
    }))
}

/// One alarm and what happened to it.
#[derive(Serialize, ToSchema)]
pub(super) struct OneAlert {
    /// Its state now, or how it ended; null where it was hidden for all its time and is over.
    #[schema(value_type = Option<openapi::Alert>, required)]
    alert: Option<Arc<Alert>>,
    /// What happened to it, the oldest first; at most the last thousand entries. Who and why only for those with a token.
    #[schema(value_type = Vec<openapi::JournalEntry>)]
    journal: Vec<Line>,
}

/// One alarm and what happened to it
#[utoipa::path(get, path = "/api/v1/alerts/{id}", tag = "alarms", security((), ("token" = ["viewer"])),
    params(("id" = String, Path, description = "The alarm")),
    responses((status = 200, body = OneAlert),
        (status = 401, description = "The token is not in force", body = ProblemBody),
        (status = 404, description = "Unknown alarm", body = ProblemBody),
        (status = 503, description = "The store cannot be read", body = ProblemBody)))]
pub(super) async fn alert(
    State(state): State<HttpState>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Json<OneAlert>, Problem> {
    let Path(id) = id?;
    let names = state.sees_names(&headers)?;
    let id: AlertId = id.parse().map_err(|_| Problem::UnknownAlarm(id))?;
    let query = JournalQuery {
        after: 0,
        before: None,
        alarm: Some(id.clone()),
        said_only: false,
        limit: MOST_ENTRIES,
        newest_first: true,
    };
    let mut entries = state.store.journal(&query).await?;
    let standing = state.standing.load();
    let open = standing.alerts.iter().find(|alert| alert.id == id).cloned();
    let alert = open.or_else(|| {
        let mut last = entries.iter().find_map(|entry| entry.said.as_ref())?.alert.clone();
        // It may have ended while it was hidden, which nobody was told.
        if entries.first().is_some_and(|newest| newest.number <= standing.number) {
            last.state = Stage::Closed;
        }
        Some(Arc::new(last))
    });
    if alert.is_none() && entries.is_empty() {
        return Err(Problem::UnknownAlarm(id.to_string()));
    }
    entries.reverse();
    Ok(Json(OneAlert { alert, journal: entries.into_iter().map(|entry| Line::of(entry, names)).collect() }))
}

/// The rules in force
#[utoipa::path(get, path = "/api/v1/alerts/rules", tag = "alarms", responses((status = 200, body = openapi::Rules)))]
pub(super) async fn rules(State(state): State<HttpState>) -> Json<Arc<Rules>> {
    Json(Arc::clone(&state.standing.load().rules))
}

//! The picture now: the nation with its regions, one region with its hospitals, one hospital.
//!
//! Every answer's figures are cut from one snapshot, so that they agree with each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;
use vardpuls_shared::clock::Time;
use vardpuls_shared::feed::Feed;
use vardpuls_shared::hospital::{HospitalId, RegionCode};
use vardpuls_shared::key::PublicKey;

use super::declared::{DeclaredLevel, levels};
use super::exercise::Drill;
use super::problem::{Problem, ProblemBody};
use super::{HttpState, openapi};
use crate::view::View;

/// The nation and its regions.
#[derive(Serialize, ToSchema)]
pub(super) struct Status {
    /// The centre's clock when the figures held.
    #[schema(value_type = String, format = DateTime)]
    as_of: Time,
    /// Grows with every publication round, also over restarts.
    number: u64,
    /// The operator's word on these figures, such as "SIMULATED DATA".
    #[serde(skip_serializing_if = "Option::is_none")]
    notice: Option<String>,
    /// The key that signs the feed on MQTT.
    #[schema(value_type = String, example = "ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")]
    public_key: PublicKey,
    #[schema(value_type = openapi::Scope)]
    nation: Arc<Feed>,
    /// Every region, by rising code, also those without hospitals.
    #[schema(value_type = Vec<openapi::Scope>)]
    regions: Vec<Arc<Feed>>,
    /// What people have declared, beside what is computed: by scope (`nation`, `region/<code>`, `hospital/<hospital>`).
    declared: BTreeMap<String, DeclaredLevel>,
    /// The drill that is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    exercise: Option<Drill>,
}

/// A region and its hospitals.
#[derive(Serialize, ToSchema)]
pub(super) struct Region {
    #[serde(flatten)]
    #[schema(value_type = openapi::Scope)]
    region: Arc<Feed>,
    /// The region's enrolled hospitals with their wards, by rising identifier.
    #[schema(value_type = Vec<openapi::Scope>)]
    hospitals: Vec<Arc<Feed>>,
}

impl Status {
    /// What `state` shows now.
    pub(super) fn now(state: &HttpState) -> Status {
        let (view, standing) = (state.view.load(), state.standing.load());
        let View { number, as_of, nation, regions, .. } = &**view;
        Status {
            as_of: *as_of,
            number: *number,
            notice: state.notice.clone(),
            public_key: state.public_key,
            nation: Arc::clone(nation),
            regions: regions.values().cloned().collect(),
            declared: levels(&standing, false),
            exercise: Drill::of(&standing),
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }
}

/// The nation and its regions now
#[utoipa::path(get, path = "/api/v1/status", tag = "picture", responses((status = 200, body = Status)))]
pub(super) async fn status(State(state): State<HttpState>) -> Json<Status> {
    Json(Status::now(&state))
}

/// One region and its hospitals now
#[utoipa::path(get, path = "/api/v1/regions/{code}", tag = "picture",
    params(("code" = String, Path, description = "The region's code in the nation file", example = "01")),
    responses((status = 200, body = Region), (status = 404, description = "Unknown region", body = ProblemBody)))]
pub(super) async fn region(
    State(state): State<HttpState>,
    code: Result<Path<String>, PathRejection>,
) -> Result<Json<Region>, Problem> {
    let Path(code) = code?;
    let view = state.view.load();
    let found = code.parse::<RegionCode>().ok().and_then(|code| view.regions.get(&code));
    let Some(region) = found else { return Err(Problem::UnknownRegion(code)) };
    let is_here = |feed: &&Arc<Feed>| feed.hospital.as_ref().is_some_and(|detail| detail.region == code);
    let hospitals = view.hospitals.values().filter(is_here).cloned().collect();
    Ok(Json(Region { region: Arc::clone(region), hospitals }))
}

/// One hospital and its wards now
#[utoipa::path(get, path = "/api/v1/hospitals/{hospital}", tag = "picture",
    params(("hospital" = String, Path, description = "The hospital's identifier", example = "SE2321000016-1003")),
    responses((status = 200, body = openapi::Scope), (status = 404, description = "Unknown hospital", body = ProblemBody)))]
pub(super) async fn hospital(
    State(state): State<HttpState>,
    hospital: Result<Path<String>, PathRejection>,
) -> Result<Json<Arc<Feed>>, Problem> {
    let Path(hospital) = hospital?;
    let view = state.view.load();
    let found = hospital.parse::<HospitalId>().ok().and_then(|id| view.hospitals.get(&id));
    found.cloned().map(Json).ok_or(Problem::UnknownHospital(hospital))
}

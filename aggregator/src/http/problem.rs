//! What an error looks like over HTTP: a status code, a name for programs, a sentence for people.
//! Who is not let in is also told how to come in (`WWW-Authenticate`).

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use vardpuls_service::event::Event;

use super::access::Denied;
use super::body::MAX_BODY;
use crate::alert::command::Declined;
use crate::store::StoreError;

/// Why a request was not answered as asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error("nothing is served at {0}; /openapi.json lists every path")]
    NoSuchPath(String),
    #[error("this path does not take that method; the header Allow says which it takes, /openapi.json what for")]
    Method,
    #[error("{0:?} is not a region of this nation; /api/v1/status lists the regions with their codes")]
    UnknownRegion(String),
    #[error("{0:?} is not an enrolled hospital; /api/v1/regions/{{code}} lists a region's hospitals")]
    UnknownHospital(String),
    #[error("there is no such scope now, nor a history of it: {0}")]
    UnknownScope(String),
    #[error("{0:?} is not an alarm that stands or stood; /api/v1/alerts lists those that stand")]
    UnknownAlarm(String),
    #[error("{0:?} is not a rule at a target; write <rule>@<target> with dots for slashes, as in icu-full@region.01")]
    UnknownPoint(String),
    #[error("{parameter}: {detail}")]
    Parameter { parameter: &'static str, detail: String },
    #[error("the query cannot be read: {0}")]
    Query(String),
    #[error("the path cannot be read: {0}")]
    Path(String),
    #[error("the body cannot be read: {0}")]
    Body(String),
    #[error("the body is larger than {MAX_BODY} bytes; say it shorter")]
    BodyTooLarge,
    #[error("the body is not called JSON; send the header Content-Type: application/json")]
    NotJson,
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(transparent)]
    Declined(#[from] Declined),
    /// The cause names the centre's files: it belongs in the log, not in the answer.
    #[error("the store cannot be read now; the centre's log says why")]
    Store(#[from] StoreError),
}

/// The body of every error.
#[derive(Serialize, ToSchema)]
pub(super) struct ProblemBody {
    /// The problem's name, for programs.
    error: &'static str,
    /// What is wrong and what to do, for people.
    detail: String,
}

impl Problem {
    fn name(&self) -> (StatusCode, &'static str) {
        match self {
            Problem::NoSuchPath(_) => (StatusCode::NOT_FOUND, "no_such_path"),
            Problem::Method => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Problem::UnknownRegion(_) => (StatusCode::NOT_FOUND, "unknown_region"),
            Problem::UnknownHospital(_) => (StatusCode::NOT_FOUND, "unknown_hospital"),
            Problem::UnknownScope(_) => (StatusCode::NOT_FOUND, "unknown_scope"),
            Problem::UnknownAlarm(_) => (StatusCode::NOT_FOUND, "unknown_alarm"),
            Problem::UnknownPoint(_) => (StatusCode::NOT_FOUND, "unknown_point"),
            Problem::Parameter { .. } => (StatusCode::BAD_REQUEST, "invalid_parameter"),
            Problem::Query(_) => (StatusCode::BAD_REQUEST, "invalid_query"),
            Problem::Path(_) => (StatusCode::BAD_REQUEST, "invalid_path"),
            Problem::Body(_) => (StatusCode::BAD_REQUEST, "invalid_body"),
            Problem::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            Problem::NotJson => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json"),
            Problem::Denied(denied @ Denied::Role { .. }) => (StatusCode::FORBIDDEN, denied.name()),
            Problem::Denied(denied) => (StatusCode::UNAUTHORIZED, denied.name()),
            Problem::Declined(declined) => name(declined),
            Problem::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable"),
        }
    }
}

fn name(declined: &Declined) -> (StatusCode, &'static str) {
    match declined {
        Declined::NoSuchAlarm(_) => (StatusCode::NOT_FOUND, "unknown_alarm"),
        Declined::NoSuchPoint(_) => (StatusCode::NOT_FOUND, "unknown_point"),
        Declined::NoSuchScope(_) => (StatusCode::NOT_FOUND, "unknown_scope"),
        Declined::AlreadyAcknowledged(_) => (StatusCode::CONFLICT, "already_acknowledged"),
        Declined::NotShelved(_) => (StatusCode::CONFLICT, "not_shelved"),
        Declined::InService(_) => (StatusCode::CONFLICT, "in_service"),
        Declined::OutOfService(_) => (StatusCode::CONFLICT, "out_of_service"),
        Declined::Unchanged(_) => (StatusCode::CONFLICT, "unchanged"),
        Declined::ExerciseOn(_) => (StatusCode::CONFLICT, "exercise_on"),
        Declined::NoExercise => (StatusCode::CONFLICT, "no_exercise"),
        Declined::Standing(_) => (StatusCode::CONFLICT, "already_standing"),
        Declined::ShelfTime => (StatusCode::BAD_REQUEST, "shelf_time"),
        Declined::ExerciseTime => (StatusCode::BAD_REQUEST, "exercise_time"),
        Declined::Unfitting { .. } => (StatusCode::BAD_REQUEST, "unfitting_level"),
        Declined::NoReason => (StatusCode::BAD_REQUEST, "no_reason"),
        Declined::NotDurable => (StatusCode::SERVICE_UNAVAILABLE, "not_durable"),
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejected: QueryRejection) -> Problem {
        Problem::Query(rejected.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejected: PathRejection) -> Problem {
        Problem::Path(rejected.body_text())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        if let Problem::Store(cause) = &self {
            tracing::error!(name: Event::StoreRequestFailed.name(), error = %cause, "a request to the store failed");
        }
        let (status, error) = self.name();
        let mut response = (status, Json(ProblemBody { error, detail: self.to_string() })).into_response();
        if let Problem::Denied(denied) = self {
            let challenge = HeaderValue::try_from(denied.challenge()).expect("our own words, in ASCII");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

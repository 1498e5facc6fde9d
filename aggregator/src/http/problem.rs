//! What an error looks like over HTTP: a status code, a name for programs, a sentence for people.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::store::StoreError;

/// Why a request was not answered as asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error("nothing is served at {0}; /openapi.json lists every path")]
    NoSuchPath(String),
    #[error("this interface only reads; use GET")]
    ReadOnly,
    #[error("{0:?} is not a region of this nation; /api/v1/status lists the regions with their codes")]
    UnknownRegion(String),
    #[error("{0:?} is not an enrolled hospital; /api/v1/regions/{{code}} lists a region's hospitals")]
    UnknownHospital(String),
    #[error("there is no such scope now, nor a history of it: {0}")]
    UnknownScope(String),
    #[error("{parameter}: {detail}")]
    Parameter { parameter: &'static str, detail: String },
    #[error("the query cannot be read: {0}")]
    Query(String),
    #[error("the path cannot be read: {0}")]
    Path(String),
    /// The cause names the centre's files: it belongs in the log, not in the answer.
    #[error("the history cannot be read now; the centre's log says why")]
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
            Problem::ReadOnly => (StatusCode::METHOD_NOT_ALLOWED, "read_only"),
            Problem::UnknownRegion(_) => (StatusCode::NOT_FOUND, "unknown_region"),
            Problem::UnknownHospital(_) => (StatusCode::NOT_FOUND, "unknown_hospital"),
            Problem::UnknownScope(_) => (StatusCode::NOT_FOUND, "unknown_scope"),
            Problem::Parameter { .. } => (StatusCode::BAD_REQUEST, "invalid_parameter"),
            Problem::Query(_) => (StatusCode::BAD_REQUEST, "invalid_query"),
            Problem::Path(_) => (StatusCode::BAD_REQUEST, "invalid_path"),
            Problem::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable"),
        }
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
            tracing::error!(error = %cause, "a history request failed");
        }
        let (status, error) = self.name();
        (status, Json(ProblemBody { error, detail: self.to_string() })).into_response()
    }
}

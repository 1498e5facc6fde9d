//! Who may come in: bearer tokens (RFC 6750) of named operators.
//!
//! In: the `Authorization` header. Out: the [`Caller`] whom a guarded handler acts for, or a problem.
//! Each denial is counted and logged, without the token. There are no cookies: a page of another site
//! has nothing to send in a user's name.

use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use serde::Serialize;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, ToSchema};
use vardpuls_service::event::Event;
use vardpuls_shared::clock::Time;

use super::HttpState;
use super::problem::{Problem, ProblemBody};
use crate::operators::{NotInForce, Operator, Role};

/// A door that lets in who has at least this role.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) state: HttpState,
    pub(super) role: Role,
}

/// Whose token a guarded request came with.
#[derive(Clone)]
pub(super) struct Caller(pub(super) Arc<Operator>);

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Denied {
    #[error("this needs a token: send the header Authorization: Bearer vp_…; the centre's administrator gives tokens")]
    NoToken,
    #[error("this token is not in force here; it may have been replaced: ask the centre's administrator")]
    UnknownToken,
    #[error("this token's time is over; ask the centre's administrator for a new one")]
    ExpiredToken,
    #[error("this asks for the role {needed}, and the token's holder is {has}")]
    Role { needed: Role, has: Role },
}

impl Denied {
    /// The problem's name, and the metric's reason.
    pub(super) fn name(self) -> &'static str {
        match self {
            Denied::NoToken => "token_missing",
            Denied::UnknownToken => "token_unknown",
            Denied::ExpiredToken => "token_expired",
            Denied::Role { .. } => "role_insufficient",
        }
    }

    /// What `WWW-Authenticate` says (RFC 6750 §3).
    pub(super) fn challenge(self) -> String {
        let realm = "Bearer realm=\"vardpuls\"";
        match self {
            Denied::NoToken => realm.to_owned(),
            Denied::UnknownToken => format!("{realm}, error=\"invalid_token\""),
            Denied::ExpiredToken => format!("{realm}, error=\"invalid_token\", error_description=\"expired\""),
            Denied::Role { needed, .. } => format!("{realm}, error=\"insufficient_scope\", scope=\"{needed}\""),
        }
    }
}

/// Lets a request through whose token suffices, with its [`Caller`].
pub(super) async fn guard(State(door): State<Door>, mut request: Request, next: Next) -> Result<Response, Problem> {
    let caller = door.state.admit(request.headers(), door.role)?;
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

impl HttpState {
    /// Whether names may be shown: not without a token, and a token that is not in force is a problem.
    pub(super) fn sees_names(&self, headers: &HeaderMap) -> Result<bool, Problem> {
        if headers.contains_key(header::AUTHORIZATION) {
            self.admit(headers, Role::Viewer).map(|_| true)
        } else {
            Ok(false)
        }
    }

    fn admit(&self, headers: &HeaderMap, needed: Role) -> Result<Caller, Problem> {
        let holder = bearer(headers).ok_or(Denied::NoToken).and_then(|token| {
            self.operators.load().holder(token, self.clock.now()).map_err(|not| match not {
                NotInForce::Unknown => Denied::UnknownToken,
                NotInForce::Expired => Denied::ExpiredToken,
            })
        });
        let denied = match holder {
            Ok(operator) if operator.role >= needed => return Ok(Caller(operator)),
            Ok(operator) => {
                let denied = Denied::Role { needed, has: operator.role };
                tracing::warn!(name: Event::RequestDenied.name(), reason = denied.name(), operator = operator.name, %needed,
                    "a request was denied");
                denied
            }
            Err(denied) => {
                tracing::warn!(name: Event::RequestDenied.name(), reason = denied.name(), "a request was denied");
                denied
            }
        };
        self.metrics.count_denied(denied.name());
        Err(denied.into())
    }
}

/// The token, where the header has one of this scheme.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start_matches(' '))
}

/// Whose token this is.
#[derive(Serialize, ToSchema)]
pub(super) struct Me {
    /// What the journal calls them.
    name: String,
    #[schema(value_type = super::openapi::Role)]
    role: Role,
    /// In force until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    until: Option<Time>,
}

/// Whose token this is
#[utoipa::path(get, path = "/api/v1/me", tag = "acting", security(("token" = ["viewer"])),
    responses((status = 200, body = Me), (status = 401, description = "No token that is in force", body = ProblemBody)))]
pub(super) async fn me(Extension(Caller(operator)): Extension<Caller>) -> Json<Me> {
    Json(Me { name: operator.name.clone(), role: operator.role, until: operator.until })
}

/// Describes the scheme in the interface's description.
pub(super) struct Tokens;

impl Modify for Tokens {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        openapi.components.get_or_insert_default().add_security_scheme("token", scheme);
    }
}

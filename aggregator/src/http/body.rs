//! What a request to act says, and how it is read: small, strict JSON.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;
use vardpuls_shared::clock::Time;

use super::problem::Problem;
use crate::alert::command::Declined;

/// The largest body that is read.
pub(super) const MAX_BODY: usize = 8 * 1024;

/// A body that was read; an empty one is `{}`.
pub(super) struct Said<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Said<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Said<T>, Problem> {
        let json = is_json(request.headers());
        let bytes = Bytes::from_request(request, state).await.map_err(|rejected| {
            // The limit has a name of its own; anything else is a connection that broke off.
            let too_large = rejected.into_response().status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE;
            if too_large { Problem::BodyTooLarge } else { Problem::Body("it broke off".to_owned()) }
        })?;
        if !bytes.is_empty() && !json {
            return Err(Problem::NotJson);
        }
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        serde_json::from_slice(text).map(Said).map_err(|e| Problem::Body(e.to_string()))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    media.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

/// Why.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Reason {
    /// Why, in your words. It stands in the journal for good, beside your name.
    #[schema(nullable = false)]
    why: Option<String>,
}

impl Reason {
    /// The reason, where there is one.
    pub(super) fn given(self) -> Result<Option<String>, Problem> {
        reason(self.why)
    }

    /// The reason, which there must be.
    pub(super) fn required(self) -> Result<Option<String>, Problem> {
        required(self.why)
    }
}

/// Why; none where it is blank.
pub(super) fn reason(why: Option<String>) -> Result<Option<String>, Problem> {
    let why = why.map(|why| why.trim().to_owned()).filter(|why| !why.is_empty());
    match &why {
        Some(text) if text.chars().any(|c| c.is_control() && c != '\n') => {
            Err(Problem::Body("why: has control characters; write plain text".to_owned()))
        }
        _ => Ok(why),
    }
}

/// Why, which there must be.
pub(super) fn required(why: Option<String>) -> Result<Option<String>, Problem> {
    let why = reason(why)?;
    if why.is_none() { Err(Declined::NoReason.into()) } else { Ok(why) }
}

/// The end that was asked for: a time, or minutes from `now`; exactly one of them.
pub(super) fn end(until: Option<&str>, minutes: Option<u32>, now: Time) -> Result<Time, Problem> {
    match (until, minutes) {
        (Some(until), None) => until.parse().map_err(|_| {
            Problem::Body(format!("until: {until:?} is not an RFC 3339 time; write 2026-02-01T06:00:00Z"))
        }),
        (None, Some(minutes)) => Ok(now.plus(Duration::from_mins(minutes.into()))),
        _ => Err(Problem::Body("give either until, a time, or minutes, a number".to_owned())),
    }
}

//! One HTTP request, and what its answer means. HTTP/1.1, TLS by rustls on ring with the system's roots.
//!
//! Invariants: nothing waits longer than [`WHOLE_WITHIN`], no redirect is followed (what an alarm says
//! goes where the config says), and of an answer no more than [`MOST_ANSWER`] bytes are read.

use std::sync::Arc;
use std::time::Duration;

use axum::http::uri::Scheme;
use axum::http::{Method, Request, StatusCode, Uri, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const WHOLE_WITHIN: Duration = Duration::from_secs(15);

/// What is read of an answer, for the log.
const MOST_ANSWER: usize = 1024;

/// What is posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// Headers beyond the content type, which is JSON.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What came of a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It was taken.
    Taken,
    /// It was refused for good: sent again, it would be refused again.
    Refused(String),
    /// It was not taken, for a reason that may pass.
    Failed(String),
}

/// Why nothing can be posted.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// The address.
    #[error("{url:?} is no address: {reason}; write http://HOST[:PORT]/PATH or https://…")]
    Url {
        /// The address as written.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// Nobody to trust.
    #[error("no root certificate was found on this machine, and the address is https; install ca-certificates")]
    NoRoots,
}

/// Posts to one address.
#[derive(Debug)]
pub struct Poster {
    url: Uri,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Poster {
    /// Checks the address and makes a client for it. Nothing is connected yet.
    pub fn new(url: &str) -> Result<Poster, PostError> {
        let wrong = |reason: &str| PostError::Url { url: url.to_owned(), reason: reason.to_owned() };
        let parsed: Uri = url.parse().map_err(|e: axum::http::uri::InvalidUri| wrong(&e.to_string()))?;
        if !parsed.scheme().is_some_and(|scheme| [Scheme::HTTP, Scheme::HTTPS].contains(scheme)) {
            return Err(wrong("it is neither http nor https"));
        }
        if parsed.authority().is_none_or(|authority| authority.as_str().contains('@')) {
            return Err(PostError::Url { url: "…".to_owned(), reason: "it holds a user or a password".to_owned() });
        }
        let https = HttpsConnectorBuilder::new().with_tls_config(tls(&parsed)?).https_or_http().enable_http1();
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_connect_timeout(Some(CONNECT_WITHIN));
        http.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(https.wrap_connector(http));
        Ok(Poster { url: parsed, client })
    }

    /// Posts, and waits for the answer.
    pub async fn post(&self, post: &Post) -> Answer {
        match tokio::time::timeout(WHOLE_WITHIN, self.exchange(post)).await {
            Ok(Ok((status, text))) => judge(status, &text),
            Ok(Err(reason)) => Answer::Failed(reason),
            Err(_) => Answer::Failed(format!("no answer within {WHOLE_WITHIN:?}")),
        }
    }

    async fn exchange(&self, post: &Post) -> Result<(StatusCode, String), String> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&self.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("vardpuls-aggregator/", env!("CARGO_PKG_VERSION")));
        for (name, value) in &post.headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::from(post.body.clone())).map_err(|e| chain(&e))?;
        let answer = self.client.request(request).await.map_err(|e| chain(&e))?;
        let status = answer.status();
        // The status has been said: an answer that breaks off after it, or is long, does not change it.
        let body = Limited::new(answer.into_body(), MOST_ANSWER).collect().await;
        Ok((status, body.map(|all| String::from_utf8_lossy(&all.to_bytes()).into_owned()).unwrap_or_default()))
    }
}

/// What a status means for the next attempt.
fn judge(status: StatusCode, text: &str) -> Answer {
    const PASSING: [StatusCode; 3] =
        [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    let said = || if text.is_empty() { status.to_string() } else { format!("{status}: {:?}", text.trim()) };
    if status.is_success() {
        Answer::Taken
    } else if status.is_client_error() && !PASSING.contains(&status) {
        Answer::Refused(said())
    } else {
        Answer::Failed(said())
    }
}

fn tls(url: &Uri) -> Result<ClientConfig, PostError> {
    let mut roots = RootCertStore::empty();
    if url.scheme() == Some(&Scheme::HTTPS) {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(PostError::NoRoots);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// An error with its causes, which here say more than it does itself.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_from_what_may_pass() {
        let of = |status: u16| judge(StatusCode::from_u16(status).expect("valid"), " why\n");
        for status in [200, 201, 202, 204] {
            assert_eq!(of(status), Answer::Taken);
        }
        for status in [400, 401, 403, 404, 410, 422] {
            assert!(matches!(of(status), Answer::Refused(said) if said.ends_with(": \"why\"")));
        }
        for status in [301, 302, 307, 408, 425, 429, 500, 502, 503, 504] {
            assert!(matches!(of(status), Answer::Failed(_)), "{status}");
        }
    }

    #[test]
    fn addresses_are_checked_and_hold_no_password() {
        for (url, expected) in [
            ("ftp://h/x", "neither http nor https"),
            ("/x", "neither http nor https"),
            ("http://a b", "is no address"),
            ("https://me:secret@h/x", "a user or a password"),
        ] {
            let error = Poster::new(url).expect_err(url).to_string();
            assert!(error.contains(expected) && !error.contains("secret"), "{error}");
        }
        assert!(Poster::new("http://[::1]:9093/api").is_ok());
    }
}

//! HTTP towards a hospital's own systems: one request, and what its answer means.
//!
//! HTTP/1.1, TLS by rustls on ring. Invariants: nothing waits longer than the time-out of the spec; no
//! redirect is followed (a login goes where the config says, and nowhere else); of a body no more is
//! read than the cap; no error holds a body, a login or what follows the `?` of an address. Files with secrets are
//! read anew for each request, so that whoever changes them need not tell us.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::config::{ClientCert, Login};

/// How to ask one server.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpSpec {
    /// What is asked for.
    pub url: Uri,
    /// How we say who we are.
    pub auth: Auth,
    /// More headers, each with the file that holds its value.
    pub header_files: BTreeMap<String, PathBuf>,
    /// Whom to trust, PEM; none means whom the machine trusts.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate.
    pub client: Option<ClientCert>,
    /// How long a whole exchange may take.
    pub timeout: Duration,
    /// The largest body that is read.
    pub max_bytes: usize,
}

/// How we say who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// Not at all, or by certificate.
    None,
    /// A bearer token, in a file.
    Bearer(PathBuf),
    /// A user name and a password.
    Basic(Login),
}

/// Why there is no answer to read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpFault {
    /// No connection, or it broke.
    #[error("cannot be reached ({0}); check url, and that this machine may connect there")]
    Unreachable(String),
    /// The certificates do not fit.
    #[error("TLS failed ({0}); set ca-file to whom to trust, and check the name in url and the client certificate")]
    Tls(String),
    /// Too slow.
    #[error("no whole answer within the {} s of timeout; ask whoever runs the server, or raise timeout", .0.as_secs_f32())]
    TimedOut(Duration),
    /// The login does not fit.
    #[error("refused us with status {0}; check the login or token, and what it may read")]
    Forbidden(u16),
    /// It leads elsewhere.
    #[error("answers with a redirect (status {0}), which is never followed; set url to where it leads")]
    Redirect(u16),
    /// It does not have it, or cannot give it.
    #[error("answers with status {0}; check url, and ask whoever runs the server")]
    Status(u16),
    /// More than can be meant.
    #[error("the answer has more than the {0} bytes of max-bytes; ask for less by url, or raise max-bytes")]
    TooLarge(usize),
    /// It ended before its end.
    #[error("the answer broke off ({0}); if that goes on, ask whoever runs the server")]
    Broken(String),
    /// A file of ours.
    #[error("{}: {reason}; check that it is there, and that the agent's user may read it", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody to trust.
    #[error(
        "no root certificate was found on this machine to know the server by; set ca-file, or install ca-certificates"
    )]
    NoRoots,
}

/// An answer that can be read.
#[derive(Debug)]
pub(super) enum Answer {
    /// What we have is what there is.
    Unchanged,
    /// A whole body, and what to call it next time.
    Body(Bytes, Option<HeaderValue>),
}

/// Asks servers by one spec.
#[derive(Debug)]
pub(super) struct Http {
    spec: HttpSpec,
    /// Made when it is first needed, and anew after it failed: the files may be others now.
    client: Option<Client<HttpsConnector<HttpConnector>, Full<Bytes>>>,
}

impl Http {
    pub(super) fn new(spec: HttpSpec) -> Http {
        Http { spec, client: None }
    }

    pub(super) fn spec(&self) -> &HttpSpec {
        &self.spec
    }

    /// Asks for `url`; `authorization` stands in place of the spec's own login.
    pub(super) async fn get(
        &mut self,
        url: &Uri,
        accept: &'static str,
        authorization: Option<HeaderValue>,
        etag: Option<HeaderValue>,
    ) -> Result<Answer, HttpFault> {
        let authorization = match authorization {
            Some(value) => Some(value),
            None => self.spec.auth.header()?,
        };
        let mut headers = vec![(header::ACCEPT, HeaderValue::from_static(accept))];
        headers.extend(authorization.map(|value| (header::AUTHORIZATION, value)));
        headers.extend(etag.map(|value| (header::IF_NONE_MATCH, value)));
        for (name, file) in &self.spec.header_files {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("checked with the config");
            headers.push((name, header_value(file, &secret(file)?)?));
        }
        self.within(Method::GET, url, headers, Bytes::new()).await
    }

    /// Sends a form to `url`, without the spec's own login.
    pub(super) async fn post_form(&mut self, url: &Uri, form: String) -> Result<Answer, HttpFault> {
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        let json = HeaderValue::from_static("application/json");
        let headers = vec![(header::CONTENT_TYPE, form_type), (header::ACCEPT, json)];
        self.within(Method::POST, url, headers, Bytes::from(form)).await
    }

    async fn within(
        &mut self,
        method: Method,
        url: &Uri,
        headers: Vec<(HeaderName, HeaderValue)>,
        body: Bytes,
    ) -> Result<Answer, HttpFault> {
        let most = self.spec.timeout;
        let result = match tokio::time::timeout(most, self.exchange(method, url, headers, body)).await {
            Ok(result) => result,
            Err(_) => Err(HttpFault::TimedOut(most)),
        };
        if result.is_err() {
            self.client = None;
        }
        result
    }

    async fn exchange(
        &mut self,
        method: Method,
        url: &Uri,
        headers: Vec<(HeaderName, HeaderValue)>,
        body: Bytes,
    ) -> Result<Answer, HttpFault> {
        let client = match &self.client {
            Some(client) => client,
            None => self.client.insert(connector(&self.spec)?),
        };
        let agent = HeaderValue::from_static(concat!("vardpuls-agent/", env!("CARGO_PKG_VERSION")));
        let mut request = Request::new(Full::from(body));
        *request.method_mut() = method;
        *request.uri_mut() = url.clone();
        request.headers_mut().insert(header::USER_AGENT, agent);
        request.headers_mut().extend(headers.into_iter().map(|(name, value)| (Some(name), value)).collect::<Vec<_>>());
        let response = client.request(request).await.map_err(|e| no_answer(&e))?;
        judge(response.status())?;
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(Answer::Unchanged);
        }
        let etag = response.headers().get(header::ETAG).cloned();
        let body = Limited::new(response.into_body(), self.spec.max_bytes).collect().await;
        match body {
            Ok(body) => Ok(Answer::Body(body.to_bytes(), etag)),
            Err(e) if e.is::<LengthLimitError>() => Err(HttpFault::TooLarge(self.spec.max_bytes)),
            Err(e) => Err(HttpFault::Broken(chain(e.as_ref()))),
        }
    }
}

impl Auth {
    fn header(&self) -> Result<Option<HeaderValue>, HttpFault> {
        match self {
            Auth::None => Ok(None),
            Auth::Bearer(file) => bearer(file, &secret(file)?).map(Some),
            Auth::Basic(Login { username, password_file }) => {
                let pair = BASE64_STANDARD.encode(format!("{username}:{}", secret(password_file)?));
                header_value(password_file, &format!("Basic {pair}")).map(Some)
            }
        }
    }
}

/// The header of a token that came from `file`.
pub(super) fn bearer(file: &Path, token: &str) -> Result<HeaderValue, HttpFault> {
    header_value(file, &format!("Bearer {token}"))
}

/// A header's value out of a file; it is never shown.
fn header_value(file: &Path, text: &str) -> Result<HeaderValue, HttpFault> {
    let mut value = HeaderValue::from_str(text).map_err(|_| HttpFault::File {
        file: file.to_owned(),
        reason: "holds characters that no header can have".to_owned(),
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// What a file holds, without the line break at its end.
pub(super) fn secret(file: &Path) -> Result<String, HttpFault> {
    let text = fs::read_to_string(file).map_err(|e| unreadable(file, &e))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn unreadable(file: &Path, e: &io::Error) -> HttpFault {
    HttpFault::File { file: file.to_owned(), reason: format!("cannot be read ({e})") }
}

/// What a status means.
fn judge(status: StatusCode) -> Result<(), HttpFault> {
    match status.as_u16() {
        200..=299 | 304 => Ok(()),
        code @ (401 | 403) => Err(HttpFault::Forbidden(code)),
        code @ 300..=399 => Err(HttpFault::Redirect(code)),
        code => Err(HttpFault::Status(code)),
    }
}

fn no_answer(error: &(dyn Error + 'static)) -> HttpFault {
    let tls = causes(error).any(is_tls);
    if tls { HttpFault::Tls(chain(error)) } else { HttpFault::Unreachable(chain(error)) }
}

/// Whether TLS itself failed; the errors of connections stand inside one another.
fn is_tls(error: &(dyn Error + 'static)) -> bool {
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    error.is::<rustls::Error>() || inner.is_some_and(|inner| is_tls(inner))
}

/// An error with its causes, which here say more than it does itself.
fn chain(error: &(dyn Error + 'static)) -> String {
    causes(error).skip(1).fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// An error and its causes.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

fn connector(spec: &HttpSpec) -> Result<Client<HttpsConnector<HttpConnector>, Full<Bytes>>, HttpFault> {
    let https = HttpsConnectorBuilder::new().with_tls_config(tls(spec)?).https_or_http().enable_http1();
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_connect_timeout(Some(spec.timeout));
    http.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(1).build(https.wrap_connector(http));
    Ok(client)
}

fn tls(spec: &HttpSpec) -> Result<ClientConfig, HttpFault> {
    let https = spec.url.scheme_str() == Some("https");
    let roots = if https { roots(spec.ca_file.as_deref())? } else { RootCertStore::empty() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let failed = |e: rustls::Error| HttpFault::Tls(e.to_string());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(failed)?;
    let builder = builder.with_root_certificates(roots);
    match &spec.client {
        None => Ok(builder.with_no_client_auth()),
        Some(ClientCert { cert_file, key_file }) => {
            let key = PrivateKeyDer::from_pem_file(key_file)
                .map_err(|e| HttpFault::File { file: key_file.clone(), reason: format!("holds no PEM key ({e})") })?;
            builder.with_client_auth_cert(pem(cert_file)?, key).map_err(failed)
        }
    }
}

/// Whom to trust: those of a file, or else those whom the machine trusts.
pub(super) fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, HttpFault> {
    let mut roots = RootCertStore::empty();
    if let Some(file) = ca_file {
        let no_pem = |reason: &str| HttpFault::File { file: file.to_owned(), reason: reason.to_owned() };
        for certificate in pem(file)? {
            roots.add(certificate).map_err(|e| no_pem(&e.to_string()))?;
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(HttpFault::NoRoots);
        }
    }
    Ok(roots)
}

/// The certificates of a file; at least one.
fn pem(file: &Path) -> Result<Vec<CertificateDer<'static>>, HttpFault> {
    let no_pem = |reason: String| HttpFault::File { file: file.to_owned(), reason };
    let bytes = fs::read(file).map_err(|e| unreadable(file, &e))?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|e| no_pem(format!("is no PEM ({e})")))?;
    if certificates.is_empty() {
        return Err(no_pem("holds no PEM certificate".to_owned()));
    }
    Ok(certificates)
}

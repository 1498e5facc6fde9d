//! JSON sources against a real server: what it may answer, and what becomes of it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use vardpuls_agent::config::{Config, SourceConfig};
use vardpuls_agent::source::http::HttpFault;
use vardpuls_agent::source::{self, Fault, JsonFault, Observation, SourceError};
use vardpuls_service::vitals::Vitals;
use vardpuls_shared::clock::{Clock, Time};

const PATIENCE: Duration = Duration::from_secs(30);
const NOW: Time = Time(1_700_000_000_000);
const BODY: &str = r#"{"wards": [{"id": "iva", "open": 10, "used": 7}]}"#;

/// A source that asks `url`; `keys` are more keys of its table.
fn source(folder: &Path, url: &str, keys: &str) -> SourceConfig {
    let text = format!(
        r#"
        hospital = "h"
        name = "H"
        region = "01"
        state-dir = "state"
        key-file = "agent.key"
        centre-key = "ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
        broker = {{ url = "mqtt://localhost" }}
        [[ward]]
        index = 1
        id = "iva"
        name = "IVA"
        care = "icu"
        [[source]]
        name = "beds"
        kind = "json"
        url = "{url}"
        array = "/wards"
        {keys}
        [source.columns]
        ward = "/id"
        staffed = "/open"
        occupied = "/used"
        "#
    );
    let mut config = Config::parse(&folder.join("agent.toml"), &text).expect("a right config");
    config.sources.remove(0)
}

/// How often each thing was asked for.
#[derive(Debug, Default)]
struct Asked {
    whole: AtomicUsize,
    unchanged: AtomicUsize,
}

/// A hospital's server with an answer of every kind.
async fn server() -> (SocketAddr, Arc<Asked>) {
    let asked = Arc::new(Asked::default());
    let secured = |headers: HeaderMap, expected: &'static str| {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok().map(str::to_owned));
        if given.as_deref() == Some(expected) { BODY.into_response() } else { StatusCode::UNAUTHORIZED.into_response() }
    };
    let app = Router::new()
        .route("/plain", get(|| async { BODY }))
        .route("/tagged", get(tagged))
        .route("/bearer", get(move |headers| async move { secured(headers, "Bearer t0ken") }))
        .route("/basic", get(move |headers| async move { secured(headers, "Basic cmVhZGVyOnMzY3JldA==") }))
        .route(
            "/key",
            get(|headers: HeaderMap| async move {
                if headers.get("x-api-key").is_some_and(|key| key == "k3y") {
                    BODY.into_response()
                } else {
                    StatusCode::FORBIDDEN.into_response()
                }
            }),
        )
        .route("/redirect", get(|| async { Redirect::temporary("/plain") }))
        .route("/broken", get(|| async { StatusCode::INTERNAL_SERVER_ERROR }))
        .route("/page", get(|| async { "<html>19121212-1212</html>" }))
        .route("/huge", get(|| async { vec![b' '; 100_000] }))
        .route("/slow", get(|| async { tokio::time::sleep(Duration::from_mins(10)).await }))
        .route("/trickle", get(trickle))
        .with_state(Arc::clone(&asked));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, app).await.expect("serving") });
    (address, asked)
}

async fn tagged(State(asked): State<Arc<Asked>>, headers: HeaderMap) -> Response {
    if headers.get(header::IF_NONE_MATCH).is_some_and(|tag| tag == "\"one\"") {
        asked.unchanged.fetch_add(1, Ordering::Relaxed);
        return StatusCode::NOT_MODIFIED.into_response();
    }
    asked.whole.fetch_add(1, Ordering::Relaxed);
    ([(header::ETAG, "\"one\"")], BODY).into_response()
}

/// Sends a little, and then nothing for as long as anybody waits.
async fn trickle() -> Body {
    let first = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"{"))]);
    Body::from_stream(futures_util::StreamExt::chain(first, futures_util::stream::pending()))
}

async fn ask(url: &str, keys: &str) -> Result<Observation, SourceError> {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, secret) in [("token", "t0ken\n"), ("password", "s3cret\r\n"), ("key", "k3y")] {
        std::fs::write(folder.path().join(name), secret).expect("written");
    }
    source::read_once(&source(folder.path(), url, keys), &Clock::standing_at(NOW)).await
}

async fn fault(url: &str, keys: &str) -> HttpFault {
    let error = ask(url, keys).await.expect_err("a fault");
    assert!(!error.to_string().contains("s3cret") && !error.to_string().contains("t0ken"), "{error}");
    match error.fault {
        Fault::Json(JsonFault::Http(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_answer_is_read_with_every_kind_of_login() {
    let (server, _) = server().await;
    for (path, keys) in [
        ("plain", ""),
        ("bearer", "bearer-token-file = \"token\""),
        ("basic", "username = \"reader\"\npassword-file = \"password\""),
        ("key", "header-files = { X-Api-Key = \"key\" }"),
    ] {
        let seen = ask(&format!("http://{server}/{path}?key=hidden"), keys).await.expect(path);
        let ward = seen.wards.values().next().expect("a ward");
        assert_eq!((ward.staffed, ward.occupied, ward.at), (Some(10), Some(7), NOW), "{path}");
    }
}

#[tokio::test]
async fn every_other_answer_is_a_named_error() {
    let (server, _) = server().await;
    let url = |path: &str| format!("http://{server}/{path}");
    assert_eq!(fault(&url("bearer"), "").await, HttpFault::Forbidden(401));
    assert_eq!(fault(&url("basic"), "username = \"x\"\npassword-file = \"password\"").await, HttpFault::Forbidden(401));
    assert_eq!(fault(&url("redirect"), "").await, HttpFault::Redirect(307));
    assert_eq!(fault(&url("broken"), "").await, HttpFault::Status(500));
    assert_eq!(fault(&url("none"), "").await, HttpFault::Status(404));
    assert_eq!(fault(&url("huge"), "max-bytes = 1000").await, HttpFault::TooLarge(1000));
    let short = Duration::from_millis(300);
    for path in ["slow", "trickle"] {
        assert_eq!(fault(&url(path), "timeout = \"300ms\"").await, HttpFault::TimedOut(short));
    }
    let missing = fault(&url("plain"), "bearer-token-file = \"none\"").await;
    assert!(matches!(missing, HttpFault::File { .. }));
    let page = ask(&url("page?key=hidden"), "").await.expect_err("no JSON").to_string();
    assert_eq!(
        page,
        format!(
            "{}: line 1, column 1: the answer is not JSON; check url, a login page perhaps stands in the way",
            url("page")
        )
    );
}

#[tokio::test]
async fn a_connection_that_breaks_or_is_none_is_a_named_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let serving = tokio::spawn(async move {
        loop {
            let (mut peer, _) = listener.accept().await.expect("a peer");
            let mut request = [0; 4096];
            let _ = peer.read(&mut request).await;
            let _ = peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"wards\": [").await;
        }
    });
    let cut = fault(&format!("http://{address}/"), "").await;
    assert!(matches!(cut, HttpFault::Broken(_)), "{cut}");
    serving.abort();
    assert!(serving.await.is_err_and(|e| e.is_cancelled()));
    let gone = fault(&format!("http://{address}/"), "").await;
    assert!(matches!(gone, HttpFault::Unreachable(_)), "{gone}");
}

/// A server of one certificate for 127.0.0.1, and that certificate.
async fn secure_server() -> (SocketAddr, String) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate");
    let private = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private.into())
        .expect("a pair");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        loop {
            let (peer, _) = listener.accept().await.expect("a peer");
            let Ok(mut peer) = acceptor.accept(peer).await else { continue };
            let mut request = [0; 4096];
            let _ = peer.read(&mut request).await;
            let answer =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{BODY}", BODY.len());
            let _ = peer.write_all(answer.as_bytes()).await;
            let _ = peer.shutdown().await;
        }
    });
    (address, certificate.pem())
}

#[tokio::test]
async fn only_a_server_that_proves_its_name_is_believed() {
    let (server, certificate) = secure_server().await;
    let (_, other) = secure_server().await;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("ca.pem"), certificate).expect("written");
    std::fs::write(folder.path().join("other.pem"), other).expect("written");
    std::fs::write(folder.path().join("none.pem"), "no PEM").expect("written");
    let ask = async |host: &str, ca: &str| {
        let url = format!("https://{host}:{}/", server.port());
        let source = source(folder.path(), &url, &format!("ca-file = \"{ca}\""));
        source::read_once(&source, &Clock::standing_at(NOW)).await
    };
    assert_eq!(ask("127.0.0.1", "ca.pem").await.expect("believed").wards.len(), 1);
    for (host, ca) in [("127.0.0.1", "other.pem"), ("localhost", "ca.pem")] {
        let error = ask(host, ca).await.expect_err("not believed");
        assert!(matches!(error.fault, Fault::Json(JsonFault::Http(HttpFault::Tls(_)))), "{error}");
    }
    let error = ask("127.0.0.1", "none.pem").await.expect_err("no certificate");
    assert!(error.to_string().contains("none.pem: holds no PEM certificate"), "{error}");
}

#[tokio::test]
async fn what_did_not_change_is_not_sent_again_and_holds_at_the_new_time() {
    let (server, asked) = server().await;
    let folder = tempfile::tempdir().expect("a folder");
    let source = source(folder.path(), &format!("http://{server}/tagged"), "every = \"1s\"");
    let (tell, mut events) = mpsc::channel(8);
    let shutdown = CancellationToken::new();
    let clock = Clock::standing_at(NOW);
    let vitals = Vitals::default();
    let mut tasks = source::spawn(vec![source], clock.clone(), tell, &vitals, shutdown.clone());
    let mut next = async || {
        let event = tokio::time::timeout(PATIENCE, events.recv()).await.expect("in time").expect("an event");
        event.result.expect("readable")
    };
    let first = next().await;
    assert_eq!(first.at, NOW);
    let later = Time(NOW.0 + 60_000);
    clock.set(later);
    let second = loop {
        let seen = next().await;
        if seen.at == later {
            break seen;
        }
    };
    assert_eq!(second.wards.len(), 1);
    assert!(asked.whole.load(Ordering::Relaxed) == 1 && asked.unchanged.load(Ordering::Relaxed) >= 1);
    shutdown.cancel();
    let ended = async { while tasks.join_next().await.is_some() {} };
    tokio::time::timeout(PATIENCE, ended).await.expect("the tasks end at shutdown");
}

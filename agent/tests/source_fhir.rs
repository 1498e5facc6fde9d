//! FHIR sources against a real server: pages, tokens, and what a server may do wrong.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P384_SHA384_FIXED, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use vardpuls_agent::config::{Config, SourceConfig};
use vardpuls_agent::source::fhir::FhirFault;
use vardpuls_agent::source::http::HttpFault;
use vardpuls_agent::source::{self, Fault, Observation, SourceError};
use vardpuls_shared::clock::{Clock, Time};

const PATIENCE: Duration = Duration::from_secs(30);
const NOW: Time = Time(1_700_000_000_000);
const PATIENTS: usize = 57;

/// A source that asks the server at `url`; `keys` are more keys of its table.
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
        name = "ehr"
        kind = "fhir"
        url = "{url}"
        page-size = 10
        wards = {{ "Location/w" = "iva" }}
        {keys}
        "#
    );
    let mut config = Config::parse(&folder.join("agent.toml"), &text).expect("a right config");
    config.sources.remove(0)
}

/// A server, and what it was asked.
#[derive(Debug, Default)]
struct Server {
    address: Mutex<Option<SocketAddr>>,
    /// Next pages are said to be here.
    next: Mutex<Option<String>>,
    tokens: AtomicUsize,
    /// What a statement must be signed by.
    key: Mutex<Vec<u8>>,
    unchanged: AtomicUsize,
}

async fn serve() -> (String, Arc<Server>) {
    let server = Arc::new(Server::default());
    let app = Router::new()
        .route("/r4/Location", get(locations))
        .route("/r4/Encounter", get(encounters))
        .route("/secured/Location", get(secured))
        .route("/secured/Encounter", get(secured))
        .route("/token", post(token))
        .with_state(Arc::clone(&server));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    *server.address.lock().expect("whole") = Some(address);
    tokio::spawn(async move { axum::serve(listener, app).await.expect("serving") });
    (format!("http://{address}"), server)
}

fn bundle(resources: &[Value], next: Option<&str>) -> Value {
    let entries: Vec<Value> = resources.iter().map(|resource| json!({ "resource": resource })).collect();
    let links: Vec<Value> = next.iter().map(|url| json!({ "relation": "next", "url": url })).collect();
    json!({ "resourceType": "Bundle", "type": "searchset", "link": links, "entry": entries })
}

async fn locations(State(server): State<Arc<Server>>, headers: HeaderMap) -> Response {
    if headers.get(header::IF_NONE_MATCH).is_some_and(|tag| tag == "W/\"7\"") {
        server.unchanged.fetch_add(1, Ordering::Relaxed);
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let ward = json!({"resourceType": "Location", "id": "w"});
    let room = json!({"resourceType": "Location", "id": "r", "partOf": {"reference": "Location/w"}});
    ([(header::ETAG, "W/\"7\"")], Json(bundle(&[ward, room], None))).into_response()
}

async fn encounters(State(server): State<Arc<Server>>, Query(query): Query<HashMap<String, String>>) -> Json<Value> {
    assert_eq!(query.get("status").map(String::as_str), Some("in-progress"));
    assert_eq!(query.get("_elements").map(String::as_str), Some("status,class,location"));
    let from: usize = query.get("from").map_or(0, |from| from.parse().expect("a number"));
    let size: usize = query["_count"].parse().expect("a number");
    let stays: Vec<Value> = (from..PATIENTS.min(from + size))
        .map(|at| {
            json!({"resourceType": "Encounter", "id": at.to_string(), "status": "in-progress", "class": {"code": "IMP"},
                   "subject": {"reference": "Patient/1", "display": "Anna Andersson"},
                   "location": [{"location": {"reference": "Location/r"}}]})
        })
        .collect();
    let base = server.next.lock().expect("whole").clone();
    let base = base.unwrap_or_else(|| format!("http://{}", server.address.lock().expect("whole").expect("bound")));
    let next = format!(
        "{base}/r4/Encounter?status=in-progress&_elements=status,class,location&_count={size}&from={}",
        from + size
    );
    Json(bundle(&stays, (from + size < PATIENTS).then_some(next.as_str())))
}

async fn secured(headers: HeaderMap, query: Query<HashMap<String, String>>, server: State<Arc<Server>>) -> Response {
    if headers.get(header::AUTHORIZATION).is_none_or(|given| given != "Bearer tok") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if query.contains_key("status") {
        encounters(server, query).await.into_response()
    } else {
        locations(server, headers).await
    }
}

/// As the standard has it: a signed statement for a token.
async fn token(State(server): State<Arc<Server>>, Form(form): Form<HashMap<String, String>>) -> Response {
    let (signed, signature) = form["client_assertion"].rsplit_once('.').expect("three parts");
    let key = server.key.lock().expect("whole").clone();
    let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).expect("base64");
    let verified = UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, key).verify(signed.as_bytes(), &signature);
    let part = |at| -> Value {
        let text = signed.split('.').nth(at).expect("a part");
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(text).expect("base64")).expect("JSON")
    };
    let url = format!("http://{}/token", server.address.lock().expect("whole").expect("bound"));
    let (head, claims) = (part(0), part(1));
    let right = head["alg"] == "ES384"
        && head["kid"] == "k1"
        && claims["aud"] == url
        && claims["iss"] == "agent"
        && claims["exp"].as_u64() == Some(NOW.0 / 1000 + 240)
        && form["grant_type"] == "client_credentials"
        && form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        && form["scope"] == "system/Encounter.read system/Location.read";
    if verified.is_err() || !right {
        return StatusCode::BAD_REQUEST.into_response();
    }
    server.tokens.fetch_add(1, Ordering::Relaxed);
    Json(json!({ "access_token": "tok", "token_type": "bearer", "expires_in": 300 })).into_response()
}

async fn ask(url: &str, keys: &str) -> Result<Observation, SourceError> {
    source::read_once(&source(Path::new("/nowhere"), url, keys), &Clock::standing_at(NOW)).await
}

async fn fault(url: &str, keys: &str) -> FhirFault {
    match ask(url, keys).await.expect_err("a fault").fault {
        Fault::Fhir(fault) => fault,
        other => panic!("{other:?}"),
    }
}

fn occupied(seen: &Observation) -> Option<u16> {
    seen.wards.values().next().and_then(|ward| ward.occupied)
}

#[tokio::test]
async fn a_search_is_read_page_by_page_to_its_end() {
    let (url, server) = serve().await;
    let seen = ask(&format!("{url}/r4/"), "").await.expect("readable");
    assert_eq!((occupied(&seen).map(usize::from), seen.at), (Some(PATIENTS), NOW));
    assert_eq!(seen.unknown.len(), 0);
    // Relative addresses are of the same server.
    *server.next.lock().expect("whole") = Some(String::new());
    assert_eq!(occupied(&ask(&format!("{url}/r4"), "").await.expect("readable")).map(usize::from), Some(PATIENTS));
}

#[tokio::test]
async fn some_pages_are_never_taken_for_all() {
    let (url, server) = serve().await;
    let base = format!("{url}/r4");
    assert_eq!(fault(&base, "max-pages = 5").await, FhirFault::TooManyPages { search: "Encounter", most: 5 });
    *server.next.lock().expect("whole") = Some("http://127.0.0.2:1".to_owned());
    assert_eq!(fault(&base, "").await, FhirFault::Elsewhere { search: "Encounter" });
    *server.next.lock().expect("whole") = Some(format!("{url}/gone"));
    let gone = fault(&base, "").await;
    assert_eq!(gone, FhirFault::Http { search: "Encounter", fault: HttpFault::Status(404) });
    assert!(matches!(fault(&format!("{url}/none"), "").await, FhirFault::Http { search: "Location", .. }));
}

#[tokio::test]
async fn a_signed_statement_gets_a_token_that_is_kept_and_pages_that_did_not_change_are_not_sent_again() {
    let (url, server) = serve().await;
    let folder = tempfile::tempdir().expect("a folder");
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &random).expect("a key");
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, key.as_ref(), &random).expect("a key");
    *server.key.lock().expect("whole") = pair.public_key().as_ref().to_vec();
    let body = base64::prelude::BASE64_STANDARD.encode(key.as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
    std::fs::write(folder.path().join("smart.key"), pem).expect("written");
    let keys = format!(
        "every = \"1s\"\nsmart = {{ token-url = \"{url}/token\", client-id = \"agent\", key-file = \"smart.key\", key-id = \"k1\" }}"
    );
    let source = source(folder.path(), &format!("{url}/secured"), &keys);
    let (tell, mut events) = mpsc::channel(8);
    let shutdown = CancellationToken::new();
    let vitals = vardpuls_service::vitals::Vitals::default();
    let mut tasks = source::spawn(vec![source], Clock::standing_at(NOW), tell, &vitals, shutdown.clone());
    for _ in 0..2 {
        let event = tokio::time::timeout(PATIENCE, events.recv()).await.expect("in time").expect("an event");
        assert_eq!(occupied(&event.result.expect("readable")).map(usize::from), Some(PATIENTS));
    }
    assert_eq!(server.tokens.load(Ordering::Relaxed), 1);
    assert!(server.unchanged.load(Ordering::Relaxed) >= 1);
    shutdown.cancel();
    let ended = async { while tasks.join_next().await.is_some() {} };
    tokio::time::timeout(PATIENCE, ended).await.expect("the tasks end at shutdown");
    // Another key is refused by name, and shown nowhere.
    *server.key.lock().expect("whole") = vec![4; 97];
    let smart = format!(
        "smart = {{ token-url = \"{url}/token\", client-id = \"agent\", key-file = \"{}\", key-id = \"k1\" }}",
        folder.path().join("smart.key").display()
    );
    let refused = fault(&format!("{url}/secured"), &smart).await.to_string();
    assert!(refused.starts_with(&format!("no token from {url}/token: answers with status 400")), "{refused}");
}

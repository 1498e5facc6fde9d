//! The whole interface, asked in process: each path, each error, the event stream, the description.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, Method, Request};
use futures_util::StreamExt as _;
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt as _;
use vardpuls_shared::alert::Severity;
use vardpuls_shared::care::CareType;
use vardpuls_shared::clock::Time;
use vardpuls_shared::count::Counts;
use vardpuls_shared::feed::{Coverage, Feed, Figures, Freshness, HospitalDetail, Level, VERSION, WardFigures};
use vardpuls_shared::topic::Scope;

use super::*;
use crate::alert::entry::Act;
use crate::config::StoreConfig;
use crate::operators::{Operator, Token};
use crate::receivers::tests::{Story, append};
use crate::store::{Batch, Sample};

mod acting;
mod alarms;

const HOSPITAL: &str = "SE2321000016-1003";
const NOW: Time = Time(1_770_000_000_000);

/// A centre of one hospital in region 01 and none in region 09, with a token of each role.
struct Fixture {
    state: HttpState,
    router: Router,
    /// Where orders arrive.
    orders: mpsc::Receiver<Order>,
    /// By rising role, the last one expired.
    tokens: [Token; 4],
    shutdown: CancellationToken,
    _folder: TempDir,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    async fn of(response: axum::response::Response) -> Answer {
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        Answer { status: parts.status, headers: parts.headers, text }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).expect("JSON")
    }
}

fn feed(level: Level, code: &str, number: u64, known: bool) -> Arc<Feed> {
    let figures =
        if known { Figures::of(&Counts { staffed: 10, occupied: 8, ..Counts::default() }) } else { Figures::default() };
    let ward = WardFigures { id: "iva-1".parse().expect("valid"), name: "IVA 1".into(), care: CareType::Icu, figures };
    Arc::new(Feed {
        version: VERSION,
        number,
        as_of: NOW,
        level,
        code: code.to_owned(),
        name: format!("the name of {code}"),
        total: figures,
        care: if known { BTreeMap::from([(CareType::Icu, figures)]) } else { BTreeMap::new() },
        coverage: Coverage { hospitals: known.into(), fresh: known.into(), stale: 0, unknown: 0 },
        hospital: (level == Level::Hospital).then(|| HospitalDetail {
            region: "01".into(),
            state: Freshness::Fresh,
            observed_at: Some(NOW),
            received_at: Some(NOW),
            clock_offset_ms: None,
            wards: vec![ward],
        }),
    })
}

fn view(number: u64) -> View {
    View {
        number,
        as_of: NOW,
        nation: feed(Level::Nation, "SE", number, true),
        regions: [("01", true), ("09", false)]
            .map(|(code, known)| (code.parse().expect("valid"), feed(Level::Region, code, number, known)))
            .into(),
        hospitals: [(HOSPITAL.parse().expect("valid"), feed(Level::Hospital, HOSPITAL, number, true))].into(),
    }
}

impl Fixture {
    async fn new() -> Fixture {
        let folder = tempfile::tempdir().expect("a folder");
        let config = StoreConfig { path: folder.path().join("test.db"), ..StoreConfig::default() };
        let (orders, arriving) = mpsc::channel(8);
        let tokens = [(); 4].map(|()| Token::make());
        let holder = |nth: usize, name: &str, role| Operator {
            name: name.to_owned(),
            role,
            until: (name == "Dag").then_some(NOW),
            digest: tokens[nth].digest(),
        };
        let operators: Operators = [
            holder(0, "Vera", Role::Viewer),
            holder(1, "Olle", Role::Operator),
            holder(2, "Ada", Role::Administrator),
            holder(3, "Dag", Role::Administrator),
        ]
        .into_iter()
        .collect();
        let state = HttpState {
            standing: Arc::default(),
            orders,
            operators: Arc::new(ArcSwap::from_pointee(operators)),
            view: Arc::new(ArcSwap::from_pointee(view(7))),
            events: broadcast::Sender::new(8),
            store: Store::open(&config).await.expect("a store"),
            metrics: Arc::new(Metrics::new()),
            readiness: Arc::new(Readiness::default()),
            public_key: PublicKey([7; 32]),
            clock: Clock::standing_at(NOW),
            notice: Some("SIMULATED DATA".to_owned()),
        };
        let shutdown = CancellationToken::new();
        let (relay, relaying) = Relay::new(&state.events, shutdown.clone());
        tokio::spawn(relaying);
        Fixture { router: router(state.clone(), relay), state, orders: arriving, tokens, shutdown, _folder: folder }
    }

    async fn send(&self, method: Method, path: &str) -> axum::response::Response {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).expect("a request");
        self.router.clone().oneshot(request).await.expect("infallible")
    }

    async fn get(&self, path: &str) -> Answer {
        Answer::of(self.send(Method::GET, path).await).await
    }
    async fn events(&self) -> Events {
        let response = self.send(Method::GET, "/api/v1/events").await;
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        Events(response.into_body().into_data_stream())
    }

    /// What the core does at a publication round.
    fn publish(&self, number: u64) {
        self.state.view.store(Arc::new(view(number)));
        self.state.events.send(Change::Feed(feed(Level::Region, "01", number, true))).expect("the relay listens");
    }
}

/// A reader of the event stream.
struct Events(BodyDataStream);

impl Events {
    /// The next event's name and data; none when the stream has ended. Pulses are passed over.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            let next = tokio::time::timeout(Duration::from_secs(20), self.0.next()).await.expect("an event in time");
            let bytes = next?.expect("a chunk");
            let text = std::str::from_utf8(&bytes).expect("text");
            assert!(text.ends_with("\n\n"), "one whole event in a chunk: {text}");
            let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            let data: Value = serde_json::from_str(field("data: ")).expect("JSON");
            match field("event: ") {
                "pulse" => assert_eq!(data["ready"], false),
                name => return Some((name.to_owned(), data)),
            }
        }
    }
}

#[tokio::test]
async fn status_has_the_nation_and_every_region_and_unknown_is_null() {
    let answer = Fixture::new().await.get("/api/v1/status").await;
    assert_eq!(answer.status, StatusCode::OK);
    let status = answer.json();
    assert_eq!((&status["number"], &status["as_of"]), (&7.into(), &NOW.to_string().into()));
    assert_eq!((&status["notice"], &status["nation"]["code"]), (&"SIMULATED DATA".into(), &"SE".into()));
    assert_eq!(status["public_key"], PublicKey([7; 32]).to_string());
    assert_eq!(status["regions"][0]["care"]["icu"]["available"], 2);
    assert_eq!(status["regions"][0]["coverage"]["fresh"], 1);
    assert_eq!(
        (&status["regions"][1]["code"], &status["regions"][1]["total"]["staffed"]),
        (&"09".into(), &Value::Null)
    );
}

#[tokio::test]
async fn a_region_has_its_hospitals_and_a_hospital_its_wards() {
    let fixture = Fixture::new().await;
    let region = fixture.get("/api/v1/regions/01").await.json();
    assert_eq!((&region["code"], &region["hospitals"][0]["code"]), (&"01".into(), &HOSPITAL.into()));
    assert_eq!(region["hospitals"][0]["hospital"]["wards"][0]["id"], "iva-1");
    assert_eq!(fixture.get("/api/v1/regions/09").await.json()["hospitals"], Value::Array(Vec::new()));
    let hospital = fixture.get(&format!("/api/v1/hospitals/{HOSPITAL}")).await.json();
    assert_eq!(hospital, region["hospitals"][0]);
}

#[tokio::test]
async fn errors_are_json_with_a_name_and_what_to_do() {
    let fixture = Fixture::new().await;
    for (path, status, error) in [
        ("/api/v1/regions/77", 404, "unknown_region"),
        ("/api/v1/regions/a%2Fb", 404, "unknown_region"),
        ("/api/v1/regions/%ff", 400, "invalid_path"),
        ("/api/v1/hospitals/nobody", 404, "unknown_hospital"),
        ("/api/v2/status", 404, "no_such_path"),
        ("/api/v1/history?scope=region/77", 404, "unknown_scope"),
        ("/api/v1/history?scope=county/77", 400, "invalid_parameter"),
        ("/api/v1/history?care=beds", 400, "invalid_parameter"),
        ("/api/v1/history?from=yesterday", 400, "invalid_parameter"),
        ("/api/v1/history?to=2026-02-01", 400, "invalid_parameter"),
        ("/api/v1/history?from=2026-02-01T00:00:00Z&to=2026-02-01T00:00:00Z", 400, "invalid_parameter"),
        ("/api/v1/history?step=0s", 400, "invalid_parameter"),
        ("/api/v1/history?step=-5m", 400, "invalid_parameter"),
        ("/api/v1/history?step=1500ms", 400, "invalid_parameter"),
        ("/api/v1/history?step=1s", 400, "invalid_parameter"),
        ("/api/v1/history?form=2026-02-01T00:00:00Z", 400, "invalid_query"),
    ] {
        let answer = fixture.get(path).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["error"]), (status, &error.into()), "{path}");
        assert!(answer.json()["detail"].as_str().is_some_and(|detail| detail.len() > 20), "{path}: {}", answer.text);
    }
    let response = fixture.send(Method::POST, "/api/v1/status").await;
    assert_eq!(
        (response.status(), &response.headers()[header::ALLOW]),
        (StatusCode::METHOD_NOT_ALLOWED, &"GET,HEAD".parse().expect("a value"))
    );
}

#[tokio::test]
async fn history_is_the_last_sample_of_each_step() {
    let fixture = Fixture::new().await;
    let known = feed(Level::Region, "01", 1, true);
    let sample = |minutes: u64| Sample {
        scope: Scope::Region("01".parse().expect("valid")),
        time: NOW.minus(Duration::from_mins(minutes)),
        total: known.total,
        care: known.care.clone(),
        coverage: known.coverage,
    };
    let samples = [70, 65, 10].map(sample).into();
    fixture.state.store.commit(&Batch { samples, ..Batch::default() }).await.expect("stored");
    let history = fixture.get("/api/v1/history?scope=region/01&care=icu&step=30m").await.json();
    assert_eq!((&history["scope"], &history["care"]), (&"region/01".into(), &"icu".into()));
    assert_eq!((&history["step_seconds"], &history["to"]), (&1800.into(), &NOW.to_string().into()));
    let points = history["points"].as_array().expect("points");
    assert_eq!(points.last().expect("a point")["figures"]["available"], 2);
    assert_eq!(points.last().expect("a point")["occupancy"], 0.8);
    assert!(points.iter().all(|point| point["time"] != sample(70).time.to_string()), "{history}");
    let offset = fixture.get("/api/v1/history?from=2026-02-01T00:00:00%2B01:00&to=2026-02-02T00:00:00%2B01:00").await;
    assert_eq!(offset.json()["from"], "2026-01-31T23:00:00.000Z");
}

#[tokio::test]
async fn a_store_that_cannot_be_read_is_503_without_its_secrets() {
    let fixture = Fixture::new().await;
    fixture.state.store.close().await;
    let answer = fixture.get("/api/v1/history").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]), (503, &"store_unavailable".into()));
    assert!(!answer.text.contains("test.db"), "{}", answer.text);
}

#[tokio::test]
async fn events_begin_with_the_status_and_go_on_with_each_change() {
    let fixture = Fixture::new().await;
    let mut events = fixture.events().await;
    let (name, status) = events.next().await.expect("an event");
    assert_eq!((name.as_str(), status), ("status", fixture.get("/api/v1/status").await.json()));
    assert_eq!(events.next().await.expect("an event").0, "standing");
    fixture.publish(8);
    let (name, region) = events.next().await.expect("an event");
    assert_eq!((name.as_str(), &region["code"], &region["number"]), ("region", &"01".into(), &8.into()));
    fixture.shutdown.cancel();
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_reader_that_falls_behind_is_given_the_whole_picture_again() {
    let fixture = Fixture::new().await;
    let mut slow = fixture.events().await;
    let mut quick = fixture.events().await;
    assert_eq!(slow.next().await.expect("an event").0, "status");
    assert_eq!(slow.next().await.expect("an event").0, "standing");
    assert_eq!(quick.next().await.expect("an event").0, "status");
    assert_eq!(quick.next().await.expect("an event").0, "standing");
    let last = 8 + 2 * events::BEHIND as u64;
    for number in 8..=last {
        fixture.publish(number);
        let (name, region) = quick.next().await.expect("an event");
        assert_eq!((name.as_str(), &region["number"]), ("region", &number.into()));
    }
    let (name, resync) = slow.next().await.expect("an event");
    assert_eq!(name, "resync");
    assert!(resync["missed"].as_u64() >= Some(events::BEHIND as u64), "{resync}");
    let (name, status) = slow.next().await.expect("an event");
    assert_eq!((name.as_str(), &status["number"]), ("status", &last.into()));
    assert_eq!(slow.next().await.expect("an event").0, "standing");
    fixture.publish(last + 1);
    assert_eq!(slow.next().await.expect("an event").1["number"], last + 1);
}

#[tokio::test]
async fn health_and_metrics() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.get("/healthz").await.status, StatusCode::OK);
    let waiting = fixture.get("/readyz").await;
    assert_eq!((waiting.status.as_u16(), &waiting.json()["broker_connected"]), (503, &false.into()));
    fixture.state.readiness.set_broker_connected(true);
    fixture.state.readiness.set_store_works(true);
    fixture.state.readiness.set_rebuilt();
    assert_eq!(fixture.get("/readyz").await.status, StatusCode::OK);
    let metrics = fixture.get("/metrics").await;
    assert!(metrics.headers[header::CONTENT_TYPE].to_str().expect("text").starts_with("application/openmetrics-text"));
    assert!(metrics.text.ends_with("# EOF\n"), "{}", metrics.text);
}

#[tokio::test]
async fn the_page_loads_only_what_is_served_here_and_every_answer_is_guarded() {
    let fixture = Fixture::new().await;
    let page = fixture.get("/").await;
    for (path, media) in [
        ("/alarms.js", "text/javascript"),
        ("/app.js", "text/javascript"),
        ("/style.css", "text/css"),
        ("/icon.svg", "image/svg+xml"),
    ] {
        assert!(page.text.contains(&format!("\"{}\"", &path[1..])), "the page does not load {path}");
        let file = fixture.get(path).await;
        assert!(file.headers[header::CONTENT_TYPE].to_str().expect("text").starts_with(media), "{path}");
        let foreign = file.text.replace("http://www.w3.org/2000/svg", "");
        assert!(!foreign.contains("http://") && !foreign.contains("https://"), "{path} names another server");
    }
    for path in ["/", "/api/v1/status", "/nothing", "/openapi.json"] {
        let headers = fixture.get(path).await.headers;
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
        assert!(
            headers[header::CONTENT_SECURITY_POLICY].to_str().expect("text").contains("default-src 'self'"),
            "{path}"
        );
    }
    assert_eq!(fixture.get("/api/v1/status").await.headers[header::CACHE_CONTROL], "no-store");
}

#[tokio::test]
async fn the_newest_messages_about_alarms_are_an_atom_feed_that_refers_back() {
    let fixture = Fixture::new().await;
    let empty = fixture.get("/api/v1/alerts.atom").await;
    assert_eq!(empty.headers[header::CONTENT_TYPE], "application/atom+xml; charset=utf-8");
    assert!(empty.text.contains("<updated>1970-01-01T00:00:00.000Z</updated>"), "{}", empty.text);
    // One alarm with more messages than the feed shows, and another that is over.
    let mut story = Story::new();
    let long = story.raise("a", Severity::Severe);
    let short = story.raise("b", Severity::Notice);
    for _ in 0..105 {
        story.act(Act::Acknowledged { alarm: long.clone() });
    }
    story.clear(&short);
    append(&fixture.state.store, &story.entries).await;
    let answer = fixture.get("/api/v1/alerts.atom").await;
    assert_eq!(answer.text.matches("<entry>").count(), 100);
    let newest = answer.text.split("</entry>").next().expect("an entry");
    assert!(newest.contains("href=\"/api/v1/alerts.atom\""), "{newest}");
    assert!(
        newest.contains("<msgType>Cancel</msgType>") && newest.contains(".2,2026-02-02T02:42:00-00:00</references>")
    );
    let oldest = answer.text.rsplit("<entry>").next().expect("an entry");
    assert!(oldest.contains(".1,2026-02-02T02:41:00-00:00 "), "the first message is not shown and is referred to");
    let ids: std::collections::BTreeSet<_> = answer.text.split("urn:uuid:").skip(1).map(|rest| &rest[..36]).collect();
    assert_eq!(ids.len(), 101);

    let tag = answer.headers[header::ETAG].clone();
    let ask = |tag: HeaderValue| {
        let request = Request::builder().uri("/api/v1/alerts.atom").header(header::IF_NONE_MATCH, tag);
        fixture.router.clone().oneshot(request.body(Body::empty()).expect("a request"))
    };
    assert_eq!(ask(tag).await.expect("infallible").status(), StatusCode::NOT_MODIFIED);
    let other = ask(empty.headers[header::ETAG].clone()).await.expect("infallible");
    assert_eq!(
        (other.status(), &other.headers()[header::CACHE_CONTROL]),
        (StatusCode::OK, &"no-cache".parse().expect("a value"))
    );
}

#[tokio::test]
async fn serving_ends_at_shutdown_even_with_a_reader_connected() {
    let fixture = Fixture::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let serving = tokio::spawn(serve(listener, fixture.state.clone(), fixture.shutdown.clone()));
    let mut reader = tokio::net::TcpStream::connect(address).await.expect("connected");
    let request = "GET /api/v1/events HTTP/1.1\r\nhost: x\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut reader, request.as_bytes()).await.expect("sent");
    let mut seen = String::new();
    while !seen.contains("event: status") {
        let mut buffer = [0; 4096];
        let read = tokio::io::AsyncReadExt::read(&mut reader, &mut buffer).await.expect("read");
        assert_ne!(read, 0, "the connection ended early: {seen}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    fixture.shutdown.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(20), serving).await.expect("it ends");
    ended.expect("no panic").expect("no error");
}

#[tokio::test]
async fn answers_have_exactly_what_the_description_names() {
    let fixture = Fixture::new().await;
    let sample = Sample {
        scope: Scope::Nation,
        time: NOW.minus(Duration::from_mins(1)),
        total: Figures::default(),
        care: BTreeMap::new(),
        coverage: Coverage::default(),
    };
    fixture.state.store.commit(&Batch { samples: vec![sample], ..Batch::default() }).await.expect("stored");
    let description = fixture.get("/openapi.json").await.json();
    for (path, template, code) in [
        ("/api/v1/status", "/api/v1/status", "200"),
        ("/api/v1/regions/01", "/api/v1/regions/{code}", "200"),
        ("/api/v1/regions/77", "/api/v1/regions/{code}", "404"),
        (&format!("/api/v1/hospitals/{HOSPITAL}"), "/api/v1/hospitals/{hospital}", "200"),
        ("/api/v1/hospitals/x", "/api/v1/hospitals/{hospital}", "404"),
        ("/api/v1/history", "/api/v1/history", "200"),
        ("/api/v1/history?care=icu", "/api/v1/history", "200"),
        ("/api/v1/history?step=x", "/api/v1/history", "400"),
        ("/healthz", "/healthz", "200"),
        ("/readyz", "/readyz", "503"),
    ] {
        let answer = fixture.get(path).await;
        assert_eq!(answer.status.as_str(), code, "{path}");
        let described = &description["paths"][template]["get"]["responses"][code];
        let schema = &described["content"]["application/json"]["schema"];
        matches(&description, schema, &answer.json(), path);
    }
    let mut events = fixture.events().await;
    let (_, status) = events.next().await.expect("an event");
    matches(&description, &serde_json::json!({"$ref": "#/components/schemas/Status"}), &status, "the status event");
    let paths: Vec<&String> = description["paths"].as_object().expect("paths").keys().collect();
    assert_eq!(paths.len(), 24, "{paths:?}");
    let care = &description["components"]["schemas"]["Care"]["enum"];
    assert_eq!(care, &serde_json::to_value(CareType::ALL).expect("JSON"), "the care types, in their order");
}

/// Holds `value` against `schema`, part by part.
fn matches(description: &Value, schema: &Value, value: &Value, place: &str) {
    assert!(schema.is_object(), "{place} has no schema");
    if let Some(options) = schema["oneOf"].as_array() {
        let nullable = options.iter().any(|option| option["type"] == "null");
        let other = options.iter().find(|option| option["type"] != "null").expect("a schema beside null");
        assert!(!value.is_null() || nullable, "{place} is null");
        if !value.is_null() {
            matches(description, other, value, place);
        }
        return;
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let (schema, properties, required) = flat(description, schema);
    let kinds = schema["type"].as_array().cloned().unwrap_or_else(|| vec![schema["type"].clone()]);
    assert!(kinds.contains(&kind.into()) || schema["allOf"].is_array(), "{place} is {kind}, described as {schema}");
    if let Some(options) = schema["enum"].as_array() {
        assert!(options.contains(value), "{place}: {value} is none of {options:?}");
    }
    for (at, item) in value.as_array().into_iter().flatten().enumerate() {
        matches(description, &schema["items"], item, &format!("{place}[{at}]"));
    }
    let Some(object) = value.as_object() else { return };
    for name in &required {
        assert!(object.contains_key(name), "{place} lacks {name}");
    }
    for (name, item) in object {
        let described = properties.get(name).unwrap_or(&schema["additionalProperties"]);
        matches(description, described, item, &format!("{place}.{name}"));
    }
}

/// The schema behind references, with the properties of everything that it is composed of.
fn flat(description: &Value, schema: &Value) -> (Value, BTreeMap<String, Value>, Vec<String>) {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => description.pointer(&reference[1..]).expect("the reference leads somewhere"),
        None => schema,
    };
    let mut properties: BTreeMap<String, Value> =
        schema["properties"].as_object().into_iter().flatten().map(|(n, s)| (n.clone(), s.clone())).collect();
    let mut required: Vec<String> =
        schema["required"].as_array().into_iter().flatten().filter_map(|n| n.as_str().map(str::to_owned)).collect();
    for part in schema["allOf"].as_array().into_iter().flatten() {
        let (_, more, needed) = flat(description, part);
        properties.extend(more);
        required.extend(needed);
    }
    (schema.clone(), properties, required)
}

//! Seeing alarms: the list and its filters, one alarm, declared levels, the drill, the events.

use vardpuls_shared::alert::{AlertId, Declared, Severity, Status, Target};

use super::*;
use crate::alert::book::Book;
use crate::alert::entry::{Act, Actor, Entry, PointKey, Raised};
use crate::alert::rules::Rules;

/// Raises an alarm in `book`.
pub(super) fn raise(book: &mut Book, rule: &str, target: &str, severity: Severity) -> Entry {
    let target: Target = target.parse().expect("a target");
    let at = NOW.minus(Duration::from_secs(100 - book.number()));
    let raised = Raised {
        alarm: AlertId::new(rule, &target, at),
        region: (target != Target::Scope(Scope::Nation)).then(|| "01".parse().expect("valid")),
        name: format!("the name of {target}"),
        point: PointKey { rule: rule.to_owned(), target },
        severity,
        headline: "Intensive care is nearly full".to_owned(),
        response: "Call the neighbours".to_owned(),
        measure: "available-ratio".to_owned(),
        unit: "%".to_owned(),
        value: Some(7.5),
        care: vec![CareType::Icu],
        latch: false,
        status: Status::Exercise,
        exercise: Some("Samö".to_owned()),
        suppressed_by: None,
    };
    book.write(at, Actor::Centre, Act::Raised(Box::new(raised)), None)
}

/// A region's and a ward's alarm, the nation's shelved, a declared level with its reason, a drill.
pub(super) fn book() -> (Book, Vec<AlertId>) {
    let mut book = Book::default();
    let raised = [("icu", "nation", Severity::Critical), ("icu", "region/01", Severity::Severe)]
        .into_iter()
        .chain([("full", "hospital/SE2321000016-1003/iva-1", Severity::Notice)])
        .map(|(rule, target, severity)| raise(&mut book, rule, target, severity))
        .map(|entry| entry.act.alarm().expect("raised").clone())
        .collect();
    let point = "icu@nation".parse().expect("a point");
    let olle = Actor::Operator("Olle".to_owned());
    for act in [
        Act::Shelved { point, until: NOW.plus(Duration::from_hours(1)) },
        Act::RemovedFromService { point: "full@region/09".parse().expect("a point") },
        Act::Declared { scope: "region/01".parse().expect("a scope"), level: Some(Declared::Stab) },
        Act::ExerciseBegan { name: "Samö".to_owned(), until: NOW.plus(Duration::from_hours(2)) },
    ] {
        book.write(NOW, olle.clone(), act, Some("a secret word".to_owned()));
    }
    (book, raised)
}

impl Fixture {
    /// Shows what `book` has, as the core does.
    pub(super) fn show(&self, book: &Book) -> Arc<Standing> {
        let standing = Arc::new(Standing::of(book, Arc::new(Rules::built_in())));
        self.state.standing.store(Arc::clone(&standing));
        standing
    }
}

fn ids(answer: &Value) -> Vec<&str> {
    answer["alerts"].as_array().expect("alerts").iter().map(|alert| alert["id"].as_str().expect("an id")).collect()
}

#[tokio::test]
async fn open_alarms_come_worst_first_and_hidden_ones_say_why() {
    let fixture = Fixture::new().await;
    let empty = fixture.get("/api/v1/alerts").await.json();
    assert_eq!((&empty["alerts"], &empty["number"]), (&Value::Array(Vec::new()), &0.into()));
    let (book, raised) = book();
    fixture.show(&book);
    let alerts = fixture.get("/api/v1/alerts").await.json();
    assert_eq!(ids(&alerts), raised.iter().map(AlertId::as_str).collect::<Vec<_>>());
    assert_eq!(alerts["alerts"][0]["hidden"]["kind"], "shelved");
    assert_eq!(
        alerts["counts"],
        serde_json::json!({"critical": 0, "severe": 1, "warning": 0, "notice": 1, "hidden": 1})
    );
    assert_eq!(alerts["shelved"]["icu@nation"], NOW.plus(Duration::from_hours(1)).to_string());
    assert_eq!(alerts["out_of_service"][0], "full@region/09");
    assert_eq!(
        (&alerts["declared"]["region/01"]["level"], &alerts["exercise"]["name"]),
        (&"stab".into(), &"Samö".into())
    );
    for (query, expected) in [
        ("severity=severe", &raised[..2]),
        ("target=hospital/SE2321000016-1003", &raised[2..]),
        ("target=region/01", &raised[1..2]),
        ("target=region/0", &[]),
        ("region=01", &raised[1..]),
        ("hidden=true", &raised[..1]),
        ("hidden=false&severity=warning", &raised[1..2]),
        ("state=active_unacknowledged", &raised[..]),
        ("state=active_acknowledged", &[]),
    ] {
        let alerts = fixture.get(&format!("/api/v1/alerts?{query}")).await.json();
        assert_eq!(ids(&alerts), expected.iter().map(AlertId::as_str).collect::<Vec<_>>(), "{query}");
    }
    for query in ["severity=bad", "target=county/1", "hidden=perhaps", "state=open", "colour=red"] {
        assert_eq!(fixture.get(&format!("/api/v1/alerts?{query}")).await.status, StatusCode::BAD_REQUEST, "{query}");
    }
}

#[tokio::test]
async fn declared_levels_and_the_drill_stand_beside_the_figures() {
    let fixture = Fixture::new().await;
    let status = fixture.get("/api/v1/status").await.json();
    assert_eq!((&status["declared"], status.get("exercise")), (&serde_json::json!({}), None));
    fixture.show(&book().0);
    let status = fixture.get("/api/v1/status").await.json();
    assert_eq!(status["declared"]["region/01"]["title"], "stabsläge");
    assert_eq!(status["exercise"]["until"], NOW.plus(Duration::from_hours(2)).to_string());
    assert_eq!(fixture.get("/api/v1/alerts/rules").await.json()["rules"][0]["name"], "icu-nation-10");
}

#[tokio::test]
async fn the_names_and_words_of_people_are_for_those_with_a_token() {
    let fixture = Fixture::new().await;
    let (mut book, raised) = book();
    fixture.show(&book);
    let id = &raised[1];
    let open = ["/api/v1/alerts", "/api/v1/status", "/api/v1/declared", &format!("/api/v1/alerts/{id}")];
    for path in open {
        let answer = fixture.get(path).await;
        assert!(answer.status.is_success() && !answer.text.contains("secret"), "{path}: {}", answer.text);
    }
    let mut events = fixture.events().await;
    for _ in 0..4 {
        let (name, data) = events.next().await.expect("an event");
        assert!(!data.to_string().contains("secret"), "{name}: {data}");
    }
    let declared = fixture.ask(Method::GET, "/api/v1/declared", Some(0), "").await.json();
    assert_eq!(declared["declared"]["region/01"]["why"], "a secret word");
    let olle = Actor::Operator("Olle".to_owned());
    let entry = book.write(NOW, olle, Act::Acknowledged { alarm: id.clone() }, Some("seen".to_owned()));
    let line = |names| serde_json::to_value(journal::Line::of(entry.clone(), names)).expect("JSON");
    assert_eq!((&line(true)["by"], &line(true)["why"]), (&"operator:Olle".into(), &"seen".into()));
    assert!(!line(false).to_string().contains("Olle") && !line(false).to_string().contains("seen"), "{}", line(false));
    assert_eq!((&line(false)["act"], &line(false)["said"]["message"]), (&"acknowledged".into(), &"update".into()));
}

#[tokio::test]
async fn a_connection_begins_with_what_stands_and_goes_on_with_each_change() {
    let fixture = Fixture::new().await;
    let (mut book, raised) = book();
    fixture.show(&book);
    let mut events = fixture.events().await;
    assert_eq!(events.next().await.expect("an event").0, "status");
    let (name, standing) = events.next().await.expect("an event");
    assert_eq!((name.as_str(), &standing["number"]), ("standing", &book.number().into()));
    assert_eq!((&standing["exercise"]["name"], &standing["counts"]["severe"]), (&"Samö".into(), &1.into()));
    for id in &raised[1..] {
        let (name, alert) = events.next().await.expect("an event");
        assert_eq!((name.as_str(), &alert["id"], &alert["message"]), ("alert", &id.as_str().into(), &"alert".into()));
    }
    let entry = book.write(NOW, Actor::Centre, Act::Acknowledged { alarm: raised[1].clone() }, None);
    let standing = fixture.show(&book);
    let said = Arc::new(entry.said.expect("receivers hear of it"));
    for change in [Change::Said(said), Change::Standing(standing)] {
        fixture.state.events.send(change).expect("the relay listens");
    }
    let (name, alert) = events.next().await.expect("an event");
    assert_eq!(
        (name.as_str(), &alert["message"], &alert["state"]),
        ("alert", &"update".into(), &"active_acknowledged".into())
    );
    let (name, standing) = events.next().await.expect("an event");
    assert_eq!((name.as_str(), &standing["number"]), ("standing", &book.number().into()));
}

#[tokio::test]
async fn alarms_have_exactly_what_the_description_names() {
    let fixture = Fixture::new().await;
    let (mut book, raised) = book();
    fixture.show(&book);
    let description = fixture.get("/openapi.json").await.json();
    for (path, template, token) in [
        ("/api/v1/alerts", "/api/v1/alerts", None),
        (&format!("/api/v1/alerts/{}", raised[1]), "/api/v1/alerts/{id}", None),
        ("/api/v1/alerts/rules", "/api/v1/alerts/rules", None),
        ("/api/v1/status", "/api/v1/status", None),
        ("/api/v1/declared", "/api/v1/declared", None),
        ("/api/v1/declared", "/api/v1/declared", Some(0)),
        ("/api/v1/me", "/api/v1/me", Some(0)),
        ("/api/v1/journal", "/api/v1/journal", Some(0)),
    ] {
        let answer = fixture.ask(Method::GET, path, token, "").await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        let schema =
            &description["paths"][template]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        matches(&description, schema, &answer.json(), path);
    }
    let mut events = fixture.events().await;
    for schema in ["Status", "StandingNow", "AlertNews", "AlertNews"] {
        let (name, data) = events.next().await.expect("an event");
        let reference = serde_json::json!({"$ref": format!("#/components/schemas/{schema}")});
        matches(&description, &reference, &data, &name);
    }
    let (alarm, point) = (raised[1].clone(), "icu@region/01".parse::<PointKey>().expect("a point"));
    let acts = [
        Act::Returned { alarm: alarm.clone(), value: None },
        Act::Cleared { alarm: alarm.clone(), value: Some(1.5), ending: crate::alert::entry::Ending::Condition },
        Act::Suppressed { alarm, suppressed_by: "icu@nation".to_owned() },
        Act::Shelved { point: point.clone(), until: NOW },
        Act::Unshelved { point },
        Act::Declared { scope: Scope::Nation, level: None },
        Act::ExerciseBegan { name: "x".to_owned(), until: NOW },
        Act::RulesLoaded { rules: 1, digest: "00".to_owned() },
    ];
    let mut entries = vec![raise(&mut book, "icu", "region/09", Severity::Warning)];
    entries.extend(acts.map(|act| book.write(NOW, Actor::Centre, act, Some("because".to_owned()))));
    for entry in entries {
        let line = serde_json::to_value(journal::Line::of(entry, true)).expect("JSON");
        let reference = serde_json::json!({"$ref": "#/components/schemas/JournalEntry"});
        matches(&description, &reference, &line, &line["act"].to_string());
    }
}

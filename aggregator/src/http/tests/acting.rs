//! Acting: who may do what, what a request must say, and what an order's answer becomes.

use vardpuls_shared::alert::{AlertId, Declared, Severity};

use super::alarms::{book, raise};
use super::*;
use crate::alert::book::Book;
use crate::alert::command::{Command, Declined};
use crate::alert::entry::{Act, Actor, Entry};

/// A method, a path, and a body with which somebody who may do it gets as far as an order.
type Asked = (Method, String, &'static str);

impl Fixture {
    /// Asks with the nth token and, if there is one, a JSON body.
    pub(super) async fn ask(&self, method: Method, path: &str, token: Option<usize>, body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(nth) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", self.tokens[nth].text()));
        }
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json; charset=utf-8");
        }
        let request = request.body(Body::from(body.to_owned())).expect("a request");
        Answer::of(self.router.clone().oneshot(request).await.expect("infallible")).await
    }

    /// Asks, and answers the order that arrives. What was ordered, by whom, why, and the answer.
    async fn order(
        &mut self,
        (method, path, body): (Method, &str, &str),
        token: usize,
        reply: Result<Vec<Entry>, Declined>,
    ) -> (Order, Answer) {
        let mut arriving = std::mem::replace(&mut self.orders, mpsc::channel(1).1);
        let answering = async {
            let order = arriving.recv().await.expect("an order");
            let (unused, _) = tokio::sync::oneshot::channel();
            let Order { command, operator, why, reply: to } = order;
            to.send(reply).expect("somebody waits");
            Order { command, operator, why, reply: unused }
        };
        let (order, answer) = tokio::time::timeout(Duration::from_secs(20), async {
            tokio::join!(answering, self.ask(method, path, Some(token), body))
        })
        .await
        .expect("in time");
        self.orders = arriving;
        (order, answer)
    }
}

fn error(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.json()["error"].as_str().expect("a name").to_owned())
}

/// Everything that asks for a token, with the role that it asks for.
fn guarded(id: &AlertId) -> Vec<(Role, Asked)> {
    let alarm = |act: &str| format!("/api/v1/alerts/{id}/{act}");
    let point = |act: &str| format!("/api/v1/points/icu@region.01/{act}");
    let why = r#"{"why": "because"}"#;
    vec![
        (Role::Viewer, (Method::GET, "/api/v1/me".to_owned(), "")),
        (Role::Viewer, (Method::GET, "/api/v1/journal".to_owned(), "")),
        (Role::Operator, (Method::POST, alarm("acknowledge"), "")),
        (Role::Operator, (Method::POST, alarm("comment"), why)),
        (Role::Operator, (Method::POST, alarm("shelve"), r#"{"minutes": 30, "why": "known"}"#)),
        (Role::Operator, (Method::POST, point("unshelve"), "")),
        (Role::Operator, (Method::PUT, "/api/v1/declared/region.01".to_owned(), r#"{"level": "stab"}"#)),
        (Role::Operator, (Method::DELETE, "/api/v1/declared/region.01".to_owned(), "")),
        (Role::Administrator, (Method::POST, point("remove-from-service"), why)),
        (Role::Administrator, (Method::POST, point("return-to-service"), why)),
        (Role::Administrator, (Method::POST, "/api/v1/exercise".to_owned(), r#"{"name": "Samö", "minutes": 60}"#)),
        (Role::Administrator, (Method::DELETE, "/api/v1/exercise".to_owned(), "")),
        (
            Role::Administrator,
            (Method::POST, "/api/v1/exercise/alarms".to_owned(), r#"{"rule": "icu", "target": "region/01"}"#),
        ),
    ]
}

#[tokio::test]
async fn each_role_may_do_its_own_and_what_those_before_it_may() {
    let mut fixture = Fixture::new().await;
    let (book, raised) = book();
    fixture.show(&book);
    for (needed, (method, path, body)) in guarded(&raised[1]) {
        for (nth, role) in Role::ALL.into_iter().enumerate() {
            let place = format!("{role}: {method} {path}");
            if role < needed {
                let answer = fixture.ask(method.clone(), &path, Some(nth), body).await;
                assert_eq!(error(&answer), (403, "role_insufficient".to_owned()), "{place}");
                let challenge = answer.headers[header::WWW_AUTHENTICATE].to_str().expect("text");
                assert!(challenge.contains("insufficient_scope") && challenge.contains(needed.name()), "{challenge}");
            } else if method == Method::GET {
                assert_eq!(fixture.ask(method.clone(), &path, Some(nth), "").await.status, StatusCode::OK, "{place}");
            } else {
                let (order, answer) = fixture.order((method.clone(), &path, body), nth, Ok(Vec::new())).await;
                assert_eq!(
                    (answer.status, answer.json()),
                    (StatusCode::OK, serde_json::json!({"entries": []})),
                    "{place}"
                );
                assert_eq!(order.operator, ["Vera", "Olle", "Ada"][nth], "{place}");
            }
        }
    }
    assert!(fixture.orders.try_recv().is_err(), "nobody else gave an order");
}

#[tokio::test]
async fn without_a_token_that_is_in_force_nothing_is_done_and_it_is_counted() {
    let mut fixture = Fixture::new().await;
    let (book, raised) = book();
    fixture.show(&book);
    for (_, (method, path, body)) in guarded(&raised[1]) {
        let none = fixture.ask(method.clone(), &path, None, body).await;
        assert_eq!(error(&none), (401, "token_missing".to_owned()), "{method} {path}");
        assert_eq!(none.headers[header::WWW_AUTHENTICATE], "Bearer realm=\"vardpuls\"");
        let expired = fixture.ask(method.clone(), &path, Some(3), body).await;
        assert_eq!(error(&expired), (401, "token_expired".to_owned()), "{method} {path}");
    }
    let good = fixture.tokens[2].text();
    let raw = format!("Bearer {good}x");
    for (authorization, name) in [
        (raw.as_str(), "token_unknown"),
        ("Bearer vp_", "token_unknown"),
        ("Bearer ", "token_unknown"),
        ("Bearer", "token_missing"),
        ("Basic dXNlcjpwYXNz", "token_missing"),
        (good, "token_missing"),
        ("Bearer \u{e5}", "token_missing"),
    ] {
        // An open path too: a token that is not in force is a mistake of which its holder should hear.
        for path in ["/api/v1/me", "/api/v1/declared"] {
            let value = HeaderValue::from_bytes(authorization.as_bytes()).expect("a value");
            let request = Request::builder().uri(path).header(header::AUTHORIZATION, value).body(Body::empty());
            let answer = fixture.router.clone().oneshot(request.expect("a request")).await.expect("infallible");
            assert_eq!(error(&Answer::of(answer).await), (401, name.to_owned()), "{authorization} {path}");
        }
    }
    let accepted = Request::builder().uri("/api/v1/me").header(header::AUTHORIZATION, format!("bearer {good}"));
    let accepted = fixture.router.clone().oneshot(accepted.body(Body::empty()).expect("a request")).await;
    assert_eq!(
        Answer::of(accepted.expect("infallible")).await.json(),
        serde_json::json!({"name": "Ada", "role": "administrator"})
    );
    let metrics = fixture.get("/metrics").await.text;
    for (reason, count) in
        [("token_missing", 21), ("token_expired", 13), ("token_unknown", 6), ("role_insufficient", 0)]
    {
        let line = format!("vardpuls_http_denied_total{{reason=\"{reason}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
    assert!(fixture.orders.try_recv().is_err(), "no order was given");
}

#[tokio::test]
async fn each_request_becomes_its_command() {
    let mut fixture = Fixture::new().await;
    let (book, raised) = book();
    fixture.show(&book);
    let id = &raised[1];
    let point = || "icu@region/01".parse().expect("a point");
    let region = || "region/01".parse().expect("a scope");
    let in_30 = NOW.plus(Duration::from_mins(30));
    let expected = [
        Command::Acknowledge(id.clone()),
        Command::Comment(id.clone()),
        Command::Shelve(point(), in_30),
        Command::Unshelve(point()),
        Command::Declare(region(), Some(Declared::Stab)),
        Command::Declare(region(), None),
        Command::RemoveFromService(point()),
        Command::ReturnToService(point()),
        Command::BeginExercise { name: "Samö".to_owned(), until: NOW.plus(Duration::from_hours(1)) },
        Command::EndExercise,
        Command::RaiseInExercise { rule: "icu".to_owned(), target: "region/01".parse().expect("a target") },
    ];
    let requests = guarded(id).into_iter().skip(2);
    for ((_, (method, path, body)), command) in requests.zip(expected) {
        let (order, _) = fixture.order((method, &path, body), 2, Ok(Vec::new())).await;
        assert_eq!((order.command, order.why.is_some()), (command, body.contains("why")), "{path}");
    }
    let until = format!(r#"{{"until": "{in_30}", "why": " known "}}"#);
    let path = format!("/api/v1/alerts/{id}/shelve");
    let (order, _) = fixture.order((Method::POST, &path, &until), 1, Ok(Vec::new())).await;
    assert_eq!((order.command, order.why.as_deref()), (Command::Shelve(point(), in_30), Some("known")));
    for path in ["region/01", "region%2F01", "region%2f01"] {
        let path = format!("/api/v1/declared/{path}");
        let (order, _) = fixture.order((Method::DELETE, &path, ""), 1, Ok(Vec::new())).await;
        assert_eq!(order.command, Command::Declare(region(), None), "{path}");
    }
    for (path, target) in [
        ("icu@region%2F01", "icu@region/01"),
        ("i.c@hospital.SE2321000016-1003.iva-1", "i.c@hospital/SE2321000016-1003/iva-1"),
        ("icu@nation", "icu@nation"),
    ] {
        let path = format!("/api/v1/points/{path}/unshelve");
        let (order, _) = fixture.order((Method::POST, &path, ""), 1, Ok(Vec::new())).await;
        assert_eq!(order.command, Command::Unshelve(target.parse().expect("a point")), "{path}");
    }
}

#[tokio::test]
async fn what_cannot_be_meant_gives_no_order() {
    let mut fixture = Fixture::new().await;
    let (book, raised) = book();
    fixture.show(&book);
    let id = &raised[1];
    let alarm = |act: &str| format!("/api/v1/alerts/{id}/{act}");
    let large = format!(r#"{{"why": "{}"}}"#, "x".repeat(8 * 1024));
    let long_name = format!(r#"{{"name": "{}", "minutes": 5}}"#, "x".repeat(101));
    let put = Method::PUT;
    for (method, path, body, status, name) in [
        (Method::POST, alarm("acknowledge"), "{", 400, "invalid_body"),
        (Method::POST, alarm("acknowledge"), "[]", 400, "invalid_body"),
        (Method::POST, alarm("acknowledge"), "\u{0}\u{ff}", 400, "invalid_body"),
        (Method::POST, alarm("acknowledge"), r#"{"because": "x"}"#, 400, "invalid_body"),
        (Method::POST, alarm("acknowledge"), r#"{"why": 1}"#, 400, "invalid_body"),
        (Method::POST, alarm("acknowledge"), r#"{"why": "a\u0007b"}"#, 400, "invalid_body"),
        (Method::POST, alarm("acknowledge"), &large, 413, "body_too_large"),
        (Method::POST, "/api/v1/alerts/a%2Fb/acknowledge".to_owned(), "", 404, "unknown_alarm"),
        (Method::POST, alarm("comment"), "", 400, "no_reason"),
        (Method::POST, alarm("comment"), r#"{"why": "  \n"}"#, 400, "no_reason"),
        (Method::POST, alarm("shelve"), r#"{"minutes": 30}"#, 400, "no_reason"),
        (Method::POST, alarm("shelve"), r#"{"why": "x"}"#, 400, "invalid_body"),
        (Method::POST, alarm("shelve"), r#"{"why": "x", "minutes": -1}"#, 400, "invalid_body"),
        (Method::POST, alarm("shelve"), r#"{"why": "x", "until": "noon"}"#, 400, "invalid_body"),
        (
            Method::POST,
            alarm("shelve"),
            r#"{"why": "x", "until": "2026-01-01T00:00:00Z", "minutes": 1}"#,
            400,
            "invalid_body",
        ),
        (
            Method::POST,
            "/api/v1/alerts/no.such.1/shelve".to_owned(),
            r#"{"why": "x", "minutes": 1}"#,
            404,
            "unknown_alarm",
        ),
        (Method::POST, "/api/v1/points/icu/unshelve".to_owned(), "", 404, "unknown_point"),
        (Method::POST, "/api/v1/points/icu@county.1/unshelve".to_owned(), "", 404, "unknown_point"),
        (Method::POST, "/api/v1/points/icu@region.01/remove-from-service".to_owned(), "", 400, "no_reason"),
        (Method::POST, "/api/v1/points/icu@region.01/return-to-service".to_owned(), "{}", 400, "no_reason"),
        (put.clone(), "/api/v1/declared/county.1".to_owned(), r#"{"level": "stab"}"#, 404, "unknown_scope"),
        (put.clone(), "/api/v1/declared/region.01".to_owned(), r#"{"level": "panic"}"#, 400, "invalid_body"),
        (put, "/api/v1/declared/region.01".to_owned(), "", 400, "invalid_body"),
        (Method::POST, "/api/v1/exercise".to_owned(), r#"{"minutes": 5}"#, 400, "invalid_body"),
        (Method::POST, "/api/v1/exercise".to_owned(), r#"{"name": "a\nb", "minutes": 5}"#, 400, "invalid_body"),
        (Method::POST, "/api/v1/exercise".to_owned(), &long_name, 400, "invalid_body"),
        (Method::POST, "/api/v1/exercise/alarms".to_owned(), r#"{"rule": "icu", "target": "x"}"#, 400, "invalid_body"),
        (Method::GET, alarm("acknowledge"), "", 405, "method_not_allowed"),
        (Method::DELETE, "/api/v1/alerts".to_owned(), "", 405, "method_not_allowed"),
    ] {
        let answer = fixture.ask(method.clone(), &path, Some(2), body).await;
        assert_eq!(error(&answer), (status, name.to_owned()), "{method} {path} {body}: {}", answer.text);
    }
    let form = Request::builder()
        .method(Method::POST)
        .uri(alarm("acknowledge"))
        .header(header::AUTHORIZATION, format!("Bearer {}", fixture.tokens[2].text()))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from("why=x"));
    let answer = fixture.router.clone().oneshot(form.expect("a request")).await.expect("infallible");
    assert_eq!(error(&Answer::of(answer).await), (415, "not_json".to_owned()));
    assert!(fixture.orders.try_recv().is_err(), "no order was given");
    for path in ["/api/v1/journal?limit=0", "/api/v1/journal?limit=1001", "/api/v1/journal?after=x"] {
        assert_eq!(fixture.ask(Method::GET, path, Some(0), "").await.status, StatusCode::BAD_REQUEST, "{path}");
    }
    for path in ["/api/v1/alerts/no.such.1", "/api/v1/alerts/a%2Fb"] {
        assert_eq!(error(&fixture.get(path).await), (404, "unknown_alarm".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn what_is_declined_says_why_and_what_is_done_is_answered_with_its_entries() {
    let mut fixture = Fixture::new().await;
    let mut book = Book::default();
    let id = raise(&mut book, "icu", "region/01", Severity::Severe).act.alarm().expect("raised").clone();
    let path = format!("/api/v1/alerts/{id}/acknowledge");
    let post = (Method::POST, path.as_str(), "");
    let point = || "icu@region/01".parse().expect("a point");
    for (declined, status, name) in [
        (Declined::NoSuchAlarm(id.clone()), 404, "unknown_alarm"),
        (Declined::AlreadyAcknowledged(id.clone()), 409, "already_acknowledged"),
        (Declined::NoSuchPoint(point()), 404, "unknown_point"),
        (Declined::NotShelved(point()), 409, "not_shelved"),
        (Declined::ShelfTime, 400, "shelf_time"),
        (Declined::InService(point()), 409, "in_service"),
        (Declined::OutOfService(point()), 409, "out_of_service"),
        (Declined::NoSuchScope(Scope::Nation), 404, "unknown_scope"),
        (Declined::Unfitting { level: Declared::Stab, scope: Scope::Nation }, 400, "unfitting_level"),
        (Declined::Unchanged(Scope::Nation), 409, "unchanged"),
        (Declined::ExerciseOn("x".to_owned()), 409, "exercise_on"),
        (Declined::NoExercise, 409, "no_exercise"),
        (Declined::ExerciseTime, 400, "exercise_time"),
        (Declined::Standing(point()), 409, "already_standing"),
        (Declined::NoReason, 400, "no_reason"),
        (Declined::NotDurable, 503, "not_durable"),
    ] {
        let detail = declined.to_string();
        let (_, answer) = fixture.order(post.clone(), 1, Err(declined)).await;
        assert_eq!((error(&answer), &answer.json()["detail"]), ((status, name.to_owned()), &detail.into()));
    }
    let entry = book.write(NOW, Actor::Operator("Olle".to_owned()), Act::Acknowledged { alarm: id }, None);
    let (_, answer) = fixture.order(post, 1, Ok(vec![entry.clone()])).await;
    assert_eq!(answer.json(), serde_json::json!({"entries": [entry]}));
    let description = fixture.get("/openapi.json").await.json();
    let described = &description["paths"]["/api/v1/alerts/{id}/acknowledge"]["post"]["responses"];
    matches(
        &description,
        &described["200"]["content"]["application/json"]["schema"],
        &answer.json(),
        "an order's answer",
    );
    assert_eq!(described.as_object().expect("responses").len(), 9, "{described}");
    fixture.orders.close();
    let answer = fixture.ask(Method::POST, &path, Some(1), "").await;
    assert_eq!(error(&answer), (503, "not_durable".to_owned()), "nobody keeps the book any more");
}

//! The receivers against a server of our own: what is told, in which order, how often, and what survives.

mod pure;
mod story;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Bytes as Body;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vardpuls_shared::alert::Severity;
use vardpuls_shared::clock::{Clock, Time};

use super::back_off::BackOff;
use super::counts::{ReceiverCounts, ReceiverMetrics};
use super::delivery::Delivery;
use super::*;
use crate::alert::entry::Act;
use crate::alert::standing::Standing;
use crate::config::StoreConfig;
use crate::store::Store;

pub(crate) use story::{Story, append};

const START: Time = Time(1_770_000_000_000);

/// What a receiver has seen.
type Seen = Vec<(HeaderMap, Vec<u8>)>;

/// A receiver's side: takes posts, answers as it is told to.
struct Server {
    url: String,
    seen: Arc<Mutex<Seen>>,
    answers: Arc<Mutex<VecDeque<StatusCode>>>,
    arrived: Arc<Notify>,
    serving: JoinHandle<()>,
}

impl Server {
    /// Answers with each of these, then with 200.
    async fn start(answers: &[u16]) -> Server {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let codes = answers.iter().map(|&code| StatusCode::from_u16(code).expect("valid"));
        let answers = Arc::new(Mutex::new(codes.collect::<VecDeque<_>>()));
        let arrived = Arc::new(Notify::new());
        let (kept, next, notify) = (seen.clone(), answers.clone(), arrived.clone());
        let taking = post(move |headers: HeaderMap, body: Body| async move {
            let answer = next.lock().expect("whole").pop_front().unwrap_or(StatusCode::OK);
            kept.lock().expect("whole").push((headers, body.to_vec()));
            notify.notify_one();
            answer
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/told", listener.local_addr().expect("an address"));
        let router = Router::new().route("/told", taking);
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.expect("serves") });
        Server { url, seen, answers, arrived, serving }
    }

    /// Waits until so many posts have come.
    async fn posts(&self, at_least: usize) -> Vec<(HeaderMap, Value)> {
        self.until(|posts| posts.len() >= at_least).await
    }

    async fn until(&self, done: impl Fn(&[(HeaderMap, Value)]) -> bool) -> Vec<(HeaderMap, Value)> {
        let looking = async {
            loop {
                let posts: Vec<_> = self.seen.lock().expect("whole").clone();
                let json = |bytes: &[u8]| serde_json::from_slice(bytes).expect("JSON");
                let posts: Vec<(HeaderMap, Value)> = posts.into_iter().map(|(h, b)| (h, json(&b))).collect();
                if done(&posts) {
                    return posts;
                }
                self.arrived.notified().await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), looking).await.expect("comes")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A centre's side: a journal, what stands, and one receiver's task.
struct Centre {
    story: Story,
    store: Store,
    committed: watch::Sender<u64>,
    standing: Arc<ArcSwap<Standing>>,
    folder: TempDir,
}

struct Running {
    task: JoinHandle<()>,
    shutdown: CancellationToken,
    counts: ReceiverCounts,
}

impl Running {
    async fn stop(self) -> ReceiverCounts {
        self.shutdown.cancel();
        self.task.await.expect("ends");
        self.counts
    }
}

impl Centre {
    async fn new() -> Centre {
        let folder = tempfile::tempdir().expect("a folder");
        let config = StoreConfig { path: folder.path().join("v.db"), ..StoreConfig::default() };
        let store = Store::open(&config).await.expect("opens");
        Centre { story: Story::new(), store, committed: watch::Sender::new(0), standing: Arc::default(), folder }
    }

    /// Makes what was told so far durable and visible.
    async fn commit(&self) {
        let committed = *self.committed.borrow();
        let new: Vec<_> = self.story.entries.iter().filter(|entry| entry.number > committed).cloned().collect();
        append(&self.store, &new).await;
        self.standing.store(Arc::new(self.story.standing()));
        self.committed.send_replace(last(&self.story.entries));
    }

    fn start(&self, name: &str, kind: Kind, url: &str) -> Running {
        let counts = ReceiverMetrics::default().of(name);
        let delivery = Delivery {
            receiver: Receiver { name: name.to_owned(), kind, poster: Poster::new(url).expect("an address") },
            store: self.store.clone(),
            committed: self.committed.subscribe(),
            standing: self.standing.clone(),
            clock: Clock::standing_at(START.plus(Duration::from_hours(5))),
            counts: counts.clone(),
            back_off: BackOff::between(Duration::from_millis(1), Duration::from_millis(5)),
        };
        let shutdown = CancellationToken::new();
        Running { task: tokio::spawn(delivery.run(shutdown.clone())), shutdown, counts }
    }

    fn webhook(&self, least_severity: Severity) -> Kind {
        Kind::Webhook(Webhook { secret: secret(self.folder.path()), least_severity })
    }

    /// Waits until a receiver's place is this.
    async fn reaches(&self, receiver: &str, place: u64) {
        let looking = async {
            while self.store.place(receiver).await.expect("reads") != Some(place) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), looking).await.expect("gets there");
    }
}

fn secret(folder: &Path) -> Secret {
    use std::os::unix::fs::PermissionsExt;
    let file = folder.join("secret");
    std::fs::write(&file, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("writes");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("changes the mode");
    Secret::load(&file).expect("a secret")
}

fn ids(posts: &[(HeaderMap, Value)]) -> Vec<String> {
    posts.iter().map(|(headers, _)| headers["webhook-id"].to_str().expect("text").to_owned()).collect()
}

fn kinds(posts: &[(HeaderMap, Value)]) -> Vec<&str> {
    posts.iter().map(|(_, body)| body["type"].as_str().expect("text")).collect()
}

#[tokio::test]
async fn a_webhook_that_is_new_hears_what_stands_and_then_each_change_once() {
    let mut centre = Centre::new().await;
    let over = centre.story.raise("a", Severity::Severe);
    let stands = centre.story.raise("b", Severity::Severe);
    centre.story.clear(&over);
    centre.story.raise("c", Severity::Notice);
    centre.commit().await;
    let server = Server::start(&[]).await;
    let running = centre.start("w", centre.webhook(Severity::Warning), &server.url);
    let posts = server.posts(1).await;
    assert_eq!((ids(&posts), kinds(&posts)), (vec![format!("2.{stands}")], vec!["alert.raised"]));
    assert_eq!(posts[0].1["data"], serde_json::to_value(&centre.story.standing().alerts[0]).expect("JSON"));
    assert_eq!(posts[0].1["timestamp"], "2026-02-02T02:42:00.000Z");
    assert_eq!(posts[0].0["webhook-timestamp"], "1770018000");

    centre.story.act(Act::Acknowledged { alarm: stands.clone() });
    centre.story.clear(&stands);
    centre.commit().await;
    let posts = server.posts(3).await;
    assert_eq!(kinds(&posts), ["alert.raised", "alert.updated", "alert.cancelled"]);
    assert_eq!(ids(&posts)[1..], [format!("5.{stands}"), format!("6.{stands}")]);
    centre.reaches("w", 6).await;
    let counts = running.stop().await;
    assert_eq!((counts.sent.get(), counts.failed.get(), counts.refused.get()), (3, 0, 0));

    // Started again, it goes on where it stopped.
    let running = centre.start("w", centre.webhook(Severity::Warning), &server.url);
    let again = centre.story.raise("b", Severity::Severe);
    centre.commit().await;
    assert_eq!(ids(&server.posts(4).await)[3], format!("7.{again}"));
    centre.reaches("w", 7).await;
    running.stop().await;
    assert_eq!(server.posts(0).await.len(), 4);
}

#[tokio::test]
async fn what_fails_is_tried_again_with_its_id_and_what_is_refused_is_passed_over() {
    let mut centre = Centre::new().await;
    centre.commit().await;
    let server = Server::start(&[503, 429, 200, 400, 500]).await;
    let running = centre.start("w", centre.webhook(Severity::Notice), &server.url);
    centre.reaches("w", 0).await;
    for hospital in ["a", "b", "c"] {
        centre.story.raise(hospital, Severity::Notice);
    }
    centre.commit().await;
    centre.reaches("w", 3).await;
    let posts = server.posts(6).await;
    let numbers: Vec<_> = ids(&posts).iter().map(|id| id.split('.').next().expect("a number").to_owned()).collect();
    assert_eq!(numbers, ["1", "1", "1", "2", "3", "3"]);
    let counts = running.stop().await;
    assert_eq!((counts.sent.get(), counts.failed.get(), counts.refused.get()), (2, 3, 1));
}

#[tokio::test]
async fn a_dead_receiver_is_told_everything_in_order_when_it_comes_back() {
    let mut centre = Centre::new().await;
    centre.commit().await;
    let server = Server::start(&[]).await;
    // Nobody listens there.
    let dead = centre.start("w", centre.webhook(Severity::Notice), "http://127.0.0.1:1/told");
    let alive = centre.start("v", centre.webhook(Severity::Notice), &server.url);
    centre.reaches("w", 0).await;
    let alarms: Vec<_> = (0..100).map(|n| centre.story.raise(&format!("h{n}"), Severity::Notice)).collect();
    centre.commit().await;
    centre.reaches("v", 100).await;
    alive.stop().await;
    let counts = dead.stop().await;
    assert_eq!(centre.store.place("w").await, Ok(Some(0)));
    assert!(counts.failed.get() > 0 && counts.sent.get() == 0);
    assert_eq!(counts.behind.get(), 100);
    let back = Server::start(&[]).await;
    let running = centre.start("w", centre.webhook(Severity::Notice), &back.url);
    centre.reaches("w", 100).await;
    let expected: Vec<_> = (1..).zip(&alarms).map(|(number, alarm)| format!("{number}.{alarm}")).collect();
    assert_eq!(ids(&back.posts(100).await), expected);
    assert_eq!(ids(&server.posts(100).await), expected);
    running.stop().await;
}

#[tokio::test]
async fn alertmanager_hears_what_stands_and_once_what_has_ended_also_after_a_restart() {
    let mut centre = Centre::new().await;
    let (a, b) = (centre.story.raise("a", Severity::Severe), centre.story.raise("b", Severity::Severe));
    centre.commit().await;
    let server = Server::start(&[]).await;
    let kind = |repeat_every| Kind::Alertmanager(Alertmanager { repeat_every });
    let running = centre.start("alertmanager", kind(Duration::from_hours(1)), &server.url);
    let posts = server.posts(1).await;
    assert_eq!(posts[0].1.as_array().map(Vec::len), Some(2));
    centre.reaches("alertmanager", 2).await;
    running.stop().await;

    // It ends while nobody tells.
    centre.story.clear(&a);
    centre.commit().await;
    let running = centre.start("alertmanager", kind(Duration::from_hours(1)), &server.url);
    centre.reaches("alertmanager", 3).await;
    running.stop().await;
    let posts = server.posts(2).await;
    let told: Vec<_> = posts[1].1.as_array().expect("a list").clone();
    assert_eq!(told[0]["annotations"]["id"], a.as_str());
    assert_eq!(told[0]["endsAt"], "2026-02-02T02:43:00.000Z", "when it ended");
    assert_eq!(told[1]["annotations"]["id"], b.as_str());
    assert_eq!(told[1]["endsAt"], "2026-02-02T11:40:00.000Z", "four repetitions from now");

    // What stands is repeated; what has ended is not.
    let running = centre.start("alertmanager", kind(Duration::from_millis(1)), &server.url);
    let posts = server.posts(5).await;
    assert!(posts[2..].iter().all(|(_, told)| told.as_array().is_some_and(|told| told.len() == 1)));
    running.stop().await;
    assert!(server.answers.lock().expect("whole").is_empty());
}

//! What goes out, in which order, and what a broker keeps of it.

use std::time::Duration;

use arc_swap::ArcSwap;
use rumqttc::{MqttOptions, Packet, SubscribeFilter};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use vardpuls_service::vitals::Vitals;
use vardpuls_shared::alert::{AlertId, State};
use vardpuls_shared::clock::{Clock, Time};
use vardpuls_shared::signed::Envelope;

use super::ends::Ends;
use super::outgoing::MAX_RECEIPTS;
use super::*;
use crate::alert::book::Book;
use crate::alert::entry::{Act, Actor, Ending, Said};
use crate::alert::standing::Standing;
use crate::broker;
use crate::broker::front::counts::FrontCounts;
use crate::client::{Connection, Parts};
use crate::config::{BrokerConfig, BrokerPlace, EmbeddedBroker};
use crate::enrolment::Registry;
use crate::ingest::IngestQueue;
use crate::live::Live;
use crate::nation::Nation;
use crate::readiness::Readiness;
use crate::view::View;

fn receipt(epoch: u64) -> Receipt {
    Receipt {
        hospital: "h".parse().expect("valid"),
        issued_at: Time(1),
        epoch,
        stored: vec![(1, 1)],
        refused: Vec::new(),
        wanted: Vec::new(),
    }
}

#[tokio::test]
async fn receipts_go_first_and_the_oldest_are_dropped() {
    let outgoing = Outgoing::new(&Standing::default(), Ends::default());
    outgoing.clear(Scope::Nation);
    let dropped = outgoing.put_receipts((0..MAX_RECEIPTS as u64 + 3).map(receipt).collect());
    assert_eq!(dropped, 3);
    assert!(matches!(outgoing.next().await, Next::Receipt(r) if r.epoch == 3));
    outgoing.close();
    while let Next::Receipt(_) = outgoing.next().await {}
    assert!(matches!(outgoing.next().await, Next::Closed));
}

#[tokio::test]
async fn only_the_newest_feed_of_a_scope_waits() {
    let outgoing = Outgoing::new(&Standing::default(), Ends::default());
    outgoing.clear(Scope::Region("01".parse().expect("valid")));
    outgoing.clear(Scope::Nation);
    outgoing.clear(Scope::Nation);
    assert!(matches!(outgoing.next().await, Next::Feed(Scope::Nation, _)));
    assert!(matches!(outgoing.next().await, Next::Feed(Scope::Region(_), _)));
    outgoing.close();
    assert!(matches!(outgoing.next().await, Next::Closed));
}

fn alarm(rule: &str) -> AlertId {
    format!("{rule}.nation.1").parse().expect("valid")
}

fn write(book: &mut Book, act: Act) -> Option<Said> {
    book.write(Time(1), Actor::Centre, act, None).said
}

/// The book raises the rule's alarm for the nation.
fn raise(book: &mut Book, rule: &str) -> Said {
    let raised = json!({ "act": "raised", "alarm": alarm(rule), "point": format!("{rule}@nation"), "value": 97.5,
        "severity": "severe", "headline": "full", "response": "act", "measure": "occupancy", "unit": "%",
        "name": "Sverige" });
    write(book, serde_json::from_value(raised).expect("an act")).expect("said")
}

/// The book closes it.
fn clear(book: &mut Book, rule: &str) -> Said {
    write(book, Act::Cleared { alarm: alarm(rule), value: Some(80.0), ending: Ending::Condition }).expect("said")
}

fn standing(book: &Book) -> Standing {
    Standing::of(book, Arc::default())
}

fn view() -> View {
    let nation = Arc::new(Nation::load(None).expect("built in"));
    View::of(&Live::new(nation, &Registry::default(), Duration::from_secs(1)), 1, Time(1))
}

#[tokio::test]
async fn alerts_go_between_receipts_and_feeds_and_the_newest_word_wins() {
    let (mut book, outgoing) = (Book::default(), Outgoing::new(&Standing::default(), Ends::default()));
    outgoing.clear(Scope::Nation);
    outgoing.put_alert(&raise(&mut book, "a"));
    let newer = write(&mut book, Act::Acknowledged { alarm: alarm("a") }).expect("said");
    outgoing.put_alert(&newer);
    outgoing.put_alert(&raise(&mut book, "b"));
    outgoing.put_alert(&clear(&mut book, "b"));
    outgoing.put_receipts(vec![receipt(1)]);
    assert!(matches!(outgoing.next().await, Next::Receipt(_)));
    assert!(matches!(outgoing.next().await, Next::Alert(alert) if *alert == newer.alert));
    assert!(matches!(outgoing.next().await, Next::Over(alert) if alert.id == alarm("b")));
    assert!(matches!(outgoing.next().await, Next::Feed(Scope::Nation, _)));
}

#[tokio::test]
async fn seeding_says_what_stands_now_and_nothing_that_is_over_or_hidden() {
    let mut book = Book::default();
    for rule in ["hidden", "over", "stands"] {
        raise(&mut book, rule);
    }
    write(&mut book, Act::Shelved { point: "hidden@nation".parse().expect("valid"), until: Time(9) });
    let outgoing = Outgoing::new(&standing(&book), Ends::default());
    outgoing.put_alert(&clear(&mut book, "over"));
    outgoing.seed(&view());
    assert!(matches!(outgoing.next().await, Next::Over(alert) if alert.id == alarm("over")), "the end is not lost");
    assert!(matches!(outgoing.next().await, Next::Alert(alert) if alert.id == alarm("stands")));
    assert!(matches!(outgoing.next().await, Next::Feed(..)));
}

#[tokio::test]
async fn a_ghost_is_what_does_not_stand_when_its_turn_comes() {
    let mut book = Book::default();
    raise(&mut book, "stands");
    let outgoing = Outgoing::new(&standing(&book), Ends::default());
    for rule in ["stands", "ghost", "later"] {
        outgoing.found(Topic::Alert(alarm(rule)));
        outgoing.found(Topic::JsonAlert(alarm(rule)));
    }
    outgoing.put_alert(&raise(&mut book, "later"));
    assert!(matches!(outgoing.next().await, Next::Alert(alert) if alert.id == alarm("later")));
    assert!(matches!(outgoing.next().await, Next::Ghost(Topic::Alert(id)) if id == alarm("ghost")));
    assert!(matches!(outgoing.next().await, Next::Ghost(Topic::JsonAlert(id)) if id == alarm("ghost")));
    outgoing.close();
    assert!(matches!(outgoing.next().await, Next::Closed));
}

/// A plain client; what it hears comes as (topic, payload).
struct Reader {
    client: AsyncClient,
    heard: mpsc::Receiver<(String, Vec<u8>)>,
}

impl Reader {
    async fn new(name: &str, port: u16, filters: &[&str]) -> Reader {
        let (client, mut events) = AsyncClient::new(MqttOptions::new(name, "127.0.0.1", port), 50);
        let (tell, heard) = mpsc::channel(1000);
        tokio::spawn(async move {
            while let Ok(event) = events.poll().await {
                if let rumqttc::Event::Incoming(Packet::Publish(p)) = event
                    && tell.send((p.topic, p.payload.to_vec())).await.is_err()
                {
                    return;
                }
            }
        });
        let filters = filters.iter().map(|&filter| SubscribeFilter::new(filter.to_owned(), QoS::AtLeastOnce));
        client.subscribe_many(filters).await.expect("asks");
        Reader { client, heard }
    }

    /// Waits for the next message on a topic; what is on others is left out.
    async fn next(&mut self, topic: &Topic) -> Vec<u8> {
        let topic = topic.to_string();
        let heard = async {
            loop {
                let (found, payload) = self.heard.recv().await.expect("the broker lives");
                if found == topic {
                    return payload;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), heard).await.unwrap_or_else(|_| panic!("nothing on {topic}"))
    }
}

const ALERTS: [&str; 2] = ["vardpuls/v1/alert/+", "vardpuls/v1/json/alert/+"];

#[tokio::test]
async fn a_broker_keeps_what_stands_and_neither_ends_nor_ghosts() {
    let listen = Some("127.0.0.1:0".parse().expect("valid"));
    let place = BrokerPlace::Embedded(EmbeddedBroker { listen, network: None });
    let config = BrokerConfig { client_id: "centre".into(), place };
    let broker = broker::prepare(&config, Clock::System, FrontCounts::default()).await.expect("a broker");
    let port = broker.front.as_ref().and_then(|front| front.local).expect("its front").port();
    let mut live = Reader::new("live", port, &ALERTS).await;
    let (signed, json) = (|rule| Topic::Alert(alarm(rule)), |rule| Topic::JsonAlert(alarm(rule)));
    for topic in [signed("ghost"), json("ghost"), signed("stands")] {
        live.client.publish(topic.to_string(), QoS::AtLeastOnce, true, "old").await.expect("publishes");
        assert_eq!(live.next(&topic).await, b"old");
    }

    let mut book = Book::default();
    raise(&mut book, "stands");
    let outgoing = Arc::new(Outgoing::new(&standing(&book), Ends::default()));
    let (metrics, queue) = (Arc::new(Metrics::new()), Arc::new(IngestQueue::new(9)));
    let parts = Parts {
        clock: Clock::standing_at(Time(1)),
        queue: queue.clone(),
        outgoing: outgoing.clone(),
        view: Arc::new(ArcSwap::from_pointee(view())),
        metrics: metrics.clone(),
        json: true,
        readiness: Arc::new(Readiness::default()),
        pulse: Vitals::default().part("the way to the broker", Duration::ZERO),
    };
    let (client, connection) = Connection::new(broker.options, parts);
    let key = Arc::new(SigningKey::from_seed(&[1; 32]));
    let publisher =
        Publisher { outgoing: outgoing.clone(), client, key: key.clone(), json: true, metrics: metrics.clone() };
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(connection.run(shutdown.clone()));
    let publishing = tokio::spawn(publisher.run());

    let read = |bytes: &[u8]| {
        let envelope = Envelope::open(Kind::Alert, bytes).expect("an alert");
        Alert::decode(envelope.verify(&key.public()).expect("the centre's")).expect("reads")
    };
    assert_eq!(Some(read(&live.next(&signed("stands")).await)), book.alert(&alarm("stands")));
    let twin: Alert = serde_json::from_slice(&live.next(&json("stands")).await).expect("the twin");
    assert_eq!(Some(twin), book.alert(&alarm("stands")));
    let mut ghosts = Reader::new("ghosts", port, &ALERTS).await;
    assert_eq!(read(&ghosts.next(&signed("stands")).await).state, State::ActiveUnacknowledged);

    outgoing.put_alert(&clear(&mut book, "stands"));
    assert_eq!(read(&live.next(&signed("stands")).await).state, State::Closed);
    let twin: Alert = serde_json::from_slice(&live.next(&json("stands")).await).expect("the twin");
    assert_eq!(twin.state, State::Closed);
    while outgoing.awaits(&alarm("stands")) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    outgoing.put_alert(&raise(&mut book, "second"));
    assert_eq!(read(&live.next(&signed("second")).await).id, alarm("second"));
    let mut late = Reader::new("late", port, &ALERTS).await;
    assert_eq!(read(&late.next(&signed("stands")).await).state, State::Closed, "for those who were away");
    let mut place = outgoing.place();
    outgoing.let_ends_go();
    place.changed().await.expect("moves");
    assert_eq!(*place.borrow(), 3, "no end is on its way");
    for topic in [signed("stands"), json("stands")] {
        assert_eq!(live.next(&topic).await, b"", "the broker forgets");
    }
    let mut late = Reader::new("later", port, &ALERTS).await;
    let (topic, payload) = late.heard.recv().await.expect("the broker lives");
    assert!(topic.ends_with("second.nation.1") && !payload.is_empty(), "all that is kept: {topic}");

    assert_eq!((metrics.foreign.get(), queue.len()), (0, 0), "our own alerts come back and are nobody's message");
    assert_eq!(metrics.alert_published.get(), 3);
    shutdown.cancel();
    outgoing.close();
    publishing.await.expect("no panic");
    running.await.expect("no panic");
}

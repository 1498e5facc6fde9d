//! What the committer tells, when, and what it never loses.

use serde_json::json;
use tempfile::TempDir;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::task::JoinHandle;
use vardpuls_service::vitals::Vitals;
use vardpuls_shared::clock::Time;

use super::intake::WAITING;
use super::*;
use crate::alert::book::Book;
use crate::alert::entry::{Act, Actor};
use crate::config::StoreConfig;
use crate::publish::ends::Ends;

fn report(sequence: u64) -> Item {
    let report = StoredReport {
        hospital: "a".parse().expect("valid"),
        position: Position { epoch: 1, sequence },
        observed_at: Time(1),
        received_at: Time(1),
        digest: [0; 32],
        envelope: vec![0; 8],
    };
    Item::Report { report, wanted: None }
}

/// Raises an alarm of a rule: said, and so on MQTT.
fn raised(rule: &str) -> Act {
    let alarm = format!("{rule}.nation.1");
    let act = json!({ "act": "raised", "alarm": alarm, "point": format!("{rule}@nation"), "severity": "severe",
        "headline": "full", "response": "act", "measure": "occupancy", "unit": "%", "value": 97.5, "name": "Sverige" });
    serde_json::from_value(act).expect("an act")
}

fn rules(rules: usize) -> Act {
    Act::RulesLoaded { rules, digest: rules.to_string() }
}

fn journaled(book: &mut Book, act: Act) -> Journaled {
    let entry = book.write(Time(1), Actor::Centre, act, None);
    let entries = vec![JournalRecord::new(entry, book)];
    Journaled { entries, standing: Some(Arc::new(Standing::of(book, Arc::default()))), ..Journaled::default() }
}

type Answer = oneshot::Receiver<Result<Vec<Entry>, Declined>>;

fn with_reply(mut journaled: Journaled) -> (Item, Answer) {
    let (to, answer) = oneshot::channel();
    let entries = journaled.entries.iter().map(|record| record.entry.clone()).collect();
    journaled.replies.push(Reply { answer: entries, to });
    (Item::Journal(Box::new(journaled)), answer)
}

struct Rig {
    intake: Arc<Intake>,
    store: Store,
    standing: Arc<ArcSwap<Standing>>,
    events: broadcast::Receiver<Change>,
    journaled: watch::Receiver<u64>,
    shutdown: CancellationToken,
    committer: Committer,
    _folder: TempDir,
}

impl Rig {
    async fn new() -> Rig {
        let folder = tempfile::tempdir().expect("a folder");
        let config = StoreConfig { path: folder.path().join("v.db"), ..StoreConfig::default() };
        let store = Store::open(&config).await.expect("opens");
        let metrics = Arc::new(Metrics::new());
        let intake = Arc::new(Intake::new(metrics.clone()));
        let standing = Arc::new(ArcSwap::from_pointee(Standing::default()));
        let (events, heard) = broadcast::channel(100);
        let (journaled, watched) = watch::channel(0);
        let committer = Committer {
            mishaps: Arc::default(),
            pulse: Vitals::default().part("the store", Duration::ZERO),
            intake: intake.clone(),
            store: store.clone(),
            outgoing: Arc::new(Outgoing::new(&Standing::default(), Ends::default())),
            clock: Clock::standing_at(Time(1)),
            metrics,
            readiness: Arc::new(Readiness::default()),
            standing: standing.clone(),
            events,
            journaled,
        };
        let shutdown = CancellationToken::new();
        Rig { intake, store, standing, events: heard, journaled: watched, shutdown, committer, _folder: folder }
    }

    /// What others see: the numbers of what stands, of what receivers may read, of what is stored.
    async fn seen(&self) -> (u64, u64, u64) {
        let (_, stored) = self.store.journal_standing().await.expect("reads");
        (self.standing.load().number, *self.journaled.borrow(), stored)
    }
}

#[tokio::test]
async fn what_is_answered_was_stored_shown_and_said_before_in_that_order() {
    let mut rig = Rig::new().await;
    let mut book = Book::default();
    rig.intake.put(report(1));
    rig.intake.put(Item::Journal(Box::new(journaled(&mut book, raised("a")))));
    rig.intake.put(Item::Journal(Box::new(journaled(&mut book, rules(1)))));
    let (last, answer) = with_reply(journaled(&mut book, raised("b")));
    rig.intake.put(last);
    assert_eq!(rig.seen().await, (0, 0, 0), "nothing is shown before it is durable");

    let (intake, standing) = (rig.intake.clone(), rig.standing.clone());
    let committing: JoinHandle<()> = tokio::spawn(rig.committer.run(rig.shutdown.clone()));
    // Whoever hears of a change finds it in what stands.
    let first = rig.events.recv().await.expect("an event");
    assert_eq!(standing.load().number, 3);
    let numbers = answer.await.expect("an answer").expect("durable").iter().map(|e| e.number).collect::<Vec<_>>();
    assert_eq!(numbers, [3]);
    assert_eq!(*rig.journaled.borrow(), 3);
    let mut heard = vec![first];
    while let Ok(change) = rig.events.try_recv() {
        heard.push(change);
    }
    let [Change::Said(a), Change::Said(b), Change::Standing(all)] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!((a.alert.number, b.alert.number, all.number), (1, 3, 3), "all before the answer, in order, once");
    let (_, stored) = rig.store.journal_standing().await.expect("reads");
    assert_eq!((stored, rig.store.verify_journal().await), (3, Ok(3)));
    let hospital = "a".parse().expect("valid");
    assert_eq!(rig.store.stored_positions(&hospital).await.map(|all| all.len()), Ok(1));
    intake.close();
    committing.await.expect("no panic");
}

#[tokio::test]
async fn a_change_that_nobody_is_told_of_is_shown_all_the_same() {
    let mut rig = Rig::new().await;
    let (item, answer) = with_reply(journaled(&mut Book::default(), rules(1)));
    rig.intake.put(item);
    rig.intake.close();
    tokio::spawn(rig.committer.run(rig.shutdown.clone())).await.expect("no panic");
    assert!(answer.await.expect("an answer").is_ok());
    assert!(matches!(rig.events.try_recv(), Ok(Change::Standing(standing)) if standing.number == 1));
    assert!(matches!(rig.events.try_recv(), Err(TryRecvError::Closed)));
}

#[tokio::test]
async fn nothing_is_shown_or_promised_over_a_store_that_fails() {
    let mut rig = Rig::new().await;
    rig.store.close().await;
    let (item, answer) = with_reply(journaled(&mut Book::default(), raised("a")));
    rig.intake.put(item);
    let readiness = rig.committer.readiness.clone();
    readiness.set_store_works(true);
    let committing = tokio::spawn(rig.committer.run(rig.shutdown.clone()));
    while readiness.store_works() {
        tokio::task::yield_now().await;
    }
    assert!(matches!(rig.events.try_recv(), Err(TryRecvError::Empty)));
    rig.shutdown.cancel();
    rig.intake.close();
    committing.await.expect("no panic");
    assert_eq!(answer.await.expect("an answer"), Err(Declined::NotDurable));
    assert_eq!((rig.standing.load().number, *rig.journaled.borrow()), (0, 0));
    assert!(matches!(rig.events.try_recv(), Err(TryRecvError::Closed)));
}

#[tokio::test]
async fn a_journal_out_of_order_ends_the_committer_and_keeps_the_store() {
    let rig = Rig::new().await;
    let mut book = Book::default();
    journaled(&mut book, rules(1));
    let (item, answer) = with_reply(journaled(&mut book, rules(2)));
    rig.intake.put(item);
    let Rig { committer, store, shutdown, .. } = rig;
    tokio::spawn(committer.run(shutdown)).await.expect("it ends, without being asked");
    assert_eq!(answer.await.expect("an answer"), Err(Declined::NotDurable));
    assert_eq!(store.journal_standing().await, Ok((vec![], 0)));
}

#[tokio::test]
async fn a_full_line_drops_its_oldest_report_and_no_journal_entry() {
    let metrics = Arc::new(Metrics::new());
    let intake = Intake::new(metrics.clone());
    let (mut book, all) = (Book::default(), WAITING as u64 + 300);
    for n in 0..all {
        if n % 100 == 0 {
            intake.put(Item::Journal(Box::new(journaled(&mut book, rules(1)))));
        }
        intake.put(report(n));
    }
    assert_eq!(metrics.unstored.get(), 300);
    intake.close();
    let (mut entries, mut reports) = (Vec::new(), Vec::new());
    loop {
        let items = intake.take().await;
        if items.is_empty() {
            break;
        }
        for item in items {
            match item {
                Item::Journal(journaled) => entries.extend(journaled.entries.iter().map(|r| r.entry.number)),
                Item::Report { report, .. } => reports.push(report.position.sequence),
                other => panic!("{other:?} was not put in"),
            }
        }
    }
    assert_eq!(entries, (1..=book.number()).collect::<Vec<_>>());
    assert_eq!(reports, (300..all).collect::<Vec<_>>());
}

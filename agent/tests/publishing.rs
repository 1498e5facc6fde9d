//! A whole agent against a real broker: what it sends, what it keeps, and what it lets go of.

mod stage;

use std::sync::Arc;

use stage::{Centre, Folder, Wire, broker, centre_key, until};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vardpuls_agent::config::Config;
use vardpuls_agent::{RunError, outbox};
use vardpuls_shared::clock::Clock;
use vardpuls_shared::key::SigningKey;
use vardpuls_shared::refusal::Refusal;

struct Running {
    reload: mpsc::Sender<Config>,
    shutdown: CancellationToken,
    done: JoinHandle<Result<(), RunError>>,
}

impl Running {
    fn start(folder: &Folder) -> Running {
        let (reload, reloads) = mpsc::channel(1);
        let shutdown = CancellationToken::new();
        // Spawning is also the proof that the future is Send.
        let done = tokio::spawn(vardpuls_agent::run(folder.config(), reloads, Clock::System, shutdown.clone()));
        Running { reload, shutdown, done }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.done.await.expect("no panic").expect("a clean end");
    }
}

#[tokio::test]
async fn a_report_leaves_the_outbox_only_on_the_centres_receipt() {
    let broker = broker();
    let folder = Folder::new(broker);
    let centre = Centre::on(broker, folder.public_key()).await;
    let agent = Running::start(&folder);
    until("a report", || !centre.reports().is_empty()).await;
    let report = centre.reports().remove(0);
    assert_eq!((report.position.sequence, report.wards[&1].staffed, report.wards[&1].occupied), (1, 10, 5));
    until("a roster and a presence", || centre.rosters() == 1 && centre.presence().as_deref() == Some("online")).await;
    folder.until_status("one held", |s| s.outbox.as_ref().is_some_and(|o| o.held == 1)).await;

    let epoch = report.position.epoch;
    let all = |r: &mut vardpuls_shared::receipt::Receipt| r.stored = vec![(1, 1)];
    centre.receipt(epoch, &SigningKey::from_seed(&[9; 32]), all).await;
    folder.until_status("a forged receipt is noticed", |s| s.receipts_not_believed == 1).await;
    assert_eq!(folder.status().await.and_then(|s| s.outbox).map(|o| o.held), Some(1));

    centre.receipt(epoch, &centre_key(), all).await;
    folder.until_status("the genuine one settles", |s| s.outbox.as_ref().is_some_and(|o| o.released == 1)).await;
    agent.stop().await;
    let left = outbox::inspect(&folder.path("state")).expect("readable").expect("there");
    assert_eq!((left.next, left.held.is_empty(), left.released()), (2, true, vec![1]));
}

#[tokio::test]
async fn after_the_line_was_cut_everything_without_a_receipt_comes_again_newest_first() {
    let broker = broker();
    let wire = Wire::to(broker).await;
    let folder = Folder::new(wire.address);
    let centre = Centre::on(broker, folder.public_key()).await;
    let agent = Running::start(&folder);
    until("report 1", || centre.sequences() == [1]).await;
    folder.drop_counts(6);
    until("report 2", || centre.sequences() == [1, 2]).await;
    let epoch = centre.reports()[0].position.epoch;
    centre.receipt(epoch, &centre_key(), |r| r.stored = vec![(1, 1)]).await;
    folder.until_status("report 1 settled", |s| s.outbox.as_ref().is_some_and(|o| o.released == 1)).await;

    wire.cut();
    until("the will", || centre.presence().as_deref() == Some("offline")).await;
    for (occupied, next) in [(7, 4), (8, 5)] {
        folder.drop_counts(occupied);
        folder
            .until_status("kept", |s| s.outbox.as_ref().is_some_and(|o| o.next == next) && !s.connection.connected)
            .await;
    }
    centre.forget();
    wire.mend();
    until("everything again", || centre.sequences().len() == 3).await;
    assert_eq!(centre.sequences(), [4, 3, 2]);
    assert_eq!(centre.reports()[0].wards[&1].occupied, 8);
    centre.receipt(epoch, &centre_key(), |r| r.stored = vec![(1, 4)]).await;
    folder.until_status("nothing held", |s| s.outbox.as_ref().is_some_and(|o| o.held == 0)).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_refused_report_is_shown_with_its_remedy_and_a_wanted_roster_is_sent_again() {
    let broker = broker();
    let folder = Folder::new(broker);
    let centre = Arc::new(Centre::on(broker, folder.public_key()).await);
    let agent = Running::start(&folder);
    until("a report", || centre.rosters() == 1 && !centre.reports().is_empty()).await;
    let report = centre.reports().remove(0);
    let (epoch, version) = (report.position.epoch, report.roster_version);
    // The roster is held back for a moment after it was sent; a centre that wants it asks again.
    for _ in 0..1000 {
        centre
            .receipt(epoch, &centre_key(), |r| {
                r.refused = vec![(1, Refusal::Equivocation)];
                r.wanted = vec![version];
            })
            .await;
        if centre.rosters() > 1 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(centre.rosters() > 1);
    folder
        .until_status("the refusal is listed", |s| {
            s.refused.len() == 1 && s.refused[0].reason == "equivocation" && s.refused[0].remedy.contains("key")
        })
        .await;
    agent.stop().await;
    let left = outbox::inspect(&folder.path("state")).expect("readable").expect("there");
    assert_eq!((left.held.len(), left.refused_count, left.refused[0].sequence), (0, 1, 1));
}

#[tokio::test]
async fn shutdown_sends_what_is_due_and_says_goodbye() {
    let broker = broker();
    let folder = Folder::new(broker);
    let centre = Centre::on(broker, folder.public_key()).await;
    let agent = Running::start(&folder);
    until("online", || centre.presence().as_deref() == Some("online") && centre.sequences() == [1]).await;
    agent.stop().await;
    until("offline", || centre.presence().as_deref() == Some("offline")).await;
    assert!(folder.status().await.is_none(), "no agent runs any more");
}

#[tokio::test]
async fn a_reload_loses_no_report_and_goes_on_counting() {
    let broker = broker();
    let folder = Folder::new(broker);
    let centre = Centre::on(broker, folder.public_key()).await;
    let agent = Running::start(&folder);
    until("report 1", || centre.sequences() == [1]).await;
    folder.write_config(broker, "30s");
    folder.drop_counts(7);
    agent.reload.send(folder.config()).await.expect("running");
    until("the new counts", || centre.reports().iter().any(|r| r.wards[&1].occupied == 7)).await;
    agent.stop().await;
    let left = outbox::inspect(&folder.path("state")).expect("readable").expect("there");
    assert_eq!(left.held, (1..left.next).collect::<Vec<_>>());
}

#[tokio::test]
async fn without_a_broker_reports_are_kept_and_the_status_says_why() {
    // A port that nobody listens on.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
    let folder = Folder::new(nobody);
    let agent = Running::start(&folder);
    folder
        .until_status("kept and told", |s| {
            s.outbox.as_ref().is_some_and(|o| o.held == 1)
                && s.connection.last_error.as_deref().is_some_and(|e| e.starts_with("refused or unreachable: "))
        })
        .await;
    agent.stop().await;
}

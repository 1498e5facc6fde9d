//! The publisher: brings what the outbox holds to the broker, and the centre's receipts back.
//!
//! In: the outbox, word of each appended report, messages on the receipt topic. Out: MQTT
//! publishes, settled receipts, the connection's part of the status.
//!
//! It has no memory that matters. What to send is in the outbox; when is decided by [`schedule`];
//! whether a receipt is to be believed by [`receipts`]; the connection is driven by a task of its
//! own in [`connection`]. This file joins them: it waits for whichever happens first, and does it.
//! Requests are never awaited: when the connection's queue is full, the report stays scheduled.

pub mod connection;
pub mod receipts;
pub mod schedule;
mod session;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rumqttc::{Publish, QoS};
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};
use vardpuls_service::event::Event;
use vardpuls_service::vitals::Pulse;
use vardpuls_shared::clock::Clock;
use vardpuls_shared::hospital::HospitalId;
use vardpuls_shared::key::PublicKey;
use vardpuls_shared::report::Position;
use vardpuls_shared::topic::Topic;

use crate::config::{Broker, Config};
use crate::outbox::{self, Held, OutboxError, Refused};
use crate::signer::Signer;
use crate::status::{Board, Drift, LastReceipt, LastReport};
use crate::word;
use connection::{Backoff, Connection, Line, OFFLINE, ONLINE};
use schedule::{Pace, Schedule, Step};
use session::Session;

/// A connection that stood this long was a good one, even if no receipt came.
const GOOD_SESSION: Duration = Duration::from_secs(5);
/// How soon the outbox is tried again after an error.
const OUTBOX_RETRY: Duration = Duration::from_secs(5);
/// The longest that a session lies still: it has to show that it moves.
const TURN: Duration = Duration::from_secs(30);
/// The roster is not sent more often than this, however often it is asked for.
const ROSTER_GAP: Duration = Duration::from_secs(2);
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);
/// How many refused reports the status shows.
const SHOWN_REFUSALS: usize = 100;

/// The publisher of one agent.
pub struct Publisher {
    hospital: HospitalId,
    broker: Broker,
    centre: PublicKey,
    pace: Pace,
    signer: Arc<Signer>,
    outbox: outbox::Shared,
    board: Board,
    clock: Clock,
    pulse: Pulse,
}

/// How a session ended.
enum End {
    Shutdown,
    Lost { reason: String, good: bool },
}

impl Publisher {
    /// The publisher for this config. Nothing happens until it is [run](Publisher::run).
    pub fn new(
        config: &Config,
        signer: Arc<Signer>,
        outbox: outbox::Shared,
        board: Board,
        clock: Clock,
        pulse: Pulse,
    ) -> Publisher {
        Publisher {
            hospital: config.hospital.clone(),
            broker: config.broker.clone(),
            centre: config.centre_key,
            pace: Pace {
                backlog_rate: config.outbox.backlog_rate,
                receipt: Duration::from_secs(10),
                receipt_max: Duration::from_mins(5),
            },
            signer,
            outbox,
            board,
            clock,
            pulse,
        }
    }

    /// Publishes until shutdown; then sends what was just appended, says goodbye and returns.
    ///
    /// `next` tells the position that the outbox gives to its next report.
    pub async fn run(self, mut next: watch::Receiver<Position>, shutdown: CancellationToken) {
        let mut backoff = Backoff::new();
        while !shutdown.is_cancelled() {
            self.pulse.beat();
            let end = match connection::options(&self.hospital, &self.broker) {
                Ok(options) => self.session(Connection::start(options), &mut next, &shutdown).await,
                Err(e) => End::Lost { reason: e.to_string(), good: false },
            };
            let End::Lost { reason, good } = end else { return };
            if good {
                backoff.success();
            }
            let wait = backoff.wait(fastrand::f64());
            self.lost(&reason, wait);
            self.pulse.beat();
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn lost(&self, reason: &str, wait: Duration) {
        let now = self.clock.now();
        let mut news = false;
        self.board.update(|status| {
            let connection = &mut status.connection;
            news = connection.connected || connection.last_error.as_deref() != Some(reason);
            if connection.connected || connection.since.is_none() {
                connection.since = Some(now);
            }
            connection.connected = false;
            connection.last_error = Some(reason.to_owned());
            connection.failures += 1;
        });
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        if news {
            warn!(name: Event::BrokerLost.name(), hospital = %self.hospital, broker = %self.broker, reason, wait_ms,
                "no connection to the broker");
        } else {
            debug!(hospital = %self.hospital, broker = %self.broker, reason, wait_ms, "still no connection");
        }
    }

    async fn session(
        &self,
        connection: Connection,
        next: &mut watch::Receiver<Position>,
        shutdown: &CancellationToken,
    ) -> End {
        let mut session = Session {
            connection,
            schedule: Schedule::new(self.pace),
            epoch: next.borrow_and_update().epoch,
            up: None,
            receipted: false,
            roster_sent: None,
            asked: false,
            hold: None,
        };
        loop {
            self.pulse.beat();
            let wake = self.do_next(&mut session).await.min(Instant::now() + TURN);
            tokio::select! {
                biased;
                () = shutdown.cancelled() => {
                    self.goodbye(session, next).await;
                    return End::Shutdown;
                }
                line = session.connection.line() => match line {
                    Line::Up => self.up(&mut session, *next.borrow_and_update()),
                    Line::Message(message) => self.message(&mut session, &message).await,
                    Line::Closed => {}
                    Line::Lost(reason) => {
                        let good = session.receipted || session.up.is_some_and(|at| at.elapsed() >= GOOD_SESSION);
                        return End::Lost { reason, good };
                    }
                },
                Ok(()) = next.changed() => session.appended(*next.borrow_and_update()),
                () = sleep_until(wake.into()) => {}
            }
        }
    }

    /// Does one step of the schedule; returns when to look again if nothing else happens.
    async fn do_next(&self, session: &mut Session) -> Instant {
        let now = Instant::now();
        if let Some(until) = session.hold.filter(|&until| until > now) {
            return until;
        }
        session.hold = None;
        let found = match session.schedule.next(now) {
            Step::Idle => return now + TURN,
            Step::WaitUntil(at) => return at,
            Step::Live(sequence) => self.on_outbox(move |o, now| o.get(sequence, now)).await.map(|held| {
                if self.send(session, held.as_ref()) {
                    session.schedule.live_done(sequence);
                }
            }),
            Step::Below(below) => self.on_outbox(move |o, now| o.backlog(below, 1, now)).await.map(|mut held| {
                let held = held.pop();
                if self.send(session, held.as_ref()) {
                    session.schedule.below_done(Instant::now(), held.map(|h| h.position.sequence));
                }
            }),
            Step::Check(below) => self.on_outbox(move |o, now| o.backlog(below, 1, now)).await.map(|held| {
                if let Some(held) = held.first() {
                    info!(name: Event::ReceiptLate.name(), hospital = %self.hospital, sequence = held.position.sequence,
                        "no receipt in time; sending everything without one again");
                    self.ask_for_word(session);
                }
                session.schedule.check_done(Instant::now(), !held.is_empty());
            }),
        };
        if let Err(e) = found {
            error!(name: Event::OutboxUnreadable.name(), hospital = %self.hospital, error = %e,
                "the outbox cannot be read");
            session.hold = Some(Instant::now() + OUTBOX_RETRY);
        }
        Instant::now()
    }

    async fn on_outbox<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut outbox::Outbox, vardpuls_shared::clock::Time) -> Result<T, OutboxError> + Send + 'static,
    ) -> Result<T, OutboxError> {
        let now = self.clock.now();
        outbox::with(&self.outbox, move |outbox| work(outbox, now)).await
    }

    /// Whether the step is done: the report is on its way, or no longer there to be sent.
    fn send(&self, session: &mut Session, held: Option<&Held>) -> bool {
        let Some(held) = held else { return true };
        let topic = Topic::Report(self.hospital.clone());
        let sent = session.publish(&topic, false, held.envelope.clone());
        if sent {
            debug!(hospital = %self.hospital, sequence = held.position.sequence, "report sent");
        }
        sent
    }

    fn up(&self, session: &mut Session, next: Position) {
        info!(name: Event::BrokerConnected.name(), hospital = %self.hospital, broker = %self.broker, "connected");
        let now = self.clock.now();
        self.board.update(|status| {
            status.connection.connected = true;
            status.connection.since = Some(now);
        });
        // A fresh client's queue has room for these three.
        let receipts = Topic::Receipt(self.hospital.clone()).to_string();
        if session.connection.client.try_subscribe(receipts, QoS::AtLeastOnce).is_err() {
            error!(name: Event::BrokerRefuses.name(), hospital = %self.hospital, "cannot subscribe to receipts");
        }
        self.send_roster(session);
        session.publish(&Topic::Presence(self.hospital.clone()), true, ONLINE.into());
        session.up = Some(Instant::now());
        session.epoch = next.epoch;
        session.schedule.connected(Instant::now(), next.sequence);
    }

    fn send_roster(&self, session: &mut Session) {
        if session.roster_sent.is_some_and(|at| at.elapsed() < ROSTER_GAP) {
            return;
        }
        if session.publish(&Topic::Roster(self.hospital.clone()), true, self.signer.roster().to_vec()) {
            session.roster_sent = Some(Instant::now());
        }
    }

    async fn message(&self, session: &mut Session, message: &Publish) {
        if message.topic == Topic::Receipt(self.hospital.clone()).to_string() {
            self.receipt(session, &message.payload).await;
            return;
        }
        let now = self.clock.now();
        let mut taken = Ok(());
        self.board.update(|status| {
            let message = (message.topic.as_str(), message.retain, &message.payload[..]);
            taken = status.word.get_or_insert_default().take(message, &self.centre, &self.hospital, now);
        });
        if let Err(e) = taken {
            warn!(hospital = %self.hospital, reason = %e, "a message on the feed's topics is not believed");
        }
    }

    /// Asks what the centre's feed says of this hospital; answers come as messages.
    fn ask_for_word(&self, session: &mut Session) {
        for topic in word::topics(&self.hospital) {
            // A full queue asks again at the next check.
            let _ = session.connection.client.try_subscribe(topic, QoS::AtLeastOnce);
        }
        session.asked = true;
    }

    /// Receipts come again: the feed is for others.
    fn leave_word(&self, session: &mut Session) {
        for topic in word::topics(&self.hospital) {
            // A full queue leaves the subscription until the connection ends, which only costs traffic.
            let _ = session.connection.client.try_unsubscribe(topic);
        }
        session.asked = false;
        self.board.update(|status| status.word = None);
    }

    async fn receipt(&self, session: &mut Session, bytes: &[u8]) {
        let receipt = match receipts::read(bytes, &self.centre, &self.hospital) {
            Ok(receipt) => receipt,
            Err(e) => {
                warn!(name: Event::ReceiptNotBelieved.name(), hospital = %self.hospital, reason = %e,
                    "a message on the receipt topic is not believed");
                self.board.update(|status| {
                    status.receipts_not_believed += 1;
                    status.last_not_believed = Some(e.to_string());
                });
                return;
            }
        };
        let (issued_at, at) = (receipt.issued_at, self.clock.now());
        if receipt.wanted.contains(&self.signer.roster_version()) {
            self.send_roster(session);
        }
        session.receipted = true;
        if session.asked {
            self.leave_word(session);
        }
        let (epoch, stored) = (receipt.epoch, receipt.stored.clone());
        let settled = self
            .on_outbox(move |outbox, now| {
                let settled = outbox.settle(&receipt, now)?;
                Ok((settled, outbox.summary(now)?))
            })
            .await;
        let (settled, summary) = match settled {
            Ok(done) => done,
            Err(e) => {
                error!(name: Event::ReceiptNotKept.name(), hospital = %self.hospital, error = %e,
                    "a receipt cannot be written down; its reports are sent again");
                session.schedule.receipted(Instant::now(), false);
                return;
            }
        };
        session.schedule.receipted(Instant::now(), summary.held == 0);
        for &(sequence, reason) in &settled.refused {
            error!(name: Event::ReportRefused.name(), hospital = %self.hospital, sequence, %reason, remedy = reason.remedy(),
                "the centre refuses a report");
        }
        if settled.ahead {
            error!(name: Event::OutboxBehindCentre.name(), hospital = %self.hospital,
                "the centre has reports of this outbox that this outbox never gave out: the state folder was restored \
                 from an old copy, or another agent uses the same key. If restored: stop the agent, move outbox.redb \
                 away and start it; a new epoch begins");
        }
        debug!(hospital = %self.hospital, stored = settled.stored, refused = settled.refused.len(), "receipt");
        self.board.update(|status| {
            status.receipt = Some(LastReceipt { at, issued_at });
            let is_newest =
                |r: &&LastReport| r.epoch == epoch && stored.iter().any(|&(a, b)| (a..=b).contains(&r.sequence));
            if let Some(report) = status.report.as_ref().filter(is_newest) {
                status.clock = Some(Drift::of(report.at, issued_at, at));
            }
            status.outbox = Some(summary);
            status.refused.extend(settled.refused.iter().map(|&(s, reason)| Refused::new(s, reason, at)));
            let surplus = status.refused.len().saturating_sub(SHOWN_REFUSALS);
            status.refused.drain(..surplus);
        });
    }

    /// Sends what was just appended, says that this agent goes, and waits until that is written.
    async fn goodbye(&self, mut session: Session, next: &mut watch::Receiver<Position>) {
        if session.up.is_none() {
            return;
        }
        session.appended(*next.borrow_and_update());
        let said = timeout(GOODBYE, async {
            while session.schedule.has_live() {
                let wake = self.do_next(&mut session).await;
                tokio::select! {
                    line = session.connection.line() => match line {
                        Line::Lost(reason) => return Err(reason),
                        Line::Message(message) => self.message(&mut session, &message).await,
                        Line::Up | Line::Closed => {}
                    },
                    () = sleep_until(wake.into()) => {}
                }
            }
            session.publish(&Topic::Presence(self.hospital.clone()), true, OFFLINE.into());
            let _ = session.connection.client.try_disconnect();
            loop {
                match session.connection.line().await {
                    Line::Closed => return Ok(()),
                    Line::Lost(reason) => return Err(reason),
                    Line::Message(message) => self.message(&mut session, &message).await,
                    Line::Up => {}
                }
            }
        });
        match said.await {
            Ok(Ok(())) => info!(name: Event::BrokerLeft.name(), hospital = %self.hospital, "disconnected"),
            Ok(Err(reason)) => {
                warn!(name: Event::BrokerLost.name(), hospital = %self.hospital, reason,
                    "the connection ended before the goodbye");
            }
            Err(_) => {
                warn!(name: Event::BrokerLost.name(), hospital = %self.hospital,
                    "the broker was too slow for a goodbye; its will speaks for us");
            }
        }
        self.board.update(|status| status.connection.connected = false);
    }
}

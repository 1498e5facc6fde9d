//! One shift: the tasks that work under one config, joined, until they are told to stop.
//!
//! Sources and the publisher are tasks of their own; this file runs the part between them: an
//! observation updates the census, the reporter says when a report is due, the signer makes its
//! bytes under the outbox's next position, and the publisher hears of it. Stopping goes the way of
//! the data: sources first, then a last report if something is unsent, then the publisher's goodbye.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};
use vardpuls_service::event::Event;
use vardpuls_service::vitals::{Pulse, Vitals};
use vardpuls_shared::clock::{Clock, Time};
use vardpuls_shared::hospital::WardId;
use vardpuls_shared::report::Position;

use crate::census::{Census, Snapshot};
use crate::config::Config;
use crate::outbox;
use crate::publisher::Publisher;
use crate::reporter::{Decision, Reporter};
use crate::signer::Signer;
use crate::source::{self, CellFault, SourceEvent};
use crate::status::{Board, LastReport};

/// How long everything may take after the word to stop.
const DRAIN: Duration = Duration::from_secs(5);
/// How long the first report waits for sources that were not read yet: a report without a ward
/// that the next file would have filled makes the ward unknown for a moment.
const FIRST_ROUND: Duration = Duration::from_secs(2);
/// How soon a report that could not be kept is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// How soon a shift follows one whose publisher ended by itself.
const RESTART: Duration = Duration::from_secs(1);
/// A clock that is set by hand wakes nobody, so it is looked at this often.
const SET_CLOCK_TICK: Duration = Duration::from_millis(100);
/// A part that does not come round for so long hangs: a disk that hangs is given this.
const STALLED: Duration = Duration::from_mins(2);
/// The machine's clock may be stepped while we sleep.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);

/// What a shift works with.
pub(crate) struct Shift {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) signer: Arc<Signer>,
    pub(crate) outbox: outbox::Shared,
    pub(crate) board: Board,
    pub(crate) vitals: Vitals,
}

impl Shift {
    /// Works until `stop`, then drains.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let Some(next) = self.next_position(&stop).await else { return };
        let (appended, positions) = watch::channel(next);
        let (tell, events) = mpsc::channel(64);
        let sources = self.config.sources.clone();
        let mut reading = source::spawn(sources, self.clock.clone(), tell, &self.vitals, stop.child_token());

        let publisher = Publisher::new(
            &self.config,
            Arc::clone(&self.signer),
            Arc::clone(&self.outbox),
            self.board.clone(),
            self.clock.clone(),
            self.vitals.part("the way to the broker", STALLED),
        );
        // Not a child of `stop`: the publisher goes last.
        let enough = CancellationToken::new();
        let mut publishing = JoinSet::new();
        publishing.spawn(publisher.run(positions, enough.clone()));

        let mut desk = Desk::new(&self, appended);
        let mut work = std::pin::pin!(desk.work(events, &stop));
        tokio::select! {
            () = &mut work => {}
            Some(ended) = publishing.join_next() => {
                // A bug in the MQTT client must not silence the hospital: the next shift begins afresh.
                error!(name: Event::PublisherRestarted.name(), hospital = %self.config.hospital, panicked = ended.is_err(),
                    "the publisher ended; starting again");
                stop.cancel();
                work.await;
                tokio::time::sleep(RESTART).await;
            }
        }
        let deadline = tokio::time::Instant::now() + DRAIN;
        enough.cancel();
        let drained = timeout_at(deadline, async {
            while publishing.join_next().await.is_some() {}
            while reading.join_next().await.is_some() {}
        });
        if drained.await.is_err() {
            warn!(name: Event::DrainCutShort.name(), hospital = %self.config.hospital,
                "not everything stopped in time; what is unsent is in the outbox");
        }
    }

    /// Where the outbox stands, asked until it answers.
    async fn next_position(&self, stop: &CancellationToken) -> Option<Position> {
        loop {
            let now = self.clock.now();
            match outbox::with(&self.outbox, move |outbox| outbox.next(now)).await {
                Ok(next) => return Some(next),
                Err(e) => {
                    error!(name: Event::OutboxUnreadable.name(), hospital = %self.config.hospital, error = %e,
                        "the outbox cannot be read");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }
}

/// Where observations become reports.
struct Desk<'a> {
    shift: &'a Shift,
    census: Census,
    reporter: Reporter,
    appended: watch::Sender<Position>,
    /// Sources that were not heard from yet, and until when to wait for them.
    unheard: BTreeSet<String>,
    patience: Instant,
    /// What each source last spoiled: a fault is logged once, until it changes or is gone.
    spoiled: BTreeMap<String, BTreeMap<WardId, CellFault>>,
    /// Not before this, after a report could not be kept.
    hold: Option<Instant>,
    pulse: Pulse,
}

impl<'a> Desk<'a> {
    fn new(shift: &'a Shift, appended: watch::Sender<Position>) -> Desk<'a> {
        let config = &shift.config;
        Desk {
            shift,
            census: Census::new(&config.wards, &config.sources),
            reporter: Reporter::new(config.report.policy()),
            appended,
            unheard: config.sources.iter().map(|s| s.name.clone()).collect(),
            patience: Instant::now() + FIRST_ROUND,
            spoiled: BTreeMap::new(),
            hold: None,
            pulse: shift.vitals.part("making reports", STALLED),
        }
    }

    /// Works until `stop`; then takes in what the sources still had to say, and reports it.
    async fn work(&mut self, mut events: mpsc::Receiver<SourceEvent>, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            self.pulse.beat();
            let wake = self.report_if_due().await;
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                Some(event) = events.recv() => self.take(event),
                () = sleep_until(wake.into()) => {}
            }
        }
        while let Ok(event) = events.try_recv() {
            self.take(event);
        }
        let now = self.shift.clock.now();
        self.offer(now);
        if let Some(snapshot) = self.reporter.unsent() {
            self.report(now, snapshot).await;
        }
    }

    fn take(&mut self, event: SourceEvent) {
        self.unheard.remove(&event.source);
        let hospital = &self.shift.config.hospital;
        if let Some(tally) = event.adt {
            self.shift.board.update(|status| {
                status.sources.entry(event.source.clone()).or_default().adt = Some(*tally);
            });
        }
        match event.result {
            Ok(observation) => {
                let (wards, spoiled) = (observation.wards.len(), observation.spoiled.len());
                debug!(%hospital, source = event.source, wards, spoiled, "source read");
                let told = self.spoiled.insert(event.source.clone(), observation.spoiled.clone()).unwrap_or_default();
                for (ward, fault) in observation.spoiled.iter().filter(|&(ward, fault)| told.get(ward) != Some(fault)) {
                    warn!(name: Event::WardNotVouchedFor.name(), %hospital, source = event.source, %ward, reason = %fault,
                        "ward not vouched for");
                }
                self.shift.board.update(|status| {
                    let source = status.sources.entry(event.source.clone()).or_default();
                    source.read_at = Some(event.at);
                    source.wards = wards;
                    source.spoiled = spoiled;
                    source.not_reported = observation.not_reported.len();
                    source.unmapped.clone_from(&observation.unknown);
                    source.error = None;
                });
                self.census.update(&event.source, observation);
            }
            Err(e) => {
                let message = e.to_string();
                self.shift.board.update(|status| {
                    let source = status.sources.entry(event.source.clone()).or_default();
                    if source.error.as_ref() != Some(&message) {
                        warn!(name: Event::SourceNotRead.name(), %hospital, source = event.source, reason = message,
                            "source not read");
                    }
                    source.error = Some(message);
                    source.errors += 1;
                });
            }
        }
    }

    fn offer(&mut self, now: Time) {
        if let Some(snapshot) = self.census.counts(now) {
            self.reporter.offer(now, snapshot);
        }
    }

    /// Reports what is due; returns when to look again if nothing else happens.
    async fn report_if_due(&mut self) -> Instant {
        let real = Instant::now();
        if !self.unheard.is_empty() && real < self.patience {
            return self.patience;
        }
        if let Some(until) = self.hold.filter(|&until| until > real) {
            return until;
        }
        self.hold = None;
        let now = self.shift.clock.now();
        // Also without news: observations grow too old to vouch for.
        self.offer(now);
        let wait = match self.reporter.next(now) {
            Decision::Send(snapshot) => {
                if !self.report(now, snapshot).await {
                    self.hold = Some(Instant::now() + RETRY);
                }
                Duration::ZERO
            }
            Decision::WaitUntil(at) => at.since(now),
            Decision::Idle => LONGEST_SLEEP,
        };
        let longest = if matches!(self.shift.clock, Clock::Set(_)) { SET_CLOCK_TICK } else { LONGEST_SLEEP };
        real + wait.min(longest)
    }

    /// Signs and keeps one report; false when it could not be kept.
    async fn report(&mut self, now: Time, snapshot: Snapshot) -> bool {
        let (observed_at, wards) = (snapshot.observed_at, snapshot.wards.len());
        let signer = Arc::clone(&self.shift.signer);
        let kept = outbox::with(&self.shift.outbox, move |outbox| {
            let position = outbox.append(now, |position| signer.report(position, &snapshot))?;
            Ok::<_, outbox::OutboxError>((position, outbox.summary(now)?))
        });
        let hospital = &self.shift.config.hospital;
        match kept.await {
            Ok((position, summary)) => {
                info!(name: Event::ReportMade.name(), %hospital, sequence = position.sequence, wards, "report");
                let mut dropped = 0;
                self.shift.board.update(|status| {
                    let Position { epoch, sequence } = position;
                    dropped = status.outbox.as_ref().map_or(0, |before| summary.dropped.saturating_sub(before.dropped));
                    status.report = Some(LastReport { epoch, sequence, at: now, observed_at, wards });
                    status.report_error = None;
                    status.outbox = Some(summary);
                });
                if dropped > 0 {
                    warn!(name: Event::ReportsDropped.name(), %hospital, dropped,
                        "the outbox is full; its oldest reports are dropped unreceipted");
                }
                self.reporter.sent(now);
                self.appended.send_replace(Position { sequence: position.sequence + 1, ..position });
                true
            }
            Err(e) => {
                error!(name: Event::ReportNotKept.name(), %hospital, error = %e,
                    "a report cannot be kept, and so not be sent");
                self.shift.board.update(|status| status.report_error = Some(e.to_string()));
                false
            }
        }
    }
}

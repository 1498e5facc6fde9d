//! Whether the work moves: parts of a program that give a sign of life, and who watches them.
//!
//! A part takes a [`Pulse`] and beats it at every turn of its loop, or rests it while it waits for
//! something that may never come. A part that beat and then neither beats nor rests for longer than
//! it said has stalled. A part that ended or never began is not watched: whoever started it sees
//! that.
//!
//! [`Vitals::attend`] tells the service manager that the program is alive only while no part has
//! stalled, so that one that hangs is started again.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::event::Event;
use crate::notify;

/// How often the service manager is told how things are when it wants no sign of life.
const WITHOUT_WATCHDOG: Duration = Duration::from_secs(20);

/// The parts of a program.
#[derive(Debug, Clone, Default)]
pub struct Vitals(Arc<Mutex<Vec<Weak<Part>>>>);

#[derive(Debug)]
struct Part {
    name: &'static str,
    within: Duration,
    /// When the next beat is due at the latest; none while it rests.
    due: Mutex<Option<Instant>>,
}

/// A part's sign of life. Clones are of the same part: any of them speaks for it.
#[derive(Debug, Clone)]
pub struct Pulse(Arc<Part>);

impl Pulse {
    /// The part moves.
    pub fn beat(&self) {
        self.beat_at(Instant::now());
    }

    /// The part waits for something that may never come.
    pub fn rest(&self) {
        *self.0.due.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn beat_at(&self, now: Instant) {
        *self.0.due.lock().unwrap_or_else(PoisonError::into_inner) = Some(now + self.0.within);
    }
}

impl Vitals {
    /// A new part, which rests. `within` is the longest that it may take from one beat to the next.
    pub fn part(&self, name: &'static str, within: Duration) -> Pulse {
        let part = Arc::new(Part { name, within, due: Mutex::new(None) });
        let mut parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that ended: a reload begins its parts anew.
        parts.retain(|part| part.strong_count() > 0);
        parts.push(Arc::downgrade(&part));
        Pulse(part)
    }

    /// A part that has stalled.
    pub fn stalled(&self, now: Instant) -> Option<&'static str> {
        let parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut living = parts.iter().filter_map(Weak::upgrade);
        living
            .find(|part| part.due.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|due| due < now))
            .map(|p| p.name)
    }

    /// Tells the service manager how things are, and that they move, until `shutdown`.
    pub async fn attend(&self, headline: impl Fn() -> String, shutdown: CancellationToken) {
        if !notify::heard() {
            return;
        }
        // Three chances in the time that it waits.
        let every = notify::watchdog().map_or(WITHOUT_WATCHDOG, |within| within / 3);
        let (mut said, mut complained) = (String::new(), None);
        loop {
            let stalled = self.stalled(Instant::now());
            let text = match stalled {
                None => headline(),
                Some(part) => format!("{part} does not move; a restart is due"),
            };
            if stalled.is_none() && notify::watchdog().is_some() {
                notify::alive();
            }
            if let Some(part) = stalled.filter(|_| complained != stalled) {
                error!(name: Event::Stalled.name(), part,
                    "a part does not move, so the service manager is not told that we are alive");
            }
            complained = stalled;
            if text != said {
                notify::status(&text);
                said = text;
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(every) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_beat_must_go_on_beating_unless_it_rests_or_ends() {
        let (vitals, start) = (Vitals::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        let desk = vitals.part("the desk", Duration::from_secs(10));
        let commit = vitals.part("the commit", Duration::from_secs(100));
        assert_eq!(vitals.stalled(after(1_000_000)), None, "nothing has begun");

        desk.beat_at(start);
        assert_eq!(vitals.stalled(after(10)), None);
        assert_eq!(vitals.stalled(after(11)), Some("the desk"));
        desk.beat_at(after(11));
        assert_eq!(vitals.stalled(after(21)), None);

        commit.beat_at(after(20));
        drop(desk);
        assert_eq!(vitals.stalled(after(120)), None, "a part that ended is not watched");
        let other_hand = commit.clone();
        drop(commit);
        assert_eq!(vitals.stalled(after(121)), Some("the commit"));
        other_hand.rest();
        assert_eq!(vitals.stalled(after(1_000_000)), None);
    }

    #[test]
    fn parts_that_ended_leave_no_trace() {
        let vitals = Vitals::default();
        for _ in 0..1000 {
            vitals.part("a shift", Duration::from_secs(1)).beat();
        }
        assert!(vitals.0.lock().expect("unpoisoned").len() <= 2);
    }
}

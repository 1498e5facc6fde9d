//! What happens to alarms, for tests: acts go in, journal entries and what stands come out.

use std::sync::Arc;
use std::time::Duration;

use vardpuls_shared::alert::{AlertId, Severity, Status};

use super::START;
use crate::alert::book::Book;
use crate::alert::entry::{Act, Actor, Ending, Entry, PointKey, Raised};
use crate::alert::standing::Standing;
use crate::store::{Batch, JournalRecord, Store};

/// What happens to alarms, told to the journal and to what stands, as the keeper would.
pub(crate) struct Story {
    pub(crate) book: Book,
    pub(crate) entries: Vec<Entry>,
    minutes: u64,
}

impl Story {
    pub(crate) fn new() -> Story {
        Story { book: Book::default(), entries: Vec::new(), minutes: 0 }
    }

    pub(crate) fn act(&mut self, act: Act) -> &Entry {
        self.minutes += 1;
        let at = START.plus(Duration::from_mins(self.minutes));
        self.entries.push(self.book.write(at, Actor::Centre, act, None));
        self.entries.last().expect("just written")
    }

    /// Raises an alarm of a hospital of region 01.
    pub(crate) fn raise(&mut self, hospital: &str, severity: Severity) -> AlertId {
        self.raise_with(hospital, severity, |_| ())
    }

    pub(crate) fn raise_with(
        &mut self,
        hospital: &str,
        severity: Severity,
        change: impl FnOnce(&mut Raised),
    ) -> AlertId {
        let point: PointKey = format!("full@hospital/{hospital}").parse().expect("a point");
        let at = START.plus(Duration::from_mins(self.minutes + 1));
        let alarm = AlertId::new(&point.rule, &point.target, at);
        let mut raised = Raised {
            alarm: alarm.clone(),
            point,
            severity,
            headline: format!("{hospital} is full"),
            response: "Call the bed coordinator.".into(),
            measure: "occupancy".into(),
            unit: "%".into(),
            value: Some(97.26),
            care: Vec::new(),
            name: format!("Hospital {hospital}"),
            region: Some("01".parse().expect("valid")),
            latch: false,
            status: Status::Actual,
            exercise: None,
            suppressed_by: None,
        };
        change(&mut raised);
        self.act(Act::Raised(Box::new(raised)));
        alarm
    }

    pub(crate) fn clear(&mut self, alarm: &AlertId) {
        self.act(Act::Cleared { alarm: alarm.clone(), value: Some(80.0), ending: Ending::Condition });
    }

    pub(crate) fn standing(&self) -> Standing {
        Standing::of(&self.book, Arc::default())
    }
}

/// Adds entries to the journal of a store.
pub(crate) async fn append(store: &Store, entries: &[Entry]) {
    // Receivers read entries only; which alarms are open after them is the keeper's to know.
    let record = |entry: &Entry| JournalRecord { entry: entry.clone(), closes: false };
    let batch = Batch { journal: entries.iter().map(record).collect(), ..Batch::default() };
    store.commit(&batch).await.expect("commits");
}

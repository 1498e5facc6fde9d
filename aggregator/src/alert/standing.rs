//! What stands, as others may see it: an immutable snapshot of the book, made when it changes.
//!
//! The keeper makes it with the journal entries that led to it; it is shown once they are durable,
//! so that nobody sees an alarm that a crash could take back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use vardpuls_shared::alert::Alert;
use vardpuls_shared::clock::Time;
use vardpuls_shared::topic::Scope;

use super::book::{Book, Declaration, Exercise};
use super::entry::PointKey;
use super::rules::Rules;

/// What stands after a journal entry.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// The last journal entry that it takes in.
    pub number: u64,
    /// The open alarms: hidden ones too, the worst first, then the newest.
    pub alerts: Vec<Arc<Alert>>,
    /// The levels that people have declared.
    pub declared: BTreeMap<Scope, Declaration>,
    /// The drill that is on.
    pub exercise: Option<Exercise>,
    /// What is on the shelf, and until when.
    pub shelved: BTreeMap<PointKey, Time>,
    /// What is out of service.
    pub out_of_service: BTreeSet<PointKey>,
    /// The rules in force.
    pub rules: Arc<Rules>,
}

impl Standing {
    /// What the book has, under these rules.
    pub fn of(book: &Book, rules: Arc<Rules>) -> Standing {
        let mut alerts: Vec<_> = book.alarms().filter_map(|(id, _)| book.alert(id)).map(Arc::new).collect();
        alerts.sort_by(|a, b| (b.severity, b.raised_at, &a.id).cmp(&(a.severity, a.raised_at, &b.id)));
        Standing {
            number: book.number(),
            alerts,
            declared: book.declared().clone(),
            exercise: book.exercise().cloned(),
            shelved: book.shelved().clone(),
            out_of_service: book.out_of_service().clone(),
            rules,
        }
    }
}

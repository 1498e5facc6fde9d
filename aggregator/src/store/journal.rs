//! The journal of alarms, as readers ask for it. A stub: its storing is built beside this.

use vardpuls_shared::alert::AlertId;

use super::{Store, StoreError};
use crate::alert::entry::Entry;

/// Which entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalQuery {
    /// Those with a greater number.
    pub after: u64,
    /// Those with a smaller number.
    pub before: Option<u64>,
    /// Those about this alarm.
    pub alarm: Option<AlertId>,
    /// Those of which receivers are told.
    pub said_only: bool,
    /// At most this many.
    pub limit: u32,
    /// The newest first.
    pub newest_first: bool,
}

impl Store {
    /// The entries that a query asks for.
    #[expect(clippy::unused_async, reason = "a stub")]
    pub async fn journal(&self, _query: &JournalQuery) -> Result<Vec<Entry>, StoreError> {
        Ok(Vec::new())
    }
}

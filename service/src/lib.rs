//! What both daemons tell the machine that they run on, and what it gives them.
//!
//! | file | owns |
//! |---|---|
//! | [`event`] | the kinds of events, each with the id that the journal's catalog knows it by |
//! | [`log`] | where events go: the journal, or standard error where there is none |
//! | [`journal`] | an event as an entry of the journal, its fields searchable |
//! | [`notify`] | what the service manager is told: ready, reloading, stopping, how it goes |
//! | [`vitals`] | whether the work moves, so that a watchdog is fed only then |
//! | [`credential`] | files that the service manager hands over |
//!
//! It knows nothing of wards and reports; both daemons may depend on it, and it on neither.

pub mod credential;
pub mod event;
pub mod journal;
pub mod log;
pub mod notify;
pub mod vitals;

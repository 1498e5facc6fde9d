//! Why the store did not do what it was asked, and what to do about it.

use std::path::{Path, PathBuf};

use super::history::MAX_POINTS;

/// Why the store did not do it. Nothing of a refused batch is stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another aggregator has the store open.
    #[error("the store {} is open in another aggregator; stop that one, or give this one another [store] path", .0.display())]
    Locked(PathBuf),
    /// Another program holds SQLite's write lock.
    #[error("the store {} is held by another program (a backup, a sqlite3 shell?); find it with: fuser {}", .0.display(), .0.display())]
    Busy(PathBuf),
    /// No room.
    #[error("the disk of the store {} is full; nothing was stored or receipted and the agents send again: free some space", .0.display())]
    DiskFull(PathBuf),
    /// The file or its folder cannot be written.
    #[error("the store {} cannot be written; give the aggregator's user the folder and the file", .0.display())]
    ReadOnly(PathBuf),
    /// The file or its folder cannot be opened.
    #[error("the store {} cannot be opened: {reason}; the folder must exist and belong to the aggregator's user", path.display())]
    Unreachable {
        /// Which store.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// Not an SQLite file.
    #[error("{} is not a database; is [store] path right?", .0.display())]
    NotADatabase(PathBuf),
    /// Another program's SQLite file.
    #[error("{} is another program's database, not a Vardpuls store; is [store] path right?", .0.display())]
    Foreign(PathBuf),
    /// Written by a newer aggregator.
    #[error("the store {} has schema {found} and this aggregator knows {known}; upgrade the aggregator", path.display())]
    NewerSchema {
        /// Which store.
        path: PathBuf,
        /// The schema found.
        found: i64,
        /// The newest schema known here.
        known: i64,
    },
    /// The file is damaged.
    #[error("the store {} is damaged: {reason}; set it aside and restore a backup: the agents send again what they have no receipt for", path.display())]
    Corrupt {
        /// Which store.
        path: PathBuf,
        /// What SQLite says.
        reason: String,
    },
    /// The disk fails.
    #[error("the disk of the store {} fails: {reason}; look at the system log", path.display())]
    Disk {
        /// Which store.
        path: PathBuf,
        /// What SQLite says.
        reason: String,
    },
    /// The book's next entry is not the journal's next: a fault in the aggregator.
    #[error("the store {}: the journal of alarms goes on with entry {due} and entry {found} came; nothing was stored: restart the aggregator, which goes on from the journal, and please report this", path.display())]
    JournalOrder {
        /// Which store.
        path: PathBuf,
        /// The number that is due.
        due: u64,
        /// The number that came.
        found: u64,
    },
    /// The journal is not what was written.
    #[error("the journal of alarms in the store {} does not fit from entry {entry} on: somebody has changed or removed what stood there; keep the file as evidence and compare it with a backup from before", path.display())]
    JournalBroken {
        /// Which store.
        path: PathBuf,
        /// The first number that does not fit.
        entry: u64,
    },
    /// The store was closed.
    #[error("the store {} is closed", .0.display())]
    Closed(PathBuf),
    /// Anything else: a fault in the aggregator.
    #[error("the store {}: {reason}; please report this", path.display())]
    Unexpected {
        /// Which store.
        path: PathBuf,
        /// What SQLite says.
        reason: String,
    },
    /// A history query without a span or a step.
    #[error("the history needs a span and a step: from before to, and a step of at least one second")]
    EmptyQuery,
    /// A history query for too much.
    #[error(
        "the history gives at most {MAX_POINTS} points and {0} were asked for; take a longer step or a shorter span"
    )]
    TooManyPoints(u64),
}

/// What goes wrong inside, before it has the store's path to it.
#[derive(Debug)]
pub(super) enum Fault {
    /// SQLite's, or its data's.
    Database(sqlx::Error),
    /// See [`StoreError::JournalOrder`].
    JournalOrder { due: u64, found: u64 },
    /// See [`StoreError::JournalBroken`].
    JournalBroken(u64),
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Fault {
        Fault::Database(error)
    }
}

impl StoreError {
    /// Names what went wrong.
    pub(super) fn of(path: &Path, fault: impl Into<Fault>) -> StoreError {
        let path = path.to_owned();
        match fault.into() {
            Fault::Database(error) => StoreError::in_sqlite(path, &error),
            Fault::JournalOrder { due, found } => StoreError::JournalOrder { path, due, found },
            Fault::JournalBroken(entry) => StoreError::JournalBroken { path, entry },
        }
    }

    fn in_sqlite(path: PathBuf, error: &sqlx::Error) -> StoreError {
        let reason = error.to_string();
        let sqlx::Error::Database(database) = error else {
            return match error {
                sqlx::Error::PoolTimedOut => StoreError::Busy(path),
                sqlx::Error::PoolClosed => StoreError::Closed(path),
                sqlx::Error::Io(e) if e.kind() == std::io::ErrorKind::StorageFull => StoreError::DiskFull(path),
                sqlx::Error::Io(_) => StoreError::Disk { path, reason },
                sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => StoreError::Corrupt { path, reason },
                _ => StoreError::Unexpected { path, reason },
            };
        };
        // SQLite's extended result codes have the primary one in their lowest byte (sqlite.org/rescode.html).
        let primary = database.code().and_then(|code| code.parse::<u32>().ok()).map_or(0, |code| code & 0xff);
        match primary {
            5 | 6 => StoreError::Busy(path),
            8 => StoreError::ReadOnly(path),
            10 => StoreError::Disk { path, reason },
            11 => StoreError::Corrupt { path, reason },
            13 => StoreError::DiskFull(path),
            14 => StoreError::Unreachable { path, reason },
            26 => StoreError::NotADatabase(path),
            _ => StoreError::Unexpected { path, reason },
        }
    }
}

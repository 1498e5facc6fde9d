//! Opening the outbox file: create, check, set aside, and the epoch that outlives it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{Builder, Database, ReadableDatabase};
use tracing::{error, info};
use vardpuls_service::event::Event;
use vardpuls_shared::clock::Time;

use super::tables::{DROPPED, FORMAT, HELD, LEDGER, REFUSED, entry};
use super::{Open, OutboxError};

/// The agent's memory counts: the outbox is written once and read rarely.
const CACHE_BYTES: usize = 512 * 1024;

/// The outbox file of a state folder.
pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join("outbox.redb")
}

pub(super) fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// Opens or creates; a damaged file is set aside and a new one begun.
pub(super) fn open(folder: &Path, now: Time) -> Result<Open, OutboxError> {
    let io = |source| OutboxError::Io { path: folder.to_owned(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
    let path = path(folder);
    match open_file(folder, &path, now) {
        Err(OutboxError::Damaged { detail, .. }) => {
            let aside = folder.join(format!("outbox.redb.corrupt-{}", now.0));
            fs::rename(&path, &aside).map_err(io)?;
            error!(name: Event::OutboxSetAside.name(), outbox = %path.display(), aside = %aside.display(), detail,
                "the outbox is damaged; it was set aside and a new epoch begins. Reports in it that had no receipt \
                 are not sent. Check the disk");
            open_file(folder, &path, now)
        }
        other => other,
    }
}

fn open_file(folder: &Path, path: &Path, now: Time) -> Result<Open, OutboxError> {
    // redb returns an error for nearly every damage, and asserts on some.
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let database = builder().set_check_integrity_on_open(true).create(path)?;
        let found = read_head(&database)?;
        Ok((database, found))
    }))
    .unwrap_or_else(|_| Err(redb::Error::Corrupted("an assertion of the database failed".into())));
    let (database, found) = opened.map_err(|e| named(path, e))?;
    match found {
        Some((FORMAT, epoch)) => Ok(Open { database, epoch }),
        Some((found, _)) => Err(OutboxError::Newer { path: path.to_owned(), found }),
        None => {
            let epoch = new_epoch(folder, now)?;
            begin(&database, epoch).map_err(|e| named(path, e))?;
            info!(name: Event::OutboxNew.name(), outbox = %path.display(), epoch, "a new outbox begins");
            Ok(Open { database, epoch })
        }
    }
}

/// Format and epoch; none in a file that was only just created.
fn read_head(database: &Database) -> Result<Option<(u64, u64)>, redb::Error> {
    match database.begin_read()?.open_table(LEDGER) {
        Ok(ledger) => Ok(Some((entry(&ledger, "format")?, entry(&ledger, "epoch")?))),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn begin(database: &Database, epoch: u64) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut ledger = transaction.open_table(LEDGER)?;
        for (name, value) in [
            ("format", FORMAT),
            ("epoch", epoch),
            ("next", 1),
            ("bytes", 0),
            ("released", 0),
            ("refused", 0),
            ("dropped", 0),
        ] {
            ledger.insert(name, value)?;
        }
        transaction.open_table(HELD)?;
        transaction.open_table(REFUSED)?;
        transaction.open_table(DROPPED)?;
    }
    transaction.commit()?;
    Ok(())
}

/// Now, or one more than the last epoch of this folder if the clock has gone back. Written down
/// before the outbox that uses it.
fn new_epoch(folder: &Path, now: Time) -> Result<u64, OutboxError> {
    let path = folder.join("outbox.epoch");
    let io = |source| OutboxError::Io { path: path.clone(), source };
    let last: u64 = match fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().unwrap_or(0),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => 0,
        Err(e) => return Err(io(e)),
    };
    let epoch = now.0.max(last.saturating_add(1)).min(Time::MAX.0);
    let fresh = folder.join("outbox.epoch.new");
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh).map_err(io)?;
    writeln!(file, "{epoch}").and_then(|()| file.sync_all()).map_err(io)?;
    fs::rename(&fresh, &path).map_err(io)?;
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
    Ok(epoch)
}

/// redb's error as one of ours, by what somebody has to do about it.
pub(super) fn named(path: &Path, e: redb::Error) -> OutboxError {
    let path = path.to_owned();
    match e {
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => OutboxError::Locked { path },
        redb::Error::UpgradeRequired(version) => OutboxError::Newer { path, found: u64::from(version) },
        redb::Error::Io(source) => match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => OutboxError::Full { path },
            // redb says so of a file that does not begin as one of its own, or ends too early.
            std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof => {
                OutboxError::Damaged { path, detail: source.to_string() }
            }
            _ => OutboxError::Io { path, source },
        },
        redb::Error::PreviousIo => OutboxError::Io { path, source: std::io::Error::other("an earlier write failed") },
        other => OutboxError::Damaged { path, detail: other.to_string() },
    }
}

//! The visits on disk: what has to outlive the agent so that a count goes on where it stood.
//!
//! In: [`Changes`] of [`Visits`]. Out: [`Kept`]. What lies here is derived, never a message: visits under hidden numbers
//! with their acts, times, classes and places; beds; what each ward was anchored at.
//!
//! # Invariants
//! 1. One transaction takes whatever waited, whole or not at all, and is synced (`Durability::Immediate`).
//! 2. One process: the file is locked while open.
//! 3. A store fits its secret: it knows the secret's name, and one that does not fit gives back no visits.
//!
//! # On disk
//! `adt-NAME.redb` and `adt-NAME.key` in the state folder, both mode 0600. Tables: `ledger` (`format`, `secret`),
//! `visits` (hidden number → record), `places` (number → names), `beds`, `anchors` (ward → count, time, drift).
//! A damaged file is set aside as `….corrupt-<ms>`: visits are forgotten, and the wards wait for the next snapshot.

mod record;

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use tracing::error;
use vardpuls_shared::clock::Time;

use super::event::BedState;
use super::place::PlaceName;
use super::secret::{Key, Secret, SecretError};
use super::visit::PlaceNumber;
use super::visits::{BedSaid, Changes, Kept, Visits};
use super::wards::Anchor;

const LEDGER: TableDefinition<'_, &str, u64> = TableDefinition::new("ledger");
const VISITS: TableDefinition<'_, [u8; 16], &[u8]> = TableDefinition::new("visits");
const PLACES: TableDefinition<'_, u16, (&str, &str)> = TableDefinition::new("places");
/// (place, bed) → (takes no patient, written down, sent).
const BEDS: TableDefinition<'_, (u16, u64), (bool, u64, u64)> = TableDefinition::new("beds");
/// Ward → (count, time, drift).
const ANCHORS: TableDefinition<'_, &str, (i64, u64, Option<u16>)> = TableDefinition::new("anchors");

/// The format that this version writes and reads.
const FORMAT: u64 = 1;

/// The agent's memory counts; visits are held in it, and the file is only written.
const CACHE_BYTES: usize = 1 << 20;

/// Why the visits cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the file.
    #[error("{}: another agent runs on these visits; stop it, or give this one a state-dir of its own", .0.display())]
    Locked(PathBuf),
    /// A newer agent wrote the file.
    #[error("{}: written by a newer vardpuls-agent (format {found}, this one knows {FORMAT}); upgrade this one", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// The file is not readable as a store.
    #[error("{}: the file is damaged ({detail}); a started agent sets it aside and forgets the visits", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The file system said no.
    #[error("{}: {source}; check that the agent's user may write there, that the disk is healthy and not full", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// The open store, and the secret that fits it.
#[derive(Debug)]
pub struct Store {
    database: Database,
    path: PathBuf,
    key_path: PathBuf,
    secret: Secret,
}

/// The store's file.
pub fn path(folder: &Path, source: &str) -> PathBuf {
    folder.join(format!("adt-{}.redb", plain(source)))
}

fn key_path(folder: &Path, source: &str) -> PathBuf {
    folder.join(format!("adt-{}.key", plain(source)))
}

/// A source's name as a part of a file's name; two names give two files.
fn plain(source: &str) -> String {
    source
        .bytes()
        .map(|b| if b.is_ascii_alphanumeric() || b == b'-' { char::from(b).to_string() } else { format!("_{b:02x}") })
        .collect()
}

impl Store {
    /// Opens the store of a source, which is made if missing, and gives back what is in it.
    pub fn open(folder: &Path, source: &str, now: Time) -> Result<(Store, Kept), StoreError> {
        let io = |source| StoreError::Io { path: folder.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
        let (path, key_path) = (path(folder, source), key_path(folder, source));
        let opened = match open_file(&path) {
            Err(StoreError::Damaged { detail, .. }) => {
                let mut aside = path.clone().into_os_string();
                aside.push(format!(".corrupt-{}", now.0));
                fs::rename(&path, &aside).map_err(io)?;
                error!(visits = %path.display(), aside = %Path::new(&aside).display(), detail,
                    "the visits are damaged; the file was set aside, and wards wait for the next snapshot. Check the disk");
                open_file(&path)
            }
            other => other,
        };
        let (database, wanted, mut kept) = opened?;
        let secret = Secret::open(&key_path, wanted)?;
        if wanted != Some(secret.name()) {
            if !kept.visits.is_empty() {
                error!(visits = %path.display(), key = %key_path.display(),
                    "the key does not fit the visits; they are forgotten, counts go on from the last snapshot");
            }
            kept.visits.clear();
            begin(&database, &secret).map_err(|e| named(&path, e))?;
        }
        Ok((Store { database, path, key_path, secret }, kept))
    }

    /// The secret that visit numbers are hidden under.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// How old the secret is, by its file.
    pub fn secret_age(&self, now: Time) -> Duration {
        // A file that cannot be asked is not changed for that.
        fs::metadata(&self.key_path)
            .and_then(|m| m.modified())
            .map_or(Duration::ZERO, |made| now.since(Time::from(made)))
    }

    /// Writes what changed, in one synced transaction.
    pub fn write(&mut self, visits: &Visits, changes: &Changes) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let written = catch_unwind(AssertUnwindSafe(|| put(&self.database, visits, changes, &self.secret)))
            .unwrap_or_else(|_| Err(redb::Error::Corrupted("an assertion of the database failed".into())));
        written.map_err(|e| named(&self.path, e))
    }

    /// Writes what changed under another secret; `visits` must have forgotten what was under the old one.
    pub fn change_secret(&mut self, visits: &Visits, changes: &Changes) -> Result<(), StoreError> {
        let next = Secret::replace(&self.key_path)?;
        put(&self.database, visits, changes, &next.secret).map_err(|e| named(&self.path, e))?;
        self.secret = next.settle()?;
        Ok(())
    }
}

fn put(database: &Database, visits: &Visits, changes: &Changes, secret: &Secret) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    if changes.forgotten {
        transaction.delete_table(VISITS)?;
        transaction.open_table(LEDGER)?.insert("secret", u64::from_be_bytes(secret.name()))?;
    }
    if changes.forgotten || !changes.visits.is_empty() {
        let mut table = transaction.open_table(VISITS)?;
        let mut record = Vec::new();
        for key in &changes.visits {
            match visits.visit(*key) {
                Some(visit) => {
                    record::write(visit, &mut record);
                    table.insert(key.0, record.as_slice())?;
                }
                None => {
                    table.remove(key.0)?;
                }
            }
        }
    }
    if let Some(from) = changes.places_from {
        let mut table = transaction.open_table(PLACES)?;
        for (number, name) in visits.places_from(from) {
            table.insert(number.0, (name.point_of_care.as_str(), name.facility.as_str()))?;
        }
    }
    if !changes.beds.is_empty() {
        let mut table = transaction.open_table(BEDS)?;
        for &(place, bed) in &changes.beds {
            if let Some(said) = visits.bed_said(place, bed) {
                let blocked = said.state == BedState::Blocked;
                table.insert((place.0, bed), (blocked, said.at.0.0, said.at.1.0))?;
            }
        }
    }
    if !changes.anchors.is_empty() {
        let mut table = transaction.open_table(ANCHORS)?;
        for ward in &changes.anchors {
            if let Some(Anchor { count, at: Some(at), drift }) = visits.anchor(ward) {
                table.insert(ward.as_str(), (count, at.0, drift))?;
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

type Opened = (Database, Option<[u8; 8]>, Kept);
type Found = (Option<u64>, Option<[u8; 8]>, Kept);

fn open_file(path: &Path) -> Result<Opened, StoreError> {
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
        let database = builder.create(path)?;
        let found = read(&database)?;
        Ok((database, found))
    }))
    .unwrap_or_else(|_| Err(redb::Error::Corrupted("an assertion of the database failed".into())));
    let (database, (format, secret, kept)) = opened.map_err(|e| named(path, e))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        .map_err(|source| StoreError::Io { path: path.to_owned(), source })?;
    match format {
        None | Some(FORMAT) => Ok((database, secret, kept)),
        Some(found) => Err(StoreError::Newer { path: path.to_owned(), found }),
    }
}

/// Format, the name of the secret, and everything in it; none of it in a file that was only just made.
fn read(database: &Database) -> Result<Found, redb::Error> {
    let transaction = database.begin_read()?;
    let ledger = match transaction.open_table(LEDGER) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok((None, None, Kept::default())),
        other => other?,
    };
    let format = ledger.get("format")?.map(|v| v.value());
    if format != Some(FORMAT) {
        return Ok((format, None, Kept::default()));
    }
    let secret = ledger.get("secret")?.map(|v| v.value().to_be_bytes());
    let damaged = |what: &str| redb::Error::Corrupted(format!("a {what} cannot be read"));
    let mut kept = Kept::default();
    for row in transaction.open_table(PLACES)?.iter()? {
        let (number, names) = row?;
        if usize::from(number.value()) != kept.places.len() {
            return Err(damaged("place"));
        }
        let (point_of_care, facility) = names.value();
        kept.places.push(PlaceName { point_of_care: point_of_care.to_owned(), facility: facility.to_owned() });
    }
    for row in transaction.open_table(VISITS)?.iter()? {
        let (key, bytes) = row?;
        let visit = record::read(bytes.value()).ok_or_else(|| damaged("visit"))?;
        kept.visits.push((Key(key.value()), visit));
    }
    for row in transaction.open_table(BEDS)?.iter()? {
        let (key, value) = row?;
        let ((place, bed), (blocked, recorded, sent)) = (key.value(), value.value());
        let state = if blocked { BedState::Blocked } else { BedState::Usable };
        kept.beds.push((PlaceNumber(place), bed, BedSaid { state, at: (Time(recorded), Time(sent)) }));
    }
    for row in transaction.open_table(ANCHORS)?.iter()? {
        let (ward, value) = row?;
        let (count, at, drift) = value.value();
        let ward = ward.value().parse().map_err(|_| damaged("ward"))?;
        kept.anchors.push((ward, Anchor { count, at: Some(Time(at)), drift }));
    }
    Ok((format, secret, kept))
}

/// Makes the tables, and lets go of visits under another secret.
fn begin(database: &Database, secret: &Secret) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    transaction.delete_table(VISITS)?;
    {
        let mut ledger = transaction.open_table(LEDGER)?;
        ledger.insert("format", FORMAT)?;
        ledger.insert("secret", u64::from_be_bytes(secret.name()))?;
        transaction.open_table(VISITS)?;
        transaction.open_table(PLACES)?;
        transaction.open_table(BEDS)?;
        transaction.open_table(ANCHORS)?;
    }
    transaction.commit()?;
    Ok(())
}

/// redb's error as one of ours, by what somebody has to do about it.
fn named(path: &Path, e: redb::Error) -> StoreError {
    let path = path.to_owned();
    match e {
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => StoreError::Locked(path),
        redb::Error::UpgradeRequired(version) => StoreError::Newer { path, found: u64::from(version) },
        redb::Error::Io(source) => match source.kind() {
            std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof => {
                StoreError::Damaged { path, detail: source.to_string() }
            }
            _ => StoreError::Io { path, source },
        },
        redb::Error::PreviousIo => StoreError::Io { path, source: std::io::Error::other("an earlier write failed") },
        other => StoreError::Damaged { path, detail: other.to_string() },
    }
}

#[cfg(test)]
mod tests;

//! What the store must hold after the rounds, and the table that says whether it does.
//!
//! In: the agents' outboxes (their own account of what they let go), the store's rows, the receipts that the witness
//! heard. Out: an [`Outcome`]; only one without any difference is good.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, Row as _, SqliteConnection};
use vardpuls_agent::outbox::{self, OutboxError};
use vardpuls_shared::hospital::HospitalId;
use vardpuls_shared::key::PublicKey;
use vardpuls_shared::report::{Position, Report};
use vardpuls_shared::signed::{Envelope, Kind};

use super::fleet::Kills;
use super::load;
use super::witness::Receipted;

/// What one agent's outbox says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Whose.
    pub hospital: HospitalId,
    /// The outbox's epoch.
    pub epoch: u64,
    /// Reports made: sequences 1 to this.
    pub made: u64,
    /// Those that still wait.
    pub held: BTreeSet<u64>,
    /// How many the outbox says a receipt let go.
    pub released: u64,
    /// Those that the centre refused.
    pub refused: BTreeSet<u64>,
    /// Those that were dropped for want of room.
    pub dropped: BTreeSet<u64>,
    /// Outboxes that were set aside as corrupt.
    pub set_aside: usize,
}

/// One row of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Whose report.
    pub hospital: HospitalId,
    /// Where it stands.
    pub position: Position,
    /// Whether digest, signature, head and content are all as they must be.
    pub sound: bool,
}

/// Why the end could not be audited.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// An outbox could not be read.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// There is no outbox.
    #[error("{0}: there is no outbox")]
    NoOutbox(PathBuf),
    /// The folder could not be read.
    #[error("{path}: {source}")]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The store could not be read.
    #[error("{path}: {source}")]
    Store {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: sqlx::Error,
    },
    /// SQLite found its file damaged.
    #[error("{path}: {found}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What it found.
        found: String,
    },
}

impl Account {
    /// Reads the outbox in an agent's state folder, after the agent has ended.
    pub fn read(hospital: &HospitalId, folder: &Path) -> Result<Account, AuditError> {
        let files = std::fs::read_dir(folder).map_err(|source| AuditError::Folder { path: folder.into(), source })?;
        let set_aside =
            files.filter(|f| f.as_ref().is_ok_and(|f| f.file_name().to_string_lossy().contains(".corrupt-"))).count();
        let contents = outbox::inspect(folder)?.ok_or_else(|| AuditError::NoOutbox(folder.into()))?;
        Ok(Account {
            hospital: hospital.clone(),
            epoch: contents.epoch,
            made: contents.next.saturating_sub(1),
            held: contents.held.into_iter().collect(),
            released: contents.released,
            refused: contents.refused.into_iter().map(|r| r.sequence).collect(),
            dropped: contents.dropped.into_iter().flat_map(|(first, last)| first..=last).collect(),
            set_aside,
        })
    }

    /// The positions that this outbox let go on a receipt.
    fn let_go(&self) -> impl Iterator<Item = Position> {
        let kept = |s: &u64| self.held.contains(s) || self.refused.contains(s) || self.dropped.contains(s);
        (1..=self.made).filter(move |s| !kept(s)).map(|sequence| Position { epoch: self.epoch, sequence })
    }
}

/// Reads every report of the store, after the aggregator has ended, and checks each against its hospital's key.
pub fn read_store(path: &Path, keys: &BTreeMap<HospitalId, PublicKey>) -> Result<Vec<Row>, AuditError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| AuditError::Folder { path: path.into(), source })?;
    runtime.block_on(read_rows(path, keys))
}

async fn read_rows(path: &Path, keys: &BTreeMap<HospitalId, PublicKey>) -> Result<Vec<Row>, AuditError> {
    let failed = |source| AuditError::Store { path: path.into(), source };
    let options = SqliteConnectOptions::new().filename(path);
    let mut store = SqliteConnection::connect_with(&options).await.map_err(failed)?;
    let found: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut store).await.map_err(failed)?;
    if found != "ok" {
        return Err(AuditError::Damaged { path: path.into(), found });
    }
    let select = sqlx::query("SELECT hospital, epoch, sequence, digest, envelope FROM report");
    let rows = select.fetch_all(&mut store).await.map_err(failed)?;
    store.close().await.map_err(failed)?;
    rows.iter().map(|row| read_row(row, keys).map_err(failed)).collect()
}

fn read_row(row: &sqlx::sqlite::SqliteRow, keys: &BTreeMap<HospitalId, PublicKey>) -> Result<Row, sqlx::Error> {
    let text: String = row.try_get("hospital")?;
    let hospital = HospitalId::new(&text).map_err(|e| sqlx::Error::Decode(e.into()))?;
    let number = |column| -> Result<u64, sqlx::Error> {
        u64::try_from(row.try_get::<i64, _>(column)?).map_err(|e| sqlx::Error::Decode(e.into()))
    };
    let position = Position { epoch: number("epoch")?, sequence: number("sequence")? };
    let envelope: Vec<u8> = row.try_get("envelope")?;
    let digest: Vec<u8> = row.try_get("digest")?;
    let report = keys.get(&hospital).and_then(|key| verified(&envelope, key));
    let sound = report.is_some_and(|r| r.hospital == hospital && r.position == position && load::is_whole(&r))
        && ring::digest::digest(&ring::digest::SHA256, &envelope).as_ref() == digest;
    Ok(Row { hospital, position, sound })
}

fn verified(envelope: &[u8], key: &PublicKey) -> Option<Report> {
    let envelope = Envelope::open(Kind::Report, envelope).ok()?;
    Report::decode(envelope.verify(key).ok()?).ok()
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Rounds run.
    pub rounds: u32,
    /// Processes killed, by kind.
    pub kills: Kills,
    /// Reports that the agents made.
    pub made: u64,
    /// Reports that the outboxes let go on a receipt.
    pub released: u64,
    /// Receipted positions that the witness heard of.
    pub receipted: u64,
    /// Positions that the store holds.
    pub stored: u64,
    /// Let go, or receipted, and not in the store.
    pub lost: u64,
    /// Refused by the centre.
    pub refused: u64,
    /// Dropped by an outbox.
    pub gaps: u64,
    /// Rows beyond the first at their position.
    pub duplicates: u64,
    /// Still waiting at the end.
    pub held: u64,
    /// In the store, made by no agent.
    pub foreign: u64,
    /// In the store, and not the whole report that the agent signed.
    pub damaged: u64,
    /// Outboxes that were set aside, or whose books do not balance.
    pub outboxes: u64,
}

/// Holds the store against the outboxes and the receipts.
pub fn audit(rounds: u32, kills: Kills, accounts: &[Account], rows: &[Row], receipted: &Receipted) -> Outcome {
    let mut stored: BTreeSet<(&HospitalId, Position)> = BTreeSet::new();
    let mut outcome = Outcome { rounds, kills, receipted: receipted.len() as u64, ..Outcome::default() };
    for row in rows {
        outcome.duplicates += u64::from(!stored.insert((&row.hospital, row.position)));
        outcome.damaged += u64::from(!row.sound);
        let made = accounts.iter().any(|a| {
            a.hospital == row.hospital && a.epoch == row.position.epoch && (1..=a.made).contains(&row.position.sequence)
        });
        outcome.foreign += u64::from(!made);
    }
    let mut lost: BTreeSet<(&HospitalId, Position)> =
        receipted.iter().map(|(hospital, position)| (hospital, *position)).filter(|p| !stored.contains(p)).collect();
    for account in accounts {
        let let_go: Vec<Position> = account.let_go().collect();
        outcome.made += account.made;
        outcome.released += let_go.len() as u64;
        outcome.held += account.held.len() as u64;
        outcome.refused += account.refused.len() as u64;
        outcome.gaps += account.dropped.len() as u64;
        outcome.outboxes += account.set_aside as u64 + u64::from(account.released != let_go.len() as u64);
        lost.extend(let_go.into_iter().map(|p| (&account.hospital, p)).filter(|p| !stored.contains(p)));
    }
    outcome.stored = stored.len() as u64;
    outcome.lost = lost.len() as u64;
    outcome
}

impl Outcome {
    /// Whether nothing was lost and there is no other difference.
    pub fn is_good(&self) -> bool {
        let differences = [
            self.lost,
            self.refused,
            self.gaps,
            self.duplicates,
            self.held,
            self.foreign,
            self.damaged,
            self.outboxes,
            self.made.abs_diff(self.stored),
        ];
        self.rounds > 0 && self.made > 0 && self.receipted > 0 && differences == [0; 9]
    }
}

impl fmt::Display for Outcome {
    /// Two columns; what must be zero stands at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: [(&str, u64); 16] = [
            ("rounds", u64::from(self.rounds)),
            ("kill -9 of an agent", self.kills.agents),
            ("kill -9 of the broker", self.kills.broker),
            ("kill -9 of the aggregator", self.kills.aggregator),
            ("reports made", self.made),
            ("let go by the outboxes", self.released),
            ("receipted before a witness", self.receipted),
            ("in the store", self.stored),
            ("lost", self.lost),
            ("refused", self.refused),
            ("gaps", self.gaps),
            ("duplicates", self.duplicates),
            ("still held", self.held),
            ("made by no agent", self.foreign),
            ("half-stored or altered", self.damaged),
            ("outboxes out of balance", self.outboxes),
        ];
        writeln!(f, "| {:<27} | {:>8} |\n|{:-<29}|{:->9}:|", "", "", "", "")?;
        rows.iter().try_for_each(|(what, count)| writeln!(f, "| {what:<27} | {count:>8} |"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hospital() -> HospitalId {
        "h-1".parse().expect("valid")
    }

    fn at(sequence: u64) -> Position {
        Position { epoch: 7, sequence }
    }

    fn good() -> (Account, Vec<Row>, Receipted) {
        let account = Account {
            hospital: hospital(),
            epoch: 7,
            made: 5,
            held: BTreeSet::new(),
            released: 5,
            refused: BTreeSet::new(),
            dropped: BTreeSet::new(),
            set_aside: 0,
        };
        let rows = (1..=5).map(|s| Row { hospital: hospital(), position: at(s), sound: true }).collect();
        (account, rows, BTreeSet::from([(hospital(), at(2)), (hospital(), at(5))]))
    }

    fn audited(account: Account, rows: &[Row], receipted: &Receipted) -> Outcome {
        audit(1, Kills::default(), &[account], rows, receipted)
    }

    #[test]
    fn all_in_the_store_is_good() {
        let (account, rows, receipted) = good();
        assert!(audited(account, &rows, &receipted).is_good());
    }

    #[test]
    fn a_report_that_was_let_go_and_is_not_there_is_lost() {
        let (account, mut rows, receipted) = good();
        rows.remove(2);
        let found = audited(account, &rows, &receipted);
        assert_eq!((found.lost, found.is_good()), (1, false));
    }

    #[test]
    fn a_receipted_report_is_lost_although_its_outbox_knows_nothing_of_it() {
        let (account, rows, mut receipted) = good();
        receipted.insert((hospital(), at(6)));
        assert_eq!(audited(account, &rows, &receipted).lost, 1);
    }

    #[test]
    fn a_held_report_is_not_lost_but_not_drained_either() {
        let (mut account, mut rows, receipted) = good();
        account.held.insert(3);
        account.released = 4;
        rows.remove(2);
        let found = audited(account, &rows, &receipted);
        assert_eq!((found.lost, found.held, found.is_good()), (0, 1, false));
    }

    #[test]
    fn foreign_doubled_and_damaged_rows_are_found() {
        let (account, mut rows, receipted) = good();
        rows.push(Row { hospital: hospital(), position: at(6), sound: true });
        rows.push(rows[0].clone());
        rows[1].sound = false;
        let found = audited(account, &rows, &receipted);
        assert_eq!((found.foreign, found.duplicates, found.damaged, found.is_good()), (1, 1, 1, false));
    }

    #[test]
    fn books_that_do_not_balance_are_found() {
        let (mut account, rows, receipted) = good();
        account.released = 4;
        assert_eq!(audited(account, &rows, &receipted).outboxes, 1);
    }
}

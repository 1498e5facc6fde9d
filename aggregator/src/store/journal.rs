//! The journal of alarms in the store, what the rules remember, and how far receivers have been told.
//!
//! In: entries that the book has numbered, with the reports of the same transaction. Out: what a
//! restart needs to stand where the journal ends, pages of the journal for readers, and whether its
//! chain still holds.
//!
//! Invariants. The journal only grows, by the next number, in the same transaction as the list of
//! open alarms; triggers refuse everything else, whoever asks. Folding [`Standing`]'s entries gives the
//! same book as folding the whole journal: an alarm is its own entries, and the entries that name no
//! alarm (shelves, services, declarations, drills, rules) are all kept for it.

mod chain;

use std::collections::BTreeMap;

use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection, SqlitePool};
use vardpuls_shared::alert::AlertId;

use super::error::Fault;
use super::reports::{chunks, placeholders};
use super::{Condition, Store, StoreError, column, file, number, unreadable};
use crate::alert::book::Book;
use crate::alert::entry::{Act, Entry};
use crate::config::StoreConfig;

use chain::End;

/// An entry on its way into the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalRecord {
    /// The entry.
    pub entry: Entry,
    /// Whether the alarm that it names is not open after it: a restart need not read that alarm.
    pub closes: bool,
}

impl JournalRecord {
    /// What `book` has just written.
    pub fn new(entry: Entry, book: &Book) -> JournalRecord {
        let closes = entry.act.alarm().is_some_and(|alarm| book.alarm(alarm).is_none());
        JournalRecord { entry, closes }
    }
}

/// What a point remembers over a restart, opaque to the store; none forgets it.
pub type Mark = (String, Option<Vec<u8>>);

/// Which entries to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalQuery {
    /// Only those after this number.
    pub after: u64,
    /// Only those before this number.
    pub before: Option<u64>,
    /// Only those that name this alarm.
    pub alarm: Option<AlertId>,
    /// Only those of which receivers are told.
    pub said_only: bool,
    /// At most so many.
    pub limit: u32,
    /// The newest first, so that the limit cuts off the oldest.
    pub newest_first: bool,
}

impl Store {
    /// The entries that what stands is made of, in order, and the last number of all.
    pub async fn journal_standing(&self) -> Result<(Vec<Entry>, u64), StoreError> {
        self.at_path(standing(&self.open.readers).await)
    }

    /// What points remember.
    pub async fn marks(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let query = sqlx::query_as("SELECT point, state FROM mark ORDER BY point");
        self.at_path(query.fetch_all(&self.open.readers).await)
    }

    /// A page of the journal.
    pub async fn journal(&self, query: &JournalQuery) -> Result<Vec<Entry>, StoreError> {
        self.at_path(read(&self.open.readers, query).await)
    }

    /// How far a receiver has been told; none for one that was never told anything.
    pub async fn place(&self, receiver: &str) -> Result<Option<u64>, StoreError> {
        let query = sqlx::query_scalar("SELECT number FROM place WHERE receiver = ?").bind(receiver);
        let place = query.fetch_optional(&self.open.readers).await;
        self.at_path(place.and_then(|place| place.map(number).transpose()))
    }

    /// Notes durably how far a receiver has been told.
    pub async fn set_place(&self, receiver: &str, number: u64) -> Result<(), StoreError> {
        let query = sqlx::query("INSERT OR REPLACE INTO place VALUES (?, ?)").bind(receiver).bind(column(number));
        self.at_path(query.execute(&self.open.writer).await.map(drop))
    }

    /// Computes the journal's chain again: how many entries it has, or which one does not fit.
    pub async fn verify_journal(&self) -> Result<u64, StoreError> {
        let mut reader = self.at_path(self.open.readers.acquire().await)?;
        self.at_path(chain::verify(&mut reader).await)
    }

    /// The same without opening the store for writing, making it, or locking it. A store without a
    /// journal, which is none yet or one of an older aggregator, has 0.
    pub async fn examine_journal(config: &StoreConfig) -> Result<u64, StoreError> {
        let at = |fault: Fault| StoreError::of(&config.path, fault);
        match file::examine(&config.path).await? {
            Condition::Present { schema } if schema >= file::WITH_JOURNAL => {}
            _ => return Ok(0),
        }
        let mut connection = file::reader(&config.path).await.map_err(|e| at(e.into()))?;
        let verified = chain::verify(&mut connection).await.map_err(at);
        connection.close().await.map_err(|e| at(e.into()))?;
        verified
    }
}

/// Appends entries and keeps the list of open alarms.
pub(super) async fn append(connection: &mut SqliteConnection, records: &[JournalRecord]) -> Result<(), Fault> {
    if records.is_empty() {
        return Ok(());
    }
    let mut end = End::read(&mut *connection).await?;
    for JournalRecord { entry, closes } in records {
        let text = serde_json::to_string(entry).expect("an entry has a JSON form");
        let (at, alarm) = (column(entry.at.0), entry.act.alarm().map(AlertId::as_str));
        end = end.after(at, alarm, &text);
        if column(entry.number) != end.number {
            return Err(Fault::JournalOrder { due: end.number.unsigned_abs(), found: entry.number });
        }
        sqlx::query("INSERT INTO journal (number, at, alarm, entry, digest) VALUES (?, ?, ?, ?, ?)")
            .bind(end.number)
            .bind(at)
            .bind(alarm)
            .bind(text)
            .bind(end.digest.as_slice())
            .execute(&mut *connection)
            .await?;
        let list = match (&entry.act, closes) {
            (_, true) => "DELETE FROM open_alarm WHERE alarm = ?",
            (Act::Raised(_), false) => "INSERT OR IGNORE INTO open_alarm VALUES (?)",
            _ => continue,
        };
        sqlx::query(list).bind(alarm).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Stores what points remember; the last word on each holds.
pub(super) async fn mark(connection: &mut SqliteConnection, marks: &[Mark]) -> Result<(), sqlx::Error> {
    let last: BTreeMap<_, _> = marks.iter().map(|(point, state)| (point, state)).collect();
    let kept: Vec<_> = last.iter().filter_map(|(point, state)| Some((point, state.as_deref()?))).collect();
    for chunk in chunks(&kept) {
        let rows = placeholders("(?, ?)", chunk.len());
        let mut query = sqlx::query(AssertSqlSafe(format!("INSERT OR REPLACE INTO mark VALUES {rows}")));
        for (point, state) in chunk {
            query = query.bind(point.as_str()).bind(*state);
        }
        query.execute(&mut *connection).await?;
    }
    for (point, _) in last.iter().filter(|(_, state)| state.is_none()) {
        sqlx::query("DELETE FROM mark WHERE point = ?").bind(point.as_str()).execute(&mut *connection).await?;
    }
    Ok(())
}

/// See [`Store::journal_standing`].
async fn standing(readers: &SqlitePool) -> Result<(Vec<Entry>, u64), sqlx::Error> {
    let mut transaction = readers.begin().await?;
    let query = sqlx::query(
        "SELECT entry FROM (
             SELECT number, entry FROM journal WHERE alarm IS NULL
             UNION ALL
             SELECT number, entry FROM open_alarm CROSS JOIN journal USING (alarm))
         ORDER BY number",
    );
    let entries = query.fetch_all(&mut *transaction).await?.iter().map(entry).collect::<Result<_, _>>()?;
    let last = End::read(&mut transaction).await?;
    Ok((entries, number(last.number)?))
}

/// See [`Store::journal`].
async fn read(readers: &SqlitePool, query: &JournalQuery) -> Result<Vec<Entry>, sqlx::Error> {
    let said = if query.said_only { "AND json_type(entry, '$.said') IS NOT NULL" } else { "" };
    let alarm = if query.alarm.is_some() { "AND alarm = ?4" } else { "" };
    let order = if query.newest_first { "DESC" } else { "ASC" };
    let sql = format!(
        "SELECT entry FROM journal WHERE number > ?1 AND number < ?2 {alarm} {said} ORDER BY number {order} LIMIT ?3"
    );
    let mut select = sqlx::query(AssertSqlSafe(sql))
        .bind(column(query.after))
        .bind(query.before.map_or(i64::MAX, column))
        .bind(query.limit);
    if let Some(alarm) = &query.alarm {
        select = select.bind(alarm.as_str());
    }
    select.fetch_all(readers).await?.iter().map(entry).collect()
}

fn entry(row: &SqliteRow) -> Result<Entry, sqlx::Error> {
    serde_json::from_str(row.try_get("entry")?).map_err(unreadable)
}

#[cfg(test)]
mod tests;

//! The store's file: whose it is, which schema it has, who has it open.
//!
//! `application_id` in SQLite's header says that the file is ours, `user_version` which migration
//! was the last. Both are read before anything is written, so that a wrong path harms nobody's file.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection, SqlitePool};

use super::StoreError;

/// "VPLS", in the file's header.
const APPLICATION_ID: i64 = 0x5650_4c53;

/// What brings a store from one schema to the next; the first makes schema 1. Never changed, only added to.
const MIGRATIONS: [&str; 2] =
    [include_str!("../../migrations/1_reports_rosters_samples.sql"), include_str!("../../migrations/2_journal.sql")];

/// The first schema with a journal of alarms.
pub(super) const WITH_JOURNAL: i64 = 2;

/// The schema that this aggregator reads and writes.
#[expect(clippy::cast_possible_wrap, reason = "a handful")]
const KNOWN: i64 = MIGRATIONS.len() as i64;

/// How long another program may hold SQLite's lock before we give up.
const PATIENCE: Duration = Duration::from_secs(5);

/// What stands at the store's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Nothing yet: it will be made.
    Absent,
    /// A store, of this schema or of an older one that will be brought up to date.
    Present {
        /// Its schema.
        schema: i64,
    },
}

/// Takes the lock that keeps a second aggregator away.
pub(super) fn lock(path: &Path) -> Result<File, StoreError> {
    let unreachable = |e: &io::Error| StoreError::Unreachable { path: path.to_owned(), reason: e.to_string() };
    let mut name = OsString::from(path);
    name.push(".lock");
    let file = File::options().create(true).truncate(false).write(true).open(name).map_err(|e| unreachable(&e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked(path.to_owned())),
        Err(TryLockError::Error(e)) => Err(unreachable(&e)),
    }
}

/// Looks at the file without changing it; an error unless [`open`] may go on.
pub(super) async fn examine(path: &Path) -> Result<Condition, StoreError> {
    match std::fs::metadata(path) {
        // SQLite makes a file before it writes to it: an empty one is a store that was never begun.
        Ok(file) if file.len() == 0 => return Ok(Condition::Absent),
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Condition::Absent),
        Err(e) => return Err(StoreError::Unreachable { path: path.to_owned(), reason: e.to_string() }),
    }
    let (id, schema, tables) = read_header(path).await.map_err(|e| StoreError::of(path, e))?;
    match (id, tables) {
        (APPLICATION_ID, _) if schema > KNOWN => {
            Err(StoreError::NewerSchema { path: path.to_owned(), found: schema, known: KNOWN })
        }
        (APPLICATION_ID, _) => Ok(Condition::Present { schema }),
        // WAL mode is written to the header before the first migration.
        (0, 0) => Ok(Condition::Absent),
        _ => Err(StoreError::Foreign(path.to_owned())),
    }
}

/// A connection that cannot write.
pub(super) async fn reader(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(PATIENCE);
    SqliteConnection::connect_with(&options).await
}

/// (application id, schema, number of tables and indices).
async fn read_header(path: &Path) -> Result<(i64, i64, i64), sqlx::Error> {
    let mut connection = reader(path).await?;
    let header = async {
        let tables = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut connection).await?;
        let id = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut connection).await?;
        let schema = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut connection).await?;
        Ok((id, schema, tables))
    }
    .await;
    connection.close().await?;
    header
}

/// Opens the writer and the readers; the tables are up to date then.
pub(super) async fn open(path: &Path) -> Result<(SqlitePool, SqlitePool), StoreError> {
    connect(path).await.map_err(|e| StoreError::of(path, e))
}

async fn connect(path: &Path) -> Result<(SqlitePool, SqlitePool), sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(PATIENCE).foreign_keys(true);
    let writer = options
        .clone()
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        // After a burst the WAL shrinks to this again.
        .pragma("journal_size_limit", "67108864");
    // Connections stay open, with their prepared statements.
    let pool = || SqlitePoolOptions::new().idle_timeout(None).max_lifetime(None).test_before_acquire(false);
    let writer = pool().max_connections(1).connect_with(writer).await?;
    migrate(&writer).await?;
    let readers = pool().max_connections(4).connect_with(options.read_only(true)).await?;
    Ok((writer, readers))
}

/// Applies the migrations that the file does not have yet, each in its own transaction.
async fn migrate(writer: &SqlitePool) -> Result<(), sqlx::Error> {
    let applied: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(writer).await?;
    for (schema, migration) in (1..).zip(MIGRATIONS).filter(|&(schema, _)| schema > applied) {
        let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
        let marks = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {schema};");
        sqlx::raw_sql(migration).execute(&mut *transaction).await?;
        sqlx::raw_sql(AssertSqlSafe(marks)).execute(&mut *transaction).await?;
        transaction.commit().await?;
    }
    Ok(())
}

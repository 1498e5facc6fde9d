//! One connection to a database, of whichever kind: opened to read, asked for rows of text.
//!
//! PostgreSQL and MySQL give every value as text where a statement is not prepared, and SQLite converts by
//! itself: no kind of number, date or string has to be known here. SQL Server has a room of its own, `mssql.rs`, and so
//! have ODBC's drivers, `odbc.rs`.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt as _};
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{
    AssertSqlSafe, Column as _, ColumnIndex, ConnectOptions, Decode, Executor as _, MySqlConnection, PgConnection, Row,
    SqliteConnection,
};

use super::fault::{self, SqlFault};
use super::mssql::Mssql;
#[cfg(feature = "odbc")]
use super::odbc::Line;
use super::{Database, MOST_BYTES, Server};
use crate::source::http::{HttpFault, secret};

/// How many of SQLite's instructions pass between two looks at the time.
const INSTRUCTIONS: i32 = 10_000;

/// An open connection.
#[derive(Debug)]
pub(super) enum Connection {
    Postgres(Box<PgConnection>),
    MySql(Box<MySqlConnection>),
    Mssql(Box<Mssql>),
    Sqlite(Box<SqliteConnection>),
    #[cfg(feature = "odbc")]
    Odbc(Line),
}

/// What a query gives; no value where there is none.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) columns: Vec<String>,
    pub(super) values: Vec<Vec<Option<String>>>,
    bytes: usize,
}

impl Rows {
    /// Takes another row, where there are fewer than `most`.
    pub(super) fn push(&mut self, row: Vec<Option<String>>, most: usize) -> Result<(), SqlFault> {
        if self.values.len() == most {
            return Err(SqlFault::TooManyRows(most));
        }
        self.bytes += row.iter().flatten().map(String::len).sum::<usize>();
        if self.bytes > MOST_BYTES {
            return Err(SqlFault::TooMuch);
        }
        self.values.push(row);
        Ok(())
    }
}

impl Connection {
    /// Opens a connection on which no statement may write or take longer than `timeout`.
    pub(super) async fn open(database: &Database, timeout: Duration) -> Result<Connection, SqlFault> {
        let failed = |e: sqlx::Error| fault::of(&e, timeout);
        match database {
            Database::Postgres(server) => {
                let options = postgres(server, timeout)?;
                Ok(Connection::Postgres(Box::new(options.connect().await.map_err(failed)?)))
            }
            Database::MySql(server) => {
                let mut connection = mysql(server)?.connect().await.map_err(failed)?;
                // MariaDB has the one, in seconds, MySQL the other; older servers have neither, and then only we stop.
                let maria = format!("SET SESSION max_statement_time = {}", timeout.as_secs_f64());
                if connection.execute(AssertSqlSafe(maria)).await.is_err() {
                    let mysql = format!("SET SESSION max_execution_time = {}", timeout.as_millis());
                    let _ = connection.execute(AssertSqlSafe(mysql)).await;
                }
                connection.execute("SET SESSION TRANSACTION READ ONLY").await.map_err(failed)?;
                Ok(Connection::MySql(Box::new(connection)))
            }
            Database::Mssql(server) => Ok(Connection::Mssql(Box::new(Mssql::open(server, timeout).await?))),
            Database::Sqlite(file) => {
                let options = SqliteConnectOptions::new()
                    .filename(file)
                    .read_only(true)
                    .create_if_missing(false)
                    .busy_timeout(timeout)
                    .disable_statement_logging();
                Ok(Connection::Sqlite(Box::new(options.connect().await.map_err(failed)?)))
            }
            #[cfg(feature = "odbc")]
            Database::Odbc(source) => Ok(Connection::Odbc(Line::new(source.clone()))),
        }
    }

    /// The rows of one statement, at most `most`.
    pub(super) async fn query(&mut self, query: &str, timeout: Duration, most: usize) -> Result<Rows, SqlFault> {
        let failed = |e: sqlx::Error| fault::of(&e, timeout);
        let statement = sqlx::raw_sql(AssertSqlSafe(query));
        match self {
            Connection::Postgres(connection) => {
                connection.execute("BEGIN READ ONLY").await.map_err(failed)?;
                let rows = collect(statement.fetch(&mut **connection), most, timeout).await?;
                connection.execute("ROLLBACK").await.map_err(failed)?;
                Ok(rows)
            }
            Connection::MySql(connection) => {
                connection.execute("START TRANSACTION READ ONLY").await.map_err(failed)?;
                let rows = collect(statement.fetch(&mut **connection), most, timeout).await?;
                connection.execute("ROLLBACK").await.map_err(failed)?;
                Ok(rows)
            }
            Connection::Mssql(connection) => connection.query(query, timeout, most).await,
            Connection::Sqlite(connection) => {
                let deadline = Instant::now() + timeout;
                let mut handle = connection.lock_handle().await.map_err(failed)?;
                handle.set_progress_handler(INSTRUCTIONS, move || Instant::now() < deadline);
                drop(handle);
                collect(statement.fetch(&mut **connection), most, timeout).await
            }
            #[cfg(feature = "odbc")]
            Connection::Odbc(line) => line.query(query, timeout, most).await,
        }
    }

    /// Whether it goes on after a fault. All others are made anew; a line has a thread, which may still be in a call that
    /// nobody can end.
    pub(super) fn outlives_faults(&self) -> bool {
        match self {
            Connection::Postgres(_) | Connection::MySql(_) | Connection::Mssql(_) | Connection::Sqlite(_) => false,
            #[cfg(feature = "odbc")]
            Connection::Odbc(_) => true,
        }
    }
}

async fn collect<R>(
    mut given: impl Stream<Item = Result<R, sqlx::Error>> + Unpin,
    most: usize,
    timeout: Duration,
) -> Result<Rows, SqlFault>
where
    R: Row,
    usize: ColumnIndex<R>,
    for<'r> Option<String>: Decode<'r, R::Database>,
{
    let failed = |e: sqlx::Error| fault::of(&e, timeout);
    let mut rows = Rows::default();
    while let Some(row) = given.next().await {
        let row = row.map_err(failed)?;
        if rows.values.is_empty() {
            rows.columns = row.columns().iter().map(|column| column.name().to_owned()).collect();
        }
        let values = (0..row.columns().len()).map(|at| row.try_get_unchecked(at)).collect::<Result<_, _>>();
        rows.push(values.map_err(failed)?, most)?;
    }
    Ok(rows)
}

fn postgres(server: &Server, timeout: Duration) -> Result<PgConnectOptions, SqlFault> {
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(&server.host)
        .port(server.port)
        .username(&server.username)
        .database(&server.name)
        .application_name("vardpuls-agent")
        .options([
            ("statement_timeout", timeout.as_millis().to_string().as_str()),
            ("default_transaction_read_only", "on"),
        ])
        .ssl_mode(PgSslMode::Disable);
    if let Some(socket) = &server.socket {
        options = options.socket(socket);
    }
    if let Some(file) = &server.password_file {
        options = options.password(&secret(file)?);
    }
    if let Some(tls) = &server.tls {
        options = options.ssl_mode(PgSslMode::VerifyFull);
        if let Some(file) = &tls.ca_file {
            options = options.ssl_root_cert_from_pem(read(file)?);
        }
        if let Some(client) = &tls.client {
            options = options.ssl_client_cert_from_pem(read(&client.cert_file)?);
            options = options.ssl_client_key_from_pem(read(&client.key_file)?);
        }
    }
    Ok(options.disable_statement_logging())
}

fn mysql(server: &Server) -> Result<MySqlConnectOptions, SqlFault> {
    let mut options = MySqlConnectOptions::new()
        .host(&server.host)
        .port(server.port)
        .username(&server.username)
        .database(&server.name)
        // The server's own: what a query means must not depend on who asks, and times are local there as in its tables.
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .timezone(None)
        .ssl_mode(MySqlSslMode::Disabled);
    if let Some(socket) = &server.socket {
        options = options.socket(socket);
    }
    if let Some(file) = &server.password_file {
        options = options.password(&secret(file)?);
    }
    if let Some(tls) = &server.tls {
        options = options.ssl_mode(MySqlSslMode::VerifyIdentity);
        if let Some(file) = &tls.ca_file {
            options = options.ssl_ca_from_pem(read(file)?);
        }
        if let Some(client) = &tls.client {
            options = options.ssl_client_cert_from_pem(read(&client.cert_file)?);
            options = options.ssl_client_key_from_pem(read(&client.key_file)?);
        }
    }
    Ok(options.disable_statement_logging())
}

fn read(file: &Path) -> Result<Vec<u8>, HttpFault> {
    fs::read(file).map_err(|e| HttpFault::File { file: file.to_owned(), reason: format!("cannot be read ({e})") })
}

//! A query in a hospital's database: rows in, an [`Observation`] out.
//!
//! One statement, in a transaction that may only read (SQL Server and ODBC have none such) and is always rolled back; one
//! connection, made anew after every fault; no more time and no more rows than the spec allows, and no more bytes than
//! counts can have. The grants of the database user are what keeps the data safe: the transaction is the second lock.
//!
//! An error never holds a password, and never what a server says about a value: servers quote values.

mod connection;
mod fault;
pub mod mssql;
#[cfg(feature = "odbc")]
pub mod odbc;

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use vardpuls_shared::clock::Time;

pub use fault::SqlFault;

use super::gathering::{Gathering, WardTwice};
use super::mapping::Mapping;
use super::{CellPlace, Observation, Origin, SourceError};
use crate::config::ClientCert;
use connection::{Connection, Rows};

/// How long a server that should have ended a statement may take to say so.
const GRACE: Duration = Duration::from_secs(2);

/// The most bytes that a turn takes: a database's one value may have a thousand million.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// How to read one query.
#[derive(Debug, Clone, PartialEq)]
pub struct SqlSpec {
    /// Where.
    pub database: Database,
    /// One statement.
    pub query: String,
    /// What its rows mean.
    pub mapping: Mapping,
    /// How long connecting and the statement may take.
    pub timeout: Duration,
    /// The most rows that are read.
    pub max_rows: usize,
}

/// A database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// PostgreSQL.
    Postgres(Server),
    /// MySQL or MariaDB.
    MySql(Server),
    /// Microsoft SQL Server.
    Mssql(Server),
    /// An SQLite file.
    Sqlite(PathBuf),
    /// Whatever an ODBC driver reaches.
    #[cfg(feature = "odbc")]
    Odbc(odbc::OdbcSource),
}

/// A database on a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The folder (PostgreSQL) or the file (MySQL) of its Unix socket, used instead of host and port.
    pub socket: Option<PathBuf>,
    /// The database's name.
    pub name: String,
    /// Whom we log in as.
    pub username: String,
    /// The file that holds the password; none where the server knows us otherwise.
    pub password_file: Option<PathBuf>,
    /// TLS; none goes in clear.
    pub tls: Option<ServerTls>,
}

/// TLS towards a database server; its name is always checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// Whom to trust, PEM; none means whom the machine trusts.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate.
    pub client: Option<ClientCert>,
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, server) = match self {
            Database::Postgres(server) => ("postgres", server),
            Database::MySql(server) => ("mysql", server),
            Database::Mssql(server) => ("mssql", server),
            Database::Sqlite(file) => return file.display().fmt(f),
            #[cfg(feature = "odbc")]
            Database::Odbc(source) => return write!(f, "odbc:{}", source.connection.shown()),
        };
        match &server.socket {
            Some(socket) => write!(f, "{scheme} {} on {}", server.name, socket.display()),
            None if server.host.contains(':') => {
                write!(f, "{scheme}://[{}]:{}/{}", server.host, server.port, server.name)
            }
            None => write!(f, "{scheme}://{}:{}/{}", server.host, server.port, server.name),
        }
    }
}

/// Reads one query, again and again.
#[derive(Debug)]
pub(super) struct SqlReader {
    spec: SqlSpec,
    /// Kept from one turn to the next, until a fault.
    connection: Option<Connection>,
}

impl SqlReader {
    pub(super) fn new(spec: SqlSpec) -> SqlReader {
        SqlReader { spec, connection: None }
    }

    pub(super) async fn read(&mut self, now: Time) -> Result<Observation, SourceError> {
        // Taken, so that a turn that is given up halfway leaves no connection in the middle of a statement.
        let mut held = self.connection.take();
        let most = self.spec.timeout;
        let result = match tokio::time::timeout(most + GRACE, turn(&self.spec, &mut held, now)).await {
            Ok(result) => result,
            Err(_) => Err(SqlFault::TimedOut(most)),
        };
        match result {
            Ok(seen) => {
                self.connection = held;
                Ok(seen)
            }
            Err(fault) => {
                self.connection = held.filter(Connection::outlives_faults);
                Err(SourceError::new(self.spec.database.origin(), fault.about(&self.spec.query)))
            }
        }
    }
}

impl Database {
    fn origin(&self) -> Origin {
        match self {
            Database::Sqlite(file) => Origin::File(file.clone()),
            server => Origin::Url(server.to_string()),
        }
    }
}

async fn turn(spec: &SqlSpec, held: &mut Option<Connection>, now: Time) -> Result<Observation, SqlFault> {
    let connection = match held {
        Some(connection) => connection,
        None => held.insert(Connection::open(&spec.database, spec.timeout).await?),
    };
    let rows = connection.query(&spec.query, spec.timeout, spec.max_rows).await?;
    observe(&rows, &spec.mapping, now)
}

/// What rows that were read at `now` say.
fn observe(rows: &Rows, mapping: &Mapping, now: Time) -> Result<Observation, SqlFault> {
    if rows.values.is_empty() {
        return Err(SqlFault::Empty);
    }
    let mut columns = Vec::new();
    for (wanted, key) in mapping.columns() {
        columns.push((wanted, find(&rows.columns, wanted, key)?));
    }
    let mut gathering = Gathering::new(mapping);
    for (number, row) in (1..).zip(&rows.values) {
        let value = |column: &str| {
            let (_, at) = columns.iter().find(|(known, _)| *known == column)?;
            row.get(*at)?.as_deref().map(|text| Cow::Borrowed(text.trim()))
        };
        let place = |column: &str| CellPlace::Row { row: number, column: column.to_owned() };
        gathering.take(number, value, place).map_err(|WardTwice { ward, first, second }| SqlFault::WardTwice {
            ward,
            first,
            second,
        })?;
    }
    Ok(gathering.finish(now))
}

/// Databases fold the case of names, each in its own way.
fn find(columns: &[String], wanted: &str, key: String) -> Result<usize, SqlFault> {
    if let Some(at) = columns.iter().position(|name| name == wanted) {
        return Ok(at);
    }
    let mut places = columns.iter().enumerate().filter(|(_, name)| name.eq_ignore_ascii_case(wanted));
    match (places.next(), places.next()) {
        (Some((at, _)), None) => Ok(at),
        (Some(_), Some(_)) => Err(SqlFault::ColumnTwice(wanted.to_owned())),
        (None, _) => Err(SqlFault::NoColumn { column: wanted.to_owned(), key, given: columns.len() }),
    }
}

#[cfg(test)]
mod tests;

//! A `[[source]]` table of kind `sql`: the words of the file in, a spec out.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::Uri;
use serde::Deserialize;

#[cfg(feature = "odbc")]
mod odbc;

use super::mapping::{self, Names};
use super::{HEAD, Table, too_often};
use crate::config::{ClientCert, ConfigError, WardConfig, duration};
use crate::source::polled::{PolledKind, PolledSpec};
use crate::source::sql::{Database, Server, ServerTls, SqlSpec};

/// The table as it is written, without the keys that other parts read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct SqlTable {
    url: String,
    query: String,
    #[serde(default = "default_every", deserialize_with = "duration")]
    every: Duration,
    #[serde(default = "default_timeout", deserialize_with = "duration")]
    timeout: Duration,
    #[serde(default = "default_max_rows")]
    max_rows: usize,
    socket: Option<PathBuf>,
    username: Option<String>,
    password_file: Option<PathBuf>,
    tls: Option<TlsMode>,
    ca_file: Option<PathBuf>,
    client_cert_file: Option<PathBuf>,
    client_key_file: Option<PathBuf>,
}

/// Whether the way to the server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum TlsMode {
    /// Yes, and the server must prove its name.
    #[default]
    Verify,
    /// No.
    Off,
}

fn default_every() -> Duration {
    Duration::from_mins(1)
}

fn default_timeout() -> Duration {
    Duration::from_secs(20)
}

fn default_max_rows() -> usize {
    10_000
}

const URL: &str = "write postgres://HOST[:PORT]/DATABASE, mysql://HOST[:PORT]/DATABASE, mssql://HOST[:PORT]/DATABASE, sqlite:FILE or odbc:CONNECTION STRING";

/// Reads the table.
#[inline(never)]
pub(super) fn read(at: &Table<'_>, base: &Path, wards: &[WardConfig]) -> Result<PolledSpec, ConfigError> {
    let table: SqlTable = at.document.table(&at.way, &[&HEAD[..], &mapping::KEYS].concat())?;
    too_often(at, table.every)?;
    if table.timeout < Duration::from_millis(100) {
        return Err(at.wrong(&["timeout"], "must be at least 100ms"));
    }
    if table.max_rows == 0 {
        return Err(at.wrong(&["max-rows"], "must be at least 1"));
    }
    let query = table.query.trim().trim_end_matches(';').trim_end().to_owned();
    if query.is_empty() {
        return Err(at.wrong(&["query"], "must be a statement"));
    }
    // Read or not, only one statement stays inside the transaction that it is put in.
    if query.contains(';') {
        return Err(at.wrong(&["query"], "must be one statement, without a semicolon inside"));
    }
    let (every, timeout, max_rows) = (table.every, table.timeout, table.max_rows);
    let database = table.database(at, base)?;
    let mapping = mapping::read(at, Names::Columns, wards)?;
    Ok(PolledSpec { every, kind: PolledKind::Sql(SqlSpec { database, query, mapping, timeout, max_rows }) })
}

impl SqlTable {
    fn database(self, at: &Table<'_>, base: &Path) -> Result<Database, ConfigError> {
        if self.url.starts_with("odbc:") {
            #[cfg(feature = "odbc")]
            return odbc::read(&self, at, base).map(Database::Odbc);
            #[cfg(not(feature = "odbc"))]
            return Err(
                at.wrong(&["url"], "needs an agent with ODBC; install vardpuls-agent-odbc instead of vardpuls-agent")
            );
        }
        if let Some(file) = self.url.strip_prefix("sqlite:") {
            for (key, given) in [
                ("socket", self.socket.is_some()),
                ("tls", self.tls.is_some()),
                ("username", self.username.is_some()),
                ("password-file", self.password_file.is_some()),
                ("ca-file", self.ca_file.is_some()),
                ("client-cert-file", self.client_cert_file.is_some()),
                ("client-key-file", self.client_key_file.is_some()),
            ] {
                if given {
                    return Err(at.wrong(&[key], "has no effect on an SQLite file"));
                }
            }
            let file = file.strip_prefix("//").unwrap_or(file);
            return if file.is_empty() { Err(at.wrong(&["url"], URL)) } else { Ok(Database::Sqlite(base.join(file))) };
        }
        let url: Uri = self.url.parse().map_err(|_| at.wrong(&["url"], URL))?;
        let authority = url.authority().ok_or_else(|| at.wrong(&["url"], URL))?;
        if authority.as_str().contains('@') {
            return Err(at.wrong(&["url"], "holds a user or a password; give username and password-file"));
        }
        let name = url.path().trim_start_matches('/').to_owned();
        if name.is_empty() || name.contains('/') || url.query().is_some() {
            return Err(at.wrong(&["url"], URL));
        }
        let (kind, port): (fn(Server) -> Database, u16) = match url.scheme_str() {
            Some("postgres" | "postgresql") => (Database::Postgres, 5432),
            Some("mysql" | "mariadb") => (Database::MySql, 3306),
            Some("mssql" | "sqlserver") => {
                for (key, given) in [
                    ("socket", self.socket.is_some()),
                    ("client-cert-file", self.client_cert_file.is_some()),
                    ("client-key-file", self.client_key_file.is_some()),
                ] {
                    if given {
                        return Err(
                            at.wrong(&[key], "has no effect on SQL Server: it knows us by username and password-file")
                        );
                    }
                }
                (Database::Mssql, 1433)
            }
            _ => return Err(at.wrong(&["url"], URL)),
        };
        let client = match (self.client_cert_file, self.client_key_file) {
            (Some(cert), Some(key)) => Some(ClientCert { cert_file: base.join(cert), key_file: base.join(key) }),
            (None, None) => None,
            (Some(_), None) => return Err(at.wrong(&["client-key-file"], "is missing beside client-cert-file")),
            (None, Some(_)) => return Err(at.wrong(&["client-cert-file"], "is missing beside client-key-file")),
        };
        // A Unix socket leaves the machine as little as a file does.
        let tls = match (self.tls.unwrap_or_default(), &self.socket) {
            (TlsMode::Verify, None) => Some(ServerTls { ca_file: self.ca_file.map(|file| base.join(file)), client }),
            _ if self.ca_file.is_some() => return Err(at.wrong(&["ca-file"], "has no effect without TLS")),
            _ if client.is_some() => return Err(at.wrong(&["client-cert-file"], "has no effect without TLS")),
            _ => None,
        };
        let username = self.username.ok_or_else(|| at.wrong(&["username"], "is missing: whom to log in as"))?;
        Ok(kind(Server {
            host: authority.host().trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: authority.port_u16().unwrap_or(port),
            socket: self.socket.map(|socket| base.join(socket)),
            name,
            username,
            password_file: self.password_file.map(|file| base.join(file)),
            tls,
        }))
    }
}

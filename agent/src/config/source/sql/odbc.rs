//! The keys of a source that an ODBC driver reaches.

use std::path::Path;

use super::super::Table;
use super::SqlTable;
use crate::config::ConfigError;
use crate::source::sql::odbc::{ConnectionString, OdbcSource};

/// Reads them.
pub(super) fn read(table: &SqlTable, at: &Table<'_>, base: &Path) -> Result<OdbcSource, ConfigError> {
    for (key, given) in [
        ("socket", table.socket.is_some()),
        ("tls", table.tls.is_some()),
        ("ca-file", table.ca_file.is_some()),
        ("client-cert-file", table.client_cert_file.is_some()),
        ("client-key-file", table.client_key_file.is_some()),
    ] {
        if given {
            return Err(at.wrong(&[key], "has no effect on ODBC: write into url what your driver calls it"));
        }
    }
    let string = table.url.trim_start_matches("odbc:");
    Ok(OdbcSource {
        connection: ConnectionString::read(string).map_err(|why| at.wrong(&["url"], why))?,
        username: table.username.clone(),
        password_file: table.password_file.as_ref().map(|file| base.join(file)),
    })
}

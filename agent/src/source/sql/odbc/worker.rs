//! The blocking side of ODBC: one connection, in the thread that calls drivers.
//!
//! Nothing is committed: autocommit is off, and each query ends with a rollback, so does each connection. Values come as
//! UTF-16 text in buffers of a fixed size, and one that does not fit is an error, never a shorter value.

use std::mem;
use std::time::Duration;

use odbc_api::buffers::{ColumnarBuffer, WCharColumn};
use odbc_api::{Connection, ConnectionOptions, Cursor as _, Error, ResultSetMetadata as _, environment};

use super::fault::{asking, connecting};
use super::{Call, OdbcSource};
use crate::source::http::secret;
use crate::source::sql::connection::Rows;
use crate::source::sql::fault::SqlFault;

/// The longest value that is read, in UTF-16 units: names of wards, counts and times are far shorter.
const LONGEST: usize = 1000;
/// The memory that the rows of one fetch may take, and how many rows that are at most.
const FETCHED_BYTES: usize = 2 * 1024 * 1024;
const FETCHED_ROWS: usize = 100;

/// A place for a connection.
#[derive(Default)]
pub(super) struct Worker {
    connection: Option<Connection<'static>>,
}

impl Worker {
    /// Does one call, on the connection that is open or on a new one.
    pub(super) fn rows(&mut self, source: &OdbcSource, call: &Call) -> Result<Rows, SqlFault> {
        let connection = match &self.connection {
            Some(connection) => connection,
            None => self.connection.insert(connect(source, call.timeout)?),
        };
        let rows = query(connection, call)?;
        connection.rollback().map_err(|e| asking(&e, LONGEST, call.timeout))?;
        Ok(rows)
    }

    /// Ends the connection, whatever state it is in.
    pub(super) fn close(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        // A broken connection cannot be rolled back: the server does it.
        let _ = connection.rollback();
        let mut handle = connection.into_handle();
        if handle.disconnect().is_err() {
            // A handle that is still connected cannot be freed; the little that it takes is lost.
            mem::forget(handle);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.close();
    }
}

fn connect(source: &OdbcSource, timeout: Duration) -> Result<Connection<'static>, SqlFault> {
    let password = source.password_file.as_deref().map(secret).transpose()?;
    let username = source.username.as_deref();
    let known = source.connection.with_login(username, None);
    let failed = |e: Error| connecting(&e, &known, timeout);
    let options = ConnectionOptions { login_timeout_sec: Some(seconds(timeout)), packet_size: None };
    let whole = source.connection.with_login(username, password.as_deref());
    let connection = environment().map_err(failed)?.connect_with_connection_string(&whole, options).map_err(failed)?;
    connection.set_autocommit(false).map_err(failed)?;
    Ok(connection)
}

fn query(connection: &Connection<'static>, call: &Call) -> Result<Rows, SqlFault> {
    let failed = |e: Error| asking(&e, LONGEST, call.timeout);
    let mut statement = connection.preallocate().map_err(failed)?;
    // Some drivers cannot; then only the caller stops waiting.
    let _ = statement.set_query_timeout_sec(seconds(call.timeout) as usize);
    let Some(mut cursor) = statement.execute(&call.query, ()).map_err(failed)? else { return Ok(Rows::default()) };
    let mut rows = Rows::default();
    let names = cursor.column_names().map_err(failed)?;
    rows.columns = names.collect::<Result<_, _>>().map_err(failed)?;
    let row_bytes = rows.columns.len().max(1) * (LONGEST + 1) * size_of::<u16>();
    let at_once = (FETCHED_BYTES / row_bytes).clamp(1, FETCHED_ROWS);
    let buffers = (1..).zip(&rows.columns).map(|(number, _)| (number, WCharColumn::new(at_once, LONGEST)));
    let mut fetching = cursor.bind_buffer(ColumnarBuffer::new(buffers.collect())).map_err(failed)?;
    while let Some(fetched) = fetching.fetch_with_truncation_check(true).map_err(failed)? {
        for row in 0..fetched.num_rows() {
            let values = (0..fetched.num_cols()).map(|column| match fetched.column(column).get(row) {
                Some(units) => match String::from_utf16(units) {
                    Ok(text) => Ok(Some(text)),
                    Err(_) => Err(SqlFault::Value((column + 1).to_string())),
                },
                None => Ok(None),
            });
            rows.push(values.collect::<Result<_, _>>()?, call.most)?;
        }
    }
    Ok(rows)
}

/// Whole seconds, rounded up: 0 would be no limit.
fn seconds(timeout: Duration) -> u32 {
    u32::try_from(timeout.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1)
}

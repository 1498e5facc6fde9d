//! The blocking side of ODBC: one connection, in the thread that calls drivers.
//!
//! Nothing is committed: autocommit is off, and each query ends with a rollback, so does each connection. Values come as
//! UTF-16 text in buffers of a fixed size, and one that does not fit is an error, never a shorter value.

use std::mem;
use std::time::Duration;

use odbc_api::buffers::{ColumnarBuffer, WCharColumn};
use odbc_api::handles::StatementImpl;
use odbc_api::{
    BlockCursor, Connection, ConnectionOptions, Cursor as _, CursorImpl, Error, ResultSetMetadata as _, environment,
};

use super::fault::{asking, connecting};
use super::{Call, OdbcSource};
use crate::source::http::secret;
use crate::source::sql::connection::Rows;
use crate::source::sql::fault::SqlFault;

/// The longest value that is read, in UTF-16 units: names of wards, counts and times are far shorter.
const LONGEST: usize = 1000;
/// How many rows a fetch asks for. Of several ODBC reports those before an error as a success with a diagnostic, and then no
/// more data: a result that broke off would be taken for the whole one.
const FETCHED_ROWS: usize = 1;

/// What drivers and their manager say where a driver knows of one result only.
const NO_MORE: [&str; 2] = ["IM001", "HYC00"];

/// A result, bound to where its values go.
type Fetching<'c> = BlockCursor<CursorImpl<StatementImpl<'c>>, ColumnarBuffer<WCharColumn>>;

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
            None => self.connect(source, call.timeout)?,
        };
        let rows = query(connection, call)?;
        connection.rollback().map_err(|e| asking(&e, LONGEST, call.timeout))?;
        Ok(rows)
    }

    /// Opens a connection. It has its place before anything is asked of it: where a driver refuses and then does not let go
    /// either, one that is merely dropped panics with the driver's words.
    fn connect(&mut self, source: &OdbcSource, timeout: Duration) -> Result<&Connection<'static>, SqlFault> {
        let password = source.password_file.as_deref().map(secret).transpose()?;
        let failed = |e: Error| connecting(&e, source, password.as_deref(), timeout);
        let options = ConnectionOptions { login_timeout_sec: Some(seconds(timeout)), packet_size: None };
        let whole = source.connection.with_login(source.username.as_deref(), password.as_deref());
        let opened = environment().map_err(failed)?.connect_with_connection_string(&whole, options).map_err(failed)?;
        let connection = self.connection.insert(opened);
        connection.set_autocommit(false).map_err(failed)?;
        Ok(connection)
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

fn query(connection: &Connection<'static>, call: &Call) -> Result<Rows, SqlFault> {
    let failed = |e: Error| asking(&e, LONGEST, call.timeout);
    let mut statement = connection.preallocate().map_err(failed)?;
    // Some drivers cannot; then only the caller stops waiting.
    let _ = statement.set_query_timeout_sec(seconds(call.timeout) as usize);
    // Owning the statement, the cursor is freed with it. One that borrows it is closed first, and where a broken
    // connection refuses that it panics with the driver's words.
    let Some(mut cursor) = statement.into_cursor(&call.query, ()).map_err(failed)? else {
        // From a result without columns odbc-api goes on to the next in unsafe code only.
        return Err(SqlFault::NoRowsFirst);
    };
    let mut rows = Rows::default();
    let names = cursor.column_names().map_err(failed)?;
    rows.columns = names.collect::<Result<_, _>>().map_err(failed)?;
    let buffers = (1..).zip(&rows.columns).map(|(number, _)| (number, WCharColumn::new(FETCHED_ROWS, LONGEST)));
    let mut fetching = cursor.bind_buffer(ColumnarBuffer::new(buffers.collect())).map_err(failed)?;
    let read = collect(&mut fetching, call, &mut rows);
    // Before anything else ends this: what is dropped while it is bound panics with the driver's words where that fails.
    let unbound = fetching.unbind();
    read?;
    let (cursor, _) = unbound.map_err(failed)?;
    match others(cursor).map_err(failed)? {
        0 => Ok(rows),
        more => Err(SqlFault::Results(1 + more)),
    }
}

/// How many results with rows follow this one. What a statement changed gives one without columns, and a statement that fails
/// after the first is only heard of here.
fn others(mut cursor: CursorImpl<StatementImpl>) -> Result<usize, Error> {
    let mut others = 0;
    loop {
        cursor = match cursor.more_results() {
            Ok(Some(next)) => next,
            Ok(None) => return Ok(others),
            Err(Error::Diagnostics { record, .. }) if NO_MORE.contains(&record.state.as_str()) => return Ok(others),
            Err(e) => return Err(e),
        };
        if cursor.num_result_cols()? > 0 {
            others += 1;
        }
    }
}

fn collect(fetching: &mut Fetching, call: &Call, rows: &mut Rows) -> Result<(), SqlFault> {
    let failed = |e: Error| asking(&e, LONGEST, call.timeout);
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
    Ok(())
}

/// Whole seconds, rounded up: 0 would be no limit.
fn seconds(timeout: Duration) -> u32 {
    u32::try_from(timeout.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1)
}

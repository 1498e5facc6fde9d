//! What an error of SQL Server means, and which of its words may be shown.

use std::time::Duration;

use tiberius::error::{Error, TokenError};

use crate::source::sql::fault::SqlFault;

/// A deadlock's or a lock's wait was too long for us.
const TOO_LONG: [u32; 1] = [1222];
/// The login, the database or the intent to read only.
const REFUSED: [u32; 15] =
    [916, 976, 978, 983, 4060, 4062, 4064, 17892, 18450, 18452, 18456, 18461, 18486, 18487, 18488];
/// A database that is only read, and a query that ended the transaction that it stands in.
const WRITES: [u32; 4] = [3902, 3903, 3906, 3908];
/// The text of the query, and what its user may read.
const QUERY: [u32; 30] = [
    102, 105, 109, 116, 120, 121, 130, 137, 139, 145, 147, 156, 164, 170, 174, 195, 207, 208, 209, 229, 230, 262, 297,
    300, 319, 2812, 4104, 4121, 8120, 8155,
];
/// From this severity on the connection is over.
const FATAL: u8 = 20;

/// What an error means.
pub(super) fn of(error: &Error, timeout: Duration) -> SqlFault {
    let strange = || SqlFault::Unreachable("the server speaks otherwise than its kind does".to_owned());
    match error {
        // Where it was found while a message was read, tiberius has put its own words before it.
        Error::Io { message, .. } => {
            SqlFault::Unreachable(message.rsplit("I/O: ").next().unwrap_or_default().to_owned())
        }
        Error::Server(said) => judge(said, timeout),
        Error::Routing { .. } => SqlFault::Unreachable("the server sends us on again and again".to_owned()),
        // Text that no server may send, or a value that its own type cannot hold.
        _ => strange(),
    }
}

fn judge(error: &TokenError, timeout: Duration) -> SqlFault {
    let code = error.code();
    let said = || format!("{code}: {}", error.message().replace('\n', " "));
    match code {
        code if TOO_LONG.contains(&code) => SqlFault::TimedOut(timeout),
        code if REFUSED.contains(&code) => SqlFault::Refused(said()),
        code if WRITES.contains(&code) => SqlFault::Writes(said()),
        code if QUERY.contains(&code) => SqlFault::Query(said()),
        _ if error.class() >= FATAL => SqlFault::Unreachable(format!("it ended the connection with error {code}")),
        code => SqlFault::Failed(code.to_string()),
    }
}

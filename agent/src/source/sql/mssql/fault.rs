//! What an error of SQL Server means, and which of its words may be shown.

use std::time::Duration;

use tiberius::error::Error;

use crate::source::sql::fault::SqlFault;

/// A deadlock, in which we asked to be the one that gives way.
const DEADLOCK: u32 = 1205;
/// A lock that did not come in time.
const TOO_LONG: u32 = 1222;
/// No replica may be read by those who only want to read.
const NO_REPLICA: [u32; 2] = [979, 982];
/// The login, the database or the intent to read only.
const REFUSED: [u32; 18] =
    [916, 976, 978, 979, 982, 983, 4060, 4062, 4064, 17892, 18450, 18452, 18456, 18461, 18470, 18486, 18487, 18488];
/// A database that is only read, and a query that ended the transaction that it stands in.
const WRITES: [u32; 4] = [3902, 3903, 3906, 3908];
/// The text of the query, and what its user may read.
const QUERY: [u32; 30] = [
    102, 105, 109, 116, 120, 121, 130, 137, 139, 145, 147, 156, 164, 170, 174, 195, 207, 208, 209, 229, 230, 262, 297,
    300, 319, 2812, 4104, 4121, 8120, 8155,
];
/// From this severity on the connection is over.
const FATAL: u8 = 20;

/// Whether a login was refused for saying that it only wants to read.
pub(super) fn is_for_intent(error: &Error) -> bool {
    matches!(error, Error::Server(said) if NO_REPLICA.contains(&said.code()))
}

/// What an error means.
pub(super) fn of(error: &Error, timeout: Duration) -> SqlFault {
    let strange = || SqlFault::Unreachable("the server speaks otherwise than its kind does".to_owned());
    match error {
        // Where it was found while a message was read, tiberius has put its own words before it.
        Error::Io { message, .. } => {
            SqlFault::Unreachable(message.rsplit("I/O: ").next().unwrap_or_default().to_owned())
        }
        Error::Server(said) => judge(said.code(), said.class(), said.message(), timeout),
        Error::Routing { .. } => SqlFault::Unreachable("the server sends us on again and again".to_owned()),
        // Text that no server may send, or a value that its own type cannot hold.
        _ => strange(),
    }
}

/// Judges what the server says: its number, its severity, its words.
fn judge(code: u32, severity: u8, message: &str, timeout: Duration) -> SqlFault {
    let said = || format!("{code}: {}", message.replace('\n', " "));
    match code {
        DEADLOCK => SqlFault::Deadlock(code.to_string()),
        TOO_LONG => SqlFault::TimedOut(timeout),
        code if REFUSED.contains(&code) => SqlFault::Refused(said()),
        code if WRITES.contains(&code) => SqlFault::Writes(said()),
        code if QUERY.contains(&code) => SqlFault::Query(said()),
        _ if severity >= FATAL => SqlFault::Unreachable(format!("it ended the connection with error {code}")),
        code => SqlFault::Failed(code.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3);

    #[test]
    fn a_number_decides_and_words_about_data_are_not_kept() {
        let told =
            |code, severity, message| judge(code, severity, message, LONG).about("SELECT ward FROM beds").to_string();
        for code in [245, 8114, 50_000, 547] {
            assert_eq!(judge(code, 16, "the varchar value 'Anna'", LONG), SqlFault::Failed(code.to_string()));
        }
        assert_eq!(judge(1222, 16, "Lock request time out period exceeded.", LONG), SqlFault::TimedOut(LONG));
        let deadlock = told(1205, 13, "Transaction (Process ID 52) was deadlocked");
        assert!(deadlock.starts_with("the server ended the query for a deadlock (1205)"), "{deadlock}");
        assert!(told(18456, 14, "Login failed for user 'reader'.").starts_with("refused us (18456: Login failed"));
        let disabled = told(18470, 14, "Login failed for user 'reader'. Reason: The account is disabled.");
        assert!(disabled.starts_with("refused us (18470: Login failed for user 'reader'. Reason: The"), "{disabled}");
        assert!(told(3906, 16, "Failed to update database").starts_with("refused to write (3906"));
        let denied =
            told(229, 14, "The SELECT permission was denied on the object 'Anna', database 'ehr', schema 'dbo'.");
        let shown = "229: The SELECT permission was denied on the object '…', database '…', schema 'dbo'.";
        assert!(denied.contains(shown), "{denied}");
        assert!(told(208, 16, "Invalid object name 'beds'.").contains("208: Invalid object name 'beds'."));
        let ended = told(596, 21, "Anna's session is in the kill state.");
        assert!(ended.starts_with("cannot be reached (it ended the connection with error 596)"), "{ended}");
    }
}

//! What an error of ODBC means. Drivers quote values: of what they say about a query only SQLSTATE and the words that
//! `sql/fault.rs` lets through are kept, of what they say while connecting the words of connecting.

use std::time::Duration;

use odbc_api::Error;
use odbc_api::handles::Record;

use super::OdbcSource;
use crate::source::sql::fault::{SqlFault, judge, own_words, part_of_word};

/// The words in which drivers and their manager say why there is no connection.
const CONNECTING: &str = "authentication can connect connecting connection data default driver expired failed fatal file found host lib library \
    load loaded login manager open opening password port refused server source specified t timeout timed unixodbc account locked \
    certificate ssl tls verify translate address route network unreachable";
/// The driver's time-out, and the connection's.
const TOO_LONG: [&str; 2] = ["HYT00", "HYT01"];
/// A transaction that was ended; why, only a server's own number says: SQL Server's and MySQL's for a deadlock.
const ENDED: &str = "40001";
const DEADLOCK: [i32; 2] = [1205, 1213];

/// What it means that there is no connection. Of the config's own words those are known that may be shown.
pub(super) fn connecting(error: &Error, source: &OdbcSource, password: Option<&str>, timeout: Duration) -> SqlFault {
    let Some((state, native, message)) = diagnostic(error) else { return silent() };
    // As wholes, before their words are looked at: a pass phrase may be made of words that drivers use.
    let message =
        source.connection.hidden().into_iter().chain(password).fold(message, |said, secret| without(&said, secret));
    let username = source.username.as_deref().unwrap_or_default();
    let known = format!("{} {username} {CONNECTING}", source.connection.shown());
    let said = format!("{state} ({native}): {}", own_words(&message, &known));
    match state.get(..2).unwrap_or_default() {
        _ if TOO_LONG.contains(&state.as_str()) => SqlFault::TimedOut(timeout),
        // unixODBC says 01000 where the driver's library is not there.
        "IM" | "01" => SqlFault::NoDriver(said),
        "28" => SqlFault::Refused(said),
        _ => SqlFault::Unreachable(said),
    }
}

/// What it means that there are no rows.
pub(super) fn asking(error: &Error, most: usize, timeout: Duration) -> SqlFault {
    if let Error::TooLargeValueForBuffer { buffer_index, .. } = error {
        return SqlFault::TooLong { column: buffer_index + 1, most };
    }
    match diagnostic(error) {
        Some((state, _, _)) if TOO_LONG.contains(&state.as_str()) => SqlFault::TimedOut(timeout),
        Some((state, native, _)) if state == ENDED && DEADLOCK.contains(&native) => {
            SqlFault::Deadlock(format!("{state} ({native})"))
        }
        Some((state, native, message)) => {
            let code = if state == "HY000" { format!("HY000 ({native})") } else { state.clone() };
            // What is said of the query's text is held to the query's own words (`SqlFault::about`), all else to these.
            let message = if state.starts_with("42") { message } else { own_words(&message, CONNECTING) };
            judge(&code, &state, false, &message, timeout)
        }
        None => silent(),
    }
}

/// The text with `…` for the secret, where that is no part of a longer word.
fn without(text: &str, secret: &str) -> String {
    let (mut out, mut from) = (String::with_capacity(text.len()), 0);
    for (at, _) in text.match_indices(secret).filter(|_| !secret.is_empty()) {
        let end = at + secret.len();
        let beside = [text[..at].chars().next_back(), text[end..].chars().next()];
        if !beside.into_iter().flatten().any(part_of_word) {
            out.push_str(&text[from..at]);
            out.push('…');
            from = end;
        }
    }
    out.push_str(&text[from..]);
    out
}

fn silent() -> SqlFault {
    SqlFault::Unreachable("the driver failed without saying why".to_owned())
}

/// SQLSTATE, the driver's own number and its words.
fn diagnostic(error: &Error) -> Option<(String, i32, String)> {
    let record: &Record = match error {
        Error::Diagnostics { record, .. }
        | Error::UnsupportedOdbcApiVersion(record)
        | Error::InvalidRowArraySize { record, .. }
        | Error::UnableToRepresentNull(record)
        | Error::OracleOdbcDriverDoesNotSupport64Bit(record) => record,
        _ => return None,
    };
    let message = String::from_utf16_lossy(&record.message).replace('\n', " ");
    Some((String::from_utf8_lossy(&record.state.0).into_owned(), record.native_error, message))
}

#[cfg(test)]
mod tests {
    use odbc_api::handles::State;

    use super::super::ConnectionString;
    use super::*;

    const LONG: Duration = Duration::from_secs(3);

    fn error(state: [u8; 5], message: &str) -> Error {
        numbered(state, 7, message)
    }

    fn numbered(state: [u8; 5], native_error: i32, message: &str) -> Error {
        let record = Record { state: State(state), native_error, message: message.encode_utf16().collect() };
        Error::Diagnostics { record, function: "SQLExecDirect" }
    }

    #[test]
    fn a_state_decides_and_words_about_data_are_not_kept() {
        let person = "invalid input syntax for type integer: \"Anna 19121212-1212\"";
        for state in [*b"22P02", *b"HY000", *b"22018"] {
            let fault = asking(&error(state, person), 9, LONG).about("SELECT x FROM y").to_string();
            assert!(fault.starts_with("failed with code ") && !fault.contains("Anna"), "{fault}");
        }
        assert_eq!(asking(&error(*b"HY000", person), 9, LONG), SqlFault::Failed("HY000 (7)".to_owned()));
        let query =
            asking(&error(*b"42S02", "ERROR: relation \"Anna\" does not exist"), 9, LONG).about("SELECT x FROM y");
        assert_eq!(query, SqlFault::Query("42S02: ERROR: relation \"…\" does not exist".to_owned()));
        assert_eq!(asking(&error(*b"HYT00", person), 9, LONG), SqlFault::TimedOut(LONG));
        assert!(matches!(asking(&error(*b"25006", "read-only"), 9, LONG), SqlFault::Writes(_)));
        assert_eq!(asking(&numbered(*b"40001", 1205, person), 9, LONG), SqlFault::Deadlock("40001 (1205)".to_owned()));
        assert_eq!(asking(&numbered(*b"40001", 1, person), 9, LONG), SqlFault::Failed("40001".to_owned()));
        let lost = asking(&error(*b"08S01", "connection lost while sending Anna 7"), 9, LONG).to_string();
        assert!(lost.contains("08S01") && !lost.contains("Anna"), "{lost}");
        let long = Error::TooLargeValueForBuffer { indicator: None, buffer_index: 2 };
        assert_eq!(asking(&long, 9, LONG), SqlFault::TooLong { column: 3, most: 9 });
        assert_eq!(asking(&Error::NoDiagnostics { function: "SQLFetch" }, 9, LONG), silent());
    }

    fn source(text: &str) -> OdbcSource {
        OdbcSource {
            connection: ConnectionString::read(text).expect("right"),
            username: Some("reader".to_owned()),
            password_file: None,
        }
    }

    #[test]
    fn no_secret_of_the_config_is_shown() {
        let source = source("Driver=iris;Server=db-7;AccessToken=t0ken;KeyPhrase={open server 7};Option=n");
        let told =
            |message, password| connecting(&error(*b"28000", message), &source, Some(password), LONG).to_string();
        let echo = "connection to db-7 refused: Server=db-7;AccessToken=t0ken;KeyPhrase={open server 7};UID=reader;PWD=load, open";
        let shown = told(echo, "load, open");
        assert!(shown.contains("connection to db-7 refused: Server=db-7;…=…;…={…};…=reader;…=…)"), "{shown}");
        // A password that is the user's name as well; and one that is part of a word.
        let same = told("login failed for user \"reader\"", "reader");
        assert!(same.contains("login failed for user \"…\""), "{same}");
        let part = told("can not open file", "pen");
        assert!(part.contains("can not open file"), "{part}");
        let none = told("cannot open file", "");
        assert!(none.contains("cannot open file"), "{none}");
    }

    #[test]
    fn why_there_is_no_connection_is_said_without_the_password() {
        let source = source("DSN=beds");
        let told = |state, message| connecting(&error(state, message), &source, Some("s3cret"), LONG).to_string();
        let none =
            told(*b"IM002", "[unixODBC][Driver Manager]Data source name not found and no default driver specified");
        assert!(
            none.contains(
                "(IM002 (7): [unixODBC][Driver Manager]Data source name not found and no default driver specified)"
            ),
            "{none}"
        );
        assert!(
            told(*b"01000", "Can't open lib '/x/libiris.so' : file not found")
                .starts_with("there is no such ODBC driver")
        );
        let refused = told(*b"28P01", "password authentication failed for user \"reader\", PWD=s3cret");
        assert!(refused.contains("password authentication failed for user \"reader\", …=…"), "{refused}");
        let unreachable = told(*b"08001", "could not connect to Anna");
        assert!(unreachable.starts_with("cannot be reached (08001 (7): could not connect to …)"), "{unreachable}");
    }
}

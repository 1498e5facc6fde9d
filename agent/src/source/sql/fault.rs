//! What can be wrong with a query, and which of a server's words may be shown. SQL Server's own errors: `mssql/fault.rs`.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

use vardpuls_shared::hospital::WardId;

use crate::source::http::HttpFault;

/// Why a query gives nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SqlFault {
    /// No connection, or it broke.
    #[error("cannot be reached ({0}); check url, and that this machine may connect there")]
    Unreachable(String),
    /// The certificates do not fit.
    #[error("TLS failed ({0}); set ca-file to whom to trust, and check the name in url and the client certificate")]
    Tls(String),
    /// It cannot or will not encrypt.
    #[error(
        "the server does not offer encryption; ask whoever runs it for a certificate, or set tls = \"off\" where nobody \
         else can listen on the way"
    )]
    NoEncryption,
    /// It will not speak in clear.
    #[error("the server demands encryption; leave tls = \"off\" out, and set ca-file to whom to trust")]
    EncryptionNeeded,
    /// A file of ours.
    #[error(transparent)]
    File(#[from] HttpFault),
    /// The login does not fit.
    #[error("refused us ({0}); check username, password-file and what the server lets that user do")]
    Refused(String),
    /// The statement writes.
    #[error("refused to write ({0}); the query must only read, and its user must have no right to do more")]
    Writes(String),
    /// The statement is wrong, or may not read what it reads.
    #[error("refused the query ({0}); correct query, or have its user granted what it reads")]
    Query(String),
    /// Something else, of which only the code may be shown.
    #[error("failed with code {0}; run the query by hand with the same user to see why")]
    Failed(String),
    /// Too slow.
    #[error("no result within the {} s of timeout; make the query cheaper, or raise timeout", .0.as_secs_f32())]
    TimedOut(Duration),
    /// Ended, so that another transaction could go on.
    #[error(
        "the server ended the query for a deadlock ({0}); it is asked again at its next turn, and where that goes on \
         read a replica, or on SQL Server have READ_COMMITTED_SNAPSHOT turned on"
    )]
    Deadlock(String),
    /// Nothing.
    #[error("the query gives no row; an empty ward needs a row as well, with occupied 0")]
    Empty,
    /// More than can be meant.
    #[error("the query gives more than the {0} rows of max-rows; group it by ward, or raise max-rows")]
    TooManyRows(usize),
    /// More than can be meant, in bytes.
    #[error("the answer is too large to be counts; ask for fewer columns and rows in query")]
    TooMuch,
    /// A text that is no name and no count.
    #[cfg(feature = "odbc")]
    #[error(
        "a value of column {column} has more than {most} characters; leave that column out, or shorten it in query"
    )]
    TooLong {
        /// Which column of the result, from 1.
        column: usize,
        /// How many are read.
        most: usize,
    },
    /// No driver.
    #[cfg(feature = "odbc")]
    #[error(
        "there is no such ODBC driver or data source ({0}); check url, odbcinst.ini, odbc.ini and the driver's own libraries"
    )]
    NoDriver(String),
    /// A call that has not come back.
    #[cfg(feature = "odbc")]
    #[error(
        "the ODBC driver has not come back from an earlier call; if that goes on, restart the agent and tell the driver's maker"
    )]
    Stuck,
    /// A first result without columns, after which a driver is asked for no more.
    #[cfg(feature = "odbc")]
    #[error(
        "the first result of the query has no columns, and ODBC is asked for no later one; leave one SELECT in query, and \
         where SQL Server changes rows before it begin query with SET NOCOUNT ON"
    )]
    NoRowsFirst,
    /// Several answers, which would be taken for one.
    #[error("the query gives {0} results; leave one SELECT in it")]
    Results(usize),
    /// A column that the config names is not in the result.
    #[error("no column {column:?} among the {given} of the result; correct {key} in the config, or the query")]
    NoColumn {
        /// The column that the config gives.
        column: String,
        /// Where the config gives it.
        key: String,
        /// How many columns the result has; their names can be data.
        given: usize,
    },
    /// A column that the config names stands twice in the result.
    #[error("column {0:?} stands twice in the result, so it is not clear which is meant; name one otherwise in query")]
    ColumnTwice(String),
    /// A value that is neither text nor a number.
    #[error("a value of column {0} is neither text nor a number; cast it in query")]
    Value(String),
    /// Two rows about one ward.
    #[error(
        "rows {first} and {second} are both about ward {ward}, and counts are never added up; group in query, or \
         select one with [source.rows] or [source.wards]"
    )]
    WardTwice {
        /// The ward.
        ward: WardId,
        /// A row about it, from 1.
        first: u64,
        /// Another.
        second: u64,
    },
}

impl SqlFault {
    /// The fault of this query: of a server's words about it, those that are the query's own or belong to servers.
    pub(super) fn about(self, query: &str) -> SqlFault {
        match self {
            SqlFault::Query(said) => {
                let (code, words) = said.split_once(": ").unwrap_or_default();
                SqlFault::Query(format!("{code}: {}", own_words(words, query)))
            }
            other => other,
        }
    }
}

/// The words in which servers say what is wrong with a query.
const SERVERS_WORDS: &str = "a access aggregate ambiguous an and appear argument arguments as at base be before bound by cannot cast casts \
    check clause column columns command corresponds could database dbo denied does entry error exist expression \
    field find for from function functions group has have having helps hint identifier in incorrect input into \
    invalid is it join key keyword line list manual mariadb match may missing multi must mysql name named near no \
    not number object of on operator or order part permission privilege procedure read relation right row schema \
    select server specified sql stored subquery such syntax table tables that the to too trigger type types \
    unknown use used user using value version view was where with work wrong you your";

/// What a server says, with `…` for every word that is neither of [`SERVERS_WORDS`] nor of the query, nor a number of one
/// or two digits: a cast makes a server quote a value, and a function of the hospital's own can raise any text.
pub(super) fn own_words(said: &str, query: &str) -> String {
    let words = |text: &str| -> HashSet<String> {
        text.split(|c: char| !part_of_word(c)).map(str::to_lowercase).filter(|word| !word.is_empty()).collect()
    };
    let (of_servers, of_query) = (words(SERVERS_WORDS), words(query));
    let own = |word: &str| {
        let word = word.to_lowercase();
        let short_number = word.len() <= 2 && word.bytes().all(|b| b.is_ascii_digit());
        short_number || of_servers.contains(&word) || of_query.contains(&word)
    };
    let (mut out, mut rest) = (String::with_capacity(said.len()), said);
    while let Some(first) = rest.chars().next() {
        let in_word = part_of_word(first);
        let end = rest.find(|c| part_of_word(c) != in_word).unwrap_or(rest.len());
        out.push_str(if !in_word || own(&rest[..end]) { &rest[..end] } else { "…" });
        rest = &rest[end..];
    }
    out
}

pub(super) fn part_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Codes of statements that were ended because they took too long: PostgreSQL, MariaDB, MySQL, SQLite.
const TOO_LONG: [&str; 4] = ["57014", "1969", "3024", "9"];

/// Codes of those that were ended by a deadlock: PostgreSQL, MySQL and MariaDB.
const DEADLOCK: [&str; 2] = ["40P01", "1213"];

/// What an error of a driver means.
pub(super) fn of(error: &sqlx::Error, timeout: Duration) -> SqlFault {
    match error {
        sqlx::Error::Io(e) => SqlFault::Unreachable(e.to_string()),
        sqlx::Error::Tls(e) => SqlFault::Tls(e.to_string()),
        sqlx::Error::ColumnDecode { index, .. } => SqlFault::Value(index.clone()),
        sqlx::Error::Database(e) => {
            let number = e.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>().map(|e| e.number().to_string());
            let code = number.or_else(|| e.code().map(Cow::into_owned)).unwrap_or_default();
            let state = e.code().unwrap_or_default();
            let sqlite = e.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some();
            judge(&code, &state, sqlite, e.message(), timeout)
        }
        sqlx::Error::Protocol(_) => SqlFault::Unreachable("the server speaks otherwise than its kind does".to_owned()),
        // Of what a driver itself refuses, the kind is enough.
        other => SqlFault::Unreachable(match other {
            sqlx::Error::Configuration(_) => "the connection cannot be set up so".to_owned(),
            _ => "the connection ended".to_owned(),
        }),
    }
}

/// Judges what a server says. Of its words only those are kept that are about the connection, the login or the
/// text of the query, which is ours: words about data can hold data.
pub(super) fn judge(code: &str, state: &str, sqlite: bool, message: &str, timeout: Duration) -> SqlFault {
    let said = || format!("{code}: {}", message.replace('\n', " "));
    if TOO_LONG.contains(&code) {
        return SqlFault::TimedOut(timeout);
    }
    if DEADLOCK.contains(&code) {
        return SqlFault::Deadlock(code.to_owned());
    }
    if sqlite {
        // The first byte is the kind, the others say more.
        return match code.parse::<u32>().map(|code| code & 0xff) {
            Ok(1) => SqlFault::Query(said()),
            Ok(8) => SqlFault::Writes(said()),
            Ok(5 | 6 | 14 | 26) => SqlFault::Unreachable(said()),
            _ => SqlFault::Failed(code.to_owned()),
        };
    }
    match state.get(..2).unwrap_or_default() {
        "25" => SqlFault::Writes(said()),
        "28" | "3D" => SqlFault::Refused(said()),
        "42" => SqlFault::Query(said()),
        "08" | "53" | "57" => SqlFault::Unreachable(said()),
        _ => SqlFault::Failed(code.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3);

    #[test]
    fn words_about_the_query_are_shown_and_words_about_data_are_not() {
        let secret = "invalid input syntax for type integer: \"19121212-1212\"";
        for (code, state, sqlite) in
            [("22P02", "22P02", false), ("1366", "HY000", false), ("1292", "22007", false), ("20", "", true)]
        {
            let fault = judge(code, state, sqlite, secret, LONG);
            assert_eq!(fault, SqlFault::Failed(code.to_owned()));
            assert!(!fault.to_string().contains("1912"));
        }
        let told = |code, state, sqlite, message| judge(code, state, sqlite, message, LONG).to_string();
        assert!(
            told("42P01", "42P01", false, "relation \"x\" does not exist")
                .starts_with("refused the query (42P01: relation")
        );
        assert!(told("28P01", "28P01", false, "password authentication failed").starts_with("refused us (28P01"));
        assert!(told("1045", "28000", false, "Access denied").starts_with("refused us (1045"));
        assert!(told("1792", "25006", false, "Cannot execute").starts_with("refused to write (1792"));
        assert!(told("8", "", true, "attempt to write a readonly database").starts_with("refused to write (8"));
        for code in ["40P01", "1213"] {
            let lost = told(code, "40001", false, secret);
            assert!(lost.starts_with(&format!("the server ended the query for a deadlock ({code})")), "{lost}");
            assert!(!lost.contains("1912"));
        }
        for (code, sqlite) in [("57014", false), ("1969", false), ("3024", false), ("9", true)] {
            assert_eq!(judge(code, "", sqlite, "", LONG), SqlFault::TimedOut(LONG));
        }
    }

    #[test]
    fn a_servers_words_are_its_own_or_the_querys() {
        let query = "SELECT Ward::regclass FROM \"Beds\"";
        let about = |message: &str| match judge("42P01", "42P01", false, message, LONG).about(query) {
            SqlFault::Query(said) => said,
            other => panic!("{other}"),
        };
        for (message, expected) in [
            ("relation \"beds\" does not exist", "42P01: relation \"beds\" does not exist"),
            ("relation \"anna andersson\" does not exist", "42P01: relation \"… …\" does not exist"),
            ("permission denied for Anna, 19121212-1212", "42P01: permission denied for …, …-…"),
            ("syntax error at or near \"FROM\" at line 1", "42P01: syntax error at or near \"FROM\" at line 1"),
            ("no such table: Åsa_Ek", "42P01: no such table: …"),
        ] {
            assert_eq!(about(message), expected);
        }
    }
}

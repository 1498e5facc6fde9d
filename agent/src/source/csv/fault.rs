//! What can be wrong with a file as a whole. Its last good reading stands.

use vardpuls_shared::hospital::WardId;

/// What is wrong with a file as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileFault {
    /// Nothing there.
    #[error("there is no such file; check path, and that the exporting system still writes there")]
    Missing,
    /// A folder, a socket or a device.
    #[error("this is not a regular file; path must name the file itself")]
    NotAFile,
    /// The system does not let us.
    #[error("cannot be read ({0}); let the agent's user read the file and enter its folders")]
    Unreadable(String),
    /// Larger than a table of wards can be.
    #[error("has {bytes} bytes, more than the {most} that are read; check that path names the ward counts")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The most that is read.
        most: u64,
    },
    /// It changes all the time.
    #[error(
        "keeps changing, never still for the {0} ms of settle; let the exporting system write beside it and rename"
    )]
    Unsettled(u128),
    /// No bytes, or a header without rows.
    #[error("has no rows; the exporting system was perhaps stopped while it wrote")]
    Empty,
    /// Not in the charset.
    #[error("line {line}: not {charset} text; set charset to what the exporting system writes (often windows-1252)")]
    Charset {
        /// The line, from 1.
        line: u64,
        /// What it was read as.
        charset: &'static str,
    },
    /// A column that the config names is not in the header.
    #[error(
        "line 1: no column {column:?} among the {cells} of the header; correct {key} in the config, or delimiter if \
         that number is wrong"
    )]
    NoColumn {
        /// The header that the config gives.
        column: String,
        /// Where the config gives it.
        key: String,
        /// How many columns the header has.
        cells: usize,
    },
    /// A column that the config names stands twice in the header.
    #[error("line 1: column {0:?} stands twice in the header, so it is not clear which is meant; have one renamed")]
    ColumnTwice(String),
    /// A row that ends before a column that is needed.
    #[error(
        "line {line}: the row has {cells} cells, but column {column:?} is number {number}; was the file cut short?"
    )]
    ShortRow {
        /// The line, from 1.
        line: u64,
        /// How many cells it has.
        cells: usize,
        /// The header of a column that is needed.
        column: String,
        /// Its number, from 1.
        number: usize,
    },
    /// A quoted cell that goes on over several lines, where a count, a time or a ward is expected.
    #[error(
        "line {line}: a quoted cell of this row does not end on its line, so rows are lost in it; was the file cut short?"
    )]
    OpenQuote {
        /// The line, from 1.
        line: u64,
    },
    /// Two rows about one ward.
    #[error(
        "lines {first} and {second} are both about ward {ward}, and counts are never added up; select one with \
         [source.rows] or [source.wards]"
    )]
    WardTwice {
        /// The ward.
        ward: WardId,
        /// A line about it.
        first: u64,
        /// Another.
        second: u64,
    },
}

//! Reads one CSV drop: bytes and their spec in, an [`Observation`] or a named error out.
//!
//! Pure, and made for what hospital systems really export: any charset, stray spaces around
//! headers and cells, a byte order mark, either line ending, quoted cells, rows of other
//! hospitals, words where a number should be, local times without an offset.
//!
//! # What is an error of what
//! A header or a row that is not as expected puts the whole file in doubt: [`SourceError`], and the
//! last good observation stands. A cell that is not a count or a time spoils its ward only: that
//! ward is absent. A cell that says "not reported" leaves its count out, never zero. A row about
//! several counts of one ward is one row; two rows about one ward are an error, not a sum.

mod fault;

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use ::csv::{ReaderBuilder, StringRecord};
use encoding_rs::{DecoderResult, Encoding, UTF_8};
use vardpuls_shared::clock::Time;

pub use fault::FileFault;

use super::gathering::{Gathering, WardTwice};
use super::mapping::Mapping;
use super::{CellPlace, Observation, Origin, SourceError};

/// How to read one CSV file.
#[derive(Debug, Clone, PartialEq)]
pub struct CsvSpec {
    /// The file.
    pub path: PathBuf,
    /// It is looked at no less often than this, besides file notifications.
    pub scan: Duration,
    /// It is read only when its size and time stood still this long.
    pub settle: Duration,
    /// Its charset; a byte order mark in the file overrules it.
    pub charset: &'static Encoding,
    /// What stands between cells.
    pub delimiter: u8,
    /// What its rows mean.
    pub mapping: Mapping,
}

/// Reads the bytes of a file that was last written at `modified`.
pub fn parse(bytes: &[u8], spec: &CsvSpec, modified: Time) -> Result<Observation, SourceError> {
    read(bytes, spec, modified).map_err(|fault| SourceError::new(Origin::File(spec.path.clone()), fault))
}

fn read(bytes: &[u8], spec: &CsvSpec, modified: Time) -> Result<Observation, FileFault> {
    let text = decode(bytes, spec.charset)?;
    let mut rows =
        ReaderBuilder::new().delimiter(spec.delimiter).flexible(true).has_headers(false).from_reader(text.as_bytes());
    let mut row = StringRecord::new();
    if !next(&mut rows, &mut row) {
        return Err(FileFault::Empty);
    }
    let columns = Columns::find(&row, &spec.mapping)?;
    let mut gathering = Gathering::new(&spec.mapping);
    let (mut any, mut lines_of_last) = (false, None);
    while next(&mut rows, &mut row) {
        if row.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        any = true;
        let line = row.position().map_or(0, ::csv::Position::line);
        lines_of_last = row.iter().any(|cell| cell.contains('\n')).then_some(line);
        columns.hold(line, &row)?;
        let value = |header: &str| columns.cell(&row, header).map(Cow::Borrowed);
        let place = |header: &str| CellPlace::Line { line, column: header.to_owned() };
        gathering.take(line, value, place).map_err(|WardTwice { ward, first, second }| FileFault::WardTwice {
            ward,
            first,
            second,
        })?;
    }
    if let Some(line) = lines_of_last
        && text.matches('"').count() % 2 == 1
    {
        // The last row goes on to the end of the file: everything after its quote is in one cell.
        return Err(FileFault::OpenQuote { line });
    }
    if any { Ok(gathering.finish(modified)) } else { Err(FileFault::Empty) }
}

/// The next row; memory and UTF-8 give no errors.
fn next(rows: &mut ::csv::Reader<&[u8]>, row: &mut StringRecord) -> bool {
    rows.read_record(row).unwrap_or(false)
}

/// The text of a file, without a byte order mark.
fn decode(bytes: &[u8], charset: &'static Encoding) -> Result<String, FileFault> {
    let (charset, mark) = Encoding::for_bom(bytes).unwrap_or((charset, 0));
    let bytes = &bytes[mark..];
    if charset == UTF_8 {
        let text = std::str::from_utf8(bytes).map_err(|e| malformed(&bytes[..e.valid_up_to()], charset))?;
        return Ok(text.to_owned());
    }
    let mut decoder = charset.new_decoder_without_bom_handling();
    let room = decoder.max_utf8_buffer_length_without_replacement(bytes.len()).unwrap_or(bytes.len());
    let mut text = String::with_capacity(room);
    match decoder.decode_to_string_without_replacement(bytes, &mut text, true).0 {
        DecoderResult::InputEmpty => Ok(text),
        DecoderResult::Malformed(..) | DecoderResult::OutputFull => Err(malformed(text.as_bytes(), charset)),
    }
}

/// What follows `before` is not in `charset`.
fn malformed(before: &[u8], charset: &'static Encoding) -> FileFault {
    let line = before.split(|&b| b == b'\n').count() as u64;
    FileFault::Charset { line, charset: charset.name() }
}

/// Where each column that is needed stands in this file: its header and its number, from 0.
struct Columns<'s>(Vec<(&'s str, usize)>);

impl<'s> Columns<'s> {
    fn find(header: &StringRecord, mapping: &'s Mapping) -> Result<Columns<'s>, FileFault> {
        let find = |(wanted, key): (&'s str, String)| {
            let mut places = header.iter().enumerate().filter(|(_, cell)| cell.trim() == wanted).map(|(at, _)| at);
            match (places.next(), places.next()) {
                (Some(at), None) => Ok((wanted, at)),
                (Some(_), Some(_)) => Err(FileFault::ColumnTwice(wanted.to_owned())),
                (None, _) => Err(FileFault::NoColumn { column: wanted.to_owned(), key, cells: header.len() }),
            }
        };
        mapping.columns().into_iter().map(find).collect::<Result<_, _>>().map(Columns)
    }

    /// Refuses a row that does not have everything that is needed.
    fn hold(&self, line: u64, row: &StringRecord) -> Result<(), FileFault> {
        for &(header, at) in &self.0 {
            let cell = row.get(at).ok_or_else(|| FileFault::ShortRow {
                line,
                cells: row.len(),
                column: header.to_owned(),
                number: at + 1,
            })?;
            if cell.contains('\n') {
                return Err(FileFault::OpenQuote { line });
            }
        }
        Ok(())
    }

    /// A cell of a row that [holds](Columns::hold) everything.
    fn cell<'r>(&self, row: &'r StringRecord, header: &str) -> Option<&'r str> {
        let (_, at) = self.0.iter().find(|(known, _)| *known == header)?;
        row.get(*at).map(str::trim)
    }
}

#[cfg(test)]
mod tests;

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
mod time;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use ::csv::{ReaderBuilder, StringRecord};
use encoding_rs::{DecoderResult, Encoding};
use vardpuls_shared::clock::Time;
use vardpuls_shared::count::{Extra, MAX_COUNT};
use vardpuls_shared::hospital::WardId;

pub use fault::FileFault;
pub use time::TimeFormat;

use super::{CellFault, CellPlace, MAX_UNKNOWN, Observation, Origin, SourceError, WardObservation};

/// How much of a cell an error shows.
const SHOWN: usize = 40;

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
    /// Cells that mean "not reported".
    pub not_reported: BTreeSet<String>,
    /// Which ward a row is about.
    pub ward: WardFrom,
    /// Each count and the header of its column.
    pub counts: BTreeMap<Field, String>,
    /// When a row held.
    pub time: TimeFrom,
    /// Which rows count: header and the values that it must have one of.
    pub rows: BTreeMap<String, BTreeSet<String>>,
}

/// Which ward a row is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WardFrom {
    /// Every row is about this one.
    Constant(WardId),
    /// A column says it.
    Column {
        /// Its header.
        header: String,
        /// What stands in it for each ward.
        names: BTreeMap<String, WardId>,
    },
}

/// When a row held.
#[derive(Debug, Clone, PartialEq)]
pub enum TimeFrom {
    /// When the file was last written.
    FileModified,
    /// A column says it.
    Column {
        /// Its header.
        header: String,
        /// How to read it.
        format: TimeFormat,
    },
}

/// A count that a column can give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// Staffed beds.
    Staffed,
    /// Patients in them.
    Occupied,
    /// An extra.
    Extra(Extra),
}

impl Field {
    /// The word for it in the config.
    pub fn name(self) -> &'static str {
        match self {
            Field::Staffed => "staffed",
            Field::Occupied => "occupied",
            Field::Extra(extra) => extra.name().unwrap_or("extra"),
        }
    }
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
    let columns = Columns::find(&row, spec)?;
    let mut table = Table::new(spec, columns);
    let (mut any, mut lines_of_last) = (false, None);
    while next(&mut rows, &mut row) {
        if row.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        any = true;
        let line = row.position().map_or(0, ::csv::Position::line);
        lines_of_last = row.iter().any(|cell| cell.contains('\n')).then_some(line);
        table.take(line, &row)?;
    }
    if let Some(line) = lines_of_last
        && text.matches('"').count() % 2 == 1
    {
        // The last row goes on to the end of the file: everything after its quote is in one cell.
        return Err(FileFault::OpenQuote { line });
    }
    if any { Ok(table.finish(modified)) } else { Err(FileFault::Empty) }
}

/// The next row; memory and UTF-8 give no errors.
fn next(rows: &mut ::csv::Reader<&[u8]>, row: &mut StringRecord) -> bool {
    rows.read_record(row).unwrap_or(false)
}

/// The text of a file, without a byte order mark.
fn decode(bytes: &[u8], charset: &'static Encoding) -> Result<String, FileFault> {
    let (charset, mark) = Encoding::for_bom(bytes).unwrap_or((charset, 0));
    let bytes = &bytes[mark..];
    let mut decoder = charset.new_decoder_without_bom_handling();
    let room = decoder.max_utf8_buffer_length_without_replacement(bytes.len()).unwrap_or(bytes.len());
    let mut text = String::with_capacity(room);
    match decoder.decode_to_string_without_replacement(bytes, &mut text, true).0 {
        DecoderResult::InputEmpty => Ok(text),
        DecoderResult::Malformed(..) | DecoderResult::OutputFull => {
            let line = 1 + text.bytes().filter(|&b| b == b'\n').count() as u64;
            Err(FileFault::Charset { line, charset: charset.name() })
        }
    }
}

/// What a row says about its ward.
enum RowCounts {
    Given(WardObservation),
    NotReported,
    Wrong(CellFault),
}

/// A column: its header and its number, from 0.
struct Column<'s> {
    header: &'s str,
    at: usize,
}

impl Column<'_> {
    fn place(&self, line: u64) -> CellPlace {
        CellPlace::Line { line, column: self.header.to_owned() }
    }
}

/// Where everything stands in this file.
struct Columns<'s> {
    ward: Option<Column<'s>>,
    time: Option<Column<'s>>,
    counts: Vec<(Field, Column<'s>)>,
    rows: Vec<(Column<'s>, &'s BTreeSet<String>)>,
}

impl<'s> Columns<'s> {
    /// Refuses a row that does not have everything that is needed.
    fn hold(&self, line: u64, row: &StringRecord) -> Result<(), FileFault> {
        let single = self.ward.iter().chain(&self.time);
        let needed = single.chain(self.counts.iter().map(|(_, c)| c)).chain(self.rows.iter().map(|(c, _)| c));
        for column in needed {
            let cell = row.get(column.at).ok_or_else(|| FileFault::ShortRow {
                line,
                cells: row.len(),
                column: column.header.to_owned(),
                number: column.at + 1,
            })?;
            if cell.contains('\n') {
                return Err(FileFault::OpenQuote { line });
            }
        }
        Ok(())
    }

    fn find(header: &StringRecord, spec: &'s CsvSpec) -> Result<Columns<'s>, FileFault> {
        let find = |wanted: &'s str, key: &str| {
            let mut places = header.iter().enumerate().filter(|(_, cell)| cell.trim() == wanted).map(|(at, _)| at);
            match (places.next(), places.next()) {
                (Some(at), None) => Ok(Column { header: wanted, at }),
                (Some(_), Some(_)) => Err(FileFault::ColumnTwice(wanted.to_owned())),
                (None, _) => {
                    let (column, key) = (wanted.to_owned(), key.to_owned());
                    Err(FileFault::NoColumn { column, key, cells: header.len() })
                }
            }
        };
        let ward = match &spec.ward {
            WardFrom::Constant(_) => None,
            WardFrom::Column { header, .. } => Some(find(header, "source.columns.ward")?),
        };
        let time = match &spec.time {
            TimeFrom::FileModified => None,
            TimeFrom::Column { header, .. } => Some(find(header, "source.columns.time")?),
        };
        let mut counts = Vec::with_capacity(spec.counts.len());
        for (field, header) in &spec.counts {
            counts.push((*field, find(header, &format!("source.columns.{}", field.name()))?));
        }
        let mut rows = Vec::with_capacity(spec.rows.len());
        for (header, values) in &spec.rows {
            rows.push((find(header, "source.rows")?, values));
        }
        Ok(Columns { ward, time, counts, rows })
    }
}

/// What was read so far.
struct Table<'s> {
    spec: &'s CsvSpec,
    columns: Columns<'s>,
    found: Observation,
    /// The line about each ward.
    lines: BTreeMap<WardId, u64>,
    /// The oldest time of the rows that count.
    oldest: Option<Time>,
    /// The newest time of the others: it dates a file that does not name us.
    newest_other: Option<Time>,
}

impl<'s> Table<'s> {
    fn new(spec: &'s CsvSpec, columns: Columns<'s>) -> Table<'s> {
        Table { spec, columns, found: Observation::default(), lines: BTreeMap::new(), oldest: None, newest_other: None }
    }

    fn take(&mut self, line: u64, row: &StringRecord) -> Result<(), FileFault> {
        self.columns.hold(line, row)?;
        let accepted = self.columns.rows.iter().all(|(column, values)| values.contains(cell(row, column)));
        let Some(ward) = accepted.then(|| self.ward(row)).flatten() else {
            // Only while no row of ours has told the time: a shared file has many rows of others.
            if self.oldest.is_none() {
                let time = self.time(line, row).ok().flatten();
                self.newest_other = self.newest_other.max(time);
            }
            return Ok(());
        };
        if let Some(&first) = self.lines.get(&ward) {
            return Err(FileFault::WardTwice { ward, first, second: line });
        }
        self.lines.insert(ward.clone(), line);
        let time = self.time(line, row);
        if let Ok(Some(time)) = time {
            self.oldest = Some(self.oldest.map_or(time, |oldest| oldest.min(time)));
        }
        match (self.counts(line, row), time) {
            (RowCounts::NotReported, _) => {
                self.found.not_reported.insert(ward);
            }
            (RowCounts::Wrong(fault), _) | (_, Err(fault)) => {
                self.found.spoiled.insert(ward, fault);
            }
            (RowCounts::Given(seen), Ok(time)) => {
                // Without a column the file's own time is filled in at the end.
                self.found.wards.insert(ward, WardObservation { at: time.unwrap_or_default(), ..seen });
            }
        }
        Ok(())
    }

    /// The ward that a row is about; none if it is none of ours.
    fn ward(&mut self, row: &StringRecord) -> Option<WardId> {
        match (&self.spec.ward, &self.columns.ward) {
            (WardFrom::Constant(ward), _) => Some(ward.clone()),
            (WardFrom::Column { names, .. }, Some(column)) => {
                let name = cell(row, column);
                let ward = names.get(name).cloned();
                if ward.is_none() && self.found.unknown.len() < MAX_UNKNOWN {
                    self.found.unknown.insert(shown(name));
                }
                ward
            }
            (WardFrom::Column { .. }, None) => None,
        }
    }

    /// When a row held; none without a column.
    fn time(&self, line: u64, row: &StringRecord) -> Result<Option<Time>, CellFault> {
        let (TimeFrom::Column { format, .. }, Some(column)) = (&self.spec.time, &self.columns.time) else {
            return Ok(None);
        };
        let text = cell(row, column);
        format.read(text).map(Some).map_err(|_| CellFault {
            at: column.place(line),
            problem: format!("{:?} is not a time like {:?}; correct source.time", shown(text), format.pattern()),
        })
    }

    fn counts(&self, line: u64, row: &StringRecord) -> RowCounts {
        let mut seen = WardObservation::default();
        let mut any = false;
        for (field, column) in &self.columns.counts {
            let text = cell(row, column);
            if self.spec.not_reported.contains(text) {
                continue;
            }
            let count = match count(text) {
                Ok(count) => count,
                Err(problem) => {
                    return RowCounts::Wrong(CellFault { at: column.place(line), problem });
                }
            };
            any = true;
            match field {
                Field::Staffed => seen.staffed = Some(count),
                Field::Occupied => seen.occupied = Some(count),
                Field::Extra(extra) => {
                    seen.extras.insert(*extra, count);
                }
            }
        }
        if any { RowCounts::Given(seen) } else { RowCounts::NotReported }
    }

    fn finish(mut self, modified: Time) -> Observation {
        self.found.at = self.oldest.or(self.newest_other).unwrap_or(modified);
        if self.columns.time.is_none() {
            for ward in self.found.wards.values_mut() {
                ward.at = modified;
            }
        }
        self.found
    }
}

/// A cell of a row that [holds](Columns::hold) everything.
fn cell<'r>(row: &'r StringRecord, column: &Column<'_>) -> &'r str {
    row.get(column.at).unwrap_or_default().trim()
}

/// A count: digits, and perhaps a decimal part of zeros, which some systems write.
fn count(text: &str) -> Result<u16, String> {
    let whole = match text.split_once(['.', ',']) {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|b| b == b'0') => whole,
        _ => text,
    };
    if whole.is_empty() || !whole.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!(
            "{:?} is not a count; if it means that nothing was reported, add it to not-reported",
            shown(text)
        ));
    }
    match whole.parse() {
        Ok(count) if count <= MAX_COUNT => Ok(count),
        _ => Err(format!("{:?} is more than the {MAX_COUNT} that a ward can have; check the column", shown(text))),
    }
}

/// So much of a cell as an error may show.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;

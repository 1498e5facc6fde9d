//! A CSV file of scope, time, staffed, occupied, and perhaps care; in any order, other columns aside.
//!
//! In: the file. Out: a [`History`]. It is read strictly: a wrong value refuses the file, with line and
//! column. An empty count, or none staffed, says that nothing was known at that time.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use csv::{ByteRecord, ReaderBuilder, Terminator, Trim};
use jiff::tz::TimeZone;
use vardpuls_shared::care::CareType;

use super::history::{Beds, History, Sample, Series};
use super::moment::Moment;

/// Why a recording is refused.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// Not CSV, or not to be read.
    #[error("the history {}: {reason}; write CSV with a header, in UTF-8", file.display())]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// What is the matter.
        reason: csv::Error,
    },
    /// The header is wrong.
    #[error("the history {}, line 1: the column {column} {problem}; the header must have scope, time, staffed and occupied, and may have care", file.display())]
    Header {
        /// Which file.
        file: PathBuf,
        /// Which column.
        column: &'static str,
        /// What is the matter.
        problem: &'static str,
    },
    /// A value is wrong.
    #[error("the history {}, line {line}, column {column}: {problem}", file.display())]
    Value {
        /// Which file.
        file: PathBuf,
        /// Which line, from 1.
        line: u64,
        /// Which column.
        column: &'static str,
        /// What is the matter, and what is right.
        problem: String,
    },
}

/// Where the columns are.
struct Columns {
    scope: usize,
    time: usize,
    staffed: usize,
    occupied: usize,
    care: Option<usize>,
}

impl Columns {
    fn of(header: &ByteRecord) -> Result<Columns, (&'static str, &'static str)> {
        let find = |name: &'static str| {
            let is = |text: &[u8]| text.eq_ignore_ascii_case(name.as_bytes());
            let mut at = header.iter().zip(0..).filter(|(text, _)| is(text)).map(|(_, at)| at);
            match (at.next(), at.next()) {
                (_, Some(_)) => Err((name, "stands twice")),
                (at, None) => Ok(at),
            }
        };
        let must = |name| find(name)?.ok_or((name, "is missing"));
        Ok(Columns {
            scope: must("scope")?,
            time: must("time")?,
            staffed: must("staffed")?,
            occupied: must("occupied")?,
            care: find("care")?,
        })
    }
}

/// What is found of a scope, with the line of each sample.
struct Found {
    scope: String,
    care: Option<CareType>,
    samples: Vec<(Sample, u64)>,
}

/// Reads a recording. `care`: what all of it is about, or the only type that is taken of it.
pub(super) fn read(file: &Path, zone: &TimeZone, care: Option<CareType>) -> Result<History, RecordingError> {
    let unreadable = |reason| RecordingError::Unreadable { file: file.to_owned(), reason };
    // Ended by the line feed alone, the carriage return being trimmed: otherwise its lines are counted one short.
    let mut reader =
        ReaderBuilder::new().trim(Trim::All).terminator(Terminator::Any(b'\n')).from_path(file).map_err(unreadable)?;
    let columns = Columns::of(reader.byte_headers().map_err(unreadable)?)
        .map_err(|(column, problem)| RecordingError::Header { file: file.to_owned(), column, problem })?;
    let mut found: Vec<Found> = Vec::new();
    let mut places: HashMap<(String, Option<CareType>), usize> = HashMap::new();
    let mut last = usize::MAX;
    let mut record = ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(unreadable)? {
        let line = record.position().map_or(0, csv::Position::line);
        let wrong = |(column, problem)| RecordingError::Value { file: file.to_owned(), line, column, problem };
        let row = Row { record: &record, columns: &columns };
        let row_care = row.care().map_err(wrong)?;
        if columns.care.is_some() && care.is_some() && row_care != care {
            continue;
        }
        let row_care = row_care.or(care);
        let scope = row.text("scope", columns.scope).map_err(wrong)?;
        if scope.is_empty() {
            return Err(wrong(("scope", "is empty; write nation, region/CODE, hospital/ID or a name".into())));
        }
        // Recordings stay with a scope for a while.
        if found.get(last).is_none_or(|of| of.scope != scope || of.care != row_care) {
            last = *places.entry((scope.to_owned(), row_care)).or_insert_with(|| {
                found.push(Found { scope: scope.to_owned(), care: row_care, samples: Vec::new() });
                found.len() - 1
            });
        }
        let samples = &mut found[last].samples;
        let before = samples.last().map(|(sample, _)| sample.time);
        let time = row.time(zone).map_err(wrong)?.after(before);
        samples.push((Sample { time, beds: row.beds().map_err(wrong)? }, line));
    }
    let by_care = columns.care.is_some() || care.is_some();
    let series = found.into_iter().map(|found| found.ordered(file)).collect::<Result<_, _>>()?;
    Ok(History { series, by_care })
}

impl Found {
    fn ordered(mut self, file: &Path) -> Result<Series, RecordingError> {
        self.samples.sort_by_key(|(sample, _)| sample.time);
        if let Some(twice) = self.samples.windows(2).find(|pair| pair[0].0.time == pair[1].0.time) {
            let ((Sample { time, .. }, first), (_, line)) = (twice[0], twice[1]);
            let problem = format!("{} has {time} in line {first} already; leave one of them out", self.scope);
            return Err(RecordingError::Value { file: file.to_owned(), line, column: "time", problem });
        }
        let samples = self.samples.into_iter().map(|(sample, _)| sample).collect();
        Ok(Series::new(self.scope, self.care, samples))
    }
}

/// One row.
struct Row<'a> {
    record: &'a ByteRecord,
    columns: &'a Columns,
}

impl<'a> Row<'a> {
    fn text(&self, column: &'static str, at: usize) -> Result<&'a str, (&'static str, String)> {
        let bytes = self.record.get(at).unwrap_or_default();
        str::from_utf8(bytes).map_err(|_| (column, "is not UTF-8".to_owned()))
    }

    fn care(&self) -> Result<Option<CareType>, (&'static str, String)> {
        let Some(at) = self.columns.care else { return Ok(None) };
        match self.text("care", at)? {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|e| ("care", format!("{e}; leave it empty for all beds together"))),
        }
    }

    fn time(&self, zone: &TimeZone) -> Result<Moment, (&'static str, String)> {
        let text = self.text("time", self.columns.time)?;
        Moment::read(text, zone).ok_or_else(|| {
            let problem = format!("{text:?} is not a time; write 2022-12-01T00:45:00+01:00, or without the offset");
            ("time", problem)
        })
    }

    fn beds(&self) -> Result<Option<Beds>, (&'static str, String)> {
        let staffed = self.count("staffed", self.columns.staffed)?;
        let occupied = self.count("occupied", self.columns.occupied)?;
        Ok(staffed.zip(occupied).and_then(|(staffed, occupied)| Beds::of(staffed, occupied)))
    }

    fn count(&self, column: &'static str, at: usize) -> Result<Option<f64>, (&'static str, String)> {
        let text = self.text(column, at)?;
        if text.is_empty() {
            return Ok(None);
        }
        match text.parse::<f64>() {
            Ok(count) if (0.0..1e9).contains(&count) => Ok(Some(count)),
            _ => Err((column, format!("{text:?} is not a count; write a number, or nothing where it is not known"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use vardpuls_shared::clock::Time;

    use super::*;

    fn load(text: &str, care: Option<CareType>) -> Result<History, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("h.csv");
        std::fs::write(&file, text).expect("writes");
        read(&file, &TimeZone::UTC, care).map_err(|e| e.to_string().replace(&*folder.path().to_string_lossy(), ""))
    }

    fn at(time: &str) -> Time {
        time.parse().expect("a time")
    }

    #[test]
    fn columns_in_any_order_and_rows_in_any_order() {
        let text = "time,occupied,note,scope,staffed\r\n2024-01-01 1:00,9,x,region/01,10\n2024-01-01 0:00,8,\"a, b\",region/01,10\n2024-01-01 2:00,,x,region/01,10\n2024-01-01 3:00,0,x,region/01,0\n";
        let history = load(text, None).expect("reads");
        assert!(!history.by_care);
        let [series] = &history.series[..] else { panic!("{history:?}") };
        let beds: Vec<_> = series.samples.iter().map(|sample| sample.beds.map(|beds| beds.occupied)).collect();
        assert_eq!(beds, [Some(8.0), Some(9.0), None, None], "empty, or none staffed, is unknown");
        assert_eq!((series.start(), series.end()), (at("2024-01-01T00:00Z"), at("2024-01-01T04:00Z")));
        assert_eq!(series.samples[1].beds.map(|beds| beds.available), Some(1.0));
    }

    #[test]
    fn what_is_wrong_is_named_with_line_and_column() {
        let head = "scope,time,staffed,occupied\nnation,2024-01-01T00:00Z,10,5\n";
        for (row, expected) in [
            ("nation,2024-01-01T01:00Z,ten,5", "/h.csv, line 3, column staffed: \"ten\" is not a count"),
            ("nation,2024-01-01T01:00Z,10,-5", "line 3, column occupied: \"-5\" is not a count"),
            ("nation,2024-13-01T01:00Z,10,5", "line 3, column time: \"2024-13-01T01:00Z\" is not a time"),
            (",2024-01-01T01:00Z,10,5", "line 3, column scope: is empty"),
            ("nation,2024-01-01T00:00Z,10,6", "line 3, column time: nation has 2024-01-01T00:00:00.000Z in line 2"),
            ("nation,2024-01-01T01:00Z,10", "found record with 3 fields"),
        ] {
            for end in ["\n", "\r\n"] {
                let text = format!("{head}{row}\n").replace('\n', end);
                let wrong = load(&text, None).expect_err(row);
                assert!(wrong.contains(expected), "{wrong}");
            }
        }
        let wrong = load("scope,time,staffed\n", None).expect_err("a column short");
        assert!(wrong.contains("line 1: the column occupied is missing"), "{wrong}");
        let wrong = load("scope,time,staffed,occupied,care\nnation,2024-01-01,1,1,heart\n", None).expect_err("care");
        assert!(wrong.contains("line 2, column care: \"heart\" is not a care type"), "{wrong}");
    }

    #[test]
    fn care_comes_from_its_column_or_from_the_caller() {
        let text = "scope,time,staffed,occupied,care\nr,2024-01-01,1,1,icu\nr,2024-01-01,9,8,\n";
        let cares = |care| -> Vec<_> { load(text, care).expect("reads").series.iter().map(|s| s.care).collect() };
        assert_eq!(cares(None), [Some(CareType::Icu), None]);
        assert_eq!(cares(Some(CareType::Icu)), [Some(CareType::Icu)]);
        let plain = load("scope,time,staffed,occupied\nr,2024-01-01,1,1\n", Some(CareType::Burn)).expect("reads");
        assert!(plain.by_care && plain.series[0].care == Some(CareType::Burn));
    }
}

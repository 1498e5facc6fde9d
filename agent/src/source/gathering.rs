//! Rows in, an [`Observation`] out: what files, queries and JSON documents have in common.
//!
//! A value that is not a count or a time spoils its ward only: that ward is absent. A value that says
//! "not reported", or is none, leaves its count out, never zero. Two rows about one ward are an error
//! for whoever hands them in, not a sum.

use std::borrow::Cow;
use std::collections::BTreeMap;

use vardpuls_shared::clock::Time;
use vardpuls_shared::count::MAX_COUNT;
use vardpuls_shared::hospital::WardId;

use super::mapping::{Field, Mapping, TimeFrom, WardFrom};
use super::shape::{named, shown};
use super::{CellFault, CellPlace, MAX_UNKNOWN, Observation, WardObservation};

/// Two rows about one ward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WardTwice {
    pub(super) ward: WardId,
    pub(super) first: u64,
    pub(super) second: u64,
}

/// What was read so far.
#[derive(Debug)]
pub(super) struct Gathering<'s> {
    mapping: &'s Mapping,
    found: Observation,
    /// The row about each ward.
    rows: BTreeMap<WardId, u64>,
    /// The oldest time of the rows that count.
    oldest: Option<Time>,
    /// The newest time of the others: it dates a source that does not name us.
    newest_other: Option<Time>,
}

/// What a row says about its ward.
enum RowCounts {
    Given(WardObservation),
    NotReported,
    Wrong(CellFault),
}

impl<'s> Gathering<'s> {
    pub(super) fn new(mapping: &'s Mapping) -> Gathering<'s> {
        let found = Observation::default();
        Gathering { mapping, found, rows: BTreeMap::new(), oldest: None, newest_other: None }
    }

    /// Takes a row: its number, the value of each column (trimmed, none where there is none), and what to call
    /// the place of a column in errors.
    pub(super) fn take<'r>(
        &mut self,
        number: u64,
        value: impl Fn(&str) -> Option<Cow<'r, str>>,
        place: impl Fn(&str) -> CellPlace,
    ) -> Result<(), WardTwice> {
        let rows = &self.mapping.rows;
        let accepted = rows.iter().all(|(column, values)| value(column).is_some_and(|v| values.contains(v.as_ref())));
        let Some(ward) = accepted.then(|| self.ward(&value)).flatten() else {
            // Only while no row of ours has told the time: a shared source has many rows of others.
            if self.oldest.is_none() {
                let time = self.time(&value, &place).ok().flatten();
                self.newest_other = self.newest_other.max(time);
            }
            return Ok(());
        };
        if let Some(&first) = self.rows.get(&ward) {
            return Err(WardTwice { ward, first, second: number });
        }
        self.rows.insert(ward.clone(), number);
        let time = self.time(&value, &place);
        if let Ok(Some(time)) = time {
            self.oldest = Some(self.oldest.map_or(time, |oldest| oldest.min(time)));
        }
        match (self.counts(&value, &place), time) {
            (RowCounts::NotReported, _) => {
                self.found.not_reported.insert(ward);
            }
            (RowCounts::Wrong(fault), _) | (_, Err(fault)) => {
                self.found.spoiled.insert(ward, fault);
            }
            (RowCounts::Given(seen), Ok(time)) => {
                // Without a column the reading's own time is filled in at the end.
                self.found.wards.insert(ward, WardObservation { at: time.unwrap_or_default(), ..seen });
            }
        }
        Ok(())
    }

    /// The whole, for a source that was read, or a file that was last written, at `read`.
    pub(super) fn finish(mut self, read: Time) -> Observation {
        self.found.at = self.oldest.or(self.newest_other).unwrap_or(read);
        if self.mapping.time == TimeFrom::Reading {
            for ward in self.found.wards.values_mut() {
                ward.at = read;
            }
        }
        self.found
    }

    /// The ward that a row is about; none if it is none of ours.
    fn ward<'r>(&mut self, value: impl Fn(&str) -> Option<Cow<'r, str>>) -> Option<WardId> {
        match &self.mapping.ward {
            WardFrom::Constant(ward) => Some(ward.clone()),
            WardFrom::Column { header, names } => {
                let name = value(header).unwrap_or_default();
                let ward = names.get(name.as_ref()).cloned();
                if ward.is_none() && self.found.unknown.len() < MAX_UNKNOWN {
                    self.found.unknown.insert(named(&name));
                }
                ward
            }
        }
    }

    /// When a row held; none without a column.
    fn time<'r>(
        &self,
        value: impl Fn(&str) -> Option<Cow<'r, str>>,
        place: impl Fn(&str) -> CellPlace,
    ) -> Result<Option<Time>, CellFault> {
        let TimeFrom::Column { header, format } = &self.mapping.time else { return Ok(None) };
        let text = value(header).unwrap_or_default();
        format.read(&text).map(Some).map_err(|_| CellFault {
            at: place(header),
            problem: format!("{} is not a time like {:?}; correct source.time", shown(&text), format.pattern()),
        })
    }

    fn counts<'r>(&self, value: impl Fn(&str) -> Option<Cow<'r, str>>, place: impl Fn(&str) -> CellPlace) -> RowCounts {
        let mut seen = WardObservation::default();
        let mut any = false;
        for (field, header) in &self.mapping.counts {
            let Some(text) = value(header).filter(|text| !self.mapping.not_reported.contains(text.as_ref())) else {
                continue;
            };
            let count = match count(&text) {
                Ok(count) => count,
                Err(problem) => return RowCounts::Wrong(CellFault { at: place(header), problem }),
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
}

/// A count: digits, and perhaps a decimal part of zeros, which some systems write.
fn count(text: &str) -> Result<u16, String> {
    let whole = match text.split_once(['.', ',']) {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|b| b == b'0') => whole,
        _ => text,
    };
    if whole.is_empty() || !whole.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!(
            "{} is not a count; if it means that nothing was reported, add it to not-reported",
            shown(text)
        ));
    }
    match whole.parse() {
        Ok(count) if count <= MAX_COUNT => Ok(count),
        _ => Err(format!("{} is more than the {MAX_COUNT} that a ward can have; check the column", shown(text))),
    }
}

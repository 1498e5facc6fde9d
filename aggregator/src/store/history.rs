//! The history: rollups sampled every few minutes, one blob each.
//!
//! A blob is CBOR: `[[hospitals, fresh, stale, unknown], total, {care type: figures}]`, where figures
//! are the eleven values of [`Figures`] in the order of its fields, `null` for unknown. The shape
//! belongs to the schema: another one is another migration.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::TryStreamExt;
use minicbor::Encoder;
use sqlx::{AssertSqlSafe, Row, SqliteConnection, SqlitePool};
use vardpuls_shared::care::CareType;
use vardpuls_shared::clock::Time;
use vardpuls_shared::feed::{Coverage, Figures};
use vardpuls_shared::topic::Scope;
use vardpuls_shared::wire::{Reader, WireError};

use super::reports::{chunks, placeholders};
use super::{Sample, StoreError, column, number, unreadable};

/// The largest number of points that one query may ask for.
pub const MAX_POINTS: u64 = 10_000;

/// The largest number of rows that pruning deletes in one transaction.
const PRUNE_CHUNK: i64 = 5000;

/// Which samples to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Of what.
    pub scope: Scope,
    /// One care type; none for all together.
    pub care: Option<CareType>,
    /// The first instant.
    pub from: Time,
    /// The end, itself not included.
    pub to: Time,
    /// At most one point for each of these: the last sample in it. At least one second.
    pub step: Duration,
}

/// The last sample of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HistoryPoint {
    /// When the sample was taken.
    pub time: Time,
    /// Its figures; all unknown where the scope had no ward of the care type.
    pub figures: Figures,
    /// What stood behind the figures.
    pub coverage: Coverage,
    /// Occupied by staffed; none without staffed beds.
    pub occupancy: Option<f64>,
}

/// How a query's span is cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Steps {
    length: u64,
}

impl HistoryQuery {
    /// Refuses what has no answer, or too long a one.
    pub(super) fn check(&self) -> Result<Steps, StoreError> {
        let length = u64::try_from(self.step.as_millis()).unwrap_or(u64::MAX);
        if self.from >= self.to || length < 1000 {
            return Err(StoreError::EmptyQuery);
        }
        let points = (self.to.0 - self.from.0).div_ceil(length);
        if points > MAX_POINTS { Err(StoreError::TooManyPoints(points)) } else { Ok(Steps { length }) }
    }
}

/// Stores the samples; a later one replaces that of the same scope and time.
pub(super) async fn insert(connection: &mut SqliteConnection, samples: &[Sample]) -> Result<(), sqlx::Error> {
    for chunk in chunks(samples) {
        let rows = placeholders("(?, ?, ?)", chunk.len());
        let mut query = sqlx::query(AssertSqlSafe(format!("INSERT OR REPLACE INTO sample VALUES {rows}")));
        for sample in chunk {
            query = query.bind(sample.scope.to_string()).bind(column(sample.time.0)).bind(encode(sample));
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// The last sample of each step: one seek a step, however many samples there are.
pub(super) async fn read(
    readers: &SqlitePool,
    query: &HistoryQuery,
    steps: Steps,
) -> Result<Vec<HistoryPoint>, sqlx::Error> {
    let rows = sqlx::query(
        "WITH RECURSIVE step(start) AS (VALUES (?2) UNION ALL SELECT start + ?4 FROM step WHERE start + ?4 < ?3)
         SELECT time, figures FROM step CROSS JOIN sample
         WHERE scope = ?1 AND time =
             (SELECT max(time) FROM sample WHERE scope = ?1 AND time >= start AND time < min(start + ?4, ?3))",
    )
    .bind(query.scope.to_string())
    .bind(column(query.from.0))
    .bind(column(query.to.0))
    .bind(column(steps.length))
    .fetch_all(readers)
    .await?;
    let point = |row: &sqlx::sqlite::SqliteRow| {
        let (coverage, total, care) = decode(row.try_get("figures")?).map_err(unreadable)?;
        let figures = match query.care {
            None => total,
            Some(care_type) => care.get(&care_type).copied().unwrap_or_default(),
        };
        let occupancy = match (figures.occupied, figures.staffed) {
            (Some(occupied), Some(staffed)) if staffed > 0 => Some(f64::from(occupied) / f64::from(staffed)),
            _ => None,
        };
        Ok(HistoryPoint { time: Time(number(row.try_get("time")?)?), figures, coverage, occupancy })
    };
    rows.iter().map(point).collect()
}

/// Every sample, scope by scope in the order of time.
pub(super) async fn all(connection: &mut SqliteConnection, mut each: impl FnMut(Sample)) -> Result<(), sqlx::Error> {
    let mut rows = sqlx::query("SELECT scope, time, figures FROM sample ORDER BY scope, time").fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let scope: Scope = row.try_get::<&str, _>("scope")?.parse().map_err(unreadable)?;
        let time = Time(number(row.try_get("time")?)?);
        let (coverage, total, care) = decode(row.try_get("figures")?).map_err(unreadable)?;
        each(Sample { scope, time, total, care, coverage });
    }
    Ok(())
}

/// Deletes the samples from before `cutoff`; how many that were.
pub(super) async fn prune(writer: &SqlitePool, cutoff: Time) -> Result<u64, sqlx::Error> {
    let scopes: Vec<String> = sqlx::query_scalar(
        "WITH RECURSIVE found(scope) AS (
             SELECT min(scope) FROM sample
             UNION ALL
             SELECT (SELECT min(scope) FROM sample WHERE scope > found.scope) FROM found WHERE found.scope IS NOT NULL)
         SELECT scope FROM found WHERE scope IS NOT NULL",
    )
    .fetch_all(writer)
    .await?;
    let mut pruned = 0;
    for scope in scopes {
        loop {
            let deleted = sqlx::query(
                "DELETE FROM sample WHERE scope = ?1 AND time IN
                 (SELECT time FROM sample WHERE scope = ?1 AND time < ?2 ORDER BY time LIMIT ?3)",
            )
            .bind(&scope)
            .bind(column(cutoff.0))
            .bind(PRUNE_CHUNK)
            .execute(writer)
            .await?
            .rows_affected();
            pruned += deleted;
            if deleted < PRUNE_CHUNK.unsigned_abs() {
                break;
            }
        }
    }
    Ok(pruned)
}

fn encode(sample: &Sample) -> Vec<u8> {
    let write = || -> Result<Vec<u8>, minicbor::encode::Error<std::convert::Infallible>> {
        let mut w = Encoder::new(Vec::with_capacity(64 * (2 + sample.care.len())));
        let Coverage { hospitals, fresh, stale, unknown } = sample.coverage;
        w.array(3)?.array(4)?.u32(hospitals)?.u32(fresh)?.u32(stale)?.u32(unknown)?;
        encode_figures(&mut w, &sample.total)?;
        w.map(sample.care.len() as u64)?;
        for (care, figures) in &sample.care {
            encode_figures(w.u8(care.number())?, figures)?;
        }
        Ok(w.into_writer())
    };
    write().expect("writing to a Vec cannot fail")
}

fn encode_figures(
    w: &mut Encoder<Vec<u8>>,
    figures: &Figures,
) -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
    let mut all = *figures;
    let optional = optional_figures(&mut all);
    w.array(1 + optional.len() as u64)?.u32(figures.wards)?;
    for figure in optional {
        match figure {
            Some(n) => w.u32(*n)?,
            None => w.null()?,
        };
    }
    Ok(())
}

/// The figures that may be unknown, in the order of the blob.
fn optional_figures(figures: &mut Figures) -> [&mut Option<u32>; 10] {
    let Figures {
        wards: _,
        staffed,
        occupied,
        blocked,
        available,
        over_capacity,
        outlying,
        discharge_ready,
        boarding,
        over_24h,
        over_48h,
    } = figures;
    [staffed, occupied, blocked, available, over_capacity, outlying, discharge_ready, boarding, over_24h, over_48h]
}

type Rollup = (Coverage, Figures, BTreeMap<CareType, Figures>);

fn decode(blob: &[u8]) -> Result<Rollup, WireError> {
    let mut r = Reader::new(blob);
    r.array_of("the sample", 3, "an array of three")?;
    r.array_of("coverage", 4, "an array of four")?;
    let mut count = || r.uint32("coverage", u32::MAX);
    let coverage = Coverage { hospitals: count()?, fresh: count()?, stale: count()?, unknown: count()? };
    let total = decode_figures(&mut r)?;
    let mut care = BTreeMap::new();
    for _ in 0..r.map("care types", 256)? {
        let number = u8::try_from(r.uint("care type", 255)?).expect("at most 255");
        care.insert(CareType::from_number(number), decode_figures(&mut r)?);
    }
    r.end()?;
    Ok((coverage, total, care))
}

fn decode_figures(r: &mut Reader<'_>) -> Result<Figures, WireError> {
    r.array_of("figures", 11, "an array of eleven")?;
    let mut figures = Figures { wards: r.uint32("wards", u32::MAX)?, ..Figures::default() };
    for figure in optional_figures(&mut figures) {
        *figure = if r.null() { None } else { Some(r.uint32("figure", u32::MAX)?) };
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn figures() -> impl Strategy<Value = Figures> {
        (any::<u32>(), proptest::array::uniform10(any::<Option<u32>>())).prop_map(|(wards, values)| {
            let mut figures = Figures { wards, ..Figures::default() };
            for (figure, value) in optional_figures(&mut figures).into_iter().zip(values) {
                *figure = value;
            }
            figures
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(total in figures(), care in proptest::collection::btree_map(0u8..14, figures(), 0..14),
            hospitals: u32, fresh: u32, stale: u32, unknown: u32) {
            let care: BTreeMap<_, _> = care.into_iter().map(|(n, f)| (CareType::from_number(n), f)).collect();
            let coverage = Coverage { hospitals, fresh, stale, unknown };
            let sample = Sample { scope: Scope::Nation, time: Time(1), total, care: care.clone(), coverage };
            prop_assert_eq!(decode(&encode(&sample)), Ok((coverage, total, care)));
        }
    }

    #[test]
    fn a_query_has_a_span_a_step_and_an_end() {
        let query = |from, to, step| HistoryQuery {
            scope: Scope::Nation,
            care: None,
            from: Time(from),
            to: Time(to),
            step: Duration::from_millis(step),
        };
        assert!(query(0, 10_000_000, 1000).check().is_ok());
        assert_eq!(query(0, 10_000_001, 1000).check().err(), Some(StoreError::TooManyPoints(10_001)));
        for empty in [query(5, 5, 1000), query(6, 5, 1000), query(0, 5, 0), query(0, 5, 999)] {
            assert_eq!(empty.check().err(), Some(StoreError::EmptyQuery));
        }
    }
}

//! Reports and rosters in the store.
//!
//! A batch costs two statements for every 64 reports: one asks what is held at their positions, one
//! inserts what is new. What is new, a duplicate or an equivocation is decided in between by
//! [`judge`], which is pure. Chunk lengths are powers of two, so that a dozen prepared statements
//! serve every batch.

use std::collections::HashMap;
use std::iter::repeat_n;

use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row, SqliteConnection, SqlitePool};
use vardpuls_shared::clock::Time;
use vardpuls_shared::hospital::HospitalId;
use vardpuls_shared::report::Position;

use super::{StoredReport, StoredRoster, Verdict, column, number, unreadable};

/// The largest number of rows in one statement.
const CHUNK: usize = 64;

/// The largest number of rows that pruning deletes in one transaction.
const PRUNE_CHUNK: i64 = 2000;

/// A report that is at a position already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    digest: [u8; 32],
    /// Came second.
    evidence: bool,
}

/// Decides on the reports of a batch, in order. `held[i]` is what the store holds at the position of
/// `reports[i]`. A report that is to be inserted comes with whether it is evidence.
fn judge<'a>(reports: &'a [StoredReport], held: Vec<Vec<Held>>) -> Vec<(Verdict, Option<Held>)> {
    let mut positions: HashMap<(&'a HospitalId, Position), Vec<Held>> = HashMap::with_capacity(reports.len());
    let decide = |(report, held): (&'a StoredReport, _)| {
        let there = positions.entry((&report.hospital, report.position)).or_insert(held);
        if let Some(same) = there.iter().find(|h| h.digest == report.digest) {
            return (if same.evidence { Verdict::Equivocation } else { Verdict::Duplicate }, None);
        }
        let evidence = !there.is_empty();
        let new = Held { digest: report.digest, evidence };
        there.push(new);
        (if evidence { Verdict::Equivocation } else { Verdict::New }, Some(new))
    };
    reports.iter().zip(held).map(decide).collect()
}

/// Stores the reports that are new; a verdict for each, in their order.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    reports: &[StoredReport],
) -> Result<Vec<Verdict>, sqlx::Error> {
    let mut held = Vec::with_capacity(reports.len());
    for chunk in chunks(reports) {
        held.extend(holdings(connection, chunk).await?);
    }
    let judged = judge(reports, held);
    let new: Vec<_> = reports.iter().zip(&judged).filter_map(|(report, (_, new))| Some((report, (*new)?))).collect();
    for chunk in chunks(&new) {
        let sql = format!("INSERT INTO report VALUES {}", placeholders("(?, ?, ?, ?, ?, ?, ?, ?)", chunk.len()));
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for (report, new) in chunk {
            query = query
                .bind(report.hospital.as_str())
                .bind(column(report.position.epoch))
                .bind(column(report.position.sequence))
                .bind(report.digest.as_slice())
                .bind(new.evidence)
                .bind(column(report.observed_at.0))
                .bind(column(report.received_at.0))
                .bind(report.envelope.as_slice());
        }
        query.execute(&mut *connection).await?;
    }
    Ok(judged.into_iter().map(|(verdict, _)| verdict).collect())
}

/// What the store holds at the position of each report.
async fn holdings(connection: &mut SqliteConnection, reports: &[StoredReport]) -> Result<Vec<Vec<Held>>, sqlx::Error> {
    let wanted: Vec<_> = (0..reports.len()).map(|item| format!("({item}, ?, ?, ?)")).collect();
    // CROSS JOIN: SQLite keeps the order of the tables, a seek in the report tree for each wanted row.
    let sql = format!(
        "WITH wanted(item, hospital, epoch, sequence) AS (VALUES {})
         SELECT item, digest, evidence FROM wanted CROSS JOIN report USING (hospital, epoch, sequence)",
        wanted.join(", ")
    );
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for report in reports {
        query = query
            .bind(report.hospital.as_str())
            .bind(column(report.position.epoch))
            .bind(column(report.position.sequence));
    }
    let mut held = vec![Vec::new(); reports.len()];
    for row in query.fetch_all(connection).await? {
        let item = usize::try_from(row.try_get::<i64, _>("item")?).map_err(unreadable)?;
        held[item].push(Held { digest: digest(&row)?, evidence: row.try_get("evidence")? });
    }
    Ok(held)
}

/// Stores the rosters that are not there yet.
pub(super) async fn insert_rosters(
    connection: &mut SqliteConnection,
    rosters: &[StoredRoster],
) -> Result<(), sqlx::Error> {
    for roster in rosters {
        sqlx::query("INSERT INTO roster VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING")
            .bind(roster.hospital.as_str())
            .bind(roster.version)
            .bind(column(roster.received_at.0))
            .bind(roster.envelope.as_slice())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// See [`super::Store::newest`].
pub(super) async fn newest(readers: &SqlitePool, per_hospital: u32) -> Result<Vec<StoredReport>, sqlx::Error> {
    let mut transaction = readers.begin().await?;
    let mut found = Vec::new();
    for hospital in hospitals(&mut transaction).await? {
        let query = sqlx::query(
            "SELECT hospital, epoch, sequence, digest, observed_at, received_at, envelope
             FROM (SELECT DISTINCT epoch, sequence FROM report WHERE hospital = ?1
                   ORDER BY epoch DESC, sequence DESC LIMIT ?2)
             CROSS JOIN report USING (epoch, sequence)
             WHERE hospital = ?1 ORDER BY epoch, sequence, digest",
        );
        for row in query.bind(hospital).bind(per_hospital).fetch_all(&mut *transaction).await? {
            found.push(StoredReport {
                hospital: hospital_id(&row)?,
                position: position(&row)?,
                observed_at: Time(number(row.try_get("observed_at")?)?),
                received_at: Time(number(row.try_get("received_at")?)?),
                digest: digest(&row)?,
                envelope: row.try_get("envelope")?,
            });
        }
    }
    Ok(found)
}

/// See [`super::Store::rosters`].
pub(super) async fn rosters(readers: &SqlitePool) -> Result<Vec<StoredRoster>, sqlx::Error> {
    let query = sqlx::query("SELECT hospital, version, received_at, envelope FROM roster");
    let roster = |row: SqliteRow| {
        Ok(StoredRoster {
            hospital: hospital_id(&row)?,
            version: row.try_get("version")?,
            received_at: Time(number(row.try_get("received_at")?)?),
            envelope: row.try_get("envelope")?,
        })
    };
    query.fetch_all(readers).await?.into_iter().map(roster).collect()
}

/// See [`super::Store::stored_positions`].
pub(super) async fn positions(
    readers: &SqlitePool,
    hospital: &HospitalId,
) -> Result<Vec<(Position, [u8; 32])>, sqlx::Error> {
    let query = sqlx::query("SELECT epoch, sequence, digest FROM report WHERE hospital = ? ORDER BY 1, 2, 3");
    let rows = query.bind(hospital.as_str()).fetch_all(readers).await?;
    rows.iter().map(|row| Ok((position(row)?, digest(row)?))).collect()
}

/// Deletes the beginning of each hospital's order, up to the first report received at or after
/// `cutoff` and never the newest position; how many reports that were.
pub(super) async fn prune(writer: &SqlitePool, cutoff: Time) -> Result<u64, sqlx::Error> {
    let mut pruned = 0;
    let names = hospitals(&mut *writer.acquire().await?).await?;
    for hospital in names {
        let first_kept: Option<(i64, i64)> = sqlx::query_as(
            "SELECT epoch, sequence FROM report WHERE hospital = ? AND received_at >= ?
             ORDER BY epoch, sequence LIMIT 1",
        )
        .bind(&hospital)
        .bind(column(cutoff.0))
        .fetch_optional(writer)
        .await?;
        let newest: (i64, i64) =
            sqlx::query_as("SELECT epoch, sequence FROM report WHERE hospital = ? ORDER BY 1 DESC, 2 DESC LIMIT 1")
                .bind(&hospital)
                .fetch_one(writer)
                .await?;
        let (epoch, sequence) = first_kept.unwrap_or(newest);
        loop {
            let deleted = sqlx::query(
                "DELETE FROM report WHERE (hospital, epoch, sequence, digest) IN
                 (SELECT hospital, epoch, sequence, digest FROM report
                  WHERE hospital = ?1 AND (epoch, sequence) < (?2, ?3) ORDER BY 1, 2, 3, 4 LIMIT ?4)",
            )
            .bind(&hospital)
            .bind(epoch)
            .bind(sequence)
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

/// Every hospital that has a report: one seek each, however many reports there are.
async fn hospitals(connection: &mut SqliteConnection) -> Result<Vec<String>, sqlx::Error> {
    let found = sqlx::query_scalar(
        "WITH RECURSIVE found(hospital) AS (
             SELECT min(hospital) FROM report
             UNION ALL
             SELECT (SELECT min(hospital) FROM report WHERE hospital > found.hospital) FROM found
             WHERE found.hospital IS NOT NULL)
         SELECT hospital FROM found WHERE hospital IS NOT NULL",
    );
    found.fetch_all(connection).await
}

/// Pieces whose lengths are powers of two, at most [`CHUNK`].
pub(super) fn chunks<T>(mut items: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let length = 1 << items.len().min(CHUNK).checked_ilog2()?;
        let (chunk, rest) = items.split_at(length);
        items = rest;
        Some(chunk)
    })
}

/// `row`, `n` times, with commas between.
pub(super) fn placeholders(row: &str, n: usize) -> String {
    repeat_n(row, n).collect::<Vec<_>>().join(", ")
}

fn hospital_id(row: &SqliteRow) -> Result<HospitalId, sqlx::Error> {
    HospitalId::new(row.try_get("hospital")?).map_err(unreadable)
}

fn position(row: &SqliteRow) -> Result<Position, sqlx::Error> {
    Ok(Position { epoch: number(row.try_get("epoch")?)?, sequence: number(row.try_get("sequence")?)? })
}

fn digest(row: &SqliteRow) -> Result<[u8; 32], sqlx::Error> {
    row.try_get::<&[u8], _>("digest")?.try_into().map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::Verdict::{Duplicate, Equivocation, New};
    use super::*;

    #[test]
    fn chunks_are_powers_of_two_and_lose_nothing() {
        for n in [0, 1, 63, 64, 65, 127, 1000] {
            let items: Vec<usize> = (0..n).collect();
            assert_eq!(chunks(&items).flatten().copied().collect::<Vec<_>>(), items);
            assert!(chunks(&items).all(|chunk| chunk.len().is_power_of_two() && chunk.len() <= CHUNK));
        }
    }

    #[test]
    fn the_first_at_a_position_stays_the_first() {
        let report = |digest: u8| StoredReport {
            hospital: "h".parse().expect("valid"),
            position: Position { epoch: 1, sequence: 1 },
            observed_at: Time(0),
            received_at: Time(0),
            digest: [digest; 32],
            envelope: Vec::new(),
        };
        let verdicts = |digests: &[u8], held: &[Held]| {
            let reports: Vec<_> = digests.iter().map(|&d| report(d)).collect();
            let held = vec![held.to_vec(); reports.len()];
            judge(&reports, held).into_iter().map(|(verdict, new)| (verdict, new.is_some())).collect::<Vec<_>>()
        };
        let first = Held { digest: [1; 32], evidence: false };
        let second = Held { digest: [2; 32], evidence: true };
        assert_eq!(
            verdicts(&[1, 1, 2, 2, 1], &[]),
            [(New, true), (Duplicate, false), (Equivocation, true), (Equivocation, false), (Duplicate, false)]
        );
        assert_eq!(
            verdicts(&[2, 1, 3], &[first, second]),
            [(Equivocation, false), (Duplicate, false), (Equivocation, true)]
        );
    }
}

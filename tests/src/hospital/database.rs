//! A simulated hospital's database, and the agent's setup that queries it.
//!
//! In: wards and counts. Out: a SQLite file whose view of the wards says the counts, written in one transaction so that
//! no reader meets half a picture.

use std::collections::BTreeMap;
use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use vardpuls_shared::clock::Time;
use vardpuls_shared::count::{Counts, Extra};

use super::{Setup, drop, table};
use crate::nation;

/// The database, in the hospital's drops folder.
const FILE: &str = "vardplatser.db";

/// The columns: our words, so that the agent's config needs to map none.
fn columns() -> impl Iterator<Item = (&'static str, Option<Extra>)> + Clone {
    drop::COLUMNS.into_iter().map(|(word, _, extra)| (word, extra))
}

/// The agent of a simulated hospital whose database is in `drops`.
pub fn setup(hospital: &nation::Hospital, drops: &Path) -> Setup {
    let words = columns().map(|(word, _)| word);
    let query = format!("SELECT {} FROM wards", words.clone().collect::<Vec<_>>().join(", "));
    let mut source = table([("name", drop::NAME), ("kind", "sql"), ("every", "1s"), ("timeout", "5s")]);
    source.insert("url".into(), format!("sqlite:{}", drops.join(FILE).display()).into());
    source.insert("query".into(), query.into());
    source.insert("columns".into(), table(words.map(|word| (word, word))).into());
    drop::reading(hospital, vec![source])
}

/// A hospital's open database.
#[derive(Debug)]
pub struct Database(SqliteConnection);

impl Database {
    /// Opens it, and makes it first where there is none.
    pub async fn open(drops: &Path) -> Result<Database, sqlx::Error> {
        let file = SqliteConnectOptions::new().filename(drops.join(FILE)).create_if_missing(true);
        let mut connection = file.connect().await?;
        let counts = columns().skip(2).map(|(word, _)| format!("{word} INTEGER NOT NULL"));
        let make = format!(
            "CREATE TABLE IF NOT EXISTS wards (ward TEXT PRIMARY KEY, time TEXT NOT NULL, {})",
            counts.collect::<Vec<_>>().join(", ")
        );
        sqlx::query(sqlx::AssertSqlSafe(make)).execute(&mut connection).await?;
        Ok(Database(connection))
    }

    /// Says what holds now.
    pub async fn put(
        &mut self,
        hospital: &nation::Hospital,
        counts: &BTreeMap<u16, Counts>,
        at: Time,
    ) -> Result<(), sqlx::Error> {
        let places = vec!["?"; columns().count()].join(", ");
        let replace = format!("INSERT OR REPLACE INTO wards VALUES ({places})");
        let mut transaction = self.0.begin().await?;
        for ward in &hospital.wards {
            let Some(counts) = counts.get(&ward.index) else { continue };
            let mut row = sqlx::query(sqlx::AssertSqlSafe(replace.clone()));
            for (word, extra) in columns() {
                row = match (word, extra) {
                    (_, Some(extra)) => row.bind(i64::from(counts.extra(extra))),
                    ("ward", _) => row.bind(ward.id.to_string()),
                    ("time", _) => row.bind(at.to_string()),
                    ("staffed", _) => row.bind(i64::from(counts.staffed)),
                    _ => row.bind(i64::from(counts.occupied)),
                };
            }
            row.execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }
}

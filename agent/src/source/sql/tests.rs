//! Queries on a real SQLite file.

use std::collections::BTreeMap;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _};
use tempfile::TempDir;
use vardpuls_shared::count::Extra;
use vardpuls_shared::hospital::WardId;

use super::*;
use crate::source::Fault;
use crate::source::mapping::{Field, TimeFrom, WardFrom};
use crate::source::time::TimeFormat;

const NOW: Time = Time(1_700_000_000_000);

fn id(text: &str) -> WardId {
    text.parse().expect("a ward id")
}

/// A file with two wards, and a spec that reads them.
async fn ward_system() -> (TempDir, SqlSpec) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("beds.db");
    let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
    let mut connection = options.connect().await.expect("made");
    let tables = "CREATE TABLE ward (code TEXT, open INTEGER, used INTEGER, closed REAL, at TEXT);
        INSERT INTO ward VALUES ('ICU', 10, 7, 1.0, '2023-11-14 22:13:20Z'), ('M1', NULL, 21, NULL, '2023-11-14 22:00:00Z')";
    connection.execute(tables).await.expect("written");
    let mapping = Mapping {
        ward: WardFrom::Column {
            header: "Ward".into(),
            names: [("ICU".to_owned(), id("iva")), ("M1".to_owned(), id("med"))].into(),
        },
        counts: [
            (Field::Staffed, "staffed".to_owned()),
            (Field::Occupied, "occupied".to_owned()),
            (Field::Extra(Extra::BLOCKED), "blocked".to_owned()),
        ]
        .into(),
        time: TimeFrom::Column { header: "at".into(), format: TimeFormat::iso(None) },
        rows: BTreeMap::new(),
        not_reported: [String::new()].into(),
    };
    let query = "SELECT code AS ward, open AS staffed, used AS occupied, closed AS blocked, at FROM ward".to_owned();
    let spec =
        SqlSpec { database: Database::Sqlite(file), query, mapping, timeout: Duration::from_secs(20), max_rows: 100 };
    (folder, spec)
}

async fn fault(spec: &SqlSpec) -> SqlFault {
    match SqlReader::new(spec.clone()).read(NOW).await.expect_err("a fault").fault {
        Fault::Sql(fault) => fault,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_query_gives_the_counts_of_its_rows_again_and_again() {
    let (_folder, spec) = ward_system().await;
    let mut reader = SqlReader::new(spec);
    for _ in 0..3 {
        let seen = reader.read(NOW).await.expect("readable");
        assert_eq!(seen.at.to_string(), "2023-11-14T22:00:00.000Z");
        let iva = &seen.wards[&id("iva")];
        assert_eq!((iva.staffed, iva.occupied, iva.at), (Some(10), Some(7), NOW));
        assert_eq!(iva.extras, [(Extra::BLOCKED, 1)].into());
        let med = &seen.wards[&id("med")];
        assert_eq!((med.staffed, med.occupied, med.extras.len()), (None, Some(21), 0));
        assert!(reader.connection.is_some(), "one connection is kept");
    }
}

#[tokio::test]
async fn what_writes_is_refused() {
    let (_folder, spec) = ward_system().await;
    for query in ["DELETE FROM ward", "UPDATE ward SET used = 0 RETURNING used", "CREATE TABLE x (a)"] {
        let spec = SqlSpec { query: query.to_owned(), ..spec.clone() };
        let found = fault(&spec).await;
        assert!(matches!(found, SqlFault::Writes(_)), "{found}");
    }
    assert!(SqlReader::new(spec).read(NOW).await.is_ok());
}

#[tokio::test]
async fn a_query_that_does_not_end_is_ended() {
    let (_folder, mut spec) = ward_system().await;
    spec.query = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) AS ward FROM n".into();
    spec.timeout = Duration::from_millis(200);
    assert_eq!(fault(&spec).await, SqlFault::TimedOut(spec.timeout));
}

#[tokio::test]
async fn what_does_not_fit_is_a_named_error() {
    let (folder, spec) = ward_system().await;
    let with = |query: &str| SqlSpec { query: query.to_owned(), ..spec.clone() };
    let found = fault(&with("SELECT code AS ward, used AS occupied, at FROM ward")).await;
    let SqlFault::NoColumn { column, key, given } = found else { panic!("{found}") };
    assert_eq!((column.as_str(), key.as_str(), given), ("staffed", "source.columns.staffed", 3));
    assert!(
        matches!(fault(&with("SELECT * FROM beds")).await, SqlFault::Query(said) if said.contains("no such table"))
    );
    assert_eq!(fault(&with("SELECT * FROM ward WHERE code = 'X'")).await, SqlFault::Empty);
    let twice = fault(&with("SELECT 'M1' AS ward, 1 AS staffed, 1 AS occupied, 0 AS blocked, at FROM ward")).await;
    assert_eq!(twice, SqlFault::WardTwice { ward: id("med"), first: 1, second: 2 });
    let many = SqlSpec { max_rows: 1, ..spec.clone() };
    assert_eq!(fault(&many).await, SqlFault::TooManyRows(1));
    let large =
        with("SELECT hex(zeroblob(9000000)) AS ward, open AS staffed, used AS occupied, 0 AS blocked, at FROM ward");
    assert_eq!(fault(&large).await, SqlFault::TooMuch);
    let missing = SqlSpec { database: Database::Sqlite(folder.path().join("none.db")), ..spec.clone() };
    assert!(matches!(fault(&missing).await, SqlFault::Unreachable(_)));
    assert!(!folder.path().join("none.db").exists(), "nothing is made");
    let spoiled = with("SELECT code AS ward, open AS staffed, 'full' AS occupied, 0 AS blocked, at FROM ward");
    let seen = SqlReader::new(spoiled).read(NOW).await.expect("readable");
    let told = seen.spoiled[&id("iva")].to_string();
    assert!(told.starts_with("row 1, column \"occupied\": [4 letters] is not a count"), "{told}");
}

#[test]
fn a_database_is_shown_without_its_login() {
    let server = Server {
        host: "::1".into(),
        port: 5432,
        socket: None,
        name: "beds".into(),
        username: "reader".into(),
        password_file: Some("secret".into()),
        tls: None,
    };
    assert_eq!(Database::Postgres(server.clone()).to_string(), "postgres://[::1]:5432/beds");
    let local = Server { socket: Some("/run/postgresql".into()), ..server };
    assert_eq!(Database::MySql(local).to_string(), "mysql beds on /run/postgresql");
}

//! The store as others meet it: durability, verdicts, retention, history, and every way of being broken.

use std::collections::BTreeMap;
use std::path::Path;
use std::task::Poll;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn config(folder: &TempDir) -> StoreConfig {
    StoreConfig { path: folder.path().join("v.db"), ..StoreConfig::default() }
}

async fn fresh() -> (TempDir, Store) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&config(&folder)).await.expect("opens");
    (folder, store)
}

fn report(hospital: &str, sequence: u64, digest: u8) -> StoredReport {
    StoredReport {
        hospital: hospital.parse().expect("valid"),
        position: Position { epoch: 1000, sequence },
        observed_at: Time(sequence),
        received_at: Time(sequence),
        digest: [digest; 32],
        envelope: vec![digest; 300],
    }
}

fn reports(reports: impl IntoIterator<Item = StoredReport>) -> Batch {
    Batch { reports: reports.into_iter().collect(), ..Batch::default() }
}

fn roster(hospital: &str, version: u32) -> StoredRoster {
    StoredRoster {
        hospital: hospital.parse().expect("valid"),
        version,
        received_at: Time(1),
        envelope: version.to_be_bytes().to_vec(),
    }
}

fn sample(scope: Scope, time: u64, occupied: u32) -> Sample {
    let total = Figures { wards: 1, staffed: Some(10), occupied: Some(occupied), ..Figures::default() };
    let care = BTreeMap::from([(CareType::Icu, Figures { occupied: Some(1), ..total })]);
    Sample {
        scope,
        time: Time(time),
        total,
        care,
        coverage: Coverage { hospitals: 1, fresh: 1, ..Coverage::default() },
    }
}

#[tokio::test]
async fn what_was_committed_is_there_after_reopening() {
    let (folder, store) = fresh().await;
    let batch = Batch {
        reports: vec![report("a", 1, 1), report("b", 7, 2)],
        rosters: vec![roster("a", 5)],
        samples: vec![sample(Scope::Nation, 5000, 4)],
        ..Batch::default()
    };
    assert_eq!(store.commit(&batch).await, Ok(vec![Verdict::New, Verdict::New]));
    assert_eq!(store.commit(&Batch::default()).await, Ok(vec![]));
    store.close().await;
    assert_eq!(store.commit(&batch).await, Err(StoreError::Closed(config(&folder).path)));

    assert_eq!(Store::examine(&config(&folder)).await, Ok(Condition::Present { schema: 2 }));
    let store = Store::open(&config(&folder)).await.expect("reopens");
    assert_eq!(store.newest(3).await, Ok(batch.reports.clone()));
    assert_eq!(store.rosters().await, Ok(batch.rosters.clone()));
    assert_eq!(store.commit(&batch).await, Ok(vec![Verdict::Duplicate, Verdict::Duplicate]));
}

#[tokio::test]
async fn newest_is_by_position_with_all_digests_of_each() {
    let (_folder, store) = fresh().await;
    let mut older_epoch = report("a", 99, 9);
    older_epoch.position.epoch = 1;
    let batch = reports([report("a", 2, 1), report("a", 3, 3), older_epoch, report("a", 3, 2), report("b", 1, 1)]);
    store.commit(&batch).await.expect("commits");
    let found = store.newest(1).await.expect("reads");
    assert_eq!(found, [report("a", 3, 2), report("a", 3, 3), report("b", 1, 1)]);
    assert_eq!(store.newest(9).await.expect("reads").len(), 5);
    let hospital = "a".parse().expect("valid");
    let positions = store.stored_positions(&hospital).await.expect("reads");
    assert_eq!(positions.iter().map(|(p, _)| p.sequence).collect::<Vec<_>>(), [99, 2, 3, 3]);
}

/// Plain recomputation of what the store promises.
#[derive(Default)]
struct Model(BTreeMap<(HospitalId, Position), Vec<[u8; 32]>>);

impl Model {
    fn commit(&mut self, batch: &Batch) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for report in &batch.reports {
            let there = self.0.entry((report.hospital.clone(), report.position)).or_default();
            verdicts.push(match there.iter().position(|d| *d == report.digest) {
                Some(0) => Verdict::Duplicate,
                None if there.is_empty() => Verdict::New,
                _ => Verdict::Equivocation,
            });
            if !there.contains(&report.digest) {
                there.push(report.digest);
            }
        }
        verdicts
    }

    fn positions(&self, hospital: &HospitalId) -> Vec<(Position, [u8; 32])> {
        let of = self.0.iter().filter(|((h, _), _)| h == hospital);
        let mut all: Vec<_> = of.flat_map(|((_, p), digests)| digests.iter().map(|d| (*p, *d))).collect();
        all.sort_unstable();
        all
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn verdicts_and_contents_are_those_of_the_model(
        batches in proptest::collection::vec(proptest::collection::vec((0usize..3, 0u64..40, 0u8..3), 0..150), 1..5),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (_folder, store) = fresh().await;
            let mut model = Model::default();
            for batch in batches {
                let batch = reports(batch.into_iter().map(|(h, sequence, digest)| report(["a", "b", "c"][h], sequence, digest)));
                prop_assert_eq!(store.commit(&batch).await, Ok(model.commit(&batch)));
            }
            for hospital in ["a", "b", "c"] {
                let hospital = hospital.parse().expect("valid");
                prop_assert_eq!(store.stored_positions(&hospital).await, Ok(model.positions(&hospital)));
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn pruning_takes_from_the_beginning_and_leaves_the_newest() {
    let folder = tempfile::tempdir().expect("a folder");
    let keep = Duration::from_millis(100);
    let store =
        Store::open(&StoreConfig { keep_reports: keep, keep_history: keep, ..config(&folder) }).await.expect("opens");
    // `late` was received long after its position: what follows it stays until it goes.
    let late = StoredReport { received_at: Time(1000), ..report("late", 2, 1) };
    let batch = Batch {
        reports: [report("silent", 1, 1), report("silent", 2, 1), report("silent", 2, 2), late]
            .into_iter()
            .chain([1, 3].map(|n| report("late", n, 1)))
            .chain((0..5000).map(|n| report("busy", n, 1)))
            .collect(),
        rosters: vec![roster("silent", 1)],
        samples: [1, 899, 900, 1000].into_iter().map(|time| sample(Scope::Nation, time, 1)).collect(),
        ..Batch::default()
    };
    store.commit(&batch).await.expect("commits");
    let pruned = store.prune(Time(1000)).await;
    assert_eq!(pruned, Ok(Pruned { reports: 1 + 1 + 900, samples: 2 }));
    assert_eq!(store.prune(Time(1000)).await, Ok(Pruned::default()));
    let left = async |hospital: &str| {
        let positions = store.stored_positions(&hospital.parse().expect("valid")).await.expect("reads");
        positions.iter().map(|(position, _)| position.sequence).collect::<Vec<_>>()
    };
    assert_eq!(left("silent").await, [2, 2]);
    assert_eq!(left("late").await, [2, 3]);
    assert_eq!(left("busy").await, (900..5000).collect::<Vec<_>>());
    let all_gone = store.prune(Time(1_000_000)).await;
    assert_eq!(all_gone, Ok(Pruned { reports: 1 + 4099, samples: 2 }));
    assert_eq!(left("busy").await, [4999]);
    assert_eq!(store.rosters().await.map(|r| r.len()), Ok(1));
}

#[tokio::test]
async fn history_is_the_last_sample_of_each_step() {
    let (_folder, store) = fresh().await;
    let region = Scope::Region("01".parse().expect("valid"));
    let mut samples: Vec<_> = [9_999, 10_000, 10_500, 12_999, 16_000, 20_000]
        .into_iter()
        .zip(1..)
        .map(|(time, occupied)| sample(region.clone(), time, occupied))
        .collect();
    samples.push(sample(Scope::Nation, 10_700, 77));
    samples.push(sample(region.clone(), 10_500, 8));
    store.commit(&Batch { samples, ..Batch::default() }).await.expect("commits");
    let query =
        HistoryQuery { scope: region, care: None, from: Time(10_000), to: Time(20_000), step: Duration::from_secs(2) };
    let seen = async |query: &HistoryQuery| {
        let points = store.history(query).await.expect("reads");
        points.iter().map(|p| (p.time.0, p.figures.occupied)).collect::<Vec<_>>()
    };
    assert_eq!(seen(&query).await, [(10_500, Some(8)), (12_999, Some(4)), (16_000, Some(5))]);
    let icu = HistoryQuery { care: Some(CareType::Icu), step: Duration::from_mins(1), ..query.clone() };
    assert_eq!(seen(&icu).await, [(16_000, Some(1))]);
    let burn = HistoryQuery { care: Some(CareType::Burn), ..icu.clone() };
    let points = store.history(&burn).await.expect("reads");
    assert_eq!((points[0].figures, points[0].occupancy), (Figures::default(), None));
    let points = store.history(&query).await.expect("reads");
    assert_eq!((points[0].occupancy, points[0].coverage.fresh), (Some(0.8), 1));
    let long = HistoryQuery { to: Time(10_000 + 20_001_000), ..query };
    assert_eq!(store.history(&long).await, Err(StoreError::TooManyPoints(10_001)));
}

#[tokio::test]
async fn a_full_disk_is_named_and_leaves_nothing_half_stored() {
    let (folder, store) = fresh().await;
    store.commit(&reports([report("a", 1, 1)])).await.expect("commits");
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&store.open.writer).await.expect("a number");
    let limit = async |pages: i64| {
        let pragma = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
        sqlx::query(pragma).fetch_all(&store.open.writer).await.expect("sets");
    };
    limit(pages).await;
    let large = Batch {
        reports: (2..500).map(|n| report("a", n, 1)).collect(),
        rosters: vec![roster("a", 1)],
        samples: vec![sample(Scope::Nation, 5000, 4)],
        ..Batch::default()
    };
    assert_eq!(store.commit(&large).await, Err(StoreError::DiskFull(config(&folder).path)));
    assert_eq!(store.newest(1000).await, Ok(vec![report("a", 1, 1)]));
    assert_eq!(store.rosters().await, Ok(vec![]));
    limit(1_000_000).await;
    assert_eq!(store.commit(&large).await.map(|v| v.len()), Ok(498));
}

#[tokio::test]
async fn a_commit_that_is_cancelled_is_nothing_or_all_and_harms_nobody() {
    let (_folder, store) = fresh().await;
    for polls in 0..60 {
        let large = reports((0..200).map(|n| report("a", polls * 1000 + n, 1)));
        let mut commit = Box::pin(store.commit(&large));
        for _ in 0..polls {
            let polled = std::future::poll_fn(|context| Poll::Ready(commit.as_mut().poll(context))).await;
            if polled.is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(commit);
        let stored = store.commit(&large).await.expect("commits");
        assert!(stored.windows(2).all(|pair| pair[0] == pair[1]), "half was there after {polls} polls");
    }
    assert_eq!(store.newest(u32::MAX).await.map(|all| all.len()), Ok(60 * 200));
}

#[tokio::test]
async fn a_second_aggregator_is_refused_until_the_first_is_gone() {
    let (folder, store) = fresh().await;
    let second = Store::open(&config(&folder)).await.expect_err("in use");
    assert_eq!(second, StoreError::Locked(config(&folder).path));
    assert!(second.to_string().contains("is open in another aggregator; stop that one"), "{second}");
    store.close().await;
    assert!(Store::open(&config(&folder)).await.is_ok());
}

/// A file made by somebody else's SQLite.
async fn write_database(path: &Path, sql: &'static str) {
    use sqlx::Connection;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await.expect("opens");
    sqlx::raw_sql(sql).execute(&mut connection).await.expect("runs");
    connection.close().await.expect("closes");
}

#[tokio::test]
async fn a_held_write_lock_is_named() {
    use sqlx::Connection;
    let (folder, store) = fresh().await;
    // What a person with a sqlite3 shell does; waiting for the real time-out would make this test slow.
    sqlx::query("PRAGMA busy_timeout = 1").execute(&store.open.writer).await.expect("sets");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(config(&folder).path);
    let mut shell = sqlx::SqliteConnection::connect_with(&options).await.expect("opens");
    sqlx::query("BEGIN IMMEDIATE").execute(&mut shell).await.expect("locks");
    let batch = reports([report("a", 1, 1)]);
    assert_eq!(store.commit(&batch).await, Err(StoreError::Busy(config(&folder).path)));
    sqlx::query("ROLLBACK").execute(&mut shell).await.expect("unlocks");
    assert_eq!(store.commit(&batch).await, Ok(vec![Verdict::New]));
}

#[tokio::test]
async fn files_that_are_not_our_store_are_named_and_not_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config(&folder);
    let path = &config.path;
    let refusal = async || {
        let before = std::fs::read(path).expect("a file");
        let error = Store::open(&config).await.expect_err("refused");
        assert_eq!(std::fs::read(path).expect("a file"), before);
        std::fs::remove_file(path).expect("removes");
        error
    };
    std::fs::write(path, "ward;staffed;occupied\n".repeat(100)).expect("writes");
    assert_eq!(refusal().await, StoreError::NotADatabase(path.clone()));

    write_database(path, "CREATE TABLE invoices (n)").await;
    assert_eq!(refusal().await, StoreError::Foreign(path.clone()));

    write_database(path, "PRAGMA application_id = 0x56504c53; PRAGMA user_version = 9; CREATE TABLE r (n)").await;
    assert_eq!(refusal().await, StoreError::NewerSchema { path: path.clone(), found: 9, known: 2 });

    let nowhere = StoreConfig { path: folder.path().join("no/v.db"), ..StoreConfig::default() };
    assert!(matches!(Store::open(&nowhere).await, Err(StoreError::Unreachable { .. })));
    assert_eq!(Store::examine(&config).await, Ok(Condition::Absent));
    assert!(!path.exists());
}

#[tokio::test]
async fn all_samples_are_read_beside_the_one_who_has_the_store_open() {
    let (folder, store) = fresh().await;
    let region = Scope::Region("01".parse().expect("valid"));
    let samples = vec![sample(region.clone(), 2000, 7), sample(region, 1000, 6), sample(Scope::Nation, 1500, 5)];
    store.commit(&Batch { samples: samples.clone(), ..Batch::default() }).await.expect("stores");
    let mut read = Vec::new();
    Store::samples(&config(&folder).path, |sample| read.push(sample)).await.expect("reads");
    let [later, earlier, nation] = <[Sample; 3]>::try_from(samples).expect("three");
    assert_eq!(read, [nation, earlier, later], "scope by scope in the order of time");
}

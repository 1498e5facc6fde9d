//! The journal as a restart, a reader and an auditor meet it.

use proptest::prelude::*;
use tempfile::TempDir;
use vardpuls_shared::alert::{Declared, Severity, Status};
use vardpuls_shared::clock::Time;
use vardpuls_shared::topic::Scope;

use super::*;
use crate::alert::entry::{Actor, Ending, PointKey, Raised};
use crate::store::Batch;

fn config(folder: &TempDir) -> StoreConfig {
    StoreConfig { path: folder.path().join("v.db"), ..StoreConfig::default() }
}

async fn fresh() -> (TempDir, Store) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&config(&folder)).await.expect("opens");
    (folder, store)
}

fn point(n: usize) -> PointKey {
    ["full@nation", "full@region/01", "silent@hospital/h", "silent@hospital/h/w"][n % 4].parse().expect("valid")
}

fn raised(point: PointKey, at: Time, value: Option<f64>, latch: bool, suppressed: bool) -> Act {
    Act::Raised(Box::new(Raised {
        alarm: AlertId::new(&point.rule, &point.target, at),
        point,
        severity: Severity::Warning,
        headline: "too full".into(),
        response: "look".into(),
        measure: "occupancy".into(),
        unit: "%".into(),
        value,
        care: Vec::new(),
        name: "N".into(),
        region: None,
        latch,
        status: Status::Actual,
        exercise: None,
        suppressed_by: suppressed.then(|| "icu.nation.1".into()),
    }))
}

/// A book and what it wrote.
#[derive(Default)]
struct Writer {
    book: Book,
    at: Time,
    /// The last alarm of each point, open or not.
    alarms: [Option<AlertId>; 4],
    unstored: Vec<JournalRecord>,
}

impl Writer {
    fn write(&mut self, act: Act) {
        let why = act.alarm().map(|alarm| format!("because of {alarm}"));
        let entry = self.book.write(self.at, Actor::Operator("Åsa".into()), act, why);
        self.unstored.push(JournalRecord::new(entry, &self.book));
    }

    /// Does something to a point or its last alarm, whatever state that is in.
    fn act(&mut self, kind: u8, n: usize, value: Option<f64>, flag: bool) {
        self.at = Time(self.at.0 + u64::from(kind % 3));
        let point = point(n);
        let until = Time(self.at.0 + 1000);
        let alarm = self.alarms[n % 4].clone();
        match (kind, alarm) {
            // At most one open alarm a point, as the book asks.
            (0..6, _) if self.book.at_point(&point).is_none() => {
                let act = raised(point, self.at, value, flag, kind == 0);
                self.alarms[n % 4] = act.alarm().cloned();
                self.write(act);
            }
            (6 | 7, Some(alarm)) => self.write(Act::Cleared { alarm, value, ending: Ending::Condition }),
            (8, Some(alarm)) => self.write(Act::Returned { alarm, value }),
            (9 | 10, Some(alarm)) => self.write(Act::Acknowledged { alarm }),
            (11, Some(alarm)) => self.write(Act::Commented { alarm }),
            (12, Some(alarm)) => self.write(Act::Suppressed { alarm, suppressed_by: "other".into() }),
            (13, Some(alarm)) => self.write(Act::Released { alarm }),
            (14, _) => self.write(Act::Shelved { point, until }),
            (15, _) => self.write(Act::Unshelved { point }),
            (16, _) => self.write(Act::RemovedFromService { point }),
            (17, _) => self.write(Act::ReturnedToService { point }),
            (18, _) => {
                self.write(Act::Declared { scope: Scope::Nation, level: flag.then_some(Declared::Stage(2)) });
            }
            (19, _) => self.write(Act::ExerciseBegan { name: "drill".into(), until }),
            (20, _) => self.write(Act::ExerciseEnded { name: "drill".into() }),
            (21, _) => self.write(Act::RulesLoaded { rules: n, digest: n.to_string() }),
            _ => {}
        }
    }

    async fn store(&mut self, store: &Store) -> Vec<Entry> {
        let journal = std::mem::take(&mut self.unstored);
        let entries = journal.iter().map(|record| record.entry.clone()).collect();
        store.commit(&Batch { journal, ..Batch::default() }).await.expect("commits");
        entries
    }
}

async fn rebuilt(store: &Store) -> Book {
    let (entries, last) = store.journal_standing().await.expect("reads");
    let mut book = Book::default();
    for entry in &entries {
        book.replay(entry);
    }
    book.continue_after(last);
    book
}

fn everything() -> JournalQuery {
    JournalQuery { after: 0, before: None, alarm: None, said_only: false, limit: 1000, newest_first: false }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn after_any_commit_a_restart_stands_where_the_book_stood(
        acts in proptest::collection::vec((0u8..22, 0usize..4, proptest::option::of(any::<f64>()), any::<bool>()), 1..120),
        commits in 1usize..7,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (folder, store) = fresh().await;
            let (mut writer, mut written) = (Writer::default(), Vec::new());
            for part in acts.chunks(acts.len().div_ceil(commits)) {
                for &(kind, n, value, flag) in part {
                    writer.act(kind, n, value.filter(|v| v.is_finite()), flag);
                }
                written.extend(writer.store(&store).await);
                prop_assert_eq!(&rebuilt(&store).await, &writer.book);
            }
            store.close().await;
            let store = Store::open(&config(&folder)).await.expect("reopens");
            prop_assert_eq!(&rebuilt(&store).await, &writer.book);
            prop_assert_eq!(store.verify_journal().await, Ok(written.len() as u64));
            prop_assert_eq!(store.journal(&everything()).await, Ok(written));
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn a_restart_reads_what_is_open_and_never_gives_a_number_twice() {
    let (_folder, store) = fresh().await;
    let mut writer = Writer::default();
    for n in [0, 1] {
        writer.act(1, n, Some(1.0), false);
        writer.act(11, n, None, false);
    }
    writer.act(14, 0, None, false);
    writer.act(6, 0, None, false);
    writer.act(6, 1, None, false);
    writer.store(&store).await;
    let (entries, last) = store.journal_standing().await.expect("reads");
    assert_eq!((entries.len(), last), (1, 7), "only the shelf matters still");
    assert_eq!(entries[0].number, 5);
    assert_eq!(rebuilt(&store).await.number(), 7);
}

#[tokio::test]
async fn a_gap_or_a_repeat_is_refused_with_all_of_its_batch() {
    let (folder, store) = fresh().await;
    let mut writer = Writer::default();
    for kind in [19, 20, 19] {
        writer.act(kind, 0, None, false);
    }
    let [first, second, third] = <[JournalRecord; 3]>::try_from(std::mem::take(&mut writer.unstored)).expect("three");
    let commit = async |journal: &[&JournalRecord]| {
        let marks = vec![("p".to_owned(), Some(vec![1]))];
        let journal = journal.iter().map(|&record| record.clone()).collect();
        store.commit(&Batch { journal, marks, ..Batch::default() }).await
    };
    let order = |due, found| Err(StoreError::JournalOrder { path: config(&folder).path, due, found });
    assert_eq!(commit(&[&second]).await, order(1, 2));
    assert_eq!(commit(&[&first, &third]).await, order(2, 3));
    assert_eq!(store.marks().await, Ok(vec![]));
    assert_eq!(store.journal_standing().await, Ok((vec![], 0)));
    assert_eq!(commit(&[&first]).await, Ok(vec![]));
    assert_eq!(commit(&[&first]).await, order(2, 1));
    assert_eq!(commit(&[&second, &third]).await, Ok(vec![]));
    assert_eq!(store.verify_journal().await, Ok(3));
}

async fn execute(store: &Store, sql: &'static str) -> Result<(), String> {
    sqlx::raw_sql(sql).execute(&store.open.writer).await.map(drop).map_err(|e| e.to_string())
}

async fn with_entries(n: u64) -> (TempDir, Store) {
    let (folder, store) = fresh().await;
    let mut writer = Writer::default();
    while writer.book.number() < n {
        writer.act(18, 0, None, writer.book.number().is_multiple_of(2));
    }
    writer.store(&store).await;
    (folder, store)
}

#[tokio::test]
async fn the_journal_refuses_everything_but_growing() {
    let (_folder, store) = with_entries(3).await;
    for sql in [
        "UPDATE journal SET entry = '{}' WHERE number = 2",
        "UPDATE journal SET number = 9 WHERE number = 3",
        "DELETE FROM journal WHERE number = 3",
        "DELETE FROM journal",
        "INSERT OR REPLACE INTO journal VALUES (2, 0, NULL, '{}', x'00')",
        "INSERT INTO journal VALUES (5, 0, NULL, '{}', x'00')",
        "INSERT INTO journal (at, entry, digest) VALUES (0, '{}', x'00')",
    ] {
        let refusal = execute(&store, sql).await.expect_err(sql);
        assert!(refusal.contains("the journal only grows"), "{sql}: {refusal}");
    }
    assert_eq!(store.verify_journal().await, Ok(3));
}

#[tokio::test]
async fn the_chain_names_the_first_entry_that_does_not_fit() {
    for (sql, entry) in [
        ("UPDATE journal SET entry = replace(entry, 'stage-2', 'stage-3') WHERE number = 3", 3),
        ("UPDATE journal SET at = at + 1 WHERE number = 1", 1),
        ("UPDATE journal SET alarm = 'a' WHERE number = 4", 4),
        ("UPDATE journal SET digest = zeroblob(32) WHERE number = 2", 2),
        ("UPDATE journal SET digest = x'00' WHERE number = 2", 2),
        ("DELETE FROM journal WHERE number = 2", 2),
        ("DELETE FROM journal WHERE number = 1", 1),
        ("UPDATE journal SET number = 9 WHERE number = 5", 5),
    ] {
        let (folder, store) = with_entries(5).await;
        execute(&store, "DROP TRIGGER journal_is_not_changed; DROP TRIGGER journal_is_not_shortened")
            .await
            .expect("drops");
        execute(&store, sql).await.expect(sql);
        let broken = Err(StoreError::JournalBroken { path: config(&folder).path, entry });
        assert_eq!(store.verify_journal().await, broken, "{sql}");
        assert_eq!(Store::examine_journal(&config(&folder)).await, broken, "beside a running aggregator: {sql}");
    }
}

#[tokio::test]
async fn a_long_chain_is_read_in_pages() {
    let entries = 2 * 1000 + 1;
    let (folder, store) = with_entries(entries).await;
    assert_eq!(store.verify_journal().await, Ok(entries));
    store.close().await;
    assert_eq!(Store::examine_journal(&config(&folder)).await, Ok(entries));
}

#[tokio::test]
async fn a_query_gives_a_page_from_either_end() {
    let (_folder, store) = fresh().await;
    let mut writer = Writer::default();
    // 1 raised, 2 comment, 3 declaration, 4 another raised, 5 comment, 6 cleared.
    for (kind, n) in [(1, 0), (11, 0), (18, 0), (1, 1), (11, 0), (6, 0)] {
        writer.act(kind, n, Some(0.1), false);
    }
    writer.store(&store).await;
    let alarm = writer.alarms[0].clone();
    let numbers = async |query: JournalQuery| {
        store.journal(&query).await.expect("reads").iter().map(|entry| entry.number).collect::<Vec<_>>()
    };
    assert_eq!(numbers(JournalQuery { alarm: alarm.clone(), ..everything() }).await, [1, 2, 5, 6]);
    assert_eq!(numbers(JournalQuery { said_only: true, ..everything() }).await, [1, 4, 6]);
    assert_eq!(numbers(JournalQuery { after: 2, limit: 2, ..everything() }).await, [3, 4]);
    assert_eq!(numbers(JournalQuery { before: Some(4), newest_first: true, limit: 2, ..everything() }).await, [3, 2]);
    let all = JournalQuery { alarm, said_only: true, newest_first: true, after: 1, before: Some(7), limit: 9 };
    assert_eq!(numbers(all).await, [6]);
}

#[tokio::test]
async fn marks_and_places_are_the_last_that_was_said() {
    let (folder, store) = fresh().await;
    let mark = |point: &str, state: Option<u8>| (point.to_owned(), state.map(|byte| vec![byte]));
    let commit = async |marks| store.commit(&Batch { marks, ..Batch::default() }).await.expect("commits");
    commit(vec![mark("a", Some(1)), mark("b", None), mark("c", Some(3)), mark("b", Some(2)), mark("c", None)]).await;
    commit((0..200).map(|n| mark(&format!("many-{n:03}"), Some(9))).collect()).await;
    commit((0..200).map(|n| mark(&format!("many-{n:03}"), None)).chain([mark("a", Some(7))]).collect()).await;
    assert_eq!(store.place("hook").await, Ok(None));
    for number in [5, 8] {
        assert_eq!(store.set_place("hook", number).await, Ok(()));
    }
    store.close().await;
    let store = Store::open(&config(&folder)).await.expect("reopens");
    assert_eq!(store.marks().await, Ok(vec![("a".to_owned(), vec![7]), ("b".to_owned(), vec![2])]));
    assert_eq!((store.place("hook").await, store.place("other").await), (Ok(Some(8)), Ok(None)));
}

#[tokio::test]
async fn a_store_without_a_journal_is_brought_up_to_date() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config(&folder);
    assert_eq!(Store::examine_journal(&config).await, Ok(0));
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&config.path).create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&options).await.expect("opens");
    for sql in [
        include_str!("../../../migrations/1_reports_rosters_samples.sql"),
        "PRAGMA application_id = 0x56504c53; PRAGMA user_version = 1;
         INSERT INTO roster VALUES ('h', 5, 1, x'00000005');",
    ] {
        sqlx::raw_sql(sql).execute(&mut connection).await.expect("runs");
    }
    connection.close().await.expect("closes");
    assert_eq!(Store::examine(&config).await, Ok(Condition::Present { schema: 1 }));
    assert_eq!(Store::examine_journal(&config).await, Ok(0));

    let store = Store::open(&config).await.expect("opens");
    assert_eq!(store.rosters().await.map(|rosters| rosters[0].version), Ok(5));
    assert_eq!(store.journal_standing().await, Ok((vec![], 0)));
    let mut writer = Writer::default();
    writer.act(1, 0, Some(0.1), false);
    writer.store(&store).await;
    assert_eq!(rebuilt(&store).await, writer.book);
    assert_eq!(Store::examine(&config).await, Ok(Condition::Present { schema: 2 }));
}

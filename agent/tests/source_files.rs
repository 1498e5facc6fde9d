//! Sources against a real file system: drops that come, change, vanish and go wrong.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use vardpuls_agent::config::{Config, SourceConfig};
use vardpuls_agent::source::{self, Fault, FileFault, Observation, Origin, SourceError, SourceEvent};
use vardpuls_service::vitals::Vitals;
use vardpuls_shared::clock::{Clock, Time};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A source that reads `beds.csv` of a new folder; `keys` are more keys of its table.
fn source(folder: &Path, keys: &str) -> SourceConfig {
    let text = format!(
        r#"
        hospital = "h"
        name = "H"
        region = "01"
        state-dir = "state"
        key-file = "agent.key"
        centre-key = "ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
        broker = {{ url = "mqtt://localhost" }}
        [[ward]]
        index = 1
        id = "iva"
        name = "IVA"
        care = "icu"
        [[source]]
        name = "beds"
        kind = "csv"
        path = "beds.csv"
        {keys}
        [source.columns]
        ward = "Ward"
        staffed = "Staffed"
        occupied = "Occupied"
        "#
    );
    let mut config = Config::parse(&folder.join("agent.toml"), &text).expect("a right config");
    config.sources.remove(0)
}

fn drop_of(occupied: u16) -> String {
    format!("Ward,Staffed,Occupied\niva,10,{occupied}\n")
}

/// A source at work on a folder of its own.
struct Work {
    folder: TempDir,
    events: mpsc::Receiver<SourceEvent>,
    shutdown: CancellationToken,
    tasks: JoinSet<()>,
}

impl Work {
    /// Starts with `text` in the file, if any.
    fn start(keys: &str, text: Option<&str>) -> Work {
        let folder = tempfile::tempdir().expect("a folder");
        if let Some(text) = text {
            fs::write(folder.path().join("beds.csv"), text).expect("written");
        }
        let (tell, events) = mpsc::channel(64);
        let shutdown = CancellationToken::new();
        let clock = Clock::standing_at(Time(77));
        let vitals = Vitals::default();
        let tasks = source::spawn(vec![source(folder.path(), keys)], clock, tell, &vitals, shutdown.clone());
        Work { folder, events, shutdown, tasks }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("beds.csv")
    }

    /// Replaces the file by rename, as a careful exporter does.
    fn replace(&self, text: &str) {
        let fresh = self.folder.path().join("beds.csv.tmp");
        fs::write(&fresh, text).expect("written");
        fs::rename(fresh, self.file()).expect("renamed");
    }

    async fn next(&mut self) -> Result<Observation, SourceError> {
        let event =
            tokio::time::timeout(PATIENCE, self.events.recv()).await.expect("an event in time").expect("an event");
        assert_eq!((event.source.as_str(), event.at), ("beds", Time(77)));
        event.result
    }

    /// Waits until the source says `occupied`; what it says before that does not matter.
    async fn until_occupied(&mut self, occupied: u16) {
        loop {
            if let Ok(seen) = self.next().await
                && seen.wards.values().any(|ward| ward.occupied == Some(occupied))
            {
                return;
            }
        }
    }

    /// Waits until the source says that something is wrong.
    async fn until_fault(&mut self) -> FileFault {
        loop {
            if let Err(e) = self.next().await {
                assert_eq!(e.origin, Origin::File(self.file()));
                let Fault::File(fault) = e.fault else { panic!("{e}") };
                return fault;
            }
        }
    }

    async fn stop(mut self) {
        self.shutdown.cancel();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        tokio::time::timeout(PATIENCE, ended).await.expect("the tasks end at shutdown");
    }
}

#[tokio::test]
async fn a_drop_is_followed_through_all_that_befalls_it() {
    let mut work = Work::start("scan = \"100ms\"\nsettle = \"20ms\"", None);
    assert_eq!(work.until_fault().await, FileFault::Missing);
    work.replace(&drop_of(1));
    work.until_occupied(1).await;
    work.replace(&drop_of(2));
    work.until_occupied(2).await;
    // Written in place.
    fs::write(work.file(), drop_of(3)).expect("written");
    work.until_occupied(3).await;
    // Emptied.
    fs::write(work.file(), "").expect("written");
    assert_eq!(work.until_fault().await, FileFault::Empty);
    // The same content again is news after a fault.
    work.replace(&drop_of(3));
    work.until_occupied(3).await;
    work.replace(&drop_of(4).replace("Occupied", "Belagda"));
    assert!(matches!(work.until_fault().await, FileFault::NoColumn { column, .. } if column == "Occupied"));
    fs::remove_file(work.file()).expect("removed");
    assert_eq!(work.until_fault().await, FileFault::Missing);
    fs::create_dir(work.file()).expect("made");
    assert_eq!(work.until_fault().await, FileFault::NotAFile);
    fs::remove_dir(work.file()).expect("removed");
    work.replace(&drop_of(5));
    work.until_occupied(5).await;
    work.stop().await;
}

#[tokio::test]
async fn a_notification_needs_no_scan() {
    // A busy machine may have no notification left to give when a source starts, and one a moment later.
    for _ in 0..5 {
        let mut work = Work::start("scan = \"1d\"\nsettle = \"0s\"", Some(&drop_of(1)));
        work.until_occupied(1).await;
        work.replace(&drop_of(2));
        let noticed = tokio::time::timeout(PATIENCE / 6, work.until_occupied(2)).await.is_ok();
        let excused = no_notifications(work.folder.path());
        work.stop().await;
        if noticed || excused {
            return;
        }
    }
    panic!("neither noticed nor excused");
}

/// Whether this machine has no file notifications left to give.
fn no_notifications(folder: &Path) -> bool {
    use notify::{RecursiveMode, Watcher, recommended_watcher};
    let watcher = recommended_watcher(|_: notify::Result<notify::Event>| {});
    watcher.and_then(|mut watcher| watcher.watch(folder, RecursiveMode::NonRecursive)).is_err()
}

#[tokio::test]
async fn shutdown_ends_a_source_that_nobody_hears() {
    let work = Work::start("scan = \"1d\"", Some(&drop_of(1)));
    work.stop().await;
}

#[tokio::test]
async fn what_is_too_large_or_not_ours_to_read_is_a_named_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("beds.csv");
    let source = source(folder.path(), "settle = \"0s\"");
    fs::File::create(&path).expect("made").set_len(source::file::MAX_BYTES + 1).expect("sparse");
    let too_large = FileFault::TooLarge { bytes: source::file::MAX_BYTES + 1, most: source::file::MAX_BYTES };
    assert_eq!(source::read_once(&source, &Clock::System).await.expect_err("a fault").fault, Fault::File(too_large));
    fs::write(&path, drop_of(1)).expect("written");
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o000);
    fs::set_permissions(&path, closed).expect("closed");
    // Root reads everything.
    if fs::read(&path).is_err() {
        let error = source::read_once(&source, &Clock::System).await.expect_err("closed").to_string();
        assert!(error.contains("cannot be read (") && error.contains("let the agent's user read"), "{error}");
    }
}

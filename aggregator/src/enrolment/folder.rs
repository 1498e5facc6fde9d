//! The enrolment folder, kept in step with the registry.
//!
//! Files are looked at when the system says that something changed, and every few seconds besides:
//! network folders say nothing. A file is read again only if its stamp (inode, size, times) differs,
//! so that ten thousand hospitals cost ten thousand `stat` calls. A folder that cannot be read at
//! all, an unmounted disk perhaps, unenrols nobody.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use notify::Watcher;
use notify::event::{AccessKind, AccessMode, EventKind};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use vardpuls_service::event::Event;
use vardpuls_shared::clock::Clock;

use super::{EnrolError, Enrolment, Registry, file};
use crate::nation::Nation;

/// A file that was changed less than this ago may be changed again without its stamp showing it.
const UNSETTLED: Duration = Duration::from_secs(2);

/// The enrolment folder and the registry made from it.
#[derive(Debug)]
pub struct Enrolments {
    folder: Folder,
    registry: Arc<ArcSwap<Registry>>,
    changes: watch::Sender<Arc<Registry>>,
}

impl Enrolments {
    /// Reads the folder, blocking. Bad files are logged, are [faults](Registry::faults) of the
    /// registry, and leave the others in force; only a folder that cannot be read is an error.
    pub fn open(dir: &Path, nation: Arc<Nation>) -> Result<Enrolments, EnrolError> {
        let mut folder = Folder { dir: dir.to_owned(), nation, files: BTreeMap::new(), unreadable: None };
        folder.scan();
        if let Some(error) = folder.unreadable {
            return Err(error);
        }
        let registry = Arc::new(folder.registry());
        let changes = watch::Sender::new(Arc::clone(&registry));
        Ok(Enrolments { folder, registry: Arc::new(ArcSwap::new(registry)), changes })
    }

    /// The registry in force, for readers that must not wait.
    pub fn registry(&self) -> Arc<ArcSwap<Registry>> {
        Arc::clone(&self.registry)
    }

    /// Tells of every new registry.
    pub fn changes(&self) -> watch::Receiver<Arc<Registry>> {
        self.changes.subscribe()
    }

    /// Keeps the registry in step with the folder until `shutdown`; looks at least every `scan`.
    pub async fn watch(self, scan: Duration, shutdown: CancellationToken) {
        let Enrolments { mut folder, registry, changes } = self;
        let changed = Arc::new(Notify::new());
        let _watcher = watcher(&folder.dir, Arc::clone(&changed)).inspect_err(|e| {
            tracing::warn!(name: Event::FileNotWatched.name(), error = %e, ?scan,
                "the enrolment folder gives no notifications, only scans");
        });
        let mut ticks = tokio::time::interval(scan);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
                () = changed.notified() => {}
            }
            let scanned = tokio::task::spawn_blocking(move || {
                let new = folder.scan().then(|| Arc::new(folder.registry()));
                (folder, new)
            });
            // Only a runtime that is being dropped lets go of the task.
            let Ok((back, new)) = scanned.await else { return };
            folder = back;
            if let Some(new) = new {
                registry.store(Arc::clone(&new));
                changes.send_replace(new);
            }
        }
    }
}

/// Tells `changed` of everything that is written in a folder, for as long as the watcher is kept.
pub(crate) fn watcher(dir: &Path, changed: Arc<Notify>) -> notify::Result<notify::RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Our own reading is an event too.
        let written =
            |kind| !matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write));
        if event.is_ok_and(|event| written(event.kind)) {
            changed.notify_one();
        }
    })?;
    watcher.watch(dir, notify::RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

/// What changes when a file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// None while the file may still change without its stamp showing it.
    fn of(file: &Metadata) -> Option<Stamp> {
        // The machine's clock, whatever the centre's is: it is what dates files.
        let settled = file.modified().is_ok_and(|at| Clock::System.now().since(at.into()) >= UNSETTLED);
        let stamp = Stamp {
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        };
        settled.then_some(stamp)
    }
}

/// One file as it was last read.
#[derive(Debug)]
struct Known {
    stamp: Option<Stamp>,
    last_good: Option<Arc<Enrolment>>,
    fault: Option<EnrolError>,
}

#[derive(Debug)]
struct Folder {
    dir: PathBuf,
    nation: Arc<Nation>,
    files: BTreeMap<PathBuf, Known>,
    unreadable: Option<EnrolError>,
}

impl Folder {
    /// Looks at every file; whether anything is different now.
    fn scan(&mut self) -> bool {
        let found = match list(&self.dir) {
            Ok(found) => found,
            Err(e) => {
                let error = EnrolError::Folder { dir: self.dir.clone(), reason: e.to_string() };
                let new = self.unreadable.as_ref() != Some(&error);
                if new {
                    tracing::error!(name: Event::EnrolmentRefused.name(), %error,
                        "every hospital stays enrolled as it is");
                }
                self.unreadable = Some(error);
                return new;
            }
        };
        let mut changed = self.unreadable.take().is_some();
        self.files.retain(|path, _| {
            let stays = found.contains_key(path);
            if !stays {
                tracing::info!(name: Event::EnrolmentGone.name(), file = %path.display(),
                    "unenrolled: the file was removed");
                changed = true;
            }
            stays
        });
        for (path, stamp) in found {
            changed |= self.look_at(path, stamp);
        }
        changed
    }

    /// Reads a file if it may have changed; whether it did.
    fn look_at(&mut self, path: PathBuf, stamp: Option<Stamp>) -> bool {
        let before = self.files.remove(&path);
        let (stamp_before, last_good, fault_before) =
            before.map_or((None, None, None), |known| (known.stamp, known.last_good, known.fault));
        if stamp.is_some() && stamp == stamp_before {
            self.files.insert(path, Known { stamp, last_good, fault: fault_before });
            return false;
        }
        let (changed, known) = match file::read(&path, &self.nation) {
            Ok(enrolment) => {
                let same = last_good.as_deref() == Some(&enrolment);
                if !same {
                    let (hospital, state) = (&enrolment.hospital, enrolment.state);
                    tracing::info!(name: Event::EnrolmentRead.name(), %hospital, ?state, keys = enrolment.keys.len(),
                        "enrolment read");
                }
                let last_good = if same { last_good } else { Some(Arc::new(enrolment)) };
                (!same || fault_before.is_some(), Known { stamp, last_good, fault: None })
            }
            Err(error) => {
                let fault = Some(EnrolError::Document(error));
                let new = fault != fault_before;
                if let (true, Some(error)) = (new, &fault) {
                    let in_force = if last_good.is_some() { "its last good version" } else { "nothing" };
                    tracing::error!(name: Event::EnrolmentRefused.name(), %error, in_force, "bad enrolment file");
                }
                (new, Known { stamp, last_good, fault })
            }
        };
        self.files.insert(path, known);
        changed
    }

    fn registry(&self) -> Registry {
        let good = self.files.values().filter_map(|known| known.last_good.as_ref());
        Registry {
            hospitals: good.map(|e| (e.hospital.clone(), Arc::clone(e))).collect(),
            faults: self
                .unreadable
                .iter()
                .chain(self.files.values().filter_map(|f| f.fault.as_ref()))
                .cloned()
                .collect(),
        }
    }
}

/// The folder's `*.toml` files; not those whose name begins with a dot.
fn list(dir: &Path) -> io::Result<BTreeMap<PathBuf, Option<Stamp>>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if hidden || path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        match std::fs::metadata(&path) {
            Ok(file) => found.insert(path, Stamp::of(&file)),
            // Removed since it was listed.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            // Reading it will name what is wrong.
            Err(_) => found.insert(path, None),
        };
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use vardpuls_shared::card::Card;
    use vardpuls_shared::clock::Time;
    use vardpuls_shared::hospital::HospitalId;
    use vardpuls_shared::key::PublicKey;

    use super::*;
    use crate::enrolment::{State, enrol};

    fn card(hospital: &str) -> Card {
        let (id, region) = (hospital.parse().expect("valid"), "01".parse().expect("valid"));
        Card::new(id, format!("Hospital {hospital}"), region, PublicKey([1; 32]))
    }

    fn folder() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().expect("a folder");
        for hospital in ["a", "b"] {
            enrol(dir.path(), &card(hospital), Time(0), &Nation::sweden()).expect("enrols");
        }
        let nation = Arc::new(Nation::sweden());
        let mut folder = Folder { dir: dir.path().to_owned(), nation, files: BTreeMap::new(), unreadable: None };
        assert!(folder.scan());
        (dir, folder)
    }

    fn enrolled(folder: &Folder) -> Vec<String> {
        folder.registry().iter().map(|e| e.hospital.to_string()).collect()
    }

    #[test]
    fn files_come_change_and_go() {
        let (dir, mut folder) = folder();
        assert_eq!(enrolled(&folder), ["a", "b"]);
        assert!(!folder.scan(), "nothing changed");
        enrol(dir.path(), &card("c"), Time(0), &Nation::sweden()).expect("enrols");
        std::fs::remove_file(dir.path().join("a.toml")).expect("removes");
        std::fs::write(dir.path().join("notes.txt"), "x").expect("writes");
        std::fs::write(dir.path().join(".hidden.toml"), "x").expect("writes");
        assert!(folder.scan());
        assert_eq!(enrolled(&folder), ["b", "c"]);
        assert_eq!(folder.registry().faults(), []);
    }

    #[test]
    fn a_bad_file_names_itself_and_its_last_good_version_stays() {
        let (dir, mut folder) = folder();
        let file = dir.path().join("a.toml");
        let good = std::fs::read_to_string(&file).expect("reads");
        std::fs::write(&file, "hospital = \"a\"\nname = 1\n").expect("writes");
        std::fs::write(dir.path().join("d.toml"), "never good").expect("writes");
        assert!(folder.scan());
        assert_eq!(enrolled(&folder), ["a", "b"]);
        let faults: Vec<_> = folder.registry().faults().iter().map(ToString::to_string).collect();
        assert!(faults[0].contains("a.toml, line 2, name: invalid type"), "{faults:?}");
        assert!(faults[1].contains("d.toml, line 1"), "{faults:?}");
        assert!(!folder.scan(), "said once");
        std::fs::write(&file, good.replace("enrolled", "suspended")).expect("writes");
        std::fs::remove_file(dir.path().join("d.toml")).expect("removes");
        assert!(folder.scan());
        let registry = folder.registry();
        assert_eq!(registry.hospital(&"a".parse().expect("valid")).map(|e| e.state), Some(State::Suspended));
        assert_eq!(registry.faults(), []);
    }

    #[test]
    fn a_folder_that_is_gone_unenrols_nobody() {
        let (dir, mut folder) = folder();
        let moved = dir.path().with_extension("moved");
        std::fs::rename(dir.path(), &moved).expect("moves");
        assert!(folder.scan());
        assert_eq!(enrolled(&folder), ["a", "b"]);
        assert!(matches!(folder.registry().faults(), [EnrolError::Folder { .. }]));
        assert!(!folder.scan());
        std::fs::rename(&moved, dir.path()).expect("moves back");
        assert!(folder.scan());
        assert_eq!(folder.registry().faults(), []);
        std::fs::remove_dir_all(dir.path()).expect("removes");
        assert!(Enrolments::open(dir.path(), Arc::new(Nation::sweden())).is_err());
    }

    /// Waits until the registry has exactly these hospitals.
    async fn until(changes: &mut watch::Receiver<Arc<Registry>>, hospitals: &[&str]) {
        let wanted: Vec<HospitalId> = hospitals.iter().map(|h| h.parse().expect("valid")).collect();
        let there = changes.wait_for(|registry| registry.iter().map(|e| &e.hospital).eq(wanted.iter()));
        tokio::time::timeout(Duration::from_secs(20), there).await.expect("in time").expect("still watched");
    }

    #[tokio::test]
    async fn changes_are_noticed_by_notification_and_by_scan() {
        for scan in [Duration::from_hours(1), Duration::from_millis(20)] {
            let (dir, _) = folder();
            let enrolments = Enrolments::open(dir.path(), Arc::new(Nation::sweden())).expect("opens");
            let (registry, mut changes) = (enrolments.registry(), enrolments.changes());
            let shutdown = CancellationToken::new();
            let watching = tokio::spawn(enrolments.watch(scan, shutdown.clone()));
            until(&mut changes, &["a", "b"]).await;
            // The first tick is immediate: once its result is in, only notifications are left.
            enrol(dir.path(), &card("c"), Time(0), &Nation::sweden()).expect("enrols");
            until(&mut changes, &["a", "b", "c"]).await;
            std::fs::remove_file(dir.path().join("b.toml")).expect("removes");
            until(&mut changes, &["a", "c"]).await;
            assert_eq!(registry.load().iter().count(), 2);
            shutdown.cancel();
            watching.await.expect("ends");
        }
    }
}

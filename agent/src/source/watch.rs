//! Notices at once that a file may have changed, where the system tells.
//!
//! Watches the folder, because a file that is replaced by rename is another file. Every failure is
//! made up for by the periodic scan: network folders send nothing, inotify instances and watches
//! are limited, a folder may not be there yet or be replaced. [`Watch::renew`] is called at every
//! scan and mends what can be mended.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tracing::warn;
use vardpuls_service::event::Event;

use super::wake::Wake;

/// The watch over one file.
#[derive(Debug)]
pub(super) struct Watch {
    folder: PathBuf,
    name: OsString,
    wake: Arc<Wake>,
    current: Option<Current>,
    complained: bool,
}

#[derive(Debug)]
struct Current {
    /// Watches for as long as it lives.
    _watcher: RecommendedWatcher,
    /// Device and inode of the folder that is watched.
    folder: (u64, u64),
}

impl Watch {
    /// A watch that rings `wake`, once it is [renewed](Watch::renew).
    pub(super) fn new(file: &Path, wake: Arc<Wake>) -> Watch {
        let folder = match file.parent() {
            Some(folder) if folder != Path::new("") => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let name = file.file_name().unwrap_or_default().to_owned();
        Watch { folder, name, wake, current: None, complained: false }
    }

    /// Begins to watch, or again if the folder was replaced. Touches the file system.
    pub(super) fn renew(&mut self) {
        let folder = std::fs::metadata(&self.folder).ok().map(|m| (m.dev(), m.ino()));
        if self.current.as_ref().map(|current| current.folder) == folder {
            return;
        }
        self.current = None;
        // Without a folder there is nothing to watch, and the scan says what is missing.
        let Some(folder) = folder else { return };
        match self.watch() {
            Ok(watcher) => {
                self.current = Some(Current { _watcher: watcher, folder });
                self.complained = false;
            }
            Err(e) if !self.complained => {
                warn!(name: Event::SourceNotWatched.name(), folder = %self.folder.display(), reason = %e,
                    "no file notifications here; the file is only scanned");
                self.complained = true;
            }
            Err(_) => {}
        }
    }

    fn watch(&self) -> notify::Result<RecommendedWatcher> {
        let (name, wake) = (self.name.clone(), Arc::clone(&self.wake));
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // After an error events may be missing: better to look once too often.
            if event.map_or(true, |event| concerns(&event, &name)) {
                wake.news();
            }
        })?;
        watcher.watch(&self.folder, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    }
}

/// Whether an event may mean that the file `name` has new content. Reading it is an event as well,
/// and must not wake its readers.
fn concerns(event: &notify::Event, name: &OsString) -> bool {
    let writes = match event.kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        _ => true,
    };
    let ours = event.paths.iter().any(|path| path.file_name() == Some(name));
    event.need_rescan() || (writes && ours)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::wake::Woken;
    use super::*;

    #[test]
    fn reading_a_file_is_no_news_and_other_files_are_not_ours() {
        let name = OsString::from("beds.csv");
        let event = |kind, file: &str| notify::Event::new(kind).add_path(Path::new("drops").join(file));
        let written = EventKind::Access(AccessKind::Close(AccessMode::Write));
        assert!(concerns(&event(written, "beds.csv"), &name));
        assert!(!concerns(&event(written, "beds.csv.tmp"), &name));
        assert!(!concerns(&event(EventKind::Access(AccessKind::Open(AccessMode::Any)), "beds.csv"), &name));
        assert!(concerns(&event(EventKind::Remove(notify::event::RemoveKind::File), "beds.csv"), &name));
    }

    #[test]
    fn a_folder_that_comes_later_or_again_is_watched() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join("drops");
        let wake = Arc::new(Wake::default());
        let mut watch = Watch::new(&folder.join("beds.csv"), Arc::clone(&wake));
        watch.renew();
        assert!(watch.current.is_none());
        for _ in 0..2 {
            std::fs::create_dir(&folder).expect("made");
            watch.renew();
            if watch.current.is_none() {
                // No inotify to be had on this machine: the scan makes up for it.
                return;
            }
            std::fs::write(folder.join("beds.csv"), "x").expect("written");
            assert_eq!(wake.sleep(Duration::from_secs(20)), Woken::News);
            std::fs::rename(&folder, dir.path().join("old")).expect("moved");
            std::fs::remove_dir_all(dir.path().join("old")).expect("removed");
        }
    }
}

//! The rules file, kept in step with the rules in force.
//!
//! It is read every few seconds; other content becomes other rules. A file that is broken or gone
//! changes nothing: the rules in force stay so, and the log says what is wrong, once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use vardpuls_service::event::Event;

use crate::alert::rules::Rules;
use crate::config::document::{Document, DocumentError};

/// The rules file and what it had last.
#[derive(Debug)]
pub struct RulesFile {
    file: Option<PathBuf>,
    seen: Result<String, DocumentError>,
    in_force: watch::Sender<Arc<Rules>>,
}

impl RulesFile {
    /// Reads the file; without one the rules that ship are in force.
    pub fn open(file: Option<&Path>) -> Result<RulesFile, DocumentError> {
        let Some(path) = file else {
            return Ok(RulesFile {
                file: None,
                seen: Ok(String::new()),
                in_force: watch::Sender::new(Arc::new(Rules::built_in())),
            });
        };
        let document = Document::read(path)?;
        let rules = Rules::parse(&document)?;
        let in_force = watch::Sender::new(Arc::new(rules));
        Ok(RulesFile { file: Some(path.to_owned()), seen: Ok(document.text().to_owned()), in_force })
    }

    /// The rules in force, and whenever they change.
    pub fn rules(&self) -> watch::Receiver<Arc<Rules>> {
        self.in_force.subscribe()
    }

    /// Keeps in step with the file until `shutdown`.
    pub async fn watch(mut self, scan: Duration, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(scan);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let looked = tokio::task::spawn_blocking(move || {
                self.look();
                self
            });
            // Only a runtime that is being dropped lets go of the task.
            let Ok(back) = looked.await else { return };
            self = back;
        }
    }

    fn look(&mut self) {
        let Some(file) = &self.file else { return };
        let read = Document::read(file);
        let seen = read.as_ref().map(|document| document.text().to_owned()).map_err(Clone::clone);
        if seen == self.seen {
            return;
        }
        self.seen = seen;
        match read.and_then(|document| Rules::parse(&document)) {
            Ok(rules) => {
                tracing::info!(name: Event::RulesInForce.name(), file = %file.display(), rules = rules.len(),
                    "other rules are in force");
                self.in_force.send_replace(Arc::new(rules));
            }
            Err(error) => {
                tracing::error!(name: Event::RulesRefused.name(), %error,
                    "the rules file is not taken; the rules in force stay so");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_file_leaves_the_rules_in_force() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("rules.toml");
        assert!(RulesFile::open(Some(&file)).is_err(), "a start without the file that is named is refused");
        std::fs::write(&file, "time-zone = \"Europe/Stockholm\"\n").expect("writes");
        let mut followed = RulesFile::open(Some(&file)).expect("an empty set is one");
        let mut rules = followed.rules();
        let before = rules.borrow_and_update().digest().to_owned();
        for broken in ["[[rule]]\n", "time-zone = \"Nowhere\"\n"] {
            std::fs::write(&file, broken).expect("writes");
            followed.look();
            assert!(!rules.has_changed().expect("it is watched"), "{broken}");
        }
        std::fs::write(&file, "time-zone = \"UTC\"\n").expect("writes");
        followed.look();
        assert_ne!(rules.borrow_and_update().digest(), before);
    }
}

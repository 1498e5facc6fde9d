//! The operators file, kept in step with who may act.
//!
//! It is small, and so it is read whole: when the system says that its folder changed, and every few
//! seconds besides, because network folders say nothing. A file that is broken or gone changes
//! nothing: whoever was in force stays so, and the log says what is wrong, once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use vardpuls_service::event::Event;

use super::Operators;
use super::file::{self, OperatorsError};
use crate::config::document::Document;
use crate::enrolment::watcher;

/// The operators file and who is in force by it.
#[derive(Debug)]
pub struct Followed {
    file: Option<PathBuf>,
    /// What was read last.
    seen: Option<Result<String, OperatorsError>>,
    in_force: Arc<ArcSwap<Operators>>,
}

impl Followed {
    /// Reads the file, blocking. Without one nobody may act; nor while it is broken from the start,
    /// which is logged and no reason for a country to be without its picture.
    pub fn open(file: Option<&Path>) -> Followed {
        let mut followed = Followed { file: file.map(Path::to_owned), seen: None, in_force: Arc::default() };
        followed.look();
        followed
    }

    /// Who is in force, for readers that must not wait.
    pub fn operators(&self) -> Arc<ArcSwap<Operators>> {
        Arc::clone(&self.in_force)
    }

    /// Keeps in step with the file until `shutdown`; looks at least every `scan`.
    pub async fn watch(mut self, scan: Duration, shutdown: CancellationToken) {
        let Some(file) = &self.file else { return shutdown.cancelled().await };
        let folder = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let changed = Arc::new(Notify::new());
        let _watcher = watcher(&folder, Arc::clone(&changed)).inspect_err(|e| {
            tracing::warn!(name: Event::FileNotWatched.name(), error = %e, ?scan,
                "the operators file gives no notifications, only scans");
        });
        let mut ticks = tokio::time::interval(scan);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
                () = changed.notified() => {}
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
        let read = file::text(file);
        if self.seen.as_ref() == Some(&read) {
            return;
        }
        let parsed = read.clone().and_then(|text| Ok(file::parse(&Document::of(file, text))?));
        self.seen = Some(read);
        match parsed {
            Ok(operators) => {
                tracing::info!(name: Event::OperatorsInForce.name(), file = %file.display(), operators = operators.iter().count(),
                    "operators are in force");
                self.in_force.store(Arc::new(operators));
            }
            Err(error) => {
                let in_force = self.in_force.load().iter().count();
                tracing::error!(name: Event::OperatorsRefused.name(), %error, in_force,
                    "the operators file is not taken; who was in force stays so");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use vardpuls_shared::clock::Time;

    use super::*;
    use crate::operators::{NotInForce, Role, Token, block};

    #[test]
    fn a_broken_or_missing_file_leaves_who_was_in_force() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("operators.toml");
        let mut followed = Followed::open(Some(&file));
        let (anna, bo) = (Token::make(), Token::make());
        let operators = followed.operators();
        let known = |token: &Token| operators.load().holder(token.text(), Time(0)).map(|operator| operator.role);
        assert_eq!(known(&anna), Err(NotInForce::Unknown));
        std::fs::write(&file, block("Anna", Role::Viewer, anna.digest())).expect("writes");
        followed.look();
        assert_eq!(known(&anna), Ok(Role::Viewer));
        std::fs::write(&file, "[[operator]]\nname = 1\n").expect("writes");
        followed.look();
        assert_eq!(known(&anna), Ok(Role::Viewer), "broken");
        std::fs::remove_file(&file).expect("removes");
        followed.look();
        assert_eq!(known(&anna), Ok(Role::Viewer), "gone");
        std::fs::write(&file, block("Bo", Role::Operator, bo.digest())).expect("writes");
        followed.look();
        assert_eq!((known(&anna), known(&bo)), (Err(NotInForce::Unknown), Ok(Role::Operator)));
    }

    #[tokio::test]
    async fn changes_are_noticed_by_notification_and_by_scan() {
        for scan in [Duration::from_hours(1), Duration::from_millis(20)] {
            let folder = tempfile::tempdir().expect("a folder");
            let file = folder.path().join("operators.toml");
            let followed = Followed::open(Some(&file));
            let operators = followed.operators();
            let shutdown = CancellationToken::new();
            let watching = tokio::spawn(followed.watch(scan, shutdown.clone()));
            for digest in 1..=3 {
                // By renaming, as editors do.
                std::fs::write(folder.path().join("new"), block("Anna", Role::Viewer, [digest; 32])).expect("writes");
                std::fs::rename(folder.path().join("new"), &file).expect("renames");
                let taken = async {
                    while operators.load().iter().next().is_none_or(|operator| operator.digest != [digest; 32]) {
                        tokio::task::yield_now().await;
                    }
                };
                tokio::time::timeout(Duration::from_secs(20), taken).await.expect("in time");
            }
            shutdown.cancel();
            watching.await.expect("ends");
        }
    }
}

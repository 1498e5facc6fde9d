//! What a thread that follows a file sleeps on: a while, a change, or the end.
//!
//! A look at a file needs a thread that may block, and most looks find nothing. The thread sleeps here by itself, so that
//! such a look wakes nobody else: an idle agent shall cost next to nothing.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Why a sleep ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Woken {
    /// The time was up.
    Time,
    /// There may be something new; also if it came before the sleep began.
    News,
    /// Nobody wants to know any more.
    End,
}

/// A bell for one sleeper.
#[derive(Debug, Default)]
pub(super) struct Wake {
    rung: Mutex<Rung>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Rung {
    news: bool,
    end: bool,
}

impl Wake {
    /// There may be something new.
    pub(super) fn news(&self) {
        self.ring(|rung| rung.news = true);
    }

    /// Sleeps for at most `longest`. Blocks its thread.
    pub(super) fn sleep(&self, longest: Duration) -> Woken {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(rung, longest, |rung| !rung.news && !rung.end);
        let (mut rung, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match *rung {
            Rung { end: true, .. } => Woken::End,
            Rung { news: true, .. } => {
                rung.news = false;
                Woken::News
            }
            Rung { .. } => Woken::Time,
        }
    }

    fn ring(&self, how: impl FnOnce(&mut Rung)) {
        how(&mut self.rung.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }
}

/// Ends every sleep once it is dropped.
#[derive(Debug)]
pub(super) struct EndWhenDropped(pub(super) Arc<Wake>);

impl Drop for EndWhenDropped {
    fn drop(&mut self) {
        self.0.ring(|rung| rung.end = true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_wake_once_and_the_end_wakes_for_good() {
        let wake = Arc::new(Wake::default());
        assert_eq!(wake.sleep(Duration::ZERO), Woken::Time);
        wake.news();
        wake.news();
        assert_eq!(wake.sleep(Duration::from_mins(10)), Woken::News);
        assert_eq!(wake.sleep(Duration::ZERO), Woken::Time);
        let end = EndWhenDropped(Arc::clone(&wake));
        let sleeper = std::thread::spawn(move || wake.sleep(Duration::from_mins(10)));
        drop(end);
        assert_eq!(sleeper.join().expect("slept"), Woken::End);
    }
}

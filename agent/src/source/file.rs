//! Follows one file: sees that it changed, waits until it stands still, reads it.
//!
//! In: a spec and the file system. Out: what the parser makes of the bytes, or why there are none.
//!
//! A file has changed when its time, size or inode has, or when a notification says so (a file
//! system's times can be coarse). It is read once it stood still for its settle time, so that a
//! file still being written is never taken for a whole one; what changes while it is read is read
//! again. All file access is on threads that may block: a network folder can hang for minutes.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::error;
use vardpuls_service::event::Event;
use vardpuls_service::vitals::Pulse;
use vardpuls_shared::clock::Time;

use super::csv::{self, CsvSpec, FileFault};
use super::wake::{EndWhenDropped, Wake, Woken};
use super::watch::Watch;
use super::{Observation, Origin, SourceError, Teller};

/// The largest file that is read. A country's wards fit in one of these.
pub const MAX_BYTES: u64 = 16 << 20;

/// How long a file may keep changing, besides four times its settle time, before that is a fault.
const PATIENCE: Duration = Duration::from_secs(30);

/// How soon a file that changed while it was read is looked at again, at least.
const AGAIN: Duration = Duration::from_millis(20);

/// Watches a file until shutdown, and tells what it says.
pub(super) async fn follow(spec: CsvSpec, mut teller: Teller, shutdown: CancellationToken) {
    loop {
        let wake = Arc::new(Wake::default());
        let _end = EndWhenDropped(Arc::clone(&wake));
        let (tell, mut told) = mpsc::channel(1);
        let looker = Looker {
            watch: Watch::new(&spec.path, Arc::clone(&wake)),
            reader: Reader::new(spec.clone()),
            wake,
            wait: Duration::ZERO,
            scan: spec.scan,
            pulse: teller.pulse.clone(),
        };
        // A thread of its own: it waits for as long as the agent runs, and a file system that hangs must not take the
        // place of the outbox.
        let started = thread::Builder::new().name("source".into()).spawn(move || looker.run(&tell));
        let stopped = match started {
            Err(e) => e.to_string(),
            Ok(_detached) => loop {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    result = told.recv() => match result {
                        Some(result) => if !teller.tell(result).await { return },
                        None => break "its thread ended".to_owned(),
                    },
                }
            },
        };
        // Reading never panics; were it wrong, the hospital must still be heard.
        error!(name: Event::SourceNotRead.name(), file = %spec.path.display(), reason = stopped,
            "reading a source stopped short; beginning again");
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(spec.scan) => {}
        }
    }
}

/// Looks at a file, on a thread that may block, and sleeps in between.
#[derive(Debug)]
struct Looker {
    watch: Watch,
    reader: Reader,
    wake: Arc<Wake>,
    wait: Duration,
    scan: Duration,
    pulse: Pulse,
}

impl Looker {
    /// Tells what it reads, until the end or until nobody listens.
    fn run(mut self, tell: &mpsc::Sender<Result<Observation, SourceError>>) {
        while let Some(result) = self.next() {
            if tell.blocking_send(result).is_err() {
                return;
            }
        }
    }

    /// The next reading; none at the end.
    fn next(&mut self) -> Option<Result<Observation, SourceError>> {
        loop {
            let woken = self.wake.sleep(self.wait);
            if woken == Woken::End {
                return None;
            }
            self.pulse.beat();
            // In this order, so that no change falls between the watch and the look.
            self.watch.renew();
            let seen = self.reader.look(Instant::now(), woken == Woken::News);
            self.pulse.rest();
            self.wait = self.scan;
            match seen {
                Seen::Nothing => {}
                Seen::Unsettled(wait) => self.wait = wait,
                Seen::Reading(result) => return Some(result),
            }
        }
    }
}

/// Reads a file once, after it settled.
pub(super) async fn read_once(spec: &CsvSpec) -> Result<Observation, SourceError> {
    let mut reader = Reader::new(spec.clone());
    let reading = tokio::task::spawn_blocking(move || {
        loop {
            match reader.look(Instant::now(), false) {
                Seen::Reading(result) => return result,
                Seen::Unsettled(wait) => thread::sleep(wait),
                // A reader that has read nothing yet always has something to see.
                Seen::Nothing => {}
            }
        }
    });
    reading.await.unwrap_or_else(|stopped| {
        let fault = FileFault::Unreadable(format!("reading stopped short: {stopped}"));
        Err(SourceError::new(Origin::File(spec.path.clone()), fault))
    })
}

/// What a look at a file showed.
#[derive(Debug)]
enum Seen {
    /// Nothing new.
    Nothing,
    /// It changed, and has to stand still for this long yet.
    Unsettled(Duration),
    /// It was read, or cannot be.
    Reading(Result<Observation, SourceError>),
}

/// Reads a file when there is something new in it.
#[derive(Debug)]
struct Reader {
    spec: CsvSpec,
    settling: Settling,
}

impl Reader {
    fn new(spec: CsvSpec) -> Reader {
        let settling = Settling { settle: spec.settle, read: None, pending: None };
        Reader { spec, settling }
    }

    /// Looks at the file, and reads it if it is due.
    fn look(&mut self, now: Instant, notified: bool) -> Seen {
        match self.try_look(now, notified) {
            Ok(seen) => seen,
            Err(fault) => {
                if !matches!(fault, FileFault::Unsettled(_)) {
                    // Whatever comes back is new, even if it is the same file.
                    self.settling.forget();
                }
                Seen::Reading(Err(SourceError::new(Origin::File(self.spec.path.clone()), fault)))
            }
        }
    }

    fn try_look(&mut self, now: Instant, notified: bool) -> Result<Seen, FileFault> {
        let stamp = Stamp::of(&std::fs::metadata(&self.spec.path).map_err(|e| fault(&e))?)?;
        match self.settling.look(stamp, now, notified) {
            Next::Nothing => Ok(Seen::Nothing),
            Next::Wait(wait) => Ok(Seen::Unsettled(wait)),
            Next::GiveUp => Err(FileFault::Unsettled(self.spec.settle.as_millis())),
            Next::Read => match load(&self.spec.path)? {
                Some((bytes, stamp, modified)) => {
                    self.settling.done(stamp);
                    Ok(Seen::Reading(csv::parse(&bytes, &self.spec, modified)))
                }
                None if self.settling.is_overdue(now) => Err(FileFault::Unsettled(self.spec.settle.as_millis())),
                None => Ok(Seen::Unsettled(self.settling.settle.max(AGAIN))),
            },
        }
    }
}

/// The bytes of a file, and which state of it they are; none if it changed under the reading.
fn load(path: &Path) -> Result<Option<(Vec<u8>, Stamp, Time)>, FileFault> {
    let mut file = File::open(path).map_err(|e| fault(&e))?;
    let before = file.metadata().map_err(|e| fault(&e))?;
    let stamp = Stamp::of(&before)?;
    let mut bytes = Vec::with_capacity(usize::try_from(stamp.size).unwrap_or_default());
    // One more than allowed: a file may grow after it was measured.
    file.by_ref().take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|e| fault(&e))?;
    let same = Stamp::of(&file.metadata().map_err(|e| fault(&e))?)? == stamp && bytes.len() as u64 == stamp.size;
    let modified = Time::from(before.modified().map_err(|e| fault(&e))?);
    Ok(same.then_some((bytes, stamp, modified)))
}

fn fault(e: &io::Error) -> FileFault {
    match e.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => FileFault::Missing,
        _ => FileFault::Unreadable(e.to_string()),
    }
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: (i64, i64),
    size: u64,
    inode: (u64, u64),
}

impl Stamp {
    /// Refuses what is no file to read.
    fn of(metadata: &Metadata) -> Result<Stamp, FileFault> {
        if !metadata.is_file() {
            return Err(FileFault::NotAFile);
        }
        let size = metadata.len();
        if size > MAX_BYTES {
            return Err(FileFault::TooLarge { bytes: size, most: MAX_BYTES });
        }
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        Ok(Stamp { modified, size, inode: (metadata.dev(), metadata.ino()) })
    }
}

/// When a file is due to be read. Pure: instants are handed in.
#[derive(Debug)]
struct Settling {
    settle: Duration,
    /// The state that was read last.
    read: Option<Stamp>,
    pending: Option<Pending>,
}

/// A change that was not read yet.
#[derive(Debug, Clone, Copy)]
struct Pending {
    stamp: Stamp,
    still_since: Instant,
    changing_since: Instant,
}

/// What to do about a file.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Nothing,
    Wait(Duration),
    Read,
    GiveUp,
}

impl Settling {
    fn look(&mut self, stamp: Stamp, now: Instant, notified: bool) -> Next {
        let pending = match self.pending {
            None if !notified && self.read == Some(stamp) => return Next::Nothing,
            None => Pending { stamp, still_since: now, changing_since: now },
            Some(before) if before.stamp == stamp && !notified => before,
            Some(before) => Pending { stamp, still_since: now, ..before },
        };
        self.pending = Some(pending);
        let wait = self.settle.saturating_sub(now.duration_since(pending.still_since));
        if wait.is_zero() {
            Next::Read
        } else if self.is_overdue(now) {
            Next::GiveUp
        } else {
            Next::Wait(wait)
        }
    }

    /// Whether it has been changing for too long.
    fn is_overdue(&self, now: Instant) -> bool {
        self.pending.is_some_and(|p| now.duration_since(p.changing_since) > PATIENCE + self.settle * 4)
    }

    fn done(&mut self, stamp: Stamp) {
        (self.read, self.pending) = (Some(stamp), None);
    }

    fn forget(&mut self) {
        (self.read, self.pending) = (None, None);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SETTLE: Duration = Duration::from_millis(200);

    fn stamp(size: u64) -> Stamp {
        Stamp { modified: (1, 0), size, inode: (1, 1) }
    }

    fn settling(settle: Duration) -> Settling {
        Settling { settle, read: None, pending: None }
    }

    #[test]
    fn a_file_is_read_when_it_stood_still_and_then_only_when_it_changes() {
        let mut s = settling(SETTLE);
        let start = Instant::now();
        assert_eq!(s.look(stamp(1), start, false), Next::Wait(SETTLE));
        assert_eq!(s.look(stamp(2), start + SETTLE / 2, false), Next::Wait(SETTLE));
        assert_eq!(s.look(stamp(2), start + SETTLE, false), Next::Wait(SETTLE / 2));
        assert_eq!(s.look(stamp(2), start + SETTLE * 2, false), Next::Read);
        s.done(stamp(2));
        assert_eq!(s.look(stamp(2), start + SETTLE * 9, false), Next::Nothing);
        // A notification is believed also where time and size are the same.
        assert_eq!(s.look(stamp(2), start + SETTLE * 9, true), Next::Wait(SETTLE));
        assert_eq!(s.look(stamp(2), start + SETTLE * 10, false), Next::Read);
    }

    #[test]
    fn a_file_that_never_stands_still_is_a_fault_that_can_pass() {
        let mut s = settling(SETTLE);
        let start = Instant::now();
        let given_up = (0..u64::MAX).find(|&n| {
            let next = s.look(stamp(n), start + SETTLE / 2 * u32::try_from(n).expect("small"), false);
            next == Next::GiveUp
        });
        let given_up = given_up.expect("in the end");
        let later = start + PATIENCE * 3;
        assert_eq!(s.look(stamp(given_up), later, false), Next::Read);
    }

    #[test]
    fn without_settling_every_change_is_read_at_once() {
        let mut s = settling(Duration::ZERO);
        assert_eq!(s.look(stamp(1), Instant::now(), false), Next::Read);
    }

    proptest! {
        /// Whatever happens to a file, nothing is read that did not stand still, and what stands still is read.
        #[test]
        fn reads_are_of_still_files(steps in prop::collection::vec((0u64..3, 0u64..400, any::<bool>()), 1..100)) {
            let mut s = settling(SETTLE);
            let mut now = Instant::now();
            let mut still: Option<(Stamp, Instant)> = None;
            for (size, wait, notified) in steps {
                now += Duration::from_millis(wait);
                let stamp = stamp(size);
                if notified || still.is_none_or(|(before, _)| before != stamp) {
                    still = Some((stamp, now));
                }
                if s.look(stamp, now, notified) == Next::Read {
                    prop_assert!(still.is_some_and(|(_, since)| now.duration_since(since) >= SETTLE));
                    s.done(stamp);
                }
            }
            if let Some((stamp, _)) = still {
                let done = s.read == Some(stamp) && s.pending.is_none();
                prop_assert!(done || s.look(stamp, now + SETTLE + PATIENCE, false) == Next::Read);
            }
        }
    }
}

//! Load: every hospital's census file is replaced all the time, by rename, as a hospital's system would.
//!
//! The counts of one file belong together: ward `n` (from 1) has `base + n` occupied beds, of [`STAFFED`]. A report whose
//! wards do not fit one another was put together from two files, or damaged.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use fastrand::Rng;
use vardpuls_shared::report::Report;

/// Wards of every hospital.
pub const WARDS: u16 = 5;

/// Staffed beds of every ward.
pub const STAFFED: u16 = 900;

/// The writer, running until it is stopped.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Load {
    /// Starts to change `drops`.
    pub fn start(drops: Vec<PathBuf>, mut rng: Rng) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = spawn({
            let stop = Arc::clone(&stop);
            move || {
                while !stop.load(Ordering::Relaxed) {
                    let drop = &drops[rng.usize(..drops.len())];
                    // A full disk shows in the agents' logs; the next change may fit again.
                    let _ = write(drop, rng.u16(..800));
                    sleep(Duration::from_millis(3));
                }
            }
        });
        Load { stop, thread }
    }

    /// Ends the changes.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the writer does not panic");
    }
}

/// Replaces one file.
pub fn write(drop: &Path, base: u16) -> io::Result<()> {
    let rows: Vec<String> = (1..=WARDS).map(|ward| format!("w{ward},{STAFFED},{}\n", base + ward)).collect();
    let text = format!("Ward,Staffed,Occupied\n{}", rows.concat());
    let beside = drop.with_extension("new");
    fs::write(&beside, text)?;
    fs::rename(beside, drop)
}

/// Whether a report's wards are those of one file.
pub fn is_whole(report: &Report) -> bool {
    let base = |(index, counts): (&u16, &vardpuls_shared::count::Counts)| counts.occupied.checked_sub(*index);
    let first = report.wards.iter().next().and_then(base);
    report.wards.len() == usize::from(WARDS)
        && first.is_some()
        && report.wards.iter().all(|ward| ward.1.staffed == STAFFED && base(ward) == first)
}

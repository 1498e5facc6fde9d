//! The live picture after a restart: what the store has, through the same verification and merge.
//!
//! In: the store and the registry. Out: the picture as it stood. What no longer verifies (its hospital
//! is not enrolled any more, its key was unknown then) is left out, counted and logged.

use std::thread;

use vardpuls_service::event::Event;
use vardpuls_shared::clock::Time;

use crate::enrolment::Registry;
use crate::live::Live;
use crate::merge::KEPT;
use crate::store::{Store, StoreError};
use crate::verify::{Refused, VerifiedReport, VerifiedRoster};

/// Replays the store into an empty picture. Returns when a report was last received: until then, at the
/// least, somebody looked at the picture.
pub async fn rebuild(live: &mut Live, store: &Store, registry: &Registry, now: Time) -> Result<Time, StoreError> {
    let rosters = store.rosters().await?;
    let reports = store.newest(u32::try_from(KEPT).expect("a small number")).await?;
    let seen = reports.iter().map(|report| report.received_at).max().unwrap_or(now);
    let rosters = verify_all(&rosters, |stored| VerifiedRoster::from_store(registry, stored));
    let reports = verify_all(&reports, |stored| VerifiedReport::from_store(registry, stored));
    let (mut merged, mut left_out) = (0u64, 0u64);
    for roster in rosters {
        match roster {
            Ok(roster) => drop(live.apply_roster(&roster, now)),
            Err(_) => left_out += 1,
        }
    }
    for report in reports {
        match report {
            Ok(report) => {
                live.apply(&report, now);
                merged += 1;
            }
            Err(_) => left_out += 1,
        }
    }
    live.expire(now);
    tracing::info!(name: Event::PictureRebuilt.name(), reports = merged, left_out,
        "the live picture stands again as the store has it");
    Ok(seen)
}

/// Verifies on all cores; the results are in the order of the input.
fn verify_all<T: Sync, V: Send>(
    stored: &[T],
    verify: impl Fn(&T) -> Result<V, Refused> + Sync,
) -> Vec<Result<V, Refused>> {
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let share = stored.len().div_ceil(cores).max(1);
    thread::scope(|s| {
        let verify = &verify;
        let shares: Vec<_> =
            stored.chunks(share).map(|part| s.spawn(move || part.iter().map(verify).collect::<Vec<_>>())).collect();
        shares.into_iter().flat_map(|part| part.join().expect("verification does not panic")).collect()
    })
}

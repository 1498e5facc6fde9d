//! What a line does to messages on their way.
//!
//! In: days, a sender, and how much is disturbed. Out: [`Arrival`]s in their order: messages, some of them twice, late,
//! out of order inside their visit, or never; and snapshots of another source, each some time after it was taken.

use std::time::Duration;

use fastrand::Rng;
use vardpuls_shared::clock::Time;

use super::sender::Sender;
use super::truth::Days;

/// How much is disturbed; shares are of a hundred messages.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disturbance {
    /// Sent twice, byte by byte.
    pub repeated: u8,
    /// Sent again hours later, byte by byte.
    pub replayed: u8,
    /// Sent again as a new message about the same.
    pub resent: u8,
    /// Late, so that later ones of its visit come before it.
    pub late: u8,
    /// Never arrived.
    pub lost: u8,
    /// Nothing arrives that was written down in the first so many hours.
    pub deaf_hours: u64,
    /// A snapshot every so many hours; none for never.
    pub snapshot_every: Option<u64>,
}

/// What comes to the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A message, by its number in the truth.
    Message {
        /// Its number.
        told: usize,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// Counts of another source, as they were at a time.
    Snapshot(Time),
}

/// When it comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// By the clock of the sender.
    pub at: Time,
    /// What.
    pub what: What,
}

/// Everything that comes, in its order.
pub fn carry(days: &Days, sender: &Sender, disturbance: Disturbance, seed: u64) -> Vec<Arrival> {
    const MINUTE: u64 = 60_000;
    let mut rng = Rng::with_seed(seed);
    let mut arrivals = Vec::with_capacity(days.told.len());
    let deaf_until = days.from.plus(Duration::from_hours(disturbance.deaf_hours));
    // Of what was written down in one moment nothing tells the order, but that in which it comes.
    let mut soonest = Time(0);
    for (n, told) in days.told.iter().enumerate() {
        let mut chance = |share: u8| rng.u8(0..100) < share;
        let is_tied = [n.checked_sub(1), Some(n + 1)]
            .into_iter()
            .flatten()
            .any(|other| days.told.get(other).is_some_and(|other| other.at == told.at));
        // A class that does not count is not kept of a visit that nobody knows yet.
        let messages = told.threads.iter().flat_map(|thread| &days.threads[*thread].told);
        let uncounted = messages.flat_map(|n| &days.told[*n].groups).any(|group| group.class == 'R');
        // What is tied to another would hold that one up as well.
        let late = chance(disturbance.late) && !uncounted && !is_tied;
        let lost = chance(disturbance.lost);
        let (repeated, replayed) = (chance(disturbance.repeated), chance(disturbance.replayed));
        let resent = chance(disturbance.resent) && !is_tied && sender.event_segment;
        if lost || told.at < deaf_until {
            continue;
        }
        let mut at = told.at.plus(sender.delay);
        if late {
            at.0 += rng.u64(0..90 * MINUTE);
        }
        if is_tied {
            at = at.max(soonest);
            soonest = at;
        }
        let control = n as u64;
        let bytes = sender.write(told, control, 0);
        let mut arrive =
            |at: u64, bytes| arrivals.push(Arrival { at: Time(at), what: What::Message { told: n, bytes } });
        if repeated {
            arrive(at.0 + rng.u64(0..2), bytes.clone());
        }
        if replayed {
            arrive(at.0 + rng.u64(0..20 * 60 * MINUTE), bytes.clone());
        }
        if resent {
            arrive(at.0 + rng.u64(0..60 * MINUTE), sender.write(told, control + 1_000_000, 1));
        }
        arrive(at.0, bytes);
    }
    if let Some(hours) = disturbance.snapshot_every {
        let mut taken = days.from.plus(Duration::from_hours(disturbance.deaf_hours.max(1)));
        while taken < days.to {
            let way = if rng.bool() { 0 } else { rng.u64(0..40 * MINUTE) };
            let at = Time(taken.0 + way);
            arrivals.push(Arrival { at, what: What::Snapshot(taken) });
            taken = taken.plus(Duration::from_hours(hours));
        }
    }
    // Stable: of what comes in one moment the truth's order stands.
    arrivals.sort_by_key(|arrival| arrival.at);
    arrivals
}

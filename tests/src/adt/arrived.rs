//! What the truth says of the messages that have arrived.
//!
//! In: the truth, and what arrives. Out: for each ward how many patients a right census holds now: one number where it
//! can be known, bounds where something of a visit is still on its way, or was lost.
//!
//! A visit of which all messages up to some point have arrived is where the truth has it after the last of them, or
//! where the newest snapshot found it, if that is later. Where there is a hole, it is somewhere that it has ever been;
//! or, if a snapshot has counted it already, it is off by one at most in those wards.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use vardpuls_shared::clock::Time;
use vardpuls_shared::hospital::WardId;

use super::receiver;
use super::truth::{Days, PLACES, Spot, Standing};

/// What a right census holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// By ward; `a..=a` where there is one number.
    pub occupied: BTreeMap<WardId, RangeInclusive<i64>>,
    /// Patients on leave and blocked beds; none where a hole or a snapshot leaves them open.
    pub extras: Option<BTreeMap<WardId, (u16, u16)>>,
}

/// Messages that have arrived, and the snapshot that counts.
#[derive(Debug)]
pub struct Arrived<'d> {
    days: &'d Days,
    wards: Vec<WardId>,
    ward_of: Vec<Option<usize>>,
    threads: Vec<Heard>,
    low: Vec<i64>,
    high: Vec<i64>,
    snapshot: Option<Time>,
}

/// What has arrived of one thread.
#[derive(Debug, Clone, Default)]
struct Heard {
    /// Of its messages, by their order.
    arrived: BTreeSet<usize>,
    /// How many of them the newest snapshot knew.
    counted: usize,
    /// How many of them were forgotten.
    forgotten: usize,
    /// Of what was forgotten something came again.
    is_muddled: bool,
    /// What was forgotten had a hole: something of it is still on its way. The next snapshot fills it.
    is_counted_wrong: bool,
    /// What it adds to the bounds now.
    adds: Vec<(usize, i64, i64)>,
}

impl<'d> Arrived<'d> {
    /// Nothing yet.
    pub fn new(days: &'d Days) -> Arrived<'d> {
        let wards: Vec<WardId> = receiver::wards().into_iter().collect();
        let ward_of = PLACES.map(|place| wards.iter().position(|id| Some(id.as_str()) == place.ward)).to_vec();
        let nothing = vec![0; wards.len()];
        let threads = vec![Heard::default(); days.threads.len()];
        Arrived { days, ward_of, threads, low: nothing.clone(), high: nothing, wards, snapshot: None }
    }

    /// A message has arrived in full.
    pub fn take(&mut self, told: usize) {
        for &thread in &self.days.told[told].threads {
            let at =
                self.days.threads[thread].told.iter().position(|n| *n == told).expect("the truth agrees with itself");
            let heard = &mut self.threads[thread];
            heard.is_muddled |= at < heard.forgotten;
            heard.arrived.insert(at);
            self.weigh(thread);
        }
    }

    /// The newest snapshot is one taken at this time. Gives its counts.
    pub fn reconcile(&mut self, taken: Time) -> BTreeMap<WardId, u16> {
        if self.snapshot.is_none_or(|held| held < taken) {
            self.snapshot = Some(taken);
            for thread in 0..self.threads.len() {
                self.threads[thread].counted = self.told_until(thread, taken);
                self.threads[thread].is_counted_wrong = false;
                self.weigh(thread);
            }
        }
        let mut counts = vec![0; self.wards.len()];
        for thread in 0..self.threads.len() {
            let standing = self.days.threads[thread].stood[self.told_until(thread, taken)];
            if let Some(ward) = self.ward(standing.spot) {
                counts[ward] += 1;
            }
        }
        self.wards.iter().cloned().zip(counts).collect()
    }

    /// Everything that has arrived is forgotten, but the counts.
    pub fn forget(&mut self) {
        let newest = self.heard().map(|told| self.days.told[told].at).max().unwrap_or_default();
        for thread in 0..self.threads.len() {
            let until = self.told_until(thread, newest);
            let heard = &mut self.threads[thread];
            let end = heard.arrived.last().map_or(0, |last| last + 1).max(heard.counted);
            // What was written down before and comes later is taken for known.
            heard.is_counted_wrong |= !is_whole(&heard.arrived, 0, heard.counted) || end < until;
            (heard.counted, heard.forgotten) = (end.max(until), end.max(until));
            heard.arrived.clear();
            self.weigh(thread);
        }
        self.snapshot = self.snapshot.max(Some(newest));
    }

    /// The numbers of all messages that have arrived.
    fn heard(&self) -> impl Iterator<Item = usize> {
        let threads = self.threads.iter().zip(&self.days.threads);
        threads.flat_map(|(heard, thread)| heard.arrived.iter().map(|n| thread.told[*n]))
    }

    fn told_until(&self, thread: usize, time: Time) -> usize {
        self.days.threads[thread].told.partition_point(|told| self.days.told[*told].at <= time)
    }

    fn ward(&self, spot: Option<Spot>) -> Option<usize> {
        spot.and_then(|spot| self.ward_of[spot.place])
    }

    /// How the thread stands, where that is known.
    fn standing(&self, thread: usize) -> Option<Standing> {
        let (heard, truth) = (&self.threads[thread], &self.days.threads[thread]);
        let end = heard.arrived.last().map_or(0, |last| last + 1);
        if heard.is_counted_wrong {
            return None;
        }
        if end <= heard.counted {
            return Some(truth.stood[heard.counted]);
        }
        if heard.is_muddled {
            return None;
        }
        let first = *heard.arrived.first().expect("it ends after it began");
        let misleads = |at: &usize| self.days.told[truth.told[*at]].misleads;
        // Also what came before the snapshot: where the census was misled, the snapshot was compared with what is not so.
        let tells = first == 0 || !heard.arrived.iter().any(misleads);
        (tells && is_whole(&heard.arrived, first, heard.counted)).then(|| truth.stood[end])
    }

    fn weigh(&mut self, thread: usize) {
        for (ward, low, high) in std::mem::take(&mut self.threads[thread].adds) {
            self.low[ward] -= low;
            self.high[ward] -= high;
        }
        let adds = match self.standing(thread) {
            Some(standing) => self.ward(standing.spot).map(|ward| (ward, 1, 1)).into_iter().collect(),
            None => self.bounds(thread),
        };
        for (ward, low, high) in &adds {
            self.low[*ward] += low;
            self.high[*ward] += high;
        }
        self.threads[thread].adds = adds;
    }

    /// Where a thread with a hole may be.
    fn bounds(&self, thread: usize) -> Vec<(usize, i64, i64)> {
        let (counted, truth) = (self.threads[thread].counted, &self.days.threads[thread]);
        let base = self.ward(truth.stood[counted].spot);
        let groups = || truth.told.iter().flat_map(|told| &self.days.told[*told].groups);
        // A number whose change has not arrived is another visit until then.
        let most = 1 + i64::try_from(groups().filter(|group| group.before.is_some()).count()).expect("few");
        let spots = truth.stood.iter().map(|s| s.spot).chain(groups().map(|group| group.spot));
        let touched: BTreeSet<usize> = spots.filter_map(|spot| self.ward(spot)).collect();
        let bounds = |ward| match (self.snapshot, i64::from(base == Some(ward))) {
            (None, _) => (ward, 0, most),
            (Some(_), base) => (ward, base - most, base + most),
        };
        touched.into_iter().map(bounds).collect()
    }

    /// Whether every ward holds one number.
    pub fn is_exact(&self) -> bool {
        self.low == self.high
    }

    /// What a right census holds now.
    pub fn expected(&self) -> Expected {
        let bounds = self.low.iter().zip(&self.high).map(|(low, high)| *low.max(&0)..=*high.max(&0));
        Expected { occupied: self.wards.iter().cloned().zip(bounds).collect(), extras: self.extras() }
    }

    fn extras(&self) -> Option<BTreeMap<WardId, (u16, u16)>> {
        let mut extras = vec![(0, 0); self.wards.len()];
        let mut stood = Vec::with_capacity(self.threads.len());
        for (thread, heard) in self.threads.iter().enumerate() {
            // Snapshots know neither who is on leave nor which bed is closed.
            let whole = heard.counted == 0 && heard.arrived.last().is_none_or(|last| last + 1 == heard.arrived.len());
            stood.push(self.standing(thread).filter(|_| whole)?);
        }
        let taken: BTreeSet<(usize, u8)> =
            stood.iter().filter_map(|s| s.spot).filter_map(|spot| Some((spot.place, spot.bed?))).collect();
        for standing in stood {
            if let Some(ward) = self.ward(standing.spot.filter(|_| standing.on_leave)) {
                extras[ward].0 += 1;
            }
            let free = standing.blocked.filter(|spot| spot.bed.is_none_or(|bed| !taken.contains(&(spot.place, bed))));
            if let Some(ward) = self.ward(free) {
                extras[ward].1 += 1;
            }
        }
        Some(self.wards.iter().cloned().zip(extras).collect())
    }
}

/// Whether `arrived` has everything from `first` on, and begins no later than the snapshot ends.
fn is_whole(arrived: &BTreeSet<usize>, first: usize, counted: usize) -> bool {
    first <= counted && arrived.last().is_none_or(|last| last + 1 - first == arrived.len())
}

//! What a rule sees at a target now: figures with what is missing behind them, or what happened there.

use vardpuls_shared::clock::Time;

use super::Alarms;
use super::incidents::Incident;
use super::slots::At;
use crate::alert::measure::{Measure, Reach};
use crate::alert::point::Observation;
use crate::alert::rule::Rule;
use crate::live::Live;
use crate::rollup::{CareSet, Missing};
use crate::ward::{Sums, WardCounts};

/// The sums that were taken last: rules of the same care types at a target lie side by side.
#[derive(Debug, Default)]
pub(super) struct Taken {
    of: Option<(Reach, u32, u32, CareSet)>,
    sums: Sums,
    missing: Missing,
}

impl Alarms {
    /// What a rule sees at a target now, before what is learned comes into it.
    pub(super) fn observe(&self, at: At, live: &Live, now: Time, taken: &mut Taken) -> Option<Observation> {
        let place = self.slots.rule(at);
        let (rule, cares) = (self.rules.at(place), self.cares[place]);
        if !rule.measure.of_beds() {
            return Some(Observation { value: self.not_of_beds(place, at, live, now), staffed: 0.0, missing: 0 });
        }
        let of = match at {
            At::Nation(_) => (Reach::Nation, 0, 0, cares),
            At::Region(r, _) => (Reach::Region, r, 0, cares),
            At::Hospital(h, _) => (Reach::Hospital, h, 0, cares),
            At::Ward(h, w, _) => (Reach::Ward, h, w, cares),
        };
        if taken.of != Some(of) {
            let (sums, missing) = sums_at(at, cares, live)?;
            *taken = Taken { of: Some(of), sums, missing };
        }
        Some(of_beds(rule, &taken.sums, taken.missing))
    }

    /// What a rule measures at a target now, what is learned included.
    pub(super) fn value(&self, at: At, live: &Live, now: Time) -> Option<f64> {
        let value = self.observe(at, live, now, &mut Taken::default())?.value?;
        let rule = self.rules.at(self.slots.rule(at));
        match &self.slots.get(at).past {
            Some(past) => past.measured(rule, now, self.rules.hour(now), value),
            None => Some(value),
        }
    }

    fn not_of_beds(&self, place: usize, at: At, live: &Live, now: Time) -> Option<f64> {
        let rule = self.rules.at(place);
        let hospital = match at {
            At::Hospital(h, _) | At::Ward(h, ..) => Some(h as usize),
            At::Nation(_) | At::Region(..) => None,
        };
        let coverage = || match at {
            At::Nation(_) => live.nation_tally().coverage(),
            At::Region(r, _) => live.region_tally(r as usize).coverage(),
            At::Hospital(h, _) | At::Ward(h, ..) => {
                live.hospital_at(h as usize).map(|sight| sight.contribution.coverage()).unwrap_or_default()
            }
        };
        match rule.measure {
            Measure::Stale => Some(f64::from(coverage().stale + coverage().unknown)),
            Measure::Coverage => {
                let coverage = coverage();
                let of = f64::from(coverage.hospitals);
                (coverage.hospitals > 0).then(|| 100.0 * f64::from(coverage.fresh) / of)
            }
            Measure::ClockSkew => {
                let ms = live.hospital_at(hospital?)?.clock_flag().unwrap_or(0).unsigned_abs();
                Some(f64::from(u32::try_from(ms / 1000).unwrap_or(u32::MAX)))
            }
            Measure::Refused => Some(self.happened(rule, hospital?, Incident::Refused, now).0.into()),
            Measure::Equivocation => Some(self.happened(rule, hospital?, Incident::Equivocation, now).0.into()),
            Measure::Children => {
                let of = self.rules.counted_by(place)?;
                Some(f64::from(match at {
                    At::Nation(_) => self.counted.in_nation(of),
                    At::Region(r, _) => self.counted.in_region(of, r as usize),
                    At::Hospital(h, _) | At::Ward(h, ..) => self.slots.hospitals[h as usize].wards_with(of),
                }))
            }
            _ => None,
        }
    }

    pub(super) fn happened(&self, rule: &Rule, hospital: usize, incident: Incident, now: Time) -> (u32, Option<Time>) {
        let over = rule.over.expect("rules that look back say how far");
        self.incidents.count(hospital, incident, over, now)
    }
}

fn sums_at(at: At, cares: CareSet, live: &Live) -> Option<(Sums, Missing)> {
    Some(match at {
        At::Nation(_) => (live.nation_tally().sums(cares), live.nation_tally().missing(cares)),
        At::Region(r, _) => {
            let tally = live.region_tally(r as usize);
            (tally.sums(cares), tally.missing(cares))
        }
        At::Hospital(h, _) => {
            let contribution = live.hospital_at(h as usize)?.contribution;
            (contribution.sums(cares), contribution.missing(cares))
        }
        At::Ward(h, w, _) => {
            let ward = live.hospital_at(h as usize)?.wards().nth(w as usize)?;
            (sums_of(ward.counts), Missing::default())
        }
    })
}

pub(super) fn sums_of(counts: Option<&WardCounts>) -> Sums {
    let mut sums = Sums::default();
    if let Some(counts) = counts {
        sums.add(counts);
    }
    sums
}

/// What a rule about beds sees in sums.
#[expect(clippy::cast_precision_loss, reason = "counts of beds are far below 2^52")]
pub(super) fn of_beds(rule: &Rule, sums: &Sums, missing: Missing) -> Observation {
    let staffed = sums.staffed() as f64;
    let unknown = Observation { value: None, staffed, missing: missing.print };
    let known = missing.hospitals.saturating_sub(missing.missing);
    let covered =
        rule.scope < Reach::Region || 100.0 * f64::from(known) >= rule.min_coverage * f64::from(missing.hospitals);
    if sums.wards() == 0 || !covered || sums.staffed() < u64::from(rule.min_staffed) {
        return unknown;
    }
    let of_staffed = |n: u64| (staffed > 0.0).then(|| 100.0 * n as f64 / staffed);
    let value = match rule.measure {
        Measure::Available => Some(sums.available() as f64),
        Measure::AvailableRatio => of_staffed(sums.available()),
        Measure::OverCapacity => of_staffed(sums.over_capacity()),
        Measure::Boarders => Some(sums.boarding() as f64),
        Measure::Drift => Some(sums.drift() as f64),
        // Rise and time to full are made of it.
        _ => of_staffed(sums.occupied()),
    };
    Observation { value, ..unknown }
}

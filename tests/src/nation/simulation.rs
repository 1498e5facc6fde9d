//! Patients come, wait, lie and go: the counts of every ward over simulated time.
//!
//! In: a nation, a seed, and how far to go. Out: [`Counts`] by ward. Pure: the same seed gives the same numbers at the
//! same moment, in steps of any length, and a hospital's numbers do not depend on which others there are.
//!
//! Invariant of each ward: `occupied − over_capacity + blocked ≤ staffed`. Patients over capacity lie in no staffed
//! bed; they move into one some time after it falls free, so that both stand side by side for a while, as in life.

use std::collections::BTreeMap;

use fastrand::Rng;
use vardpuls_shared::count::{Counts, Extra};

use super::rhythm::{Moment, Surge, arrivals, discharges, planned, profile, staffed};
use super::{Hospital, Line, Nation};

/// The nation's patients.
#[derive(Debug)]
pub struct Simulation {
    now: Moment,
    surge: Surge,
    hospitals: Vec<HospitalState>,
}

#[derive(Debug)]
struct HospitalState {
    rng: Rng,
    position: (f64, f64),
    /// Arrivals a minute at the emergency department, and where those who stay have to go.
    acute: f64,
    wards: Vec<WardState>,
    /// Patients in the emergency department who wait for a ward: its place in `wards`, minutes waited.
    boarders: Vec<(usize, u32)>,
}

#[derive(Debug)]
struct WardState {
    line: Line,
    decided: u16,
    ecmo: bool,
    staffed: u16,
    /// Patients in staffed beds.
    in_beds: u16,
    over: u16,
    blocked: u16,
    outlying: u16,
    ready: u16,
}

/// Of those who come to an emergency department, the share that is admitted.
const ADMITTED: f64 = 0.30;

impl WardState {
    fn patients(&self) -> u16 {
        self.in_beds + self.over
    }

    fn free(&self) -> u16 {
        self.staffed.saturating_sub(self.in_beds + self.blocked)
    }

    /// A patient comes who has to be taken: into a bed if there is one, else on a place that is none.
    fn take(&mut self) {
        if self.free() > 0 { self.in_beds += 1 } else { self.over += 1 }
    }

    /// A patient leaves; those without a bed and outliers in proportion.
    fn leave(&mut self, rng: &mut Rng) {
        let patients = self.patients();
        if patients == 0 {
            return;
        }
        if self.outlying > 0 && rng.u16(0..patients) < self.outlying {
            self.outlying -= 1;
        }
        let without_bed = rng.u16(0..patients) < self.over;
        *(if without_bed { &mut self.over } else { &mut self.in_beds }) -= 1;
        self.ready = self.ready.min(self.patients());
        self.outlying = self.outlying.min(self.patients());
    }

    /// Opens and closes beds for a shift.
    fn staff(&mut self, moment: Moment, rng: &mut Rng) {
        let short =
            if self.line == Line::Emergency { 0 } else { [0, 0, 0, 1, 1, 2][rng.usize(0..6)].min(self.decided / 8) };
        self.staffed = staffed(self.line, self.decided, moment, short);
        self.blocked = self.blocked.min(self.staffed);
        let room = self.staffed - self.blocked;
        let displaced = self.in_beds.saturating_sub(room);
        self.in_beds -= displaced;
        self.over += displaced;
    }

    /// Beds are cleaned or closed for infection, and opened again.
    fn block(&mut self, rng: &mut Rng) {
        if self.line == Line::Emergency {
            return;
        }
        if self.blocked > 0 && rng.f64() < f64::from(self.blocked) / 90.0 {
            self.blocked -= 1;
        }
        if self.free() > 0 && rng.f64() < f64::from(self.in_beds) / 6000.0 {
            self.blocked += 1;
        }
    }

    /// Who lies in no staffed bed moves into a free one, in some twenty minutes; outliers come to belong to the ward.
    fn settle(&mut self, rng: &mut Rng) {
        if self.outlying > 0 && rng.f64() < f64::from(self.outlying) / 1080.0 {
            self.outlying -= 1;
        }
        if self.over > 0 && self.free() > 0 && rng.f64() < 0.05 {
            self.over -= 1;
            self.in_beds += 1;
        }
    }

    /// Discharges of a minute: patients become ready, and ready ones leave.
    fn discharge(&mut self, moment: Moment, rng: &mut Rng) {
        let profile = profile(self.line);
        let patients = f64::from(self.patients());
        // The fuller the ward, the sooner people go home.
        let pressure = (patients / (f64::from(self.staffed) * profile.load)).powi(2).clamp(0.4, 2.5);
        let (rhythm, share) = match self.line {
            Line::Intensive | Line::Intermediate | Line::ChildrensIntensive | Line::Newborn | Line::Burn => (1.0, 0.05),
            Line::Geriatrics => (discharges(moment), 0.25),
            _ => (discharges(moment), 0.12),
        };
        let per_minute = pressure * rhythm / (profile.stay * 60.0);
        let becoming = f64::from(self.patients() - self.ready) * per_minute / (1.0 - share);
        self.ready = (self.ready + poisson(becoming, rng)).min(self.patients());
        let leaving = poisson(f64::from(self.ready) * per_minute / share, rng).min(self.ready);
        for _ in 0..leaving {
            self.ready -= 1;
            self.leave(rng);
        }
    }

    fn counts(&self, boarding: u16) -> Counts {
        let ventilated = match self.line {
            Line::Intensive => self.patients() * 11 / 20,
            Line::ChildrensIntensive | Line::Burn => self.patients() / 3,
            _ => 0,
        };
        let extras = [
            (Extra::DECIDED, self.decided),
            (Extra::BLOCKED, self.blocked),
            (Extra::OVER_CAPACITY, self.over),
            (Extra::OUTLYING, self.outlying),
            (Extra::DISCHARGE_READY, if self.line == Line::Emergency { 0 } else { self.ready }),
            (Extra::BOARDING, boarding),
            (Extra::VENTILATED, ventilated),
            (Extra::ECMO, if self.ecmo { ventilated / 3 } else { 0 }),
        ];
        Counts {
            staffed: self.staffed,
            occupied: self.patients(),
            extras: extras.into_iter().filter(|&(_, n)| n > 0).collect(),
        }
    }
}

impl HospitalState {
    fn new(hospital: &Hospital, seed: u64, now: Moment) -> HospitalState {
        let own = hospital.id.as_str().bytes().fold(seed, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        let mut rng = Rng::with_seed(own);
        let wards: Vec<WardState> = hospital
            .wards
            .iter()
            .map(|ward| {
                let mut state = WardState {
                    line: ward.line,
                    decided: ward.decided,
                    ecmo: ward.capabilities.contains(&vardpuls_shared::roster::Capability::ECMO),
                    staffed: 0,
                    in_beds: 0,
                    over: 0,
                    blocked: 0,
                    outlying: 0,
                    ready: 0,
                };
                state.staff(now, &mut rng);
                let load = profile(ward.line).load * (0.85 + 0.2 * rng.f64());
                let patients = poisson(f64::from(state.staffed) * load, &mut rng).min(state.staffed);
                state.in_beds = patients;
                state
            })
            .collect();
        let admissions: f64 = wards.iter().filter(|w| from_emergency(w.line)).map(acute_admissions).sum();
        HospitalState { rng, position: hospital.position, acute: admissions / ADMITTED, wards, boarders: Vec::new() }
    }

    fn minute(&mut self, now: Moment, surge: f64) {
        let shift = now.0.is_multiple_of(60) && matches!(now.hour(), 7 | 14 | 21);
        for ward in &mut self.wards {
            if shift {
                ward.staff(now, &mut self.rng);
            }
            ward.settle(&mut self.rng);
            ward.block(&mut self.rng);
            if ward.line != Line::Emergency {
                ward.discharge(now, &mut self.rng);
                arrive(ward, now, surge, &mut self.rng);
            }
        }
        self.emergency(now, surge);
        self.place_boarders();
    }

    /// Arrivals at the emergency department, and those who are done there.
    fn emergency(&mut self, now: Moment, surge: f64) {
        let Some(at) = self.wards.iter().position(|w| w.line == Line::Emergency) else { return };
        let come = poisson(self.acute * arrivals(now) * surge, &mut self.rng);
        let ward = &mut self.wards[at];
        for _ in 0..come {
            // Twice its places is as full as a department gets; the rest wait outside.
            if ward.patients() < ward.staffed * 2 {
                ward.take();
            }
        }
        let boarding = u16::try_from(self.boarders.len()).unwrap_or(u16::MAX);
        let seen = f64::from(ward.patients().saturating_sub(boarding));
        let done = poisson(seen / (profile(Line::Emergency).stay * 60.0), &mut self.rng);
        for _ in 0..done.min(ward.patients().saturating_sub(boarding)) {
            if self.rng.f64() < ADMITTED {
                let to = self.destination();
                self.boarders.push((to, 0));
            } else {
                self.wards[at].leave(&mut self.rng);
            }
        }
    }

    /// A ward for an admitted patient, by how many each takes.
    fn destination(&mut self) -> usize {
        let weight = |w: &WardState| if from_emergency(w.line) { acute_admissions(w) } else { 0.0 };
        let mut left = self.rng.f64() * self.wards.iter().map(weight).sum::<f64>();
        let chosen = self.wards.iter().position(|w| {
            left -= weight(w);
            left < 0.0
        });
        chosen.unwrap_or(0)
    }

    /// Those who wait: to a ward of their line, after hours as an outlier elsewhere, at last to a place that is no bed.
    fn place_boarders(&mut self) {
        let mut at = 0;
        while at < self.boarders.len() {
            self.boarders[at].1 += 1;
            let (wanted, minutes) = self.boarders[at];
            let line = self.wards[wanted].line;
            let own = self.emptiest(|l| l == line).filter(|_| self.rng.f64() < 0.04);
            let elsewhere = || minutes > 300 && is_general(line);
            if let Some(ward) = own {
                self.wards[ward].in_beds += 1;
            } else if let Some(ward) = elsewhere().then(|| self.emptiest(is_general)).flatten() {
                self.wards[ward].in_beds += 1;
                self.wards[ward].outlying += 1;
            } else if minutes > 540 {
                self.wards[wanted].over += 1;
            } else {
                at += 1;
                continue;
            }
            self.boarders.swap_remove(at);
            if let Some(emergency) = self.wards.iter_mut().find(|w| w.line == Line::Emergency) {
                emergency.leave(&mut self.rng);
            }
        }
    }

    fn emptiest(&self, of: impl Fn(Line) -> bool) -> Option<usize> {
        let wards = self.wards.iter().enumerate().filter(|(_, w)| of(w.line) && w.free() > 0);
        wards.max_by_key(|(_, w)| w.free()).map(|(at, _)| at)
    }

    fn counts(&self) -> Vec<Counts> {
        let boarding = u16::try_from(self.boarders.len()).unwrap_or(u16::MAX);
        self.wards.iter().map(|w| w.counts(if w.line == Line::Emergency { boarding } else { 0 })).collect()
    }
}

/// Whether a line's acute patients come through the emergency department.
fn from_emergency(line: Line) -> bool {
    is_general(line) || matches!(line, Line::Geriatrics | Line::Infection | Line::Intermediate)
}

fn is_general(line: Line) -> bool {
    matches!(line, Line::Medicine | Line::Surgery | Line::Orthopaedics)
}

/// Acute admissions a minute that keep a ward at its load.
fn acute_admissions(ward: &WardState) -> f64 {
    let profile = profile(ward.line);
    f64::from(ward.decided) * profile.staffing * profile.load * (1.0 - profile.planned) / (profile.stay * 60.0)
}

/// Planned arrivals of a minute, and acute ones where the emergency department has no part in them.
fn arrive(ward: &mut WardState, now: Moment, surge: f64, rng: &mut Rng) {
    let profile = profile(ward.line);
    let all = f64::from(ward.decided) * profile.staffing * profile.load / (profile.stay * 60.0);
    for _ in 0..poisson(all * profile.planned * planned(now), rng) {
        // A planned patient is called off when there is no bed.
        if ward.free() > 0 {
            ward.in_beds += 1;
        }
    }
    if !from_emergency(ward.line) {
        let surge = if matches!(ward.line, Line::Intensive | Line::Children) { surge } else { 1.0 };
        for _ in 0..poisson(all * (1.0 - profile.planned) * surge, rng) {
            if ward.over < 1 + ward.decided / 6 {
                ward.take();
            }
        }
    }
}

/// A draw of the Poisson distribution; only small means occur.
fn poisson(mean: f64, rng: &mut Rng) -> u16 {
    let limit = (-mean).exp();
    let mut product = rng.f64();
    let mut count = 0;
    while product > limit && count < 500 {
        product *= rng.f64();
        count += 1;
    }
    count
}

impl Simulation {
    /// A nation at [`Moment::START`], after two days that nobody sees.
    pub fn new(nation: &Nation, seed: u64) -> Simulation {
        const WARM_UP: u64 = 2 * 24 * 60;
        let places: Vec<_> = Nation::sweden(Nation::REAL_HOSPITALS).hospitals.iter().map(|h| h.position).collect();
        // A week earlier in the calendar, so that weekdays fall right and the surge has not begun.
        let start = Moment(Moment::START.0 + 7 * 24 * 60 - WARM_UP);
        let hospitals = nation.hospitals.iter().map(|h| HospitalState::new(h, seed, start)).collect();
        let mut simulation = Simulation { now: start, surge: Surge::new(seed, &places), hospitals };
        for minute in 0..WARM_UP {
            let now = Moment(start.0 + minute);
            simulation.hospitals.iter_mut().for_each(|h| h.minute(now, 1.0));
        }
        simulation.now = Moment::START;
        simulation
    }

    /// The moment that has been reached.
    pub fn now(&self) -> Moment {
        self.now
    }

    /// Goes on to `moment`; earlier ones are not gone back to.
    pub fn advance_to(&mut self, moment: Moment) {
        while self.now < moment {
            let now = self.now;
            for hospital in &mut self.hospitals {
                let surge = self.surge.factor(hospital.position, now);
                hospital.minute(now, surge);
            }
            self.now = Moment(now.0 + 1);
        }
    }

    /// The counts of a hospital's wards, by roster index; `hospital` counts from zero in the nation's order.
    pub fn counts(&self, nation: &Nation, hospital: usize) -> BTreeMap<u16, Counts> {
        let wards = &nation.hospitals[hospital].wards;
        wards.iter().map(|w| w.index).zip(self.hospitals[hospital].counts()).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(simulation: &Simulation, nation: &Nation) -> Vec<BTreeMap<u16, Counts>> {
        (0..nation.hospitals.len()).map(|h| simulation.counts(nation, h)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn a_seed_repeats_its_numbers_in_steps_of_any_length(seed: u64, cuts in proptest::collection::vec(1u64..600, 1..5)) {
            let nation = Nation::sweden(5);
            let (mut whole, mut stepped) = (Simulation::new(&nation, seed), Simulation::new(&nation, seed));
            let end = Moment(Moment::START.0 + cuts.iter().sum::<u64>());
            whole.advance_to(end);
            for cut in cuts {
                stepped.advance_to(Moment(stepped.now().0 + cut));
            }
            prop_assert_eq!(all(&whole, &nation), all(&stepped, &nation));
        }

        #[test]
        fn beds_bound_the_patients_in_them(seed: u64, days in 1u64..12) {
            let nation = Nation::sweden(4);
            let mut simulation = Simulation::new(&nation, seed);
            simulation.advance_to(Moment(Moment::START.0 + days * 24 * 60));
            for (wards, hospital) in all(&simulation, &nation).iter().zip(&nation.hospitals) {
                for ward in &hospital.wards {
                    let counts = &wards[&ward.index];
                    let over = counts.extra(Extra::OVER_CAPACITY);
                    prop_assert!(counts.staffed <= ward.decided && counts.staffed > 0);
                    prop_assert!(over <= counts.occupied);
                    prop_assert!(counts.occupied - over + counts.extra(Extra::BLOCKED) <= counts.staffed);
                    prop_assert!(counts.occupied <= ward.decided * 3, "{}: {} in {}", ward.id, counts.occupied, ward.decided);
                    for part in [Extra::OUTLYING, Extra::DISCHARGE_READY, Extra::BOARDING, Extra::VENTILATED] {
                        prop_assert!(counts.extra(part) <= counts.occupied);
                    }
                }
            }
        }
    }

    #[test]
    fn a_hospital_is_the_same_in_a_larger_nation() {
        let (few, many) = (Nation::sweden(2), Nation::sweden(30));
        let (mut a, mut b) = (Simulation::new(&few, 3), Simulation::new(&many, 3));
        a.advance_to(Moment(Moment::START.0 + 500));
        b.advance_to(Moment(Moment::START.0 + 500));
        assert_eq!(a.counts(&few, 1), b.counts(&many, 1));
    }

    #[test]
    fn the_whole_country_stays_believable_over_a_week() {
        let nation = Nation::sweden(Nation::REAL_HOSPITALS);
        let mut simulation = Simulation::new(&nation, 1);
        for half_day in 1..=14 {
            simulation.advance_to(Moment(Moment::START.0 + half_day * 12 * 60));
            let everything = all(&simulation, &nation);
            let wards = || {
                everything
                    .iter()
                    .zip(&nation.hospitals)
                    .flat_map(|(c, h)| h.wards.iter().map(move |w| (w, &c[&w.index])))
            };
            let share = |line: fn(Line) -> bool| {
                let (occupied, staffed) = wards()
                    .filter(|(w, _)| line(w.line))
                    .fold((0, 0), |(o, s), (_, c)| (o + u32::from(c.occupied), s + u32::from(c.staffed)));
                f64::from(occupied) / f64::from(staffed)
            };
            let sum = |e| wards().map(|(_, c)| u32::from(c.extra(e))).sum::<u32>();
            assert!((0.75..=1.15).contains(&share(is_general)), "{}", share(is_general));
            assert!((0.55..=1.05).contains(&share(|l| l == Line::Intensive)));
            assert!((0.15..=1.8).contains(&share(|l| l == Line::Emergency)));
            assert!(sum(Extra::OVER_CAPACITY) > 0 && sum(Extra::BLOCKED) > 0 && sum(Extra::DISCHARGE_READY) > 0);
        }
    }
}

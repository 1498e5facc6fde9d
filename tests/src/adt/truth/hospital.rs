//! The model behind the truth: patients and beds, each with one state that changes.
//!
//! In: a [`Plan`]. Out: [`Days`]. It knows none of the rules by which the agent reads messages, and must not.

use std::time::Duration;

use fastrand::Rng;
use vardpuls_shared::clock::Time;

use super::{Days, Group, PLACES, Plan, Spot, Standing, Thread, Told};

/// After more than this nobody takes anything back. The agent remembers a visit that has ended for longer.
pub(super) const A_DAY: u64 = 24 * 3_600_000;

/// Beds of a place.
pub(super) const BEDS: u8 = 6;

#[derive(Debug, Clone)]
pub(super) struct Patient {
    pub(super) thread: usize,
    pub(super) number: String,
    pub(super) class: char,
    pub(super) open: bool,
    pub(super) spot: Option<Spot>,
    pub(super) on_leave: bool,
    pub(super) admitted: Time,
    pub(super) last: Last,
    /// When the last move happened; none after one that was undone.
    pub(super) moved: Option<Time>,
    /// Nothing more of it happens before this.
    pub(super) latest: Time,
    /// When the last leave began or ended.
    pub(super) left: Time,
    /// When something was last told of it.
    pub(super) told_at: Time,
    pub(super) gone: bool,
}

/// What can be undone.
#[derive(Debug, Clone, Copy)]
pub(super) enum Last {
    Nothing,
    Admitted(Time),
    Moved(Time, Option<Spot>),
    Discharged(Time),
}

/// Something that may happen.
type Act = fn(&mut Hospital);

pub(super) struct Hospital {
    pub(super) rng: Rng,
    pub(super) now: Time,
    pub(super) grain: u64,
    pub(super) patients: Vec<Patient>,
    pub(super) beds: Vec<(Spot, usize)>,
    pub(super) numbers: u64,
    pub(super) history: bool,
    pub(super) days: Days,
}

/// Lets days pass.
pub fn simulate(plan: Plan) -> Days {
    let grain = u64::try_from(plan.grain.as_millis()).unwrap_or(1).max(1);
    let from = Time(plan.from.0 / grain * grain);
    let to = from.plus(Duration::from_hours(24 * plan.days));
    let mut hospital = Hospital {
        rng: Rng::with_seed(plan.seed),
        now: from,
        grain,
        patients: Vec::new(),
        beds: Vec::new(),
        numbers: 0,
        history: plan.history,
        days: Days { from, to, ..Days::default() },
    };
    let gap = A_DAY / plan.a_day.max(1);
    loop {
        // Now and then two things are written down in the same moment.
        let renumbered = hospital.days.told.last().is_some_and(|told| told.groups.iter().any(|g| g.before.is_some()));
        if renumbered || hospital.rng.u8(0..20) > 0 {
            hospital.now.0 += (hospital.rng.u64(0..2 * gap) / grain).max(1) * grain;
        }
        if hospital.now >= to {
            return hospital.days;
        }
        hospital.act();
    }
}

impl Hospital {
    fn act(&mut self) {
        let open = self.patients.iter().filter(|p| p.open && p.class == 'I').count();
        let (come, go) = if open < 20 { (24, 10) } else { (12, 20) };
        let acts: [(u32, Act); 17] = [
            (come, Hospital::admit),
            (go, Hospital::discharge),
            (18, Hospital::transfer),
            (8, Hospital::undo),
            (3, Hospital::swap),
            (3, Hospital::renumber),
            (3, Hospital::merge),
            (6, Hospital::leave),
            (8, Hospital::note),
            (4, Hospital::correct),
            (2, Hospital::change_class),
            (3, Hospital::enter_history),
            (3, Hospital::become_outpatient),
            (4, Hospital::become_inpatient),
            (6, Hospital::bed),
            (10, Hospital::noise),
            (2, Hospital::admit_nowhere),
        ];
        let mut at = self.rng.u32(0..acts.iter().map(|(weight, _)| weight).sum());
        for (weight, act) in acts {
            if at < weight {
                return act(self);
            }
            at -= weight;
        }
    }

    /// A free bed, or a corridor.
    pub(super) fn anywhere(&mut self) -> Spot {
        let place = self.rng.usize(0..PLACES.len());
        let taken = |bed| self.patients.iter().any(|p| p.open && p.spot == Some(Spot { place, bed: Some(bed) }));
        let bed = (0..BEDS).find(|bed| !taken(*bed)).filter(|_| self.rng.u8(0..8) > 0);
        Spot { place, bed }
    }

    pub(super) fn new_number(&mut self) -> String {
        self.numbers += 1;
        format!("V{}", 1000 + self.numbers)
    }

    /// A time at which something of a patient may have happened that is written down now.
    pub(super) fn happened(&mut self, who: usize) -> Time {
        let earliest = self.patients[who].latest.0.max(self.now.0.saturating_sub(90 * 60_000));
        let late = if self.rng.bool() { 0 } else { self.rng.u64(0..=self.now.0 - earliest) };
        Time((self.now.0 - late) / self.grain * self.grain).max(Time(earliest))
    }

    pub(super) fn pick(&mut self, fits: impl Fn(&Patient) -> bool) -> Option<usize> {
        let fitting: Vec<usize> =
            (0..self.patients.len()).filter(|n| !self.patients[*n].gone && fits(&self.patients[*n])).collect();
        (!fitting.is_empty()).then(|| fitting[self.rng.usize(0..fitting.len())])
    }

    pub(super) fn begin(&mut self) -> usize {
        let thread = self.new_thread();
        let number = self.new_number();
        self.patients.push(Patient {
            thread,
            number,
            class: 'I',
            open: false,
            spot: None,
            on_leave: false,
            admitted: self.now,
            last: Last::Nothing,
            moved: None,
            latest: Time(0),
            left: Time(0),
            told_at: self.now,
            gone: false,
        });
        self.patients.len() - 1
    }

    pub(super) fn new_thread(&mut self) -> usize {
        self.days.threads.push(Thread { stood: vec![Standing::default()], told: Vec::new() });
        self.days.threads.len() - 1
    }

    pub(super) fn group(&self, who: usize, prior: Option<Spot>) -> Group {
        let p = &self.patients[who];
        let (number, class) = (p.number.clone(), p.class);
        let ended = match p.last {
            Last::Discharged(at) if !p.open => Some(at),
            _ => None,
        };
        Group { number, before: None, class, spot: p.spot, prior, admitted: Some(p.admitted), ended }
    }

    pub(super) fn tell(&mut self, trigger: &'static str, happened: Time, who: &[usize], groups: Vec<Group>) {
        let threads: Vec<usize> = who.iter().map(|n| self.patients[*n].thread).collect();
        for &n in who {
            let p = &mut self.patients[n];
            // A note says how things are, not since when; and of a visit that has ended it says nothing.
            if trigger != "A08" || p.open {
                p.told_at = self.now;
            }
            if trigger != "A08" {
                p.latest = p.latest.max(happened);
            }
            let spot = p.spot.filter(|_| p.open && p.class == 'I' && !p.gone);
            let standing = Standing { spot, on_leave: p.open && p.class == 'I' && p.on_leave, blocked: None };
            let thread = &mut self.days.threads[p.thread];
            thread.stood.push(standing);
            thread.told.push(self.days.told.len());
        }
        // A class that does not count is not kept of a visit that nobody knows.
        let (at, misleads) = (self.now, matches!(trigger, "A12" | "A42") || groups.iter().any(|g| g.class == 'R'));
        self.days.told.push(Told { at, happened, trigger, groups, bed: None, threads, misleads });
    }
}

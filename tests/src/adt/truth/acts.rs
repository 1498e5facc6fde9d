//! What may happen in the simulated hospital, one function each: it changes the model and tells of it.

use super::hospital::{A_DAY, BEDS, Hospital, Last, Patient};
use super::{Group, PLACES, Spot, Standing, Told};
use vardpuls_shared::clock::Time;

impl Hospital {
    pub(super) fn admit(&mut self) {
        let spot = Some(self.anywhere());
        self.admit_to(spot);
    }

    pub(super) fn admit_nowhere(&mut self) {
        self.admit_to(None);
    }

    pub(super) fn admit_to(&mut self, spot: Option<Spot>) {
        // Somebody whose admission was cancelled may come after all.
        let again = self.pick(|p| !p.open && matches!(p.last, Last::Nothing) && p.class == 'I');
        let who = again.filter(|_| self.rng.bool()).unwrap_or_else(|| self.begin());
        let happened = self.happened(who);
        let p = &mut self.patients[who];
        (p.open, p.spot, p.on_leave, p.admitted) = (true, spot, false, happened);
        (p.last, p.moved) = (Last::Admitted(happened), spot.map(|_| happened));
        let group = self.group(who, None);
        self.tell("A01", happened, &[who], vec![group]);
    }

    pub(super) fn discharge(&mut self) {
        let Some(who) = self.pick(|p| p.open && p.class == 'I') else { return };
        let happened = self.happened(who);
        let p = &mut self.patients[who];
        (p.open, p.last) = (false, Last::Discharged(happened));
        let group = self.group(who, None);
        self.tell("A03", happened, &[who], vec![group]);
    }

    pub(super) fn transfer(&mut self) {
        let Some(who) = self.pick(|p| p.open && p.class == 'I') else { return };
        let (spot, happened) = (self.anywhere(), self.happened(who));
        let p = &mut self.patients[who];
        let prior = p.spot.replace(spot);
        (p.last, p.moved) = (Last::Moved(happened, prior), Some(happened));
        let group = self.group(who, prior);
        self.tell("A02", happened, &[who], vec![group]);
    }

    /// Takes back the last admission, transfer or discharge.
    pub(super) fn undo(&mut self) {
        let a_day_ago = Time(self.now.0 - A_DAY);
        let Some(who) = self.pick(|p| !matches!(p.last, Last::Nothing) && p.told_at > a_day_ago) else { return };
        let elsewhere = (self.rng.u8(0..4) == 0).then(|| self.anywhere());
        let p = &mut self.patients[who];
        let (trigger, happened) = match std::mem::replace(&mut p.last, Last::Nothing) {
            // Where nothing was said of the place before, there is none to go back to.
            Last::Nothing | Last::Moved(_, None) => return,
            Last::Admitted(at) => {
                p.open = false;
                ("A11", at)
            }
            Last::Moved(at, prior) => {
                p.spot = prior;
                ("A12", at)
            }
            Last::Discharged(at) => {
                p.open = true;
                p.spot = elsewhere.or(p.spot);
                ("A13", at)
            }
        };
        p.moved = None;
        let group = self.group(who, None);
        self.tell(trigger, happened, &[who], vec![group]);
        // What takes its place may have happened before what was undone.
        let p = &mut self.patients[who];
        p.latest = if p.open { p.admitted.max(p.left) } else { Time(0) };
    }

    pub(super) fn swap(&mut self) {
        let inpatient = |p: &Patient| p.open && p.class == 'I' && p.spot.is_some();
        let Some(one) = self.pick(inpatient) else { return };
        let thread = self.patients[one].thread;
        let Some(other) = self.pick(|p| inpatient(p) && p.thread != thread) else { return };
        let happened = self.happened(one).max(self.happened(other));
        let (a, b) = (self.patients[one].spot, self.patients[other].spot);
        for (who, spot) in [(one, b), (other, a)] {
            let p = &mut self.patients[who];
            (p.spot, p.last, p.moved) = (spot, Last::Nothing, Some(happened));
        }
        let groups = vec![self.group(one, a), self.group(other, b)];
        self.tell("A17", happened, &[one, other], groups);
    }

    /// Of a change of number that is told in the moment of something else nobody can say which came first.
    pub(super) fn is_tied(&self) -> bool {
        self.days.told.last().is_some_and(|told| told.at == self.now)
    }

    /// The visit goes by another number from now on.
    pub(super) fn renumber(&mut self) {
        if self.is_tied() {
            return;
        }
        let Some(who) = self.pick(|p| p.open && p.class == 'I' && p.spot.is_some()) else { return };
        let number = self.new_number();
        let before = std::mem::replace(&mut self.patients[who].number, number);
        let group = Group { before: Some(before), ..self.group(who, None) };
        let trigger = ["A45", "A50"][self.rng.usize(0..2)];
        self.tell(trigger, self.now, &[who], vec![group]);
    }

    /// Two visits turn out to be one; the first one's number goes.
    pub(super) fn merge(&mut self) {
        if self.is_tied() {
            return;
        }
        let Some(stays) = self.pick(|p| p.open && p.class == 'I' && p.spot.is_some()) else { return };
        let thread = self.patients[stays].thread;
        let Some(goes) = self.pick(|p| p.thread != thread && p.class == 'I') else { return };
        let before = self.patients[goes].number.clone();
        (self.patients[goes].open, self.patients[goes].gone) = (false, true);
        let group = Group { before: Some(before), ..self.group(stays, None) };
        self.tell("A42", self.now, &[stays, goes], vec![group]);
    }

    pub(super) fn leave(&mut self) {
        let Some(who) = self.pick(|p| p.open && p.class == 'I') else { return };
        let happened = self.happened(who);
        let p = &mut self.patients[who];
        (p.on_leave, p.left) = (!p.on_leave, happened);
        let trigger = if p.on_leave { "A21" } else { "A22" };
        let group = self.group(who, None);
        self.tell(trigger, happened, &[who], vec![group]);
    }

    pub(super) fn note(&mut self) {
        let a_day_ago = Time(self.now.0 - A_DAY);
        let known = |p: &Patient| p.open || matches!(p.last, Last::Discharged(_)) || p.told_at > a_day_ago;
        let Some(who) = self.pick(|p| p.spot.is_some() && known(p)) else { return };
        let group = self.group(who, None);
        self.tell("A08", self.now, &[who], vec![group]);
        // Of a visit that has ended it does not say so where the admission was cancelled.
        if !self.patients[who].open {
            self.misleads();
        }
    }

    /// The place was wrong.
    pub(super) fn correct(&mut self) {
        let Some(who) = self.pick(|p| p.open && p.class == 'I' && p.spot.is_some()) else { return };
        let spot = self.anywhere();
        let p = &mut self.patients[who];
        (p.spot, p.last) = (Some(spot), Last::Nothing);
        let group = self.group(who, None);
        self.tell("A08", self.now, &[who], vec![group]);
        self.misleads();
    }

    /// The class was wrong, or was right after all.
    pub(super) fn change_class(&mut self) {
        let Some(who) = self.pick(|p| p.open && p.spot.is_some() && matches!(p.class, 'I' | 'R')) else { return };
        let p = &mut self.patients[who];
        (p.class, p.last) = (if p.class == 'I' { 'R' } else { 'I' }, Last::Nothing);
        let group = self.group(who, None);
        self.tell("A08", self.now, &[who], vec![group]);
        self.misleads();
    }

    /// Marks the last message.
    pub(super) fn misleads(&mut self) {
        self.days.told.last_mut().expect("told a moment ago").misleads = true;
    }

    /// A move of which nobody had told, before the last one: the patient stays where they are.
    pub(super) fn enter_history(&mut self) {
        let history = self.history;
        let Some(who) = self.pick(|p| history && p.open && p.class == 'I' && p.moved.is_some()) else { return };
        let (spot, moved) = (self.anywhere(), self.patients[who].moved.expect("picked for it"));
        let happened = Time(moved.0 - self.rng.u64(1..10) * self.grain);
        let group = Group { spot: Some(spot), ..self.group(who, None) };
        self.tell("A02", happened, &[who], vec![group]);
        self.misleads();
        self.patients[who].last = Last::Nothing;
    }

    pub(super) fn become_outpatient(&mut self) {
        let Some(who) = self.pick(|p| p.open && p.class == 'I') else { return };
        let happened = self.happened(who);
        let p = &mut self.patients[who];
        (p.class, p.last, p.on_leave) = ('O', Last::Nothing, false);
        let group = self.group(who, None);
        self.tell("A07", happened, &[who], vec![group]);
    }

    pub(super) fn become_inpatient(&mut self) {
        let outpatient = self.pick(|p| p.class == 'O');
        let who = outpatient.filter(|_| self.rng.bool()).unwrap_or_else(|| self.begin());
        let (spot, happened) = (self.anywhere(), self.happened(who));
        // The number may change with it.
        let number = (!self.is_tied() && self.rng.u8(0..3) == 0).then(|| self.new_number());
        let p = &mut self.patients[who];
        let before = number.map(|number| std::mem::replace(&mut p.number, number));
        (p.class, p.open, p.spot, p.admitted) = ('I', true, Some(spot), happened);
        (p.last, p.moved) = (Last::Nothing, Some(happened));
        let group = Group { before, ..self.group(who, None) };
        self.tell("A06", happened, &[who], vec![group]);
    }

    pub(super) fn bed(&mut self) {
        let spot = Spot { place: self.rng.usize(0..PLACES.len()), bed: Some(self.rng.u8(0..BEDS)) };
        let state = ['C', 'H', 'I', 'K', 'O', 'U', 'U'][self.rng.usize(0..7)];
        let known = self.beds.iter().find(|(bed, _)| *bed == spot).map(|(_, thread)| *thread);
        let thread = known.unwrap_or_else(|| {
            let thread = self.new_thread();
            self.beds.push((spot, thread));
            thread
        });
        let blocked = matches!(state, 'C' | 'H' | 'I' | 'K').then_some(spot);
        self.days.threads[thread].stood.push(Standing { blocked, ..Standing::default() });
        self.days.threads[thread].told.push(self.days.told.len());
        let (at, threads) = (self.now, vec![thread]);
        let bed = Some((spot, state));
        self.days.told.push(Told {
            at,
            happened: at,
            trigger: "A20",
            groups: Vec::new(),
            bed,
            threads,
            misleads: false,
        });
    }

    /// What moves nobody: pending events, tracking, registrations, persons, results.
    pub(super) fn noise(&mut self) {
        const TRIGGERS: [&str; 16] = [
            "A04", "A05", "A09", "A10", "A14", "A15", "A16", "A25", "A26", "A27", "A28", "A31", "A38", "A40", "A60",
            "R01",
        ];
        let trigger = TRIGGERS[self.rng.usize(0..TRIGGERS.len())];
        let (spot, prior) = (Some(self.anywhere()), None);
        let (number, class) = match self.pick(|_| true) {
            Some(who) if !matches!(trigger, "A04" | "A05") => (self.patients[who].number.clone(), 'I'),
            _ => (self.new_number(), 'O'),
        };
        let group = Group { number, before: None, class, spot, prior, admitted: None, ended: None };
        self.tell(trigger, self.now, &[], vec![group]);
    }
}

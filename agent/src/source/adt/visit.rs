//! One visit: what was said of it, and where that puts the patient.
//!
//! In: statements, in any order, each any number of times. Out: a [`Standing`], now or as of a time. Pure.
//!
//! # How statements are ordered
//! A visit keeps its statements in the order in which they were written down (EVN-2, then MSH-7; of equals the one that
//! came first), and its standing is a fold over them: so the order of arrival makes no difference.
//!
//! - A later statement replaces an earlier one, unless both say when it happened (EVN-6) and the later written happened
//!   earlier: then it is history, and changes nothing now.
//! - A cancellation says how things are once something is undone (its EVN-6 is the time of what is undone), so that it
//!   replaces whatever was written before it.
//! - A note (A08) says where the patient is, not that anything changed: it gives the place until the next move that was
//!   written later, whenever that happened.
//! - Whether a visit is open is folded apart from its place: only an admission or a cancelled discharge opens it again.
//!   A move or a note that comes late cannot revive it.
//! - Who is admitted again begins anew: place, class and leave of the time before are over.
//! - A visit that takes over another number takes over what was said under it; unless it had a life of its own before
//!   that (two visits turn out to be one): then its own life goes on.
//!
//! # Where a patient was before
//! [`Visit::at`] answers for a time in the past, because a snapshot of another source is compared with what this one
//! knew *then*. A visit whose first statement is no admission was there already before it: the statement says where.
//! Likewise the first move, leave or discharge after that time corrects what a lost message would have told. A note does
//! not: it may itself be the correction.

use vardpuls_shared::clock::Time;

use super::event::{Act, Class, When};

/// How many statements a visit keeps; beyond, one goes that does not matter now: of those notes first, then the oldest.
pub const MAX_STATEMENTS: usize = 64;

/// A place's number in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlaceNumber(pub u16);

/// A place, and a bed in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Berth {
    /// The place.
    pub place: PlaceNumber,
    /// The bed's digest.
    pub bed: Option<u64>,
}

/// One statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement {
    /// What happened.
    pub act: Act,
    /// When.
    pub when: When,
    /// From when on it counts for this visit: when it was written down, or when the visit took it over from another number.
    pub since: Time,
    /// The patient class.
    pub class: Option<Class>,
    /// The place.
    pub berth: Option<Berth>,
    /// The place before.
    pub prior: Option<PlaceNumber>,
}

impl Statement {
    fn opens(&self) -> bool {
        matches!(self.act, Act::Admit | Act::CancelDischarge)
    }

    fn is_move(&self) -> bool {
        matches!(self.act, Act::Admit | Act::Transfer)
    }
}

/// Where a visit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Whether the patient is admitted.
    pub open: bool,
    /// In which class.
    pub class: Option<Class>,
    /// Where.
    pub berth: Option<Berth>,
    /// Away for a while; the bed stays the patient's.
    pub on_leave: bool,
}

/// One visit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Visit {
    /// By the time they were written down.
    statements: Vec<Statement>,
    /// When it began (PV1-44).
    pub admitted: Option<Time>,
    /// When something was last heard of it, by our clock.
    pub touched: Time,
    /// The number that it goes by from a time on.
    pub renumbered: Option<(Time, super::secret::Key)>,
}

impl Visit {
    /// What was said of it.
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// Takes one statement; false where it is known.
    pub fn take(&mut self, statement: Statement) -> bool {
        if self.statements.contains(&statement) {
            return false;
        }
        let order = |s: &Statement| (s.when.recorded, s.when.sent);
        let at = self.statements.partition_point(|s| order(s) <= order(&statement));
        self.statements.insert(at, statement);
        if self.statements.len() > MAX_STATEMENTS {
            let spare = self.spare();
            self.statements.remove(spare);
        }
        true
    }

    /// The statement that can best be spared.
    fn spare(&self) -> usize {
        let now = self.now();
        let matters = |n: &usize| {
            let mut without = self.clone();
            without.statements.remove(*n);
            without.now() != now
        };
        let is_note = |n: &usize| self.statements[*n].act == Act::Note;
        let all = || 0..self.statements.len();
        let mut notes_first = all().filter(is_note).chain(all().filter(|n| !is_note(n)));
        notes_first.find(|n| !matters(n)).unwrap_or(0)
    }

    /// Where it stands now.
    pub fn now(&self) -> Standing {
        if self.renumbered.is_some() { Standing::default() } else { fold(self.counting()) }
    }

    /// Where it stood at a time.
    pub fn at(&self, time: Time) -> Standing {
        if self.renumbered.is_some_and(|(since, _)| since <= time) {
            return Standing::default();
        }
        let then = || self.counting().filter(|s| s.since <= time);
        if then().next().is_none() {
            return self.before_anything(time);
        }
        let known = fold(then());
        let later = self.counting().find(|s| s.since > time).filter(|later| {
            let is_history = || then().any(|held| held.is_move() && happened_before(later, held));
            known.open && later.since == later.when.recorded && later.act != Act::Note && !is_history()
        });
        match later.and_then(place_before) {
            // A move that was never told of came between; what came after it says where it led.
            Some(berth) if known.berth.is_none_or(|b| b.place != berth.place) => {
                Standing { berth: Some(berth), ..known }
            }
            _ => known,
        }
    }

    /// What counts of what was said: what was taken over from another number only where there was no life before that.
    pub(super) fn counting(&self) -> impl Iterator<Item = &Statement> {
        let own = self.statements.iter().find(|s| s.since == s.when.recorded).map(|s| s.since);
        self.statements.iter().filter(move |s| s.since == s.when.recorded || own.is_none_or(|own| own >= s.since))
    }

    /// What does not count of what was said.
    pub(super) fn moot(&self) -> impl Iterator<Item = Statement> {
        self.statements.iter().filter(|s| self.counting().all(|counts| counts != *s)).copied()
    }

    /// Lets go of what was taken over and does not count where it came from; whether anything went.
    pub(super) fn let_go(&mut self, moot: &[Statement]) -> bool {
        let held = self.statements.len();
        self.statements
            .retain(|s| s.since == s.when.recorded || !moot.iter().any(|m| Statement { since: s.since, ..*m } == *s));
        self.statements.len() < held
    }

    /// Where it stood before the first statement that we have.
    fn before_anything(&self, time: Time) -> Standing {
        let Some(first) = self.counting().next() else { return Standing::default() };
        if self.admitted.is_some_and(|at| at > time) || self.counting().any(|s| s.since != s.when.recorded) {
            return Standing::default();
        }
        let berth = place_before(first);
        // A visit that ends as an outpatient's was none before.
        let class = first.class.filter(|_| first.act != Act::EndInpatient);
        Standing { open: berth.is_some(), class, berth, on_leave: false }
    }
}

/// Where a patient was just before what a statement says, as far as it tells.
fn place_before(statement: &Statement) -> Option<Berth> {
    match statement.act {
        Act::Admit | Act::CancelDischarge | Act::CancelTransfer => None,
        Act::Transfer => statement.prior.map(|place| Berth { place, bed: None }),
        Act::CancelAdmit | Act::Discharge | Act::EndInpatient | Act::Leave | Act::Return | Act::Note => statement.berth,
    }
}

/// Whether both say when they happened, and `one` happened before `other`.
fn happened_before(one: &Statement, other: &Statement) -> bool {
    one.when.happened.zip(other.when.happened).is_some_and(|(one, other)| one < other)
}

fn fold<'s>(statements: impl Iterator<Item = &'s Statement>) -> Standing {
    let mut life: Option<&Statement> = None;
    let mut place: Option<&Statement> = None;
    let mut note: Option<&Statement> = None;
    let mut class: Option<&Statement> = None;
    let mut leave: Option<&Statement> = None;
    for s in statements {
        match s.act {
            Act::Admit => {
                let was_closed = life.is_some_and(|s| !s.opens());
                if replace(&mut life, s) && was_closed {
                    (place, note, class, leave) = (None, None, None, None);
                }
            }
            Act::Discharge | Act::EndInpatient => {
                replace(&mut life, s);
            }
            Act::CancelAdmit | Act::CancelDischarge => life = Some(s),
            Act::Leave | Act::Return => {
                replace(&mut leave, s);
            }
            Act::Transfer | Act::CancelTransfer | Act::Note => {}
        }
        if s.berth.is_some() {
            match s.act {
                Act::Admit | Act::Transfer => {
                    if replace(&mut place, s) {
                        note = None;
                    }
                }
                Act::CancelTransfer | Act::CancelDischarge => (place, note) = (Some(s), None),
                Act::Note | Act::Leave | Act::Return => note = Some(s),
                // Where the patient was; no news.
                Act::Discharge | Act::EndInpatient | Act::CancelAdmit => {}
            }
        }
        if s.class.is_some() {
            match s.act {
                Act::Admit | Act::Transfer | Act::EndInpatient => {
                    replace(&mut class, s);
                }
                _ => class = Some(s),
            }
        }
    }
    let open = life.is_none_or(Statement::opens);
    let berth = note.or(place).and_then(|s| s.berth);
    let on_leave = open && leave.is_some_and(|s| s.act == Act::Leave);
    Standing { open: open && (berth.is_some() || life.is_some()), class: class.and_then(|s| s.class), berth, on_leave }
}

/// Puts `later` in the place of `held`, unless it is history; whether it did.
fn replace<'s>(held: &mut Option<&'s Statement>, later: &'s Statement) -> bool {
    let undone = |s: &Statement| matches!(s.act, Act::CancelAdmit | Act::CancelTransfer | Act::CancelDischarge);
    let history = held.is_some_and(|held| !undone(held) && happened_before(later, held));
    if !history {
        *held = Some(later);
    }
    !history
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A statement written down at `recorded`; places are numbers.
    fn said(act: Act, recorded: u64, place: Option<u16>) -> Statement {
        let when = When { happened: None, recorded: Time(recorded), sent: Time(recorded) };
        let berth = place.map(|n| Berth { place: PlaceNumber(n), bed: None });
        Statement { act, when, since: Time(recorded), class: Class::new(b"I"), berth, prior: None }
    }

    fn happened(at: u64, statement: Statement) -> Statement {
        Statement { when: When { happened: Some(Time(at)), ..statement.when }, ..statement }
    }

    fn visit(statements: &[Statement]) -> Visit {
        let mut visit = Visit::default();
        for s in statements {
            visit.take(*s);
        }
        visit
    }

    fn place(standing: Standing) -> Option<u16> {
        standing.berth.filter(|_| standing.open).map(|b| b.place.0)
    }

    #[test]
    fn a_move_that_comes_late_revives_nobody() {
        let mut v = visit(&[said(Act::Admit, 1, Some(1)), said(Act::Discharge, 9, Some(1))]);
        v.take(said(Act::Transfer, 5, Some(2)));
        v.take(said(Act::Note, 12, Some(2)));
        assert_eq!(place(v.now()), None);
        v.take(said(Act::CancelDischarge, 13, Some(3)));
        assert_eq!(place(v.now()), Some(3));
    }

    #[test]
    fn a_transfer_written_down_late_moves_though_a_note_came_between() {
        let v = visit(&[
            happened(1, said(Act::Admit, 1, Some(1))),
            said(Act::Note, 120, Some(1)),
            happened(110, said(Act::Transfer, 125, Some(2))),
        ]);
        assert_eq!(place(v.now()), Some(2));
        assert_eq!(place(v.at(Time(122))), Some(1));
    }

    #[test]
    fn history_written_down_later_changes_nothing_now() {
        let v = visit(&[
            happened(1, said(Act::Admit, 1, Some(1))),
            happened(20, said(Act::Transfer, 21, Some(2))),
            happened(10, said(Act::Transfer, 30, Some(3))),
        ]);
        assert_eq!(place(v.now()), Some(2));
    }

    #[test]
    fn a_cancelled_transfer_can_be_made_again_at_an_earlier_time() {
        let v = visit(&[
            happened(1, said(Act::Admit, 1, Some(1))),
            happened(20, said(Act::Transfer, 21, Some(2))),
            happened(20, said(Act::CancelTransfer, 25, Some(1))),
        ]);
        assert_eq!(place(v.now()), Some(1));
        let mut v = v;
        v.take(happened(15, said(Act::Transfer, 26, Some(3))));
        assert_eq!(place(v.now()), Some(3));
    }

    #[test]
    fn who_is_first_heard_of_in_the_middle_was_there_before() {
        let transfer = Statement { prior: Some(PlaceNumber(1)), ..said(Act::Transfer, 50, Some(2)) };
        let v = visit(&[transfer]);
        assert_eq!((place(v.at(Time(40))), place(v.now())), (Some(1), Some(2)));
        let v = visit(&[said(Act::Discharge, 50, Some(1))]);
        assert_eq!((place(v.at(Time(40))), place(v.now())), (Some(1), None));
        let v = visit(&[said(Act::Admit, 50, Some(1))]);
        assert_eq!((place(v.at(Time(40))), place(v.now())), (None, Some(1)));
        let mut v = visit(&[said(Act::Discharge, 50, Some(1))]);
        v.admitted = Some(Time(45));
        assert_eq!(place(v.at(Time(40))), None);
    }

    #[test]
    fn who_is_admitted_again_begins_anew() {
        let mut v = visit(&[
            happened(10, said(Act::Admit, 10, Some(1))),
            said(Act::Leave, 11, Some(1)),
            happened(10, said(Act::CancelAdmit, 12, Some(1))),
            said(Act::Note, 13, Some(1)),
        ]);
        v.take(happened(5, said(Act::Admit, 14, Some(2))));
        assert_eq!((place(v.now()), v.now().on_leave), (Some(2), false));
        v.take(happened(5, said(Act::CancelAdmit, 15, Some(2))));
        v.take(said(Act::Admit, 16, None));
        assert_eq!((v.now().open, v.now().berth), (true, None));
    }

    #[test]
    fn a_note_after_a_snapshot_is_no_word_about_the_time_before_it() {
        let v = visit(&[said(Act::Admit, 1, Some(1)), said(Act::Note, 9, Some(2))]);
        assert_eq!((place(v.at(Time(5))), place(v.now())), (Some(1), Some(2)));
        // A move that was lost, though, is told of by what follows.
        let v = visit(&[said(Act::Admit, 1, Some(1)), said(Act::Discharge, 9, Some(2))]);
        assert_eq!(place(v.at(Time(5))), Some(2));
    }

    #[test]
    fn a_visit_that_takes_over_another_goes_on_with_its_own_life() {
        let taken_over = |s: Statement| Statement { since: Time(20), ..s };
        let other = [said(Act::Admit, 2, Some(3)), said(Act::Discharge, 12, Some(3))].map(taken_over);
        let own = [said(Act::Admit, 1, Some(1)), said(Act::Note, 20, Some(1))];
        assert_eq!(place(visit(&[own[0], own[1], other[0], other[1]]).now()), Some(1));
        // Without a life of its own it is the other visit under a new number.
        let v = visit(&[taken_over(said(Act::Admit, 2, Some(3))), said(Act::Note, 20, Some(3))]);
        assert_eq!(place(v.now()), Some(3));
        assert!(!visit(&[own[1], other[0], other[1]]).now().open);
    }

    #[test]
    fn what_is_let_go_of_changes_nothing_now() {
        let mut v = visit(&[said(Act::Admit, 1, Some(1)), said(Act::Leave, 2, Some(1)), said(Act::Note, 3, Some(2))]);
        for n in 0..u64::try_from(MAX_STATEMENTS).expect("few") * 2 {
            let before = v.now();
            v.take(said(Act::Transfer, 10 + 2 * n, None));
            assert_eq!(v.now(), before);
        }
        assert_eq!((v.statements().len(), place(v.now()), v.now().on_leave), (MAX_STATEMENTS, Some(2), true));
    }

    #[test]
    fn leave_keeps_the_bed() {
        let mut v = visit(&[said(Act::Admit, 1, Some(1)), said(Act::Leave, 2, Some(1))]);
        assert!(v.now().on_leave);
        assert_eq!(place(v.now()), Some(1));
        v.take(said(Act::Return, 3, None));
        assert!(!v.now().on_leave);
    }

    fn statement() -> impl Strategy<Value = Statement> {
        let acts = prop::sample::select(vec![
            Act::Admit,
            Act::Transfer,
            Act::Discharge,
            Act::EndInpatient,
            Act::CancelAdmit,
            Act::CancelTransfer,
            Act::CancelDischarge,
            Act::Leave,
            Act::Return,
            Act::Note,
        ]);
        (acts, prop::option::of(0u64..50), prop::option::of(0u16..4)).prop_map(|(act, at, place)| {
            let s = said(act, 0, place);
            Statement { when: When { happened: at.map(Time), ..s.when }, ..s }
        })
    }

    proptest! {
        #[test]
        fn neither_order_nor_repetition_makes_a_difference(
            statements in prop::collection::vec(statement(), 0..MAX_STATEMENTS),
            again in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
            shuffle in any::<u64>(),
            then in 0u64..40,
        ) {
            // Times differ, as they do inside a visit.
            let distinct: Vec<Statement> = (0..).zip(statements).map(|(n, s)| {
                let time = Time(n);
                Statement { when: When { recorded: time, sent: time, ..s.when }, since: time, ..s }
            }).collect();
            let one = visit(&distinct);
            let mut other = Visit::default();
            let mut order = distinct.clone();
            if !order.is_empty() {
                order.extend(again.iter().map(|i| distinct[i.index(distinct.len())]));
            }
            fastrand::Rng::with_seed(shuffle).shuffle(&mut order);
            for s in order {
                other.take(s);
            }
            prop_assert_eq!(one.now(), other.now());
            prop_assert_eq!(one.at(Time(then)), other.at(Time(then)));
            prop_assert_eq!(&one, &other);
        }
    }
}

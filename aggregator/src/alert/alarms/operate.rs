//! What operators do to the alarms, and what ends by itself: shelves and drills.

use vardpuls_shared::alert::{AlertId, State, Status};
use vardpuls_shared::clock::Time;
use vardpuls_shared::topic::Scope;

use super::{Alarms, At};
use crate::alert::command::{Command, Declined, LONGEST_EXERCISE, LONGEST_SHELF};
use crate::alert::entry::{Act, Actor, Entry, PointKey};
use crate::live::Live;

impl Alarms {
    /// Carries out a command. The entries are among the next news as well.
    pub fn operate(
        &mut self,
        command: &Command,
        operator: &str,
        why: Option<String>,
        live: &Live,
        now: Time,
    ) -> Result<Vec<Entry>, Declined> {
        let reasoned = |act: Act| if why.is_some() { Ok(act) } else { Err(Declined::NoReason) };
        let book = &self.book;
        let act = match command {
            Command::Acknowledge(alarm) => match book.alarm(alarm).map(|alarm| alarm.acknowledged_at) {
                None => return Err(Declined::NoSuchAlarm(alarm.clone())),
                Some(Some(_)) => return Err(Declined::AlreadyAcknowledged(alarm.clone())),
                Some(None) => Act::Acknowledged { alarm: alarm.clone() },
            },
            Command::Comment(alarm) => {
                book.alarm(alarm).ok_or_else(|| Declined::NoSuchAlarm(alarm.clone()))?;
                reasoned(Act::Commented { alarm: alarm.clone() })?
            }
            Command::Shelve(point, until) => {
                self.point_exists(point, live)?;
                if *until <= now || until.since(now) > LONGEST_SHELF {
                    return Err(Declined::ShelfTime);
                }
                reasoned(Act::Shelved { point: point.clone(), until: *until })?
            }
            Command::Unshelve(point) if !book.shelved().contains_key(point) => {
                return Err(Declined::NotShelved(point.clone()));
            }
            Command::Unshelve(point) => Act::Unshelved { point: point.clone() },
            Command::RemoveFromService(point) => {
                self.point_exists(point, live)?;
                if book.out_of_service().contains(point) {
                    return Err(Declined::OutOfService(point.clone()));
                }
                reasoned(Act::RemovedFromService { point: point.clone() })?
            }
            Command::ReturnToService(point) if !book.out_of_service().contains(point) => {
                return Err(Declined::InService(point.clone()));
            }
            Command::ReturnToService(point) => Act::ReturnedToService { point: point.clone() },
            Command::Declare(scope, level) => {
                let exists = match scope {
                    Scope::Nation => true,
                    Scope::Region(code) => live.region_codes().contains(code),
                    Scope::Hospital(id) => live.hospital_index(id).and_then(|at| live.hospital_at(at)).is_some(),
                };
                if !exists {
                    return Err(Declined::NoSuchScope(scope.clone()));
                }
                if let Some(level) = level.filter(|level| !level.fits(scope)) {
                    return Err(Declined::Unfitting { level, scope: scope.clone() });
                }
                if book.declared().get(scope).map(|declaration| declaration.level) == *level {
                    return Err(Declined::Unchanged(scope.clone()));
                }
                reasoned(Act::Declared { scope: scope.clone(), level: *level })?
            }
            Command::BeginExercise { name, until } => {
                if let Some(exercise) = book.exercise() {
                    return Err(Declined::ExerciseOn(exercise.name.clone()));
                }
                if name.trim().is_empty() || *until <= now || until.since(now) > LONGEST_EXERCISE {
                    return Err(Declined::ExerciseTime);
                }
                Act::ExerciseBegan { name: name.clone(), until: *until }
            }
            Command::EndExercise => {
                let by = Actor::Operator(operator.to_owned());
                return self.end_exercise(by, why, live, now);
            }
            Command::RaiseInExercise { rule, target } => {
                let point = PointKey { rule: rule.clone(), target: target.clone() };
                self.raise_in_exercise(&point, live, now)?
            }
        };
        let from = self.entries.len();
        self.write_by(Actor::Operator(operator.to_owned()), act, why, now);
        self.suppress(now);
        Ok(self.entries[from..].to_vec())
    }

    fn point_exists(&self, point: &PointKey, live: &Live) -> Result<At, Declined> {
        self.find(point, live).ok_or_else(|| Declined::NoSuchPoint(point.clone()))
    }

    fn raise_in_exercise(&self, point: &PointKey, live: &Live, now: Time) -> Result<Act, Declined> {
        let exercise = self.book.exercise().ok_or(Declined::NoExercise)?;
        let at = self.point_exists(point, live)?;
        let place = Self::place(at, live).ok_or_else(|| Declined::NoSuchPoint(point.clone()))?;
        if self.book.at_point(point).is_some() {
            return Err(Declined::Standing(point.clone()));
        }
        let rule = self.slots.rule(at);
        let drill = (Status::Exercise, Some(exercise.name.clone()));
        Ok(Act::Raised(Box::new(self.raised(rule, place, None, drill, live, now))))
    }

    /// Ends the drill: its alarms go, and what really stands is raised anew, as meant.
    fn end_exercise(&mut self, by: Actor, why: Option<String>, live: &Live, now: Time) -> Result<Vec<Entry>, Declined> {
        let exercise = self.book.exercise().ok_or(Declined::NoExercise)?;
        let name = exercise.name.clone();
        let from = self.entries.len();
        self.write_by(by, Act::ExerciseEnded { name }, why, now);
        let drilled = self.book.alarms().filter(|(_, alarm)| alarm.raised.exercise.is_some());
        let drilled: Vec<(AlertId, State, PointKey)> =
            drilled.map(|(id, alarm)| (id.clone(), alarm.state(), alarm.raised.point.clone())).collect();
        for (alarm, state, point) in drilled {
            self.withdraw(&alarm, state, now);
            let Some(at) = self.find(&point, live).filter(|&at| self.slots.get(at).point.active) else { continue };
            let Some(place) = Self::place(at, live) else { continue };
            let value = self.value(at, live, now);
            let rule = self.slots.rule(at);
            let raised = self.raised(rule, place, value, (self.status, None), live, now);
            self.write(now, Act::Raised(Box::new(raised)));
        }
        self.suppress(now);
        Ok(self.entries[from..].to_vec())
    }

    /// Ends what has an end: times on the shelf, drills.
    pub(super) fn end_what_ends(&mut self, live: &Live, now: Time) {
        let over = self.book.shelved().iter().filter(|(_, until)| **until <= now);
        let over: Vec<PointKey> = over.map(|(point, _)| point.clone()).collect();
        for point in over {
            self.write(now, Act::Unshelved { point });
        }
        if self.book.exercise().is_some_and(|exercise| exercise.until <= now) {
            let ended = self.end_exercise(Actor::Centre, None, live, now);
            ended.expect("an exercise is on");
        }
    }
}

//! The book of alarms: everything that stands, as a fold over the journal. Pure; time is an argument.
//!
//! In: acts, decided elsewhere. Out: journal entries, and the state that they add up to. Writing and
//! replaying take the same path, so that a restart stands where the journal ends.
//!
//! ```text
//!                 acknowledged                    cleared
//! unacknowledged ──────────────▶ acknowledged ───────────────▶ closed
//!       │  ▲                                                      ▲
//! cleared  │ returned                                             │
//!       ▼  │                                                      │
//! cleared, unacknowledged (only where the rule latches) ──────────┘ acknowledged
//! ```
//!
//! Invariants. A point (a rule at a target) has at most one open alarm. Receivers hear of an alarm as
//! `Alert (Update)* Cancel`, again from the start when it comes out of hiding; of a hidden one they
//! hear nothing. Acts on what is not open change nothing and say nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use vardpuls_shared::alert::{Alert, AlertId, Declared, Hidden, State, VERSION};
use vardpuls_shared::clock::Time;
use vardpuls_shared::topic::Scope;

use super::entry::{Act, Actor, Entry, Message, PointKey, Raised, Said};

/// An open alarm.
#[derive(Debug, Clone, PartialEq)]
pub struct Alarm {
    /// What it is, from its beginning.
    pub raised: Raised,
    /// When it was raised.
    pub raised_at: Time,
    /// The value at the last change.
    pub value: Option<f64>,
    /// When it was acknowledged.
    pub acknowledged_at: Option<Time>,
    /// When its condition ended.
    pub cleared_at: Option<Time>,
    /// What says it already.
    pub suppressed_by: Option<String>,
    /// Whether receivers believe that it stands.
    announced: bool,
    /// The last entry that changed it.
    number: u64,
    as_of: Time,
}

/// A declared level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// The level.
    pub level: Declared,
    /// Since when.
    pub since: Time,
    /// Why, in the words of whoever declared it.
    pub why: Option<String>,
}

/// A drill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exercise {
    /// What it is called.
    pub name: String,
    /// Since when.
    pub since: Time,
    /// When it ends by itself.
    pub until: Time,
}

/// Everything that stands.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Book {
    /// The last entry's number.
    number: u64,
    alarms: BTreeMap<AlertId, Alarm>,
    at_point: HashMap<PointKey, AlertId>,
    shelved: BTreeMap<PointKey, Time>,
    out_of_service: BTreeSet<PointKey>,
    declared: BTreeMap<Scope, Declaration>,
    exercise: Option<Exercise>,
    rules: Option<String>,
}

impl Book {
    /// Writes an act down. The entry has still to be made durable.
    pub fn write(&mut self, at: Time, by: Actor, act: Act, why: Option<String>) -> Entry {
        let number = self.number + 1;
        let said = self.fold(number, at, &act, why.as_deref());
        Entry { number, at, by, act, why, said }
    }

    /// Takes an entry of the journal in.
    pub fn replay(&mut self, entry: &Entry) {
        self.fold(entry.number, entry.at, &entry.act, entry.why.as_deref());
    }

    /// Goes on after `number`, where the journal has entries that nothing that stands depends on.
    pub fn continue_after(&mut self, number: u64) {
        self.number = self.number.max(number);
    }

    fn fold(&mut self, number: u64, at: Time, act: &Act, why: Option<&str>) -> Option<Said> {
        self.number = number;
        let touched = self.change(at, act, why)?;
        let hidden = self.hidden(self.alarms.get(&touched)?);
        let alarm = self.alarms.get_mut(&touched)?;
        (alarm.number, alarm.as_of) = (number, at);
        let visible = alarm.is_open() && hidden.is_none();
        let message = match (alarm.announced, visible) {
            (false, true) => Some(Message::Alert),
            (true, true) => Some(Message::Update),
            (true, false) => Some(Message::Cancel),
            (false, false) => None,
        };
        alarm.announced = visible;
        let said = message.map(|message| Said { message, alert: alarm.alert(hidden) });
        if !alarm.is_open() {
            let closed = self.alarms.remove(&touched)?;
            self.at_point.remove(&closed.raised.point);
        }
        said
    }

    /// Changes what stands. Returns the alarm of which receivers may have to hear.
    fn change(&mut self, at: Time, act: &Act, why: Option<&str>) -> Option<AlertId> {
        match act {
            Act::Raised(raised) => {
                let alarm = Alarm {
                    raised: (**raised).clone(),
                    raised_at: at,
                    value: raised.value,
                    acknowledged_at: None,
                    cleared_at: None,
                    suppressed_by: raised.suppressed_by.clone(),
                    announced: false,
                    number: self.number,
                    as_of: at,
                };
                self.at_point.insert(raised.point.clone(), raised.alarm.clone());
                self.alarms.insert(raised.alarm.clone(), alarm);
            }
            Act::Returned { alarm, value } => {
                let alarm = self.alarms.get_mut(alarm)?;
                (alarm.cleared_at, alarm.value) = (None, *value);
            }
            Act::Cleared { alarm, value, .. } => {
                let alarm = self.alarms.get_mut(alarm)?;
                (alarm.cleared_at, alarm.value) = (Some(at), *value);
            }
            Act::Acknowledged { alarm } => self.alarms.get_mut(alarm)?.acknowledged_at = Some(at),
            Act::Commented { .. } | Act::RulesLoaded { .. } => {
                if let Act::RulesLoaded { digest, .. } = act {
                    self.rules = Some(digest.clone());
                }
                return None;
            }
            Act::Suppressed { alarm, suppressed_by } => {
                self.alarms.get_mut(alarm)?.suppressed_by = Some(suppressed_by.clone());
            }
            Act::Released { alarm } => self.alarms.get_mut(alarm)?.suppressed_by = None,
            Act::Moved { alarm, region } => self.alarms.get_mut(alarm)?.raised.region = Some(region.clone()),
            Act::Shelved { point, until } => drop(self.shelved.insert(point.clone(), *until)),
            Act::Unshelved { point } => drop(self.shelved.remove(point)),
            Act::RemovedFromService { point } => drop(self.out_of_service.insert(point.clone())),
            Act::ReturnedToService { point } => drop(self.out_of_service.remove(point)),
            Act::Declared { scope, level } => {
                match level {
                    Some(level) => {
                        let declaration = Declaration { level: *level, since: at, why: why.map(str::to_owned) };
                        self.declared.insert(scope.clone(), declaration);
                    }
                    None => drop(self.declared.remove(scope)),
                }
                return None;
            }
            Act::ExerciseBegan { name, until } => {
                self.exercise = Some(Exercise { name: name.clone(), since: at, until: *until });
                return None;
            }
            Act::ExerciseEnded { .. } => {
                self.exercise = None;
                return None;
            }
        }
        match act {
            Act::Shelved { point, .. }
            | Act::Unshelved { point }
            | Act::RemovedFromService { point }
            | Act::ReturnedToService { point } => self.at_point.get(point).cloned(),
            _ => act.alarm().cloned(),
        }
    }

    fn hidden(&self, alarm: &Alarm) -> Option<Hidden> {
        let point = &alarm.raised.point;
        if self.out_of_service.contains(point) {
            return Some(Hidden::OutOfService);
        }
        if let Some(&until) = self.shelved.get(point) {
            return Some(Hidden::Shelved { until });
        }
        alarm.suppressed_by.as_ref().map(|by| Hidden::Suppressed { by: by.clone() })
    }

    /// The last entry's number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The open alarms.
    pub fn alarms(&self) -> impl Iterator<Item = (&AlertId, &Alarm)> {
        self.alarms.iter()
    }

    /// An open alarm.
    pub fn alarm(&self, id: &AlertId) -> Option<&Alarm> {
        self.alarms.get(id)
    }

    /// The open alarm of a point.
    pub fn at_point(&self, point: &PointKey) -> Option<(&AlertId, &Alarm)> {
        self.alarms.get_key_value(self.at_point.get(point)?)
    }

    /// An open alarm as its message.
    pub fn alert(&self, id: &AlertId) -> Option<Alert> {
        let alarm = self.alarms.get(id)?;
        Some(alarm.alert(self.hidden(alarm)))
    }

    /// What is on the shelf, and until when.
    pub fn shelved(&self) -> &BTreeMap<PointKey, Time> {
        &self.shelved
    }

    /// What is out of service.
    pub fn out_of_service(&self) -> &BTreeSet<PointKey> {
        &self.out_of_service
    }

    /// The levels that are declared.
    pub fn declared(&self) -> &BTreeMap<Scope, Declaration> {
        &self.declared
    }

    /// The drill that is on.
    pub fn exercise(&self) -> Option<&Exercise> {
        self.exercise.as_ref()
    }

    /// The digest of the rules that were loaded last.
    pub fn rules(&self) -> Option<&str> {
        self.rules.as_deref()
    }
}

impl Alarm {
    /// Where it stands in its life.
    pub fn state(&self) -> State {
        match (self.cleared_at, self.acknowledged_at) {
            (None, None) => State::ActiveUnacknowledged,
            (None, Some(_)) => State::ActiveAcknowledged,
            (Some(_), None) if self.raised.latch => State::ClearedUnacknowledged,
            (Some(_), _) => State::Closed,
        }
    }

    /// Whether a person raised it in a drill, and no value has since.
    pub fn is_injected(&self) -> bool {
        self.raised.exercise.is_some() && self.value.is_none()
    }

    fn is_open(&self) -> bool {
        self.state() != State::Closed
    }

    fn alert(&self, hidden: Option<Hidden>) -> Alert {
        let raised = &self.raised;
        Alert {
            version: VERSION,
            id: raised.alarm.clone(),
            number: self.number,
            as_of: self.as_of,
            status: raised.status,
            exercise: raised.exercise.clone(),
            rule: raised.point.rule.clone(),
            severity: raised.severity,
            target: raised.point.target.clone(),
            name: raised.name.clone(),
            region: raised.region.clone(),
            care: raised.care.clone(),
            headline: raised.headline.clone(),
            response: raised.response.clone(),
            measure: raised.measure.clone(),
            unit: raised.unit.clone(),
            value: self.value,
            state: self.state(),
            hidden,
            raised_at: self.raised_at,
            acknowledged_at: self.acknowledged_at,
            cleared_at: self.cleared_at,
        }
    }
}

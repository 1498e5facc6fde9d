//! One line of the journal: what happened to an alarm, or what a person did, with who, when and why.
//!
//! The journal is the truth about alarms: it only grows, and everything that stands is a fold over it
//! (see [`crate::alert::book`]). An entry is complete in itself: what it says does not depend on the
//! rules of the day on which it is read.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use vardpuls_shared::alert::{Alert, AlertId, Declared, Severity, Status, Target};
use vardpuls_shared::care::CareType;
use vardpuls_shared::clock::Time;
use vardpuls_shared::hospital::RegionCode;
use vardpuls_shared::topic::Scope;

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Grows by one an entry, from 1.
    pub number: u64,
    /// The centre's clock.
    pub at: Time,
    /// Who did it.
    pub by: Actor,
    /// What was done.
    #[serde(flatten)]
    pub act: Act,
    /// Why, in the words of whoever did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What receivers are told for it; none where there is nothing to tell them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<Said>,
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Actor {
    /// The centre itself, by its rules.
    Centre,
    /// A person, by the name of their token.
    Operator(String),
}

impl fmt::Display for Actor {
    /// `centre`, or `operator:<name>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actor::Centre => f.write_str("centre"),
            Actor::Operator(name) => write!(f, "operator:{name}"),
        }
    }
}

impl TryFrom<String> for Actor {
    type Error = String;
    fn try_from(text: String) -> Result<Actor, String> {
        match text.strip_prefix("operator:") {
            Some(name) => Ok(Actor::Operator(name.to_owned())),
            None if text == "centre" => Ok(Actor::Centre),
            None => Err(format!("{text:?} is neither \"centre\" nor \"operator:<name>\"")),
        }
    }
}

impl From<Actor> for String {
    fn from(actor: Actor) -> String {
        actor.to_string()
    }
}

/// One rule at one target: what raises, is shelved and is taken out of service. As text `<rule>@<target>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PointKey {
    /// The rule's name.
    pub rule: String,
    /// Where it is applied.
    pub target: Target,
}

impl fmt::Display for PointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.rule, self.target)
    }
}

/// The text names no rule at a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no rule at a target; write <rule>@<target>, as in icu-full@region/01")]
pub struct InvalidPointKey(pub String);

impl FromStr for PointKey {
    type Err = InvalidPointKey;
    fn from_str(text: &str) -> Result<PointKey, InvalidPointKey> {
        let invalid = || InvalidPointKey(text.to_owned());
        let (rule, target) = text.split_once('@').ok_or_else(invalid)?;
        Ok(PointKey { rule: rule.to_owned(), target: target.parse().map_err(|_| invalid())? })
    }
}

impl TryFrom<String> for PointKey {
    type Error = InvalidPointKey;
    fn try_from(text: String) -> Result<PointKey, InvalidPointKey> {
        text.parse()
    }
}

impl From<PointKey> for String {
    fn from(key: PointKey) -> String {
        key.to_string()
    }
}

/// What an alarm is, from its beginning: what the rule said on that day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Raised {
    /// The alarm's name.
    pub alarm: AlertId,
    /// The rule and where.
    pub point: PointKey,
    /// How bad it is.
    pub severity: Severity,
    /// What is the matter, in one line.
    pub headline: String,
    /// What is expected of the reader.
    pub response: String,
    /// What is measured.
    pub measure: String,
    /// Its unit.
    pub unit: String,
    /// The value that raised it.
    pub value: Option<f64>,
    /// The care types; none means all together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub care: Vec<CareType>,
    /// The target's name.
    pub name: String,
    /// The region that it lies in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionCode>,
    /// Whether it stays after its condition ended, until somebody acknowledges it.
    #[serde(default)]
    pub latch: bool,
    /// Whether it is meant.
    #[serde(default)]
    pub status: Status,
    /// The drill that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exercise: Option<String>,
    /// The alarm that says it already: it begins suppressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppressed_by: Option<String>,
}

/// Why an alarm's condition ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Its clear condition has held for as long as the rule asks.
    Condition,
    /// Nothing judges it any more: the rule, the hospital or the ward is gone, or the drill is over.
    Withdrawn,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Act {
    /// An alarm began.
    Raised(Box<Raised>),
    /// A latched alarm's condition came back before anybody acknowledged it.
    Returned {
        /// Which alarm.
        alarm: AlertId,
        /// The value now.
        value: Option<f64>,
    },
    /// An alarm's condition ended.
    Cleared {
        /// Which alarm.
        alarm: AlertId,
        /// The value now.
        value: Option<f64>,
        /// Why.
        ending: Ending,
    },
    /// Somebody has seen it.
    Acknowledged {
        /// Which alarm.
        alarm: AlertId,
    },
    /// Somebody wrote something about it.
    Commented {
        /// Which alarm.
        alarm: AlertId,
    },
    /// An alarm came to be said by another one, or needless by a rule.
    Suppressed {
        /// Which alarm.
        alarm: AlertId,
        /// The alarm that says it, or what makes it needless.
        suppressed_by: String,
    },
    /// A suppressed alarm stands for itself again.
    Released {
        /// Which alarm.
        alarm: AlertId,
    },
    /// Its hospital lies in another region now.
    Moved {
        /// Which alarm.
        alarm: AlertId,
        /// Where to.
        region: RegionCode,
    },
    /// Set aside for a time.
    Shelved {
        /// What.
        point: PointKey,
        /// Until when.
        until: Time,
    },
    /// Back from the shelf.
    Unshelved {
        /// What.
        point: PointKey,
    },
    /// Out of service until somebody returns it.
    RemovedFromService {
        /// What.
        point: PointKey,
    },
    /// In service again.
    ReturnedToService {
        /// What.
        point: PointKey,
    },
    /// A level was declared, or taken back.
    Declared {
        /// For what.
        scope: Scope,
        /// The level; none takes it back.
        level: Option<Declared>,
    },
    /// A drill began.
    ExerciseBegan {
        /// What it is called.
        name: String,
        /// When it ends by itself.
        until: Time,
    },
    /// A drill ended.
    ExerciseEnded {
        /// What it was called.
        name: String,
    },
    /// Other rules are in force.
    RulesLoaded {
        /// How many.
        rules: usize,
        /// SHA-256 of their text, in hex.
        digest: String,
    },
}

impl Act {
    /// The alarm that it is about, where it names one.
    pub fn alarm(&self) -> Option<&AlertId> {
        match self {
            Act::Raised(raised) => Some(&raised.alarm),
            Act::Returned { alarm, .. }
            | Act::Cleared { alarm, .. }
            | Act::Acknowledged { alarm }
            | Act::Commented { alarm }
            | Act::Suppressed { alarm, .. }
            | Act::Released { alarm }
            | Act::Moved { alarm, .. } => Some(alarm),
            _ => None,
        }
    }
}

/// Which kind of message a change is to receivers (CAP 1.2 §3.2.1, `msgType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// The first that they hear of it, or the first since it was hidden.
    Alert,
    /// It stands, and something about it changed.
    Update,
    /// It is over, or hidden.
    Cancel,
}

/// What receivers are told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Said {
    /// Which kind of message.
    pub message: Message,
    /// The alarm after the change.
    pub alert: Alert,
}

//! An alert message: what the centre says about one alarm.
//!
//! One structure, two encodings, as with the feed: signed CBOR and plain JSON carry the same names
//! and values. The message says the alarm's whole state; the newest one is all that a reader needs.
//! It stands retained on its topic while the alarm is open and is then cleared. Bytes: `alert.cddl`.
//!
//! The states are those of ISA-18.2 / IEC 62682. Who acknowledged or shelved an alarm is in the
//! centre's journal, not in the message: names of people do not leave.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::care::CareType;
use crate::clock::Time;
use crate::hospital::{HospitalId, RegionCode, WardId};
use crate::topic::Scope;

/// The message version.
pub const VERSION: u8 = 1;

/// The longest rule name, in characters.
pub const MAX_RULE_NAME: usize = 48;

/// How bad it is, rising.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing in office hours.
    Notice,
    /// Somebody should look within the hour.
    Warning,
    /// Somebody should act now.
    Severe,
    /// The nation or a region has to act together, now.
    Critical,
}

impl Severity {
    /// All of them, rising.
    pub const ALL: [Severity; 4] = [Severity::Notice, Severity::Warning, Severity::Severe, Severity::Critical];

    /// The word for config, JSON and screens.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Notice => "notice",
            Severity::Warning => "warning",
            Severity::Severe => "severe",
            Severity::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where an alarm stands in its life (ISA-18.2, alarm states).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Raised, and nobody has said that they have seen it.
    ActiveUnacknowledged,
    /// Raised and seen.
    ActiveAcknowledged,
    /// Over, but latched: it stays until somebody acknowledges it.
    ClearedUnacknowledged,
    /// Over.
    Closed,
}

impl State {
    /// Whether its condition stands.
    pub fn is_active(self) -> bool {
        matches!(self, State::ActiveUnacknowledged | State::ActiveAcknowledged)
    }
}

/// Why an open alarm is not put before an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Hidden {
    /// Set aside by a person, for a time.
    Shelved {
        /// When it comes back by itself.
        until: Time,
    },
    /// Another alarm says it already, or the rules say that it is not needed now.
    Suppressed {
        /// The alarm that says it, or what makes it needless.
        by: String,
    },
    /// Taken out of service by a person until a person brings it back.
    OutOfService,
}

/// Whether it is meant (CAP 1.2 §3.2.1, `status`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is.
    #[default]
    Actual,
    /// A drill.
    Exercise,
    /// A technical test, as from a simulated nation.
    Test,
}

impl Status {
    /// CAP's word.
    pub fn cap(self) -> &'static str {
        match self {
            Status::Actual => "Actual",
            Status::Exercise => "Exercise",
            Status::Test => "Test",
        }
    }
}

/// What an alarm is about: a scope, or a ward of a hospital.
///
/// As text: `nation`, `region/<code>`, `hospital/<hospital>`, `hospital/<hospital>/<ward>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    /// A scope that has a feed.
    Scope(Scope),
    /// One ward.
    Ward(HospitalId, WardId),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Scope(scope) => scope.fmt(f),
            Target::Ward(hospital, ward) => write!(f, "hospital/{hospital}/{ward}"),
        }
    }
}

/// The text names no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no target; write nation, region/<code>, hospital/<hospital> or hospital/<hospital>/<ward>")]
pub struct UnknownTarget(pub String);

impl FromStr for Target {
    type Err = UnknownTarget;
    fn from_str(text: &str) -> Result<Target, UnknownTarget> {
        let unknown = || UnknownTarget(text.to_owned());
        let ward = text.strip_prefix("hospital/").and_then(|rest| rest.split_once('/'));
        match ward {
            Some((hospital, ward)) => {
                Ok(Target::Ward(hospital.parse().map_err(|_| unknown())?, ward.parse().map_err(|_| unknown())?))
            }
            None => text.parse().map(Target::Scope).map_err(|_| unknown()),
        }
    }
}

impl TryFrom<String> for Target {
    type Error = UnknownTarget;
    fn try_from(text: String) -> Result<Target, UnknownTarget> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> String {
        target.to_string()
    }
}

/// One alarm's name: `<rule>.<target with dots>.<ms since 1970 when it was raised>`.
///
/// Over `A-Za-z0-9_.-`, so that it stands unescaped in topics, addresses and file names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AlertId(Box<str>);

/// The text is no alert's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an alert: it is written <rule>.<target with dots>.<ms>")]
pub struct InvalidAlertId(pub String);

impl AlertId {
    /// The longest, in characters.
    pub const MAX_LEN: usize = 160;

    /// The name of the alarm that `rule` raises at `target` at `raised_at`.
    pub fn new(rule: &str, target: &Target, raised_at: Time) -> AlertId {
        AlertId(format!("{rule}.{}.{}", target.to_string().replace('/', "."), raised_at.0).into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AlertId {
    type Err = InvalidAlertId;
    fn from_str(text: &str) -> Result<AlertId, InvalidAlertId> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if text.is_empty() || text.len() > AlertId::MAX_LEN || !text.chars().all(allowed) {
            return Err(InvalidAlertId(text.to_owned()));
        }
        Ok(AlertId(text.into()))
    }
}

impl TryFrom<String> for AlertId {
    type Error = InvalidAlertId;
    fn try_from(text: String) -> Result<AlertId, InvalidAlertId> {
        text.parse()
    }
}

impl From<AlertId> for String {
    fn from(id: AlertId) -> String {
        id.0.into()
    }
}

/// What the centre says about one alarm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// [`VERSION`].
    pub version: u8,
    /// Which alarm.
    pub id: AlertId,
    /// Grows with every change of any alarm; of two messages about one alarm the higher one holds.
    pub number: u64,
    /// The centre's clock at this change.
    pub as_of: Time,
    /// Whether it is meant.
    pub status: Status,
    /// The drill's name, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exercise: Option<String>,
    /// The rule that raised it.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub target: Target,
    /// The target's name.
    pub name: String,
    /// The region that the target lies in; none for the nation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionCode>,
    /// The care types that it is about; none means all together.
    pub care: Vec<CareType>,
    /// What is the matter, in one line.
    pub headline: String,
    /// What is expected of the reader.
    pub response: String,
    /// What was measured (`occupancy`, `available-ratio`, …).
    pub measure: String,
    /// Its unit (`%`, `beds`, …).
    pub unit: String,
    /// The measured value at this change; none where it is unknown.
    pub value: Option<f64>,
    /// Where it stands in its life.
    pub state: State,
    /// Why it is not put before operators, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<Hidden>,
    /// When it was raised.
    pub raised_at: Time,
    /// When it was acknowledged.
    pub acknowledged_at: Option<Time>,
    /// When its condition ended.
    pub cleared_at: Option<Time>,
}

impl Alert {
    /// The payload's bytes: CBOR with text keys.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1024);
        ciborium::into_writer(self, &mut bytes).expect("writing to a Vec cannot fail");
        bytes
    }

    /// Reads a payload.
    pub fn decode(payload: &[u8]) -> Result<Alert, AlertError> {
        let mut rest = payload;
        let alert = ciborium::from_reader(&mut rest).map_err(|e| AlertError::Malformed(e.to_string()))?;
        if rest.is_empty() { Ok(alert) } else { Err(AlertError::Trailing(rest.len())) }
    }
}

/// Why an alert message was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AlertError {
    /// Not the shape of an alert message.
    #[error("the alert message cannot be read: {0}")]
    Malformed(String),
    /// Bytes follow the message.
    #[error("{0} bytes follow the end of the alert message")]
    Trailing(usize),
}

/// What a person has declared for a region or a hospital, or the nation's stage; never computed.
///
/// *Stabsläge*: special command keeps informed and acts. *Förstärkningsläge*: it reinforces some vital
/// functions. *Katastrofläge*: all of them (Socialstyrelsen, *beredskapslägen*).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Declared {
    /// *Stabsläge*; of a region or a hospital.
    Stab,
    /// *Förstärkningsläge*; of a region or a hospital.
    Forstarkning,
    /// *Katastrofläge*; of a region or a hospital.
    Katastrof,
    /// A stage of the nation's escalation plan, 1 to 9.
    Stage(u8),
}

impl Declared {
    /// What people call it.
    pub fn title(self) -> String {
        match self {
            Declared::Stab => "stabsläge".to_owned(),
            Declared::Forstarkning => "förstärkningsläge".to_owned(),
            Declared::Katastrof => "katastrofläge".to_owned(),
            Declared::Stage(n) => format!("stage {n}"),
        }
    }

    /// Whether it may be declared there: stages belong to the nation, the other three do not.
    pub fn fits(self, scope: &Scope) -> bool {
        matches!(self, Declared::Stage(_)) == (*scope == Scope::Nation)
    }
}

impl fmt::Display for Declared {
    /// `stab`, `forstarkning`, `katastrof`, `stage-<n>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Declared::Stab => f.write_str("stab"),
            Declared::Forstarkning => f.write_str("forstarkning"),
            Declared::Katastrof => f.write_str("katastrof"),
            Declared::Stage(n) => write!(f, "stage-{n}"),
        }
    }
}

/// The text is no level that can be declared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no level: write stab, forstarkning or katastrof, and for the nation stage-1 to stage-9")]
pub struct UnknownDeclared(pub String);

impl TryFrom<String> for Declared {
    type Error = UnknownDeclared;
    fn try_from(text: String) -> Result<Declared, UnknownDeclared> {
        text.parse()
    }
}

impl FromStr for Declared {
    type Err = UnknownDeclared;
    fn from_str(text: &str) -> Result<Declared, UnknownDeclared> {
        let stage = || text.strip_prefix("stage-")?.parse().ok().filter(|n| (1..=9).contains(n)).map(Declared::Stage);
        match text {
            "stab" => Ok(Declared::Stab),
            "forstarkning" => Ok(Declared::Forstarkning),
            "katastrof" => Ok(Declared::Katastrof),
            _ => stage().ok_or_else(|| UnknownDeclared(text.to_owned())),
        }
    }
}

impl From<Declared> for String {
    fn from(declared: Declared) -> String {
        declared.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_and_levels_round_trip_as_text() {
        for text in ["nation", "region/01", "hospital/SE2321000016-1003", "hospital/h/iva-1"] {
            assert_eq!(text.parse::<Target>().map(|t| t.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "region", "hospital/", "hospital/h/", "hospital/h/w/x", "ward/1"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
        for text in ["stab", "forstarkning", "katastrof", "stage-1", "stage-9"] {
            assert_eq!(text.parse::<Declared>().map(|t| t.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "stage-0", "stage-10", "stage-x", "Stab"] {
            assert!(text.parse::<Declared>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_alerts_name_stands_in_topics_and_addresses() {
        let longest = "a".repeat(31);
        let target = format!("hospital/{longest}/{longest}").parse().expect("valid");
        let id = AlertId::new(&"r".repeat(MAX_RULE_NAME), &target, Time::MAX);
        assert_eq!(id.as_str().parse(), Ok(id.clone()), "within the limits that reading has");
        assert!(
            "a/b".parse::<AlertId>().is_err() && "".parse::<AlertId>().is_err() && "a+".parse::<AlertId>().is_err()
        );
    }
}

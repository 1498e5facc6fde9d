//! MQTT topics, built and parsed in one place (MQTT 3.1.1, ASCII).
//!
//! The hospital stands last, so that a broker's pattern ACL can pin each login to its own topics
//! (`pattern write vardpuls/v1/report/%u`).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::alert::AlertId;
use crate::hospital::{HospitalId, RegionCode};

const ROOT: &str = "vardpuls/v1";

/// One topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Agent → centre, retained.
    Roster(HospitalId),
    /// Agent → centre.
    Report(HospitalId),
    /// Centre → agent.
    Receipt(HospitalId),
    /// The agent's last will, retained; a hint, nothing depends on it.
    Presence(HospitalId),
    /// The feed of a scope, signed CBOR, retained.
    Feed(Scope),
    /// The same as JSON, unsigned, retained.
    JsonFeed(Scope),
    /// An alarm's state, signed CBOR, retained while it is open.
    Alert(AlertId),
    /// The same as JSON, unsigned.
    JsonAlert(AlertId),
}

/// What a feed message is about. In JSON its text form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Scope {
    /// The whole country.
    Nation,
    /// One region.
    Region(RegionCode),
    /// One hospital, with its wards.
    Hospital(HospitalId),
}

/// What the centre subscribes to; its own alerts, to clear what a broker kept and no longer stands.
pub const CENTRE_SUBSCRIPTIONS: [&str; 4] =
    ["vardpuls/v1/roster/+", "vardpuls/v1/report/+", "vardpuls/v1/alert/+", "vardpuls/v1/json/alert/+"];

impl fmt::Display for Scope {
    /// `nation`, `region/<code>` or `hospital/<hospital>`: in topics and in `history?scope=`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Nation => f.write_str("nation"),
            Scope::Region(code) => write!(f, "region/{code}"),
            Scope::Hospital(hospital) => write!(f, "hospital/{hospital}"),
        }
    }
}

/// The text names no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a scope; write nation, region/<code> or hospital/<hospital>")]
pub struct UnknownScope(pub String);

impl std::str::FromStr for Scope {
    type Err = UnknownScope;
    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        let unknown = || UnknownScope(text.to_owned());
        match text.split_once('/') {
            None if text == "nation" => Ok(Scope::Nation),
            Some(("region", code)) => Ok(Scope::Region(code.parse().map_err(|_| unknown())?)),
            Some(("hospital", id)) => Ok(Scope::Hospital(id.parse().map_err(|_| unknown())?)),
            _ => Err(unknown()),
        }
    }
}

impl TryFrom<String> for Scope {
    type Error = UnknownScope;
    fn try_from(text: String) -> Result<Scope, UnknownScope> {
        text.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> String {
        scope.to_string()
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Topic::Roster(h) => write!(f, "{ROOT}/roster/{h}"),
            Topic::Report(h) => write!(f, "{ROOT}/report/{h}"),
            Topic::Receipt(h) => write!(f, "{ROOT}/receipt/{h}"),
            Topic::Presence(h) => write!(f, "{ROOT}/presence/{h}"),
            Topic::Feed(scope) => write!(f, "{ROOT}/feed/{scope}"),
            Topic::JsonFeed(scope) => write!(f, "{ROOT}/json/feed/{scope}"),
            Topic::Alert(alert) => write!(f, "{ROOT}/alert/{alert}"),
            Topic::JsonAlert(alert) => write!(f, "{ROOT}/json/alert/{alert}"),
        }
    }
}

impl Topic {
    /// Reads a topic name; none for one that is not ours.
    pub fn parse(name: &str) -> Option<Topic> {
        let rest = name.strip_prefix(ROOT)?.strip_prefix('/')?;
        let (kind, last) = rest.split_once('/')?;
        match kind {
            "roster" => Some(Topic::Roster(last.parse().ok()?)),
            "report" => Some(Topic::Report(last.parse().ok()?)),
            "receipt" => Some(Topic::Receipt(last.parse().ok()?)),
            "presence" => Some(Topic::Presence(last.parse().ok()?)),
            "feed" => Some(Topic::Feed(last.parse().ok()?)),
            "alert" => Some(Topic::Alert(last.parse().ok()?)),
            "json" => match last.split_once('/')? {
                ("feed", scope) => Some(Topic::JsonFeed(scope.parse().ok()?)),
                ("alert", alert) => Some(Topic::JsonAlert(alert.parse().ok()?)),
                _ => None,
            },
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_the_hospital_is_last() {
        let h: HospitalId = "SE2321000016-1003".parse().expect("valid");
        for topic in [
            Topic::Roster(h.clone()),
            Topic::Report(h.clone()),
            Topic::Receipt(h.clone()),
            Topic::Presence(h.clone()),
            Topic::Feed(Scope::Nation),
            Topic::Feed(Scope::Region("01".parse().expect("valid"))),
            Topic::JsonFeed(Scope::Hospital(h.clone())),
            Topic::Alert("icu-full.region.01.1700000000000".parse().expect("valid")),
            Topic::JsonAlert("icu-full.nation.1700000000000".parse().expect("valid")),
        ] {
            assert_eq!(Topic::parse(&topic.to_string()), Some(topic));
        }
        assert!(Topic::Report(h.clone()).to_string().ends_with(h.as_str()));
    }

    #[test]
    fn foreign_topics_are_none() {
        for name in [
            "",
            "vardpuls",
            "vardpuls/v1",
            "vardpuls/v1/report",
            "vardpuls/v1/report/",
            "vardpuls/v1/report/a/b",
            "vardpuls/v2/report/a",
            "vardpuls/v1/feed/region",
            "vardpuls/v1/json/feed",
            "vardpuls/v1report/a",
            "é/x",
        ] {
            assert_eq!(Topic::parse(name), None, "{name}");
        }
    }
}

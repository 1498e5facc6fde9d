//! MQTT topics, built and parsed in one place (MQTT 3.1.1, ASCII).
//!
//! The hospital stands last, so that a broker's pattern ACL can pin each login to its own topics
//! (`pattern write vardpuls/v1/report/%u`).

use std::fmt;

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
}

/// What a feed message is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// The whole country.
    Nation,
    /// One region.
    Region(RegionCode),
    /// One hospital, with its wards.
    Hospital(HospitalId),
}

/// What the centre subscribes to.
pub const CENTRE_SUBSCRIPTIONS: [&str; 2] = ["vardpuls/v1/roster/+", "vardpuls/v1/report/+"];

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

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Topic::Roster(h) => write!(f, "{ROOT}/roster/{h}"),
            Topic::Report(h) => write!(f, "{ROOT}/report/{h}"),
            Topic::Receipt(h) => write!(f, "{ROOT}/receipt/{h}"),
            Topic::Presence(h) => write!(f, "{ROOT}/presence/{h}"),
            Topic::Feed(scope) => write!(f, "{ROOT}/feed/{scope}"),
            Topic::JsonFeed(scope) => write!(f, "{ROOT}/json/feed/{scope}"),
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
            "json" => Some(Topic::JsonFeed(last.strip_prefix("feed/")?.parse().ok()?)),
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

//! The rules as one set: read from TOML, held against each other, replaced whole.
//!
//! In: a document, or the built-in set. Out: [`Rules`] in which every name that a rule mentions is a
//! rule of the set, and in which no rule waits for itself.

mod ties;

use std::collections::BTreeSet;
use std::path::Path;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use toml::Spanned;
use vardpuls_shared::clock::Time;

use self::ties::Ties;
use super::rule::Rule;
use crate::config::document::{Document, DocumentError};

/// The rules that ship.
const BUILT_IN: &str = include_str!("default.toml");

/// A set of rules.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rules {
    /// The zone whose clock says which hour of the day it is: pressure has a daily rhythm.
    #[serde(rename = "time-zone", serialize_with = "zone_name")]
    zone: TimeZone,
    /// In their order.
    #[serde(rename = "rules")]
    all: Vec<Rule>,
    /// SHA-256 of the document, in hex.
    digest: String,
    #[serde(skip)]
    ties: Ties,
}

fn zone_name<S: serde::Serializer>(zone: &TimeZone, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(zone.iana_name().unwrap_or("UTC"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    #[serde(default)]
    time_zone: Option<Spanned<String>>,
    #[serde(default)]
    rule: Vec<Spanned<Rule>>,
}

impl Default for Rules {
    fn default() -> Self {
        Rules { zone: TimeZone::UTC, all: Vec::new(), digest: String::new(), ties: Ties::default() }
    }
}

impl Rules {
    /// The rules that ship.
    pub fn built_in() -> Rules {
        let document = Document::of(Path::new("the built-in rules"), BUILT_IN);
        Rules::parse(&document).expect("the built-in rules are read in a test")
    }

    /// The rules of a file, or those that ship.
    pub fn load(file: Option<&Path>) -> Result<Rules, DocumentError> {
        file.map_or_else(|| Ok(Rules::built_in()), |file| Rules::parse(&Document::read(file)?))
    }

    /// Reads and checks a set.
    pub fn parse(document: &Document) -> Result<Rules, DocumentError> {
        let written: Written = document.parse()?;
        let zone = match written.time_zone {
            None => TimeZone::UTC,
            Some(name) => TimeZone::get(name.get_ref()).map_err(|_| {
                document.wrong(
                    "time-zone",
                    format!("{:?} is not a time zone; write one such as Europe/Stockholm", name.get_ref()),
                )
            })?,
        };
        let digest = ring::digest::digest(&ring::digest::SHA256, document.text().as_bytes());
        let digest = digest.as_ref().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        let at: Vec<usize> = written.rule.iter().map(|rule| rule.span().start).collect();
        let rules: Vec<Rule> = written.rule.into_iter().map(Spanned::into_inner).collect();
        let mut names = BTreeSet::new();
        for (rule, &at) in rules.iter().zip(&at) {
            let fault = rule.fault().or_else(|| {
                (!names.insert(rule.name.as_str())).then(|| ("name", format!("{:?} stands twice", rule.name)))
            });
            if let Some((key, problem)) = fault {
                return Err(document.wrong_from(at, key, format!("rule {:?}: {problem}", rule.name)));
            }
        }
        if let Some((rule, key, problem)) = ties::fault(&rules) {
            return Err(document.wrong_from(at[rule], key, problem));
        }
        Ok(Rules { zone, ties: Ties::of(&rules), all: rules, digest })
    }

    /// The rules, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.all.iter()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The rule at a place.
    pub fn at(&self, place: usize) -> &Rule {
        &self.all[place]
    }

    /// Where a rule stands.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.ties.places.get(name).copied()
    }

    /// The rule whose alarms the rule at `place` counts.
    pub fn counted_by(&self, place: usize) -> Option<usize> {
        self.ties.of[place]
    }

    /// The rules that count the alarms of the rule at `place`.
    pub fn counting(&self, place: usize) -> &[usize] {
        &self.ties.counting[place]
    }

    /// The rules that silence the rule at `place`, in its order.
    pub fn silencers(&self, place: usize) -> &[usize] {
        &self.ties.silencers[place]
    }

    /// Whether the rule at `place` silences any.
    pub fn may_silence(&self, place: usize) -> bool {
        self.ties.may_silence[place]
    }

    /// When the rule at `place` has its say where several change at once: after all that silence it.
    pub fn turn(&self, place: usize) -> usize {
        self.ties.turn[place]
    }

    /// SHA-256 of the document, in hex.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The zone whose clock says which hour of the day it is.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The same rules under another clock.
    #[must_use]
    pub fn in_zone(self, zone: TimeZone) -> Rules {
        Rules { zone, ..self }
    }

    /// The hour of the day, 0 to 23, on the clock of the rules' zone.
    pub fn hour(&self, time: Time) -> usize {
        let ms = i64::try_from(time.0.min(Time::MAX.0)).unwrap_or(0);
        let Ok(stamp) = jiff::Timestamp::from_millisecond(ms) else { return 0 };
        usize::try_from(self.zone.to_datetime(stamp).hour()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[[rule]]\nname = \"full\"\ntitle = \"Full\"\nscope = \"hospital\"\nmeasure = \"occupancy\"\n\
        raise = { at = 95, for = \"60m\" }\nclear = { at = 92, for = \"60m\" }\nseverity = \"warning\"\nresponse = \"Call.\"\n";

    fn read(text: &str) -> Result<Rules, String> {
        Rules::parse(&Document::of(Path::new("rules.toml"), text)).map_err(|e| e.to_string())
    }

    #[test]
    fn the_rules_that_ship_are_read() {
        let rules = Rules::parse(&Document::of(Path::new("default.toml"), BUILT_IN));
        assert!(rules.is_ok_and(|rules| rules.len() > 20));
    }

    #[test]
    fn what_cannot_be_an_alarm_is_refused_with_its_line() {
        assert!(read(GOOD).is_ok());
        let with = |from: &str, to: &str| read(&GOOD.replace(from, to)).expect_err(to);
        for (from, to, says) in [
            ("response = \"Call.\"\n", "", "response"),
            ("\"Call.\"", "\" \"", "line 9, rule.response: rule \"full\": is empty"),
            ("at = 92", "at = 96", "line 7, rule.clear: rule \"full\": at 96 lies above raise at 95"),
            ("at = 92", "at = 0", "can never clear"),
            ("at = 95", "at = nan", "must be a number"),
            ("\"occupancy\"", "\"clock-skew\"\ncare = [\"icu\"]", "is not about beds"),
            ("\"hospital\"", "\"nation\"\nquiet-while-declared = \"stab\"", "the nation has stage-1"),
            ("\"occupancy\"", "\"children\"", "rule.of"),
            ("\"occupancy\"", "\"rise\"", "rule.over"),
            ("\"full\"", "\"Full!\"", "line 2, rule.name"),
            ("severity", "inhibited-by = [\"full\"]\nseverity", "names the rule itself"),
            ("severity", "inhibited-by = [\"other\"]\nseverity", "there is no rule \"other\""),
            ("severity", "colour = 1\nseverity", "unknown field `colour`"),
        ] {
            let error = with(from, to);
            assert!(error.starts_with("rules.toml, line ") && error.contains(says), "{error}\nshould say {says}");
        }
        let low = GOOD.replace("\"occupancy\"", "\"available-ratio\"").replace("at = 95", "at = 10");
        assert!(read(&low).is_ok());
        let error = read(&low.replace("at = 92", "at = 100")).expect_err("never above 100");
        assert!(error.contains("can never clear"), "{error}");
        assert!(read(&low.replace("at = 92", "at = 5")).expect_err("crossed").contains("lies below raise"));
    }

    #[test]
    fn rules_that_mention_each_other_are_held_against_each_other() {
        let other = GOOD.replace("\"full\"", "\"fuller\"");
        let by = |text: &str, by: &str| text.replace("severity", &format!("inhibited-by = [{by:?}]\nseverity"));
        assert!(read(&(by(GOOD, "fuller") + &other)).is_ok());
        let circle = read(&(by(GOOD, "fuller") + &by(&other, "full"))).expect_err("a circle");
        assert!(circle.contains("silences itself"), "{circle}");
        let twice = read(&(GOOD.to_owned() + GOOD)).expect_err("the same name");
        assert!(twice.starts_with("rules.toml, line 11, rule.name") && twice.contains("stands twice"), "{twice}");
        let smaller = other.replace("\"hospital\"", "\"ward\"");
        assert!(read(&(by(GOOD, "fuller") + &smaller)).expect_err("smaller").contains("is about a ward"));
        let counting =
            smaller.replace("\"occupancy\"", "\"children\"\nof = \"full\"").replace("\"ward\"", "\"region\"");
        assert!(read(&(GOOD.to_owned() + &counting)).is_ok());
        let level = counting.replace("\"region\"", "\"hospital\"");
        assert!(read(&(GOOD.to_owned() + &level)).expect_err("not below").contains("counts alarms below"));
    }
}

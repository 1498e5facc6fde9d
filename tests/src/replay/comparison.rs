//! The feed held against the official totals, hour by hour and region by region.
//!
//! In: after each drop, the drop, the official totals of its data time, and the feed as published. Out: how many
//! figures agreed, how many were unknown, and every difference.
//!
//! A scope of an hour *differs* when both sides know it and say different things; when the feed shows figures though
//! no department of it reported; or when departments reported and the feed knows nothing. It is *unknown* when nobody
//! reported, and *unofficial* when only the official side lacks it.

use std::collections::BTreeSet;
use std::fmt;

use jiff::civil::DateTime;
use vardpuls_shared::clock::Time;
use vardpuls_shared::hospital::RegionCode;

use super::facilities::{Facilities, VALID_FOR};
use super::official::Official;
use super::recording::{Drop, Name, Row};
use super::{PublishedFeed, PublishedFigures, official};

/// What has been compared so far.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Drops that were compared.
    pub hours: usize,
    /// Drops that cannot be read.
    pub unreadable: usize,
    /// Drops for whose data time there are no official totals.
    pub without_official: usize,
    /// Scopes of an hour on which both sides agree.
    pub agreed: usize,
    /// Scopes of an hour in which nobody reported, unknown in the feed too.
    pub unknown: usize,
    /// Scopes of an hour that only the feed knows, from departments that did report.
    pub unofficial: usize,
    /// Departments in drops that stand in no list: their rows reach nobody.
    pub strangers: BTreeSet<String>,
    /// Everything else.
    pub differences: Vec<Difference>,
}

/// One scope of an hour that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The drop's fetch time.
    pub fetched: Time,
    /// The data time, local.
    pub hour: DateTime,
    /// The region; 99 for all.
    pub region: RegionCode,
    /// What the feed said.
    pub feed: PublishedFigures,
    /// What the official totals say.
    pub official: PublishedFigures,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |n: Option<u32>| n.map_or_else(|| "unknown".to_owned(), |n| n.to_string());
        write!(
            f,
            "{} region {}: functional {} in the feed, {} officially; occupied {} in the feed, {} officially",
            self.hour,
            self.region,
            show(self.feed.staffed),
            show(self.official.staffed),
            show(self.feed.occupied),
            show(self.official.occupied)
        )
    }
}

impl Comparison {
    /// Whether something was compared, and nothing differed.
    pub fn agrees(&self) -> bool {
        self.agreed > 0 && self.differences.is_empty()
    }

    /// Holds the feed after a drop against the official totals.
    pub fn hold(
        &mut self,
        name: &Name,
        drop: &Drop,
        facilities: &Facilities,
        official: &Official,
        feed: &PublishedFeed,
    ) {
        let known = |permit: &str| facilities.departments.iter().any(|d| d.permit == permit);
        self.strangers.extend(drop.permits().filter(|p| !known(p)).map(str::to_owned));
        let Some((hour, totals)) = drop.time().and_then(|t| Some((t, official.totals(t, name.fetched)?))) else {
            self.without_official += 1;
            return;
        };
        self.hours += 1;
        let scopes = feed.scopes();
        let nothing = PublishedFigures { staffed: None, occupied: None };
        let codes: BTreeSet<&RegionCode> = totals.keys().chain(scopes.keys()).collect();
        for region in codes {
            let told = scopes.get(region).copied().unwrap_or(nothing);
            let Some(&published) = totals.get(region) else {
                self.unofficial += usize::from(told != nothing);
                self.unknown += usize::from(told == nothing);
                continue;
            };
            match (told == nothing, published == nothing, reported(drop, name.fetched, facilities, region)) {
                (false, false, _) if told == published => self.agreed += 1,
                (true, _, false) => self.unknown += 1,
                (false, true, true) => self.unofficial += 1,
                _ => self.differences.push(Difference {
                    fetched: name.fetched,
                    hour,
                    region: region.clone(),
                    feed: told,
                    official: published,
                }),
            }
        }
    }
}

/// Whether a department of a scope reported, not longer ago than counts may be relied on.
fn reported(drop: &Drop, fetched: Time, facilities: &Facilities, region: &RegionCode) -> bool {
    let here = facilities.departments.iter().filter(|d| *region == official::nation() || d.region == *region);
    here.map(|d| drop.row(&d.permit)).any(|row| match row {
        Row::Counts { time, .. } => fetched.since(*time) <= VALID_FOR,
        Row::NotReported | Row::Contradictory => false,
    })
}

impl fmt::Display for Comparison {
    /// The outcome, a line for each thing that there is to say.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for difference in &self.differences {
            writeln!(f, "DIFFERENT  {difference}")?;
        }
        if !self.strangers.is_empty() {
            let strangers: Vec<&str> = self.strangers.iter().map(String::as_str).collect();
            writeln!(f, "departments in no list, without an agent: {}", strangers.join(", "))?;
        }
        if self.unreadable + self.without_official > 0 {
            let (unreadable, without) = (self.unreadable, self.without_official);
            writeln!(f, "drops not compared: {unreadable} unreadable, {without} without official totals")?;
        }
        if self.unofficial > 0 {
            writeln!(f, "{} region-hours are known to the feed and have no official figure", self.unofficial)?;
        }
        let (agreed, unknown, different) = (self.agreed, self.unknown, self.differences.len());
        write!(f, "{} hours: {agreed} region-hours agreed, {unknown} unknown, {different} different", self.hours)
    }
}

//! What a rule measures: its name, unit, direction, range, and where it makes sense.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of target a rule applies to, from the smallest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// Every ward.
    Ward,
    /// Every enrolled hospital.
    Hospital,
    /// Every region.
    Region,
    /// The nation.
    Nation,
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reach::Ward => "ward",
            Reach::Hospital => "hospital",
            Reach::Region => "region",
            Reach::Nation => "nation",
        })
    }
}

/// What a rule measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// 100 × occupied ÷ staffed.
    Occupancy,
    /// Beds that can take a patient now.
    Available,
    /// 100 × available ÷ staffed.
    AvailableRatio,
    /// Patients in places that are not staffed beds, per 100 staffed beds (SKR's *överbeläggning*).
    OverCapacity,
    /// Admitted patients who wait in the emergency department.
    Boarders,
    /// How fast occupancy rises, in points an hour over the rule's `over`.
    Rise,
    /// Hours until no staffed bed is left, if the trend over the rule's `over` goes on.
    TimeToFull,
    /// Hospitals whose newest report is past its validity, or that were never heard.
    Stale,
    /// 100 × fresh hospitals ÷ hospitals.
    Coverage,
    /// How far the hospital's clock is off, beyond the tolerance.
    ClockSkew,
    /// Refused messages on the hospital's topics within the rule's `over`.
    Refused,
    /// Different reports signed for one position within the rule's `over`.
    Equivocation,
    /// Patients by whom the census differed from its source at the last reconciliation.
    Drift,
    /// Targets below this one where the rule named by `of` has an alarm standing.
    Children,
}

/// Which way is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Worse {
    /// More is worse: raised at or above, cleared below.
    High,
    /// Less is worse: raised at or below, cleared above.
    Low,
}

impl Measure {
    /// The word for config, JSON and screens.
    pub fn name(self) -> &'static str {
        match self {
            Measure::Occupancy => "occupancy",
            Measure::Available => "available",
            Measure::AvailableRatio => "available-ratio",
            Measure::OverCapacity => "over-capacity",
            Measure::Boarders => "boarders",
            Measure::Rise => "rise",
            Measure::TimeToFull => "time-to-full",
            Measure::Stale => "stale",
            Measure::Coverage => "coverage",
            Measure::ClockSkew => "clock-skew",
            Measure::Refused => "refused",
            Measure::Equivocation => "equivocation",
            Measure::Drift => "drift",
            Measure::Children => "children",
        }
    }

    /// What its values count.
    pub fn unit(self) -> &'static str {
        match self {
            Measure::Occupancy | Measure::AvailableRatio | Measure::Coverage => "%",
            Measure::Available => "beds",
            Measure::OverCapacity => "per 100 staffed beds",
            Measure::Boarders | Measure::Drift => "patients",
            Measure::Rise => "points an hour",
            Measure::TimeToFull => "h",
            Measure::Stale => "hospitals",
            Measure::ClockSkew => "s",
            Measure::Refused => "messages",
            Measure::Equivocation => "reports",
            Measure::Children => "alarms",
        }
    }

    /// Which way is worse.
    pub fn worse(self) -> Worse {
        match self {
            Measure::Available | Measure::AvailableRatio | Measure::TimeToFull | Measure::Coverage => Worse::Low,
            _ => Worse::High,
        }
    }

    /// The values it can have, where there is a limit: (least, greatest).
    pub fn range(self) -> (f64, f64) {
        match self {
            Measure::AvailableRatio | Measure::Coverage => (0.0, 100.0),
            Measure::Rise => (f64::NEG_INFINITY, f64::INFINITY),
            _ => (0.0, f64::INFINITY),
        }
    }

    /// Whether it is about beds, and so about care types and missing reports.
    pub fn of_beds(self) -> bool {
        matches!(
            self,
            Measure::Occupancy
                | Measure::Available
                | Measure::AvailableRatio
                | Measure::OverCapacity
                | Measure::Boarders
                | Measure::Rise
                | Measure::TimeToFull
                | Measure::Drift
        )
    }

    /// Whether it looks back over a time that the rule gives.
    pub fn looks_back(self) -> bool {
        matches!(self, Measure::Rise | Measure::TimeToFull | Measure::Refused | Measure::Equivocation)
    }

    /// Where it makes sense.
    pub fn applies_to(self, reach: Reach) -> bool {
        match self {
            Measure::ClockSkew | Measure::Refused | Measure::Equivocation => reach == Reach::Hospital,
            Measure::Stale | Measure::Coverage => reach != Reach::Ward,
            Measure::Children => reach >= Reach::Hospital,
            _ => true,
        }
    }

    /// How many of its units a bed is, in a place of `staffed` beds; none where beds do not come into it.
    pub fn per_bed(self, staffed: f64) -> Option<f64> {
        match self {
            Measure::Occupancy | Measure::AvailableRatio | Measure::OverCapacity if staffed > 0.0 => {
                Some(100.0 / staffed)
            }
            Measure::Available | Measure::Boarders => Some(1.0),
            _ => None,
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

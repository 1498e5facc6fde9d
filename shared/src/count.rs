//! One ward's counts at one instant.
//!
//! `staffed` and `occupied` are always there. Everything else is an *extra*: a registered number
//! with a count. An extra that is left out counts zero; one whose number a reader does not know is
//! kept and ignored, so that hospitals can report more than an old centre understands.

use std::collections::BTreeMap;

/// The largest count of anything in one ward.
pub const MAX_COUNT: u16 = 9999;

/// The largest number of extras in one ward.
pub const MAX_EXTRAS: usize = 64;

macro_rules! extras {
    ($($(#[$doc:meta])* $konst:ident = $number:literal, $name:literal;)*) => {
        /// What an extra count counts, by its registered number. Numbers are never reused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct Extra(pub u16);

        impl Extra {
            $($(#[$doc])* pub const $konst: Extra = Extra($number);)*

            /// Every registered extra.
            pub const REGISTERED: &[Extra] = &[$(Extra::$konst,)*];

            /// The word for config, JSON and screens; none for a number that is not registered.
            pub fn name(self) -> Option<&'static str> {
                match self.0 { $($number => Some($name),)* _ => None }
            }

            /// Reads the word.
            pub fn from_name(name: &str) -> Option<Extra> {
                match name { $($name => Some(Extra::$konst),)* _ => None }
            }
        }
    };
}

extras! {
    /// Staffed beds that cannot take a patient (cleaning, infection).
    BLOCKED = 1, "blocked";
    /// *Överbeläggning*: patients in places that are not staffed beds. Per patient, not occupied − staffed.
    OVER_CAPACITY = 2, "over_capacity";
    /// *Utlokaliserade*: patients cared for on another unit than the responsible one.
    OUTLYING = 3, "outlying";
    /// *Utskrivningsklara*.
    DISCHARGE_READY = 4, "discharge_ready";
    /// Admitted patients who wait in the emergency department for a ward.
    BOARDING = 5, "boarding";
    /// Patients on invasive ventilation.
    VENTILATED = 6, "ventilated";
    /// Patients on ECMO.
    ECMO = 7, "ecmo";
    /// *Fastställda vårdplatser*: formally decided beds, open or not.
    DECIDED = 8, "decided";
    /// Patients present for more than 24 hours.
    OVER_24H = 9, "over_24h";
    /// Patients present for more than 48 hours.
    OVER_48H = 10, "over_48h";
    /// Patients by whom the census differed from its source at the last reconciliation, either way.
    DRIFT = 11, "drift";
    /// Patients counted in their beds who are away for a while.
    ON_LEAVE = 12, "on_leave";
    /// Beds that are there, staffed or not.
    PHYSICAL = 13, "physically_available";
}

/// One ward's counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// *Disponibla vårdplatser*: beds open now with place, equipment and staff.
    pub staffed: u16,
    /// Admitted patients in the ward's beds.
    pub occupied: u16,
    /// Extra counts that are not zero.
    pub extras: BTreeMap<Extra, u16>,
}

impl Counts {
    /// The count of `extra`; zero when it is left out.
    pub fn extra(&self, extra: Extra) -> u16 {
        self.extras.get(&extra).copied().unwrap_or(0)
    }

    /// Beds that can take a patient now: `max(0, staffed − occupied − blocked)`.
    pub fn available(&self) -> u16 {
        self.staffed.saturating_sub(self.occupied).saturating_sub(self.extra(Extra::BLOCKED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overfull_ward_has_no_available_bed_and_no_negative_one() {
        let mut c = Counts { staffed: 10, occupied: 12, ..Counts::default() };
        assert_eq!(c.available(), 0);
        c.occupied = 7;
        c.extras.insert(Extra::BLOCKED, 2);
        assert_eq!(c.available(), 1);
    }

    #[test]
    fn names_round_trip() {
        for &e in Extra::REGISTERED {
            assert_eq!(Extra::from_name(e.name().expect("registered")), Some(e));
        }
        assert_eq!(Extra(999).name(), None);
    }
}

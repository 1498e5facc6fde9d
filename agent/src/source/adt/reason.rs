//! What became of a message, by name. Every message has exactly one reason, which decides its answer.
//!
//! The texts are sent back to the sender, counted and shown: they hold nothing of the message.

use serde::{Deserialize, Serialize};

/// The three answers of HL7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// AA: taken, or no concern of a census.
    Accept,
    /// AE: the sender has to mend something in it.
    Error,
    /// AR: not a message at all, or it could not be kept now.
    Reject,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $answer:ident, $error:literal, $text:literal;)*) => {
        /// What became of a message.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Reason {
            $($(#[$doc])* $variant,)*
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Reason] = &[$(Reason::$variant,)*];

            /// How the message is answered.
            pub fn answer(self) -> Answer {
                match self { $(Reason::$variant => Answer::$answer,)* }
            }

            /// The error condition of HL7's table 0357.
            pub fn condition(self) -> &'static str {
                match self { $(Reason::$variant => $error,)* }
            }

            /// What the sender is told.
            pub fn text(self) -> &'static str {
                match self { $(Reason::$variant => $text,)* }
            }
        }
    };
}

reasons! {
    /// It says something about a visit or a bed, and that is kept.
    Taken = Accept, "0", "taken";
    /// The same message, byte by byte, came before.
    Duplicate = Accept, "0", "duplicate";
    /// Not ADT.
    NotAdt = Accept, "0", "not ADT, nothing to do";
    /// An ADT event that moves nobody.
    NotOfACensus = Accept, "0", "this event moves nobody, nothing to do";
    /// A visit of a class that the census does not count.
    NotCounted = Accept, "0", "this patient class is not counted";
    /// An update that names no class or no place, or of a visit that has ended.
    SaysNoPlace = Accept, "0", "an update without class or place, or of an ended visit, nothing to do";
    /// A processing id (MSH-11) that is not production.
    NotProduction = Accept, "0", "not a production message, nothing to do";
    /// No visit number.
    NoVisit = Error, "101", "PV1-19 (visit number) is missing";
    /// A move without a place.
    NoPlace = Error, "101", "PV1-3 (assigned location) is missing";
    /// A change of visit number without the old one.
    NoPriorVisit = Error, "101", "MRG-5 (prior visit number) is missing";
    /// A swap that does not name two visits.
    HalfASwap = Error, "100", "A17 needs two PV1 segments";
    /// A bed status without bed or status.
    NoBed = Error, "101", "NPU-1 (bed location) or NPU-2 (bed status) is missing or unknown";
    /// Longer than the cap.
    TooLong = Error, "207", "the message is longer than max-message allows";
    /// Not HL7 v2.
    NotHl7 = Reject, "100", "does not begin with an MSH segment";
    /// No message type.
    NoType = Reject, "101", "MSH-9 (message type) is missing";
    /// It could not be written to disk.
    NotKept = Reject, "207", "could not be stored now, send again";
}

impl Reason {
    /// The word for screens and counters.
    pub fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_name_and_a_text_that_can_stand_in_a_message() {
        for reason in Reason::ALL {
            assert!(!reason.name().is_empty());
            assert!(reason.text().bytes().all(|b| b.is_ascii_graphic() || b == b' '));
            assert_eq!(reason.condition() == "0", reason.answer() == Answer::Accept);
        }
    }
}

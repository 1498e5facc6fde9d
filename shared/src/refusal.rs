//! Why a message was not taken: every reason by name and number.
//!
//! The name stands in logs, metrics (`reason="bad_signature"`), receipts shown by `status`, and
//! docs; the number stands in receipts on the wire. Numbers are never reused.

use std::fmt;

macro_rules! refusals {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal, $remedy:literal;)*) => {
        /// A named reason.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Refusal {
            $($(#[$doc])* $variant,)*
            /// A reason that only a newer centre knows.
            Unregistered(u8),
        }

        impl Refusal {
            /// Every registered reason.
            pub const REGISTERED: &[Refusal] = &[$(Refusal::$variant,)*];

            /// The number on the wire.
            pub fn number(self) -> u8 {
                match self { $(Refusal::$variant => $number,)* Refusal::Unregistered(n) => n }
            }

            /// Reads the number.
            pub fn from_number(number: u8) -> Refusal {
                match number { $($number => Refusal::$variant,)* n => Refusal::Unregistered(n) }
            }

            /// The word in logs and metrics.
            pub fn name(self) -> &'static str {
                match self { $(Refusal::$variant => $name,)* Refusal::Unregistered(_) => "unregistered" }
            }

            /// What whoever can mend it should do.
            pub fn remedy(self) -> &'static str {
                match self {
                    $(Refusal::$variant => $remedy,)*
                    Refusal::Unregistered(_) => "upgrade the agent: the centre is newer and names a reason it does not know",
                }
            }
        }
    };
}

refusals! {
    /// The topic's hospital is not enrolled.
    UnknownHospital = 1, "unknown_hospital", "enrol the hospital at the centre: vardpuls-aggregator enrol CARD";
    /// No key of the hospital has this id.
    UnknownKey = 2, "unknown_key", "enrol the agent's new card at the centre, or give the agent the enrolled key";
    /// The key was revoked or its validity has ended.
    RevokedKey = 3, "revoked_key", "make a new key with keygen and enrol its card";
    /// The key's signature does not verify over the bytes received.
    BadSignature = 4, "bad_signature", "find who publishes on this topic: the message was altered or forged";
    /// The message names another hospital than its topic.
    WrongTopic = 5, "wrong_topic", "find who publishes on this topic, or mend the agent's hospital in its config";
    /// The envelope is of another kind than its topic.
    WrongContentType = 6, "wrong_content_type", "find who publishes on this topic";
    /// Larger than the size cap.
    Oversize = 7, "oversize", "split the hospital, or find who publishes on this topic";
    /// The message ends inside a value.
    Truncated = 8, "truncated", "look for a relay that cuts messages; check the broker's packet limit";
    /// Bytes follow the message.
    TrailingBytes = 9, "trailing_bytes", "upgrade the sender: it adds bytes after the message";
    /// Not a message that can be read.
    Malformed = 10, "malformed", "upgrade the sender: it does not follow the message's CDDL";
    /// A message version that is not known here.
    UnsupportedVersion = 11, "unsupported_version", "upgrade the older side";
    /// A count or another number outside its range.
    AbsurdCount = 12, "absurd_count", "mend the source: a count is larger than 9999 or a number is out of range";
    /// Another report was already stored at this position.
    Equivocation = 13, "equivocation", "two agents share this key, or the key is stolen: stop one, or revoke the key";
    /// The report's roster is not here yet. The report is stored and counts once the roster arrives.
    RosterMissing = 14, "roster_missing", "nothing: the centre asks the agent for the roster";
    /// The roster's version is not that of its content.
    RosterMismatch = 15, "roster_mismatch", "upgrade the agent: it names a roster version that its roster does not have";
    /// The hospital is suspended at the centre.
    Suspended = 16, "suspended", "ask the centre why the hospital is suspended";
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Unregistered(n) => write!(f, "reason {n}"),
            other => f.write_str(other.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip() {
        for n in 0..=255 {
            assert_eq!(Refusal::from_number(n).number(), n);
        }
    }
}

//! What really happens in a simulated hospital.
//!
//! In: a seed and how much happens. Out: [`Told`], one a message, in the order in which a system would write them down;
//! and for every [`Thread`] (a visit, or a bed with a state) where it stood after each of its messages. Pure.

mod acts;
mod hospital;

use std::time::Duration;

use vardpuls_shared::clock::Time;

pub use hospital::simulate;

/// A place that messages name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// PL-1.
    pub point_of_care: &'static str,
    /// PL-4.
    pub facility: &'static str,
    /// The ward that it is; none for a theatre, and for a place that nobody has mapped.
    pub ward: Option<&'static str>,
}

const fn place(point_of_care: &'static str, facility: &'static str, ward: Option<&'static str>) -> Place {
    Place { point_of_care, facility, ward }
}

/// Every place. Names with separators and letters beyond ASCII are as likely as others.
pub const PLACES: [Place; 8] = [
    place("KIR3", "", Some("kir-3")),
    place("MED1", "HUS1", Some("med-1")),
    place("IVA", "", Some("iva")),
    place("IVA", "HUS2", Some("iva-2")),
    place("ÖNH & ögon", "HUS|1", Some("onh")),
    place("MED1B", "HUS1", Some("med-1")),
    place("OP", "", None),
    place("NYTT", "", None),
];

/// The places that the config says are no wards.
pub const NO_WARDS: [&str; 1] = ["OP"];

/// Where a patient lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot {
    /// A number in [`PLACES`].
    pub place: usize,
    /// The bed; none in a corridor.
    pub bed: Option<u8>,
}

/// Where a thread stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Where its patient lies, while one is admitted in a class that counts.
    pub spot: Option<Spot>,
    /// Away, the bed kept.
    pub on_leave: bool,
    /// A bed that takes no patient.
    pub blocked: Option<Spot>,
}

/// What is said about one visit in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// PV1-19.
    pub number: String,
    /// MRG-5.
    pub before: Option<String>,
    /// PV1-2.
    pub class: char,
    /// PV1-3.
    pub spot: Option<Spot>,
    /// PV1-6.
    pub prior: Option<Spot>,
    /// PV1-44.
    pub admitted: Option<Time>,
    /// PV1-45.
    pub ended: Option<Time>,
}

/// One message as the truth tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// When it was written down.
    pub at: Time,
    /// When it happened.
    pub happened: Time,
    /// `A01` and so on; `R01` is no ADT.
    pub trigger: &'static str,
    /// The visits.
    pub groups: Vec<Group>,
    /// A bed and its state.
    pub bed: Option<(Spot, char)>,
    /// The threads that it is about.
    pub threads: Vec<usize>,
    /// Read without those before it, it misleads: a correction, a late entry, the cancellation of a move.
    pub misleads: bool,
}

/// A visit, or a bed: where it stood at first, and after each message about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// One more than there are messages about it.
    pub stood: Vec<Standing>,
    /// The messages about it, as numbers in their order.
    pub told: Vec<usize>,
}

/// What happened in some days.
#[derive(Debug, Clone, Default)]
pub struct Days {
    /// Every message.
    pub told: Vec<Told>,
    /// Every visit and bed.
    pub threads: Vec<Thread>,
    /// When it began and ended.
    pub from: Time,
    /// See `from`.
    pub to: Time,
}

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Chance.
    pub seed: u64,
    /// How many days.
    pub days: u64,
    /// What happens in a day, about.
    pub a_day: u64,
    /// The times of messages are multiples of this.
    pub grain: Duration,
    /// When it begins.
    pub from: Time,
    /// Whether moves of the past are entered: only where messages say when a move happened.
    pub history: bool,
}

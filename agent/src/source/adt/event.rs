//! What one message says about visits and beds: the census rules of each event.
//!
//! In: a message and how the sender writes. Out: an [`Event`], or the [`Reason`] why there is none. Pure.
//!
//! Each message is taken for the visit's *resulting* class and place, never for one patient more or less:
//!
//! | event | says |
//! |---|---|
//! | A01, A06 | admitted at PV1-3; A06 may carry the old visit number in MRG-5 |
//! | A02, A17 | in PV1-3 now; A17 says so of two visits at once |
//! | A03, A07 | gone; A03's PV1-3 is the place before |
//! | A11 | was never admitted; A12: in PV1-3 again; A13: admitted again, at PV1-3 |
//! | A21, A22 | on leave, back; the bed stays the patient's |
//! | A08 | in PV1-3, where class and place are filled, and no end (PV1-45) |
//! | A20 | NPU-1 is in the state of NPU-2 |
//! | A42, A45, A50 | MRG-5 is called PV1-19 from now on |
//! | A04 | an outpatient, without a bed; as A01 where the config counts registrations |
//!
//! Everything else moves nobody: pre-admissions, tracking (A09, A10), pending events, merges of persons (A40).

use encoding_rs::Encoding;
use jiff::tz::TimeZone;
use ring::digest::{SHA256, digest};
use vardpuls_shared::clock::Time;

use super::hl7::{self, Field, Message, Name, Segment};
use super::place::PlaceName;
use super::reason::Reason;
use super::stamp;

/// How far ahead of our clock a time may be. A wrong year must not freeze a visit.
const MOST_AHEAD: std::time::Duration = std::time::Duration::from_hours(24);

/// How one sender writes.
#[derive(Debug, Clone, PartialEq)]
pub struct Habits {
    /// The charset of messages that do not say.
    pub charset: &'static Encoding,
    /// The zone of times without an offset.
    pub zone: TimeZone,
    /// Whether A04 puts a patient in a bed, as in an emergency department that is a ward.
    pub registrations: bool,
    /// The processing ids (MSH-11) that are taken; empty is always.
    pub processing: Vec<String>,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Something about visits: one, or the two of a swap.
    Visits(Vec<Step>),
    /// The state of a bed.
    Bed {
        /// Which.
        spot: Spot,
        /// How it is.
        state: BedState,
        /// When.
        when: When,
    },
}

/// What is said of one visit.
#[derive(Clone, PartialEq, Eq)]
pub struct Step {
    /// Its number, as the sender writes it. Never kept and never shown.
    pub number: Vec<u8>,
    /// The number that it had before, where the message changes it.
    pub before: Option<Vec<u8>>,
    /// What.
    pub said: Said,
}

impl std::fmt::Debug for Step {
    /// Without the numbers: they lead to a person.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Step").field("said", &self.said).finish_non_exhaustive()
    }
}

/// One statement about one visit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// What happened.
    pub act: Act,
    /// When.
    pub when: When,
    /// The patient class (PV1-2).
    pub class: Option<Class>,
    /// The place (PV1-3).
    pub place: Option<Spot>,
    /// The place before (PV1-6).
    pub prior: Option<Spot>,
    /// When the visit began (PV1-44).
    pub admitted: Option<Time>,
}

/// What happened to a visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    /// A01, A06.
    Admit,
    /// A02, A17.
    Transfer,
    /// A03.
    Discharge,
    /// A07.
    EndInpatient,
    /// A11.
    CancelAdmit,
    /// A12.
    CancelTransfer,
    /// A13.
    CancelDischarge,
    /// A21.
    Leave,
    /// A22.
    Return,
    /// A08 and changes of number: how things are, not that they changed.
    Note,
}

/// The times of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When {
    /// When it happened, where the sender says so (EVN-6).
    pub happened: Option<Time>,
    /// When it was written down (EVN-2, else MSH-7).
    pub recorded: Time,
    /// When it was sent (MSH-7).
    pub sent: Time,
}

/// A patient class, cut to eight bytes, in capitals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class(pub [u8; 8]);

impl Class {
    /// None for an empty one.
    pub fn new(text: &[u8]) -> Option<Class> {
        let mut class = [0; 8];
        for (to, from) in class.iter_mut().zip(text) {
            *to = from.to_ascii_uppercase();
        }
        (!text.is_empty()).then_some(Class(class))
    }
}

/// A bed, or a place without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// The place.
    pub place: PlaceName,
    /// The bed in it.
    pub bed: Option<Bed>,
}

/// A bed of a place: a digest of its room and name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bed(pub u64);

/// The state of a bed (table 0116).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BedState {
    /// `C`, `H`, `I`, `K`: closed, housekeeping, isolated, contaminated. Takes no patient.
    Blocked,
    /// `O`, `U`: occupied or free.
    Usable,
}

/// What a message says, or why it says nothing.
pub fn read(message: &Message<'_>, habits: &Habits, received: Time) -> Result<Event, Reason> {
    let header = message.header();
    let kind = header.field(9);
    match &*kind.component(1).value() {
        b"" => return Err(Reason::NoType),
        b"ADT" => {}
        _ => return Err(Reason::NotAdt),
    }
    let processing = header.field(11).component(1).value();
    if !processing.is_empty() && !habits.processing.iter().any(|p| p.as_bytes().eq_ignore_ascii_case(&processing)) {
        return Err(Reason::NotProduction);
    }
    let event = message.first(Name::Evn);
    let mut trigger = kind.component(2).value();
    if trigger.is_empty() {
        trigger = event.map(|e| e.field(1).value()).unwrap_or_default();
    }
    let reader = Reader {
        habits,
        charset: hl7::charset(header).unwrap_or(habits.charset),
        when: when(header, event, habits, received),
        received,
    };
    let act = match &*trigger {
        b"A01" | b"A06" => Act::Admit,
        b"A04" if habits.registrations => Act::Admit,
        b"A02" => Act::Transfer,
        b"A03" => Act::Discharge,
        b"A07" => Act::EndInpatient,
        b"A08" => return reader.note(message),
        b"A11" => Act::CancelAdmit,
        b"A12" => Act::CancelTransfer,
        b"A13" => Act::CancelDischarge,
        b"A17" => return reader.swap(message),
        b"A20" => return reader.bed(message),
        b"A21" => Act::Leave,
        b"A22" => Act::Return,
        b"A42" | b"A45" | b"A50" => return reader.renumber(message),
        _ => return Err(Reason::NotOfACensus),
    };
    let visit = message.first(Name::Pv1).ok_or(Reason::NoVisit)?;
    let mut step = reader.step(visit, act)?;
    if act == Act::Admit {
        step.before = message.first(Name::Mrg).and_then(|merged| number(merged.field(5)));
    }
    Ok(Event::Visits(vec![step]))
}

fn when(header: Segment<'_>, event: Option<Segment<'_>>, habits: &Habits, received: Time) -> When {
    let time = |field: Field<'_>| {
        let time = stamp::read(&field.component(1).value(), &habits.zone)?;
        (time <= received.plus(MOST_AHEAD)).then_some(time)
    };
    let sent = time(header.field(7));
    let happened = event.and_then(|e| time(e.field(6)));
    let recorded = event.and_then(|e| time(e.field(2))).or(sent).or(happened).unwrap_or(received);
    When { happened, recorded, sent: sent.unwrap_or(recorded) }
}

fn number(field: Field<'_>) -> Option<Vec<u8>> {
    let number = field.component(1).value();
    (!number.is_empty()).then(|| number.into_owned())
}

struct Reader<'h> {
    habits: &'h Habits,
    charset: &'static Encoding,
    when: When,
    received: Time,
}

impl Reader<'_> {
    fn said(&self, visit: Segment<'_>, act: Act) -> Said {
        let admitted = stamp::read(&visit.field(44).component(1).value(), &self.habits.zone);
        Said {
            act,
            when: self.when,
            class: Class::new(&visit.field(2).component(1).value()),
            place: self.spot(visit.field(3)),
            prior: self.spot(visit.field(6)),
            admitted: admitted.filter(|at| *at <= self.received.plus(MOST_AHEAD)),
        }
    }

    fn step(&self, visit: Segment<'_>, act: Act) -> Result<Step, Reason> {
        let number = number(visit.field(19)).ok_or(Reason::NoVisit)?;
        let said = self.said(visit, act);
        if said.place.is_none() && matches!(act, Act::Transfer | Act::CancelTransfer) {
            return Err(Reason::NoPlace);
        }
        Ok(Step { number, before: None, said })
    }

    fn note(&self, message: &Message<'_>) -> Result<Event, Reason> {
        let visit = message.first(Name::Pv1).ok_or(Reason::SaysNoPlace)?;
        let said = self.said(visit, Act::Note);
        // Of a visit that has ended, updates come for weeks: they must not open it again.
        let ended = stamp::read(&visit.field(45).component(1).value(), &self.habits.zone);
        let has_ended = ended.is_some_and(|at| at <= said.when.recorded);
        if said.class.is_none() || said.place.is_none() || has_ended {
            return Err(Reason::SaysNoPlace);
        }
        Ok(Event::Visits(vec![self.step(visit, Act::Note)?]))
    }

    fn swap(&self, message: &Message<'_>) -> Result<Event, Reason> {
        let visits: Vec<Segment<'_>> = message.segments().filter(|s| s.name == Name::Pv1).take(3).collect();
        let [one, other] = visits[..] else { return Err(Reason::HalfASwap) };
        Ok(Event::Visits(vec![self.step(one, Act::Transfer)?, self.step(other, Act::Transfer)?]))
    }

    /// Pairs of MRG and the PV1 after it.
    fn renumber(&self, message: &Message<'_>) -> Result<Event, Reason> {
        let (mut steps, mut merged) = (Vec::new(), None);
        for segment in message.segments() {
            match segment.name {
                Name::Mrg => merged = Some(number(segment.field(5)).ok_or(Reason::NoPriorVisit)?),
                Name::Pv1 => {
                    let mut step = self.step(segment, Act::Note)?;
                    step.before = Some(merged.take().ok_or(Reason::NoPriorVisit)?);
                    steps.push(step);
                }
                _ => {}
            }
        }
        if steps.is_empty() { Err(Reason::NoVisit) } else { Ok(Event::Visits(steps)) }
    }

    fn bed(&self, message: &Message<'_>) -> Result<Event, Reason> {
        let update = message.first(Name::Npu).ok_or(Reason::NoBed)?;
        let spot = self.spot(update.field(1)).filter(|spot| spot.bed.is_some()).ok_or(Reason::NoBed)?;
        let state = match &*update.field(2).component(1).value() {
            b"C" | b"H" | b"I" | b"K" => BedState::Blocked,
            b"O" | b"U" => BedState::Usable,
            _ => return Err(Reason::NoBed),
        };
        Ok(Event::Bed { spot, state, when: self.when })
    }

    fn spot(&self, field: Field<'_>) -> Option<Spot> {
        let place = PlaceName::new(
            &field.component(1).text(self.charset),
            &field.component(4).subcomponent(1).text(self.charset),
        );
        if place.point_of_care.is_empty() {
            return None;
        }
        let (room, bed) = (field.component(2).value(), field.component(3).value());
        let bed = (!room.is_empty() || !bed.is_empty()).then(|| {
            let digest = digest(&SHA256, &[&room, b"\x00".as_slice(), &bed].concat());
            let first = digest.as_ref().first_chunk().expect("SHA-256 has 32 bytes");
            Bed(u64::from_be_bytes(*first))
        });
        Some(Spot { place, bed })
    }
}

#[cfg(test)]
mod tests;

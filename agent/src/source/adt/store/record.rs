//! A visit as bytes: CBOR arrays, as short as they can be.
//!
//! `[touched, admitted, [since, key]?, [act, happened, recorded, sent, since, class, place, bed, prior]*]`; times that a
//! statement does not have are null.

use minicbor::data::Type;
use minicbor::{Decoder, Encoder};
use vardpuls_shared::clock::Time;

use crate::source::adt::event::{Act, Class, When};
use crate::source::adt::secret::Key;
use crate::source::adt::visit::{Berth, PlaceNumber, Statement, Visit};

/// By number, never reused.
const ACTS: [Act; 10] = [
    Act::Admit,
    Act::Transfer,
    Act::Discharge,
    Act::EndInpatient,
    Act::CancelAdmit,
    Act::CancelTransfer,
    Act::CancelDischarge,
    Act::Leave,
    Act::Return,
    Act::Note,
];

const FIELDS: u64 = 9;

/// Writes a visit over `out`.
pub(super) fn write(visit: &Visit, out: &mut Vec<u8>) {
    out.clear();
    encode(visit, &mut Encoder::new(out)).expect("writing to memory cannot fail");
}

type Written = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

fn encode(visit: &Visit, e: &mut Encoder<&mut Vec<u8>>) -> Written {
    e.array(3 + visit.statements().len() as u64)?;
    e.u64(visit.touched.0)?;
    optional(e, visit.admitted.map(|t| t.0))?;
    match visit.renumbered {
        None => e.null()?,
        Some((since, key)) => e.array(2)?.u64(since.0)?.bytes(&key.0)?,
    };
    for s in visit.statements() {
        let act = ACTS.iter().position(|act| *act == s.act).expect("ACTS has every act");
        e.array(FIELDS)?.u64(act as u64)?;
        optional(e, s.when.happened.map(|t| t.0))?;
        e.u64(s.when.recorded.0)?.u64(s.when.sent.0)?.u64(s.since.0)?;
        match s.class {
            None => e.null()?,
            Some(class) => e.bytes(&class.0)?,
        };
        optional(e, s.berth.map(|b| u64::from(b.place.0)))?;
        optional(e, s.berth.and_then(|b| b.bed))?;
        optional(e, s.prior.map(|p| u64::from(p.0)))?;
    }
    Ok(())
}

fn optional(e: &mut Encoder<&mut Vec<u8>>, value: Option<u64>) -> Written {
    match value {
        None => e.null()?,
        Some(value) => e.u64(value)?,
    };
    Ok(())
}

/// Reads a visit; none from bytes that are none.
pub(super) fn read(bytes: &[u8]) -> Option<Visit> {
    let mut d = Decoder::new(bytes);
    let statements = d.array().ok()??.checked_sub(3)?;
    let touched = Time(d.u64().ok()?);
    let admitted = maybe(&mut d)?.map(Time);
    let renumbered = if null(&mut d)? {
        None
    } else {
        let (Some(2), since) = (d.array().ok()?, Time(d.u64().ok()?)) else { return None };
        Some((since, Key(d.bytes().ok()?.try_into().ok()?)))
    };
    let mut visit = Visit::default();
    (visit.touched, visit.admitted, visit.renumbered) = (touched, admitted, renumbered);
    for _ in 0..statements {
        visit.take(statement(&mut d)?);
    }
    Some(visit)
}

fn statement(d: &mut Decoder<'_>) -> Option<Statement> {
    if d.array().ok()? != Some(FIELDS) {
        return None;
    }
    let act = *ACTS.get(usize::try_from(d.u64().ok()?).ok()?)?;
    let happened = maybe(d)?.map(Time);
    let when = When { happened, recorded: Time(d.u64().ok()?), sent: Time(d.u64().ok()?) };
    let since = Time(d.u64().ok()?);
    let class = if null(d)? { None } else { Some(Class(d.bytes().ok()?.try_into().ok()?)) };
    let place = |n: Option<u64>| n.map(|n| u16::try_from(n).map(PlaceNumber)).transpose().ok();
    let (at, bed, prior) = (place(maybe(d)?)?, maybe(d)?, place(maybe(d)?)?);
    let berth = at.map(|place| Berth { place, bed });
    Some(Statement { act, when, since, class, berth, prior })
}

#[expect(clippy::option_option, reason = "outer: whether it could be read; inner: whether there is one")]
fn maybe(d: &mut Decoder<'_>) -> Option<Option<u64>> {
    if null(d)? { Some(None) } else { d.u64().ok().map(Some) }
}

fn null(d: &mut Decoder<'_>) -> Option<bool> {
    if d.datatype().ok()? == Type::Null { d.null().ok().map(|()| true) } else { Some(false) }
}

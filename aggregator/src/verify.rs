//! Whether to believe a message: the only way into the live picture and the store.
//!
//! In: a topic, bytes, the registry, the receive time. Out: a [`VerifiedReport`] or
//! [`VerifiedRoster`], types that nothing else can make, or a [`Refused`] that names the reason.
//! Pure, and called from every core at once. What was stored is verified again when it is read back.
//!
//! A receipt may name a refusal only when the fault lies in bytes that the hospital itself signed,
//! on its own topic, at a position that can be read. Anything else could come from anybody on the
//! broker, and a receipt about it would make an agent let go of good reports. For the same reason a
//! revoked key's report is not receipted while the hospital has a valid key: whoever stole the old
//! one could refuse away what was signed with the new.

use vardpuls_shared::clock::Time;
use vardpuls_shared::hospital::HospitalId;
use vardpuls_shared::refusal::Refusal;
use vardpuls_shared::report::{Position, Report};
use vardpuls_shared::roster::{Roster, RosterError};
use vardpuls_shared::signed::{Envelope, EnvelopeError, Kind};
use vardpuls_shared::topic::Topic;
use vardpuls_shared::wire::WireError;

use crate::enrolment::{KeyState, Registry, State};
use crate::merge::Heard;
use crate::store::{StoredReport, StoredRoster};
use crate::ward::WardCounts;

/// A message that its hospital signed.
#[derive(Debug, Clone)]
pub enum Verified {
    /// A report.
    Report(VerifiedReport),
    /// A roster.
    Roster(VerifiedRoster),
}

/// A report that its hospital signed.
#[derive(Debug, Clone)]
pub struct VerifiedReport {
    heard: Heard,
    wards: Vec<WardCounts>,
    stored: StoredReport,
}

impl VerifiedReport {
    /// Whose.
    pub fn hospital(&self) -> &HospitalId {
        &self.stored.hospital
    }

    /// All but the counts.
    pub fn heard(&self) -> &Heard {
        &self.heard
    }

    /// The counts, by rising roster index.
    pub fn wards(&self) -> &[WardCounts] {
        &self.wards
    }

    /// What the store keeps of it.
    pub fn into_stored(self) -> StoredReport {
        self.stored
    }

    /// Verifies a stored report again, by the keys that were valid when it was received.
    pub fn from_store(registry: &Registry, stored: &StoredReport) -> Result<VerifiedReport, Refused> {
        report(registry, stored.received_at, &stored.hospital, &stored.envelope, Origin::Store)
    }
}

/// A roster that its hospital signed.
#[derive(Debug, Clone)]
pub struct VerifiedRoster {
    roster: Roster,
    stored: StoredRoster,
}

impl VerifiedRoster {
    /// What it says.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// When the centre received it.
    pub fn received_at(&self) -> Time {
        self.stored.received_at
    }

    /// The two halves: what it says, and what the store keeps.
    pub fn into_parts(self) -> (Roster, StoredRoster) {
        (self.roster, self.stored)
    }

    /// Verifies a stored roster again, by the keys that were valid when it was received.
    pub fn from_store(registry: &Registry, stored: &StoredRoster) -> Result<VerifiedRoster, Refused> {
        roster(registry, stored.received_at, &stored.hospital, &stored.envelope, Origin::Store)
    }
}

/// A message that was not believed, or not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{refusal}: {detail}")]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// Of the topic.
    pub hospital: HospitalId,
    /// Where the report stands, if that can be read. Not to be believed unless `receipted`.
    pub position: Option<Position>,
    /// What exactly is wrong; no content.
    pub detail: String,
    /// Whether the hospital itself signed the fault, so that a receipt may name it.
    pub receipted: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Broker,
    Store,
}

/// Verifies a message as it came from the broker at `received_at`.
pub fn verify(registry: &Registry, received_at: Time, topic: &Topic, envelope: &[u8]) -> Result<Verified, Refused> {
    match topic {
        Topic::Report(h) => report(registry, received_at, h, envelope, Origin::Broker).map(Verified::Report),
        Topic::Roster(h) => roster(registry, received_at, h, envelope, Origin::Broker).map(Verified::Roster),
        Topic::Receipt(h) | Topic::Presence(h) => {
            Err(unsigned(h, Refusal::WrongTopic, "the centre takes nothing here"))
        }
        Topic::Feed(_) | Topic::JsonFeed(_) | Topic::Alert(_) | Topic::JsonAlert(_) => {
            let centre = HospitalId::new("centre").expect("within the alphabet");
            Err(unsigned(&centre, Refusal::WrongTopic, "only the centre publishes here"))
        }
    }
}

/// A refusal of bytes that nobody vouches for.
fn unsigned(hospital: &HospitalId, refusal: Refusal, detail: impl std::fmt::Display) -> Refused {
    Refused { refusal, hospital: hospital.clone(), position: None, detail: detail.to_string(), receipted: false }
}

fn report(
    registry: &Registry,
    received_at: Time,
    hospital: &HospitalId,
    envelope: &[u8],
    origin: Origin,
) -> Result<VerifiedReport, Refused> {
    let Signed { payload, standing, receipted } =
        signed(registry, received_at, hospital, Kind::Report, envelope, origin)?;
    let decoded = standing.and_then(|()| Report::decode(payload).map_err(|e| (of_payload(&e), e.to_string())));
    let report = decoded.map_err(|(refusal, detail)| signed_fault(hospital, payload, receipted, refusal, detail))?;
    if report.hospital != *hospital {
        return Err(unsigned(hospital, Refusal::WrongTopic, format_args!("the report is {}'s", report.hospital)));
    }
    let heard = Heard {
        position: report.position,
        digest: digest(envelope),
        observed_at: report.observed_at,
        received_at,
        valid_for: report.valid_for,
        roster_version: report.roster_version,
    };
    let wards = report.wards.iter().map(|(&index, counts)| WardCounts::new(index, counts)).collect();
    let stored = StoredReport {
        hospital: report.hospital,
        position: heard.position,
        observed_at: heard.observed_at,
        received_at,
        digest: heard.digest,
        envelope: envelope.to_vec(),
    };
    Ok(VerifiedReport { heard, wards, stored })
}

/// A refusal of bytes that a key of the hospital signed. A receipt may say so where the head can be
/// read and names the hospital; one that names another was signed for another topic.
fn signed_fault(hospital: &HospitalId, payload: &[u8], receipted: bool, refusal: Refusal, detail: String) -> Refused {
    match Report::peek(payload) {
        Ok((named, _)) if named != *hospital => {
            unsigned(hospital, Refusal::WrongTopic, format_args!("the report is {named}'s"))
        }
        head => {
            let position = head.ok().map(|(_, position)| position);
            Refused {
                refusal,
                hospital: hospital.clone(),
                position,
                detail,
                receipted: receipted && position.is_some(),
            }
        }
    }
}

fn roster(
    registry: &Registry,
    received_at: Time,
    hospital: &HospitalId,
    envelope: &[u8],
    origin: Origin,
) -> Result<VerifiedRoster, Refused> {
    let Signed { payload, standing, .. } = signed(registry, received_at, hospital, Kind::Roster, envelope, origin)?;
    standing.map_err(|(refusal, detail)| unsigned(hospital, refusal, detail))?;
    let roster = Roster::decode(payload).map_err(|e| match &e {
        RosterError::Wire(wire) => unsigned(hospital, of_payload(wire), e.to_string()),
        RosterError::Version { .. } => unsigned(hospital, Refusal::RosterMismatch, e.to_string()),
    })?;
    if roster.hospital != *hospital {
        return Err(unsigned(hospital, Refusal::WrongTopic, format_args!("the roster is {}'s", roster.hospital)));
    }
    let stored =
        StoredRoster { hospital: hospital.clone(), version: roster.version, received_at, envelope: envelope.to_vec() };
    Ok(VerifiedRoster { roster, stored })
}

/// A payload that one of the hospital's keys signed, and whether key and hospital are in good standing.
struct Signed<'a> {
    payload: &'a [u8],
    standing: Result<(), (Refusal, String)>,
    /// Whether a receipt may name a fault in the payload.
    receipted: bool,
}

fn signed<'a>(
    registry: &Registry,
    received_at: Time,
    hospital: &HospitalId,
    kind: Kind,
    envelope: &'a [u8],
    origin: Origin,
) -> Result<Signed<'a>, Refused> {
    let enrolment = registry
        .hospital(hospital)
        .ok_or_else(|| unsigned(hospital, Refusal::UnknownHospital, "no such hospital is enrolled"))?;
    let envelope = Envelope::open(kind, envelope).map_err(|e| unsigned(hospital, of_envelope(&e), e.to_string()))?;
    let (key, valid) = match enrolment.key(envelope.key_id, received_at) {
        KeyState::Valid(key) => (key, true),
        KeyState::Revoked(key) => (key, false),
        KeyState::Unknown => {
            let detail = format!("key {} is not one of the hospital's", envelope.key_id);
            return Err(unsigned(hospital, Refusal::UnknownKey, detail));
        }
    };
    let payload = envelope.verify(&key).map_err(|e| unsigned(hospital, Refusal::BadSignature, e.to_string()))?;
    let standing = if !valid {
        Err((Refusal::RevokedKey, "the key was revoked or its validity has ended".to_owned()))
    } else if enrolment.state == State::Suspended && origin == Origin::Broker {
        Err((Refusal::Suspended, "the hospital is suspended".to_owned()))
    } else {
        Ok(())
    };
    let other_key_holds = || enrolment.keys.iter().any(|k| matches!(k.state(received_at), KeyState::Valid(_)));
    Ok(Signed { payload, standing, receipted: valid || !other_key_holds() })
}

/// SHA-256, as the store tells envelopes apart.
fn digest(envelope: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, envelope).as_ref());
    out
}

fn of_envelope(e: &EnvelopeError) -> Refusal {
    match e {
        EnvelopeError::Oversize(_) => Refusal::Oversize,
        // A number out of range is no count here: the envelope has none.
        EnvelopeError::Shape(WireError::OutOfRange { .. }) | EnvelopeError::Header(_) => Refusal::Malformed,
        EnvelopeError::Shape(e) => of_payload(e),
        EnvelopeError::ContentType { .. } => Refusal::WrongContentType,
    }
}

fn of_payload(e: &WireError) -> Refusal {
    match e {
        WireError::Truncated { .. } => Refusal::Truncated,
        WireError::Trailing { .. } => Refusal::TrailingBytes,
        WireError::Malformed { .. } | WireError::Duplicate { .. } => Refusal::Malformed,
        WireError::OutOfRange { .. } => Refusal::AbsurdCount,
        WireError::Version { .. } => Refusal::UnsupportedVersion,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use vardpuls_shared::care::CareType;
    use vardpuls_shared::count::Counts;
    use vardpuls_shared::key::SigningKey;
    use vardpuls_shared::roster::Ward;
    use vardpuls_shared::signed::sign;
    use vardpuls_shared::wire::MAX_ENVELOPE;

    use crate::enrolment::{Enrolment, Key};

    use super::*;

    const NOW: Time = Time(1_700_000_000_000);

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32])
    }

    fn id(text: &str) -> HospitalId {
        text.parse().expect("valid")
    }

    /// Hospital `a` has key 1, valid, and key 2, revoked an hour ago; `r` has only key 4, revoked; `s` with key 3 is
    /// suspended.
    fn registry() -> Registry {
        let with = |name: &str, state, keys: &[(u8, Option<Time>)]| Enrolment {
            hospital: id(name),
            name: name.to_owned(),
            region: "01".parse().expect("valid"),
            state,
            keys: keys
                .iter()
                .map(|&(seed, revoked)| Key { public_key: key(seed).public(), from: None, until: None, revoked })
                .collect(),
        };
        let hour_ago = Time(NOW.0 - 3_600_000);
        [
            with("a", State::Enrolled, &[(1, None), (2, Some(hour_ago))]),
            with("r", State::Enrolled, &[(4, Some(hour_ago))]),
            with("s", State::Suspended, &[(3, None)]),
        ]
        .into_iter()
        .collect()
    }

    fn sample(hospital: &str) -> Report {
        Report {
            hospital: id(hospital),
            position: Position { epoch: 5, sequence: 7 },
            observed_at: NOW,
            valid_for: 60,
            roster_version: 1,
            wards: BTreeMap::from([(1, Counts { staffed: 10, occupied: 9, ..Counts::default() })]),
        }
    }

    fn on(topic: &str, payload: &[u8], seed: u8) -> Result<Verified, Refused> {
        let envelope = sign(Kind::Report, payload, &key(seed));
        verify(&registry(), NOW, &Topic::Report(id(topic)), &envelope)
    }

    /// The refusal, and the sequence that a receipt would name.
    fn refusal(outcome: Result<Verified, Refused>) -> (Refusal, Option<u64>) {
        let refused = outcome.expect_err("must be refused");
        (refused.refusal, refused.position.filter(|_| refused.receipted).map(|p| p.sequence))
    }

    #[test]
    fn a_good_report_is_verified_with_all_it_says() {
        let Ok(Verified::Report(report)) = on("a", &sample("a").encode(), 1) else { panic!("must pass") };
        assert_eq!(report.heard().position, Position { epoch: 5, sequence: 7 });
        assert_eq!(report.wards().len(), 1);
        let again = VerifiedReport::from_store(&registry(), &report.clone().into_stored()).expect("passes again");
        assert_eq!((again.heard(), again.wards()), (report.heard(), report.wards()));
    }

    #[test]
    fn faults_that_the_hospital_signed_are_receipted() {
        let mut absurd = sample("a");
        absurd.wards.insert(2, Counts { staffed: 10_000, ..Counts::default() });
        assert_eq!(refusal(on("a", &absurd.encode(), 1)), (Refusal::AbsurdCount, Some(7)));
        let good = sample("a").encode();
        assert_eq!(refusal(on("a", &good[..good.len() - 1], 1)), (Refusal::Truncated, Some(7)));
        assert_eq!(refusal(on("a", &[&good[..], &[0]].concat(), 1)), (Refusal::TrailingBytes, Some(7)));
        assert_eq!(refusal(on("r", &sample("r").encode(), 4)), (Refusal::RevokedKey, Some(7)));
        assert_eq!(refusal(on("s", &sample("s").encode(), 3)), (Refusal::Suspended, Some(7)));
    }

    #[test]
    fn faults_that_anybody_could_make_are_never_receipted() {
        let good = sample("a").encode();
        assert_eq!(refusal(on("b", &good, 1)), (Refusal::UnknownHospital, None));
        assert_eq!(refusal(on("a", &good, 9)), (Refusal::UnknownKey, None));
        // Whoever stole the old key must not refuse away what was signed with the new one.
        assert_eq!(refusal(on("a", &good, 2)), (Refusal::RevokedKey, None));
        // The hospital's own report, replayed on another hospital's topic by whoever holds key 3.
        assert_eq!(refusal(on("s", &good, 3)), (Refusal::WrongTopic, None));
        assert_eq!(refusal(on("a", b"\x01", 1)), (Refusal::Malformed, None));

        let topic = Topic::Report(id("a"));
        let check = |bytes: &[u8]| refusal(verify(&registry(), NOW, &topic, bytes));
        let mut forged = sign(Kind::Report, &good, &key(1));
        let last = forged.len() - 1;
        forged[last] ^= 1;
        assert_eq!(check(&forged), (Refusal::BadSignature, None));
        assert_eq!(check(&sign(Kind::Roster, &good, &key(1))), (Refusal::WrongContentType, None));
        assert_eq!(check(&vec![0; MAX_ENVELOPE + 1]), (Refusal::Oversize, None));
        assert_eq!(check(&forged[..last]), (Refusal::Truncated, None));
        assert_eq!(check(&[&forged[..], &[0]].concat()), (Refusal::TrailingBytes, None));
        assert_eq!(check(b""), (Refusal::Truncated, None));
    }

    #[test]
    fn a_key_is_believed_about_the_time_before_it_was_revoked() {
        let envelope = sign(Kind::Report, &sample("a").encode(), &key(2));
        let mut stored = StoredReport {
            hospital: id("a"),
            position: Position { epoch: 5, sequence: 7 },
            observed_at: NOW,
            received_at: Time(NOW.0 - 7_200_000),
            digest: digest(&envelope),
            envelope,
        };
        assert!(VerifiedReport::from_store(&registry(), &stored).is_ok());
        stored.received_at = NOW;
        let refused = VerifiedReport::from_store(&registry(), &stored).expect_err("revoked by then");
        assert_eq!(refused.refusal, Refusal::RevokedKey);
    }

    #[test]
    fn a_suspended_hospitals_past_is_read_back() {
        let envelope = sign(Kind::Report, &sample("s").encode(), &key(3));
        let (position, digest) = (Position { epoch: 5, sequence: 7 }, digest(&envelope));
        let stored = StoredReport { hospital: id("s"), position, observed_at: NOW, received_at: NOW, digest, envelope };
        assert!(VerifiedReport::from_store(&registry(), &stored).is_ok());
    }

    #[test]
    fn a_roster_must_have_the_version_of_its_content() {
        let ward = |name: &str| Ward {
            index: 1,
            id: "iva-1".parse().expect("valid"),
            name: name.to_owned(),
            care: CareType::Icu,
            place: None,
            capabilities: Vec::new(),
            contact: None,
        };
        let topic = Topic::Roster(id("a"));
        let check = |roster: &Roster| verify(&registry(), NOW, &topic, &sign(Kind::Roster, &roster.encode(), &key(1)));
        let mut roster = Roster::new(id("a"), vec![ward("IVA")]);
        assert!(matches!(check(&roster), Ok(Verified::Roster(r)) if r.roster() == &roster));
        roster.version ^= 1;
        assert_eq!(refusal(check(&roster)), (Refusal::RosterMismatch, None));
        assert_eq!(refusal(check(&Roster::new(id("s"), vec![ward("IVA")]))), (Refusal::WrongTopic, None));
    }
}

//! Whether a message on the receipt topic is the centre's word to this hospital.
//!
//! In: any bytes from the broker. Out: a receipt that the centre signed, or a named reason. Only
//! this decides what the outbox may let go of.

use vardpuls_shared::hospital::HospitalId;
use vardpuls_shared::key::{KeyId, PublicKey};
use vardpuls_shared::receipt::Receipt;
use vardpuls_shared::signed::{BadSignature, Envelope, EnvelopeError, Kind};
use vardpuls_shared::wire::WireError;

/// Why a message was not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotBelieved {
    /// No envelope of a receipt.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// Signed by a key that is not the centre's.
    #[error(
        "it names key {found}, but centre-key is {expected}; ask the centre for its public key and compare centre-key"
    )]
    OtherKey {
        /// The key named.
        found: KeyId,
        /// The centre's.
        expected: KeyId,
    },
    /// Names the centre's key, and is not signed by it.
    #[error("{0}; somebody else writes on the receipt topic: check the broker's access rules")]
    Signature(#[from] BadSignature),
    /// Signed by the centre, and cannot be read.
    #[error("{0}; upgrade the older side")]
    Payload(#[from] WireError),
    /// A receipt for another hospital.
    #[error("it is for hospital {0}; somebody copies receipts: check the broker's access rules")]
    OtherHospital(HospitalId),
}

/// Reads a receipt for `hospital` that `centre` signed.
pub fn read(bytes: &[u8], centre: &PublicKey, hospital: &HospitalId) -> Result<Receipt, NotBelieved> {
    let envelope = Envelope::open(Kind::Receipt, bytes)?;
    if envelope.key_id != centre.id() {
        return Err(NotBelieved::OtherKey { found: envelope.key_id, expected: centre.id() });
    }
    let receipt = Receipt::decode(envelope.verify(centre)?)?;
    if receipt.hospital != *hospital {
        return Err(NotBelieved::OtherHospital(receipt.hospital));
    }
    Ok(receipt)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vardpuls_shared::clock::Time;
    use vardpuls_shared::key::SigningKey;
    use vardpuls_shared::signed::sign;

    use super::*;

    fn hospital() -> HospitalId {
        "h".parse().expect("valid")
    }

    fn centre() -> SigningKey {
        SigningKey::from_seed(&[1; 32])
    }

    fn receipt() -> Receipt {
        let (stored, refused, wanted) = (vec![(1, 4)], Vec::new(), vec![7]);
        Receipt { hospital: hospital(), issued_at: Time(5), epoch: 3, stored, refused, wanted }
    }

    #[test]
    fn only_the_centres_own_word_to_this_hospital_is_believed() {
        let key = centre().public();
        let good = sign(Kind::Receipt, &receipt().encode(), &centre());
        assert_eq!(read(&good, &key, &hospital()), Ok(receipt()));

        let forged = sign(Kind::Receipt, &receipt().encode(), &SigningKey::from_seed(&[2; 32]));
        assert!(matches!(read(&forged, &key, &hospital()), Err(NotBelieved::OtherKey { .. })));
        let other = "other".parse().expect("valid");
        assert_eq!(read(&good, &key, &other), Err(NotBelieved::OtherHospital(hospital())));
        let report = sign(Kind::Report, &receipt().encode(), &centre());
        assert!(matches!(read(&report, &key, &hospital()), Err(NotBelieved::Envelope(_))));
        let rubbish = sign(Kind::Receipt, b"rubbish", &centre());
        assert!(matches!(read(&rubbish, &key, &hospital()), Err(NotBelieved::Payload(_))));
        let mut altered = good.clone();
        *altered.last_mut().expect("bytes") ^= 1;
        assert_eq!(read(&altered, &key, &hospital()), Err(NotBelieved::Signature(BadSignature)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_reason_not_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(read(&bytes, &centre().public(), &hospital()).is_err());
        }
    }
}

//! The envelope: COSE_Sign1 (RFC 9052, tag 18), EdDSA over Ed25519.
//!
//! ```text
//! 18([ protected: bstr .cbor {1: -8, 3: content type, 4: kid}, {}, payload: bstr, signature: bstr ])
//! ```
//!
//! In: a payload and a key, or bytes from anywhere. Out: an envelope, or the parts of one that
//! passed. The signature is checked over the bytes as received; nothing is ever encoded again. The
//! unprotected header is empty, because nothing in it would be signed.

use std::fmt;

use coset::iana::{self, EnumI64};
use coset::{CborSerializable, ContentType, Header, RegisteredLabelWithPrivate};

use crate::key::{KeyId, PublicKey, SigningKey};
use crate::wire::{MAX_ENVELOPE, Reader, WireError, Writer, written};

/// What a payload is; the content type of its envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// [`crate::report`]
    Report,
    /// [`crate::roster`]
    Roster,
    /// [`crate::receipt`]
    Receipt,
    /// [`crate::feed`]
    Feed,
    /// [`crate::alert`]
    Alert,
}

impl Kind {
    /// The media type in the protected header.
    pub fn content_type(self) -> &'static str {
        match self {
            Kind::Report => "application/vardpuls-report+cbor",
            Kind::Roster => "application/vardpuls-roster+cbor",
            Kind::Receipt => "application/vardpuls-receipt+cbor",
            Kind::Feed => "application/vardpuls-feed+cbor",
            Kind::Alert => "application/vardpuls-alert+cbor",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.content_type())
    }
}

/// Why bytes are not an envelope of the kind expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Larger than [`MAX_ENVELOPE`]; nothing of it was read.
    #[error("the message has {0} bytes; at most {MAX_ENVELOPE} are read")]
    Oversize(usize),
    /// Not the shape of a COSE_Sign1.
    #[error("the envelope is not a tagged COSE_Sign1: {0}")]
    Shape(#[from] WireError),
    /// A protected header that cannot be read, or without key id, or with what we do not know.
    #[error("the envelope's protected header {0}")]
    Header(&'static str),
    /// Another kind of message, or none of ours.
    #[error("the content type is {found:?}, not {expected}")]
    ContentType {
        /// What the topic asks for.
        expected: Kind,
        /// What the header says.
        found: String,
    },
}

/// The signature is not the key's over these bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct BadSignature;

/// An envelope taken apart, **not yet verified**.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// Which key claims to have signed.
    pub key_id: KeyId,
    protected: &'a [u8],
    payload: &'a [u8],
    signature: &'a [u8],
}

/// Signs `payload` as a message of `kind`.
pub fn sign(kind: Kind, payload: &[u8], key: &SigningKey) -> Vec<u8> {
    let header = Header {
        alg: Some(RegisteredLabelWithPrivate::Assigned(iana::Algorithm::EdDSA)),
        content_type: Some(ContentType::Text(kind.content_type().to_owned())),
        key_id: key.public().id().0.to_vec(),
        ..Header::default()
    };
    let protected = header.to_vec().expect("a header of ours can be encoded");
    let signature = key.sign(&to_be_signed(&protected, payload));
    let mut w = Writer::new(Vec::with_capacity(payload.len() + 128));
    written(w.tag(minicbor::data::Tag::new(u64::try_from(iana::CborTag::CoseSign1.to_i64()).expect("18"))));
    written(w.array(4));
    written(w.bytes(&protected));
    written(w.map(0));
    written(w.bytes(payload));
    written(w.bytes(&signature));
    w.into_writer()
}

/// The `Sig_structure` (RFC 9052, §4.4) over the protected bytes as they stand:
/// `["Signature1", protected, external_aad: h'', payload]`.
fn to_be_signed(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    // Written here because it is the hot path, and coset's would copy both parts into a tree first.
    let mut w = Writer::new(Vec::with_capacity(protected.len() + payload.len() + 24));
    written(w.array(4));
    written(w.str("Signature1"));
    written(w.bytes(protected));
    written(w.bytes(&[]));
    written(w.bytes(payload));
    w.into_writer()
}

impl<'a> Envelope<'a> {
    /// Takes an envelope of `kind` apart. Reads no more than the outer shape and the header.
    pub fn open(kind: Kind, bytes: &'a [u8]) -> Result<Envelope<'a>, EnvelopeError> {
        if bytes.len() > MAX_ENVELOPE {
            return Err(EnvelopeError::Oversize(bytes.len()));
        }
        let mut r = Reader::new(bytes);
        r.tag("the tag", 18, "tag 18 (COSE_Sign1)")?;
        r.array_of("the envelope", 4, "an array of four")?;
        let protected = r.bytes("the protected header")?;
        if r.map("the unprotected header", 0)? != 0 {
            return Err(EnvelopeError::Header("is not alone: an unprotected one stands beside it"));
        }
        let payload = r.bytes("the payload")?;
        let signature = r.bytes("the signature")?;
        r.end()?;
        let key_id = read_header(kind, protected)?;
        Ok(Envelope { key_id, protected, payload, signature })
    }

    /// The payload, if `key` signed it.
    pub fn verify(&self, key: &PublicKey) -> Result<&'a [u8], BadSignature> {
        let message = to_be_signed(self.protected, self.payload);
        if key.verifies(&message, self.signature) { Ok(self.payload) } else { Err(BadSignature) }
    }

    /// The payload before anybody vouches for it. For diagnosis and load shedding only.
    pub fn unverified_payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// The longest protected header that is read; ours has 49 bytes.
const MAX_HEADER: usize = 256;

fn read_header(kind: Kind, protected: &[u8]) -> Result<KeyId, EnvelopeError> {
    if protected.len() > MAX_HEADER {
        return Err(EnvelopeError::Header("is longer than 256 bytes"));
    }
    let header = Header::from_slice(protected).map_err(|_| EnvelopeError::Header("cannot be read"))?;
    if header.alg != Some(RegisteredLabelWithPrivate::Assigned(iana::Algorithm::EdDSA)) {
        return Err(EnvelopeError::Header("does not name EdDSA (-8) as its algorithm"));
    }
    if !header.crit.is_empty() {
        return Err(EnvelopeError::Header("marks parameters as critical that we do not know"));
    }
    let found = match header.content_type {
        Some(ContentType::Text(text)) => text,
        Some(ContentType::Assigned(number)) => number.to_i64().to_string(),
        None => String::new(),
    };
    if found != kind.content_type() {
        return Err(EnvelopeError::ContentType { expected: kind, found });
    }
    let id = header.key_id.try_into().map_err(|_| EnvelopeError::Header("has no key id of eight bytes"))?;
    Ok(KeyId(id))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_seed(&[1; 32])
    }

    #[test]
    fn a_stock_cose_library_reads_and_verifies_what_we_sign() {
        use coset::TaggedCborSerializable;
        let bytes = sign(Kind::Report, b"payload", &key());
        let stock = coset::CoseSign1::from_tagged_slice(&bytes).expect("COSE_Sign1");
        stock
            .verify_signature(
                b"",
                |signature, message| {
                    if key().public().verifies(message, signature) { Ok(()) } else { Err(BadSignature) }
                },
            )
            .expect("verifies");
        assert_eq!(stock.payload.as_deref(), Some(b"payload".as_slice()));
    }

    #[test]
    fn one_kind_never_passes_for_another() {
        let bytes = sign(Kind::Roster, b"x", &key());
        assert!(matches!(Envelope::open(Kind::Report, &bytes), Err(EnvelopeError::ContentType { .. })));
    }

    #[test]
    fn oversize_is_refused_unread() {
        assert_eq!(
            Envelope::open(Kind::Report, &vec![0; MAX_ENVELOPE + 1]).err(),
            Some(EnvelopeError::Oversize(MAX_ENVELOPE + 1))
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_error_not_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(Envelope::open(Kind::Report, &bytes).is_err());
        }

        #[test]
        fn no_changed_byte_verifies(at in 0usize..200, flip in 1u8..) {
            let mut bytes = sign(Kind::Report, &[7; 60], &key());
            let at = at % bytes.len();
            bytes[at] ^= flip;
            let passed = Envelope::open(Kind::Report, &bytes).ok().and_then(|e| e.verify(&key().public()).ok().map(<[u8]>::to_vec));
            prop_assert_eq!(passed, None);
        }

        #[test]
        fn cut_or_lengthened_envelopes_are_refused(cut in 0usize..170, more in 1usize..9) {
            let bytes = sign(Kind::Report, &[7; 60], &key());
            prop_assert!(cut >= bytes.len() || Envelope::open(Kind::Report, &bytes[..cut]).is_err());
            let mut longer = bytes.clone();
            longer.extend(std::iter::repeat_n(0, more));
            prop_assert!(Envelope::open(Kind::Report, &longer).is_err());
        }
    }
}

//! Ed25519 keys (RFC 8032): PKCS#8 files, the `ed25519:` text form, and the key id.
//!
//! A public key is written `ed25519:` and base64url without padding, everywhere. Its id in
//! envelopes is the first eight bytes of its thumbprint (RFC 9679, §3: SHA-256 over the
//! deterministic `COSE_Key` with the required parameters only); the whole thumbprint in hex is the
//! *fingerprint* that two people compare by telephone.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};

const PREFIX: &str = "ed25519:";

/// Why a key could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not the text form of a public key.
    #[error("a public key is written \"ed25519:\" and 43 characters of base64url without padding")]
    Text,
    /// No PKCS#8 private key in the file.
    #[error("the file holds no PEM block \"PRIVATE KEY\" (PKCS#8); make one with the keygen command")]
    Pem,
    /// A PKCS#8 document that is no Ed25519 key.
    #[error("the private key is not an Ed25519 key ({0}); make one with the keygen command")]
    NotEd25519(String),
    /// The key file's permissions let others read it.
    #[error("the private key file can be read by others (mode {0:04o}); run: chmod 600 FILE")]
    Mode(u32),
    /// The system gave no random numbers.
    #[error("the system's random number generator failed")]
    Random,
}

/// The first eight bytes of a public key's thumbprint.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(f, &self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|b| write!(f, "{b:02x}"))
}

/// A hospital's or the centre's public key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey(pub [u8; 32]);

/// A whole RFC 9679 thumbprint.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(f, &self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PublicKey {
    /// The RFC 9679 thumbprint: SHA-256 over `{1: 1 (OKP), -1: 6 (Ed25519), -2: x}`.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut key = [0u8; 41];
        key[..9].copy_from_slice(&[0xa3, 0x01, 0x01, 0x20, 0x06, 0x21, 0x58, 0x20, self.0[0]]);
        key[8..40].copy_from_slice(&self.0);
        let digest = ring::digest::digest(&ring::digest::SHA256, &key[..40]);
        let mut out = [0; 32];
        out.copy_from_slice(digest.as_ref());
        Fingerprint(out)
    }

    /// The id that envelopes carry.
    pub fn id(&self) -> KeyId {
        let print = self.fingerprint().0;
        let mut id = [0; 8];
        id.copy_from_slice(&print[..8]);
        KeyId(id)
    }

    /// Whether `signature` is this key's over `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(KeyError::Text)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| KeyError::Text)?;
        Ok(PublicKey(bytes.try_into().map_err(|_| KeyError::Text)?))
    }
}

impl TryFrom<String> for PublicKey {
    type Error = KeyError;
    fn try_from(text: String) -> Result<Self, KeyError> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> String {
        key.to_string()
    }
}

/// A private key, ready to sign.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl fmt::Debug for SigningKey {
    /// Shows the public half only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey").field(&self.public).finish()
    }
}

impl SigningKey {
    /// Makes a new key: the PKCS#8 document as PEM, to be written to a file of mode 0600.
    pub fn generate_pem() -> Result<String, KeyError> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| KeyError::Random)?;
        let encoded = STANDARD.encode(document.as_ref());
        let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
        for line in encoded.as_bytes().chunks(64) {
            pem.push_str(std::str::from_utf8(line).expect("base64 is ASCII"));
            pem.push('\n');
        }
        pem.push_str("-----END PRIVATE KEY-----\n");
        Ok(pem)
    }

    /// Reads a PKCS#8 PEM document, v2 (ours) or v1 (`openssl genpkey -algorithm ed25519`).
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let document = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| KeyError::Pem)?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(document.secret_pkcs8_der())
            .map_err(|e| KeyError::NotEd25519(e.to_string()))?;
        Ok(Self::from_pair(pair))
    }

    /// The key of a 32-byte seed (RFC 8032, §5.1.5): for simulated hospitals and test vectors.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("every 32 bytes are a seed");
        Self::from_pair(pair)
    }

    fn from_pair(pair: Ed25519KeyPair) -> Self {
        let mut public = [0; 32];
        public.copy_from_slice(pair.public_key().as_ref());
        Self { pair, public: PublicKey(public) }
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// Signs `message`; always the same 64 bytes for the same message.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut out = [0; 64];
        out.copy_from_slice(self.pair.sign(message).as_ref());
        out
    }
}

/// Refuses the mode of a private key file that its group or others may read, write or run.
///
/// `mode` is `st_mode`; only the permission bits count.
pub fn check_mode(mode: u32) -> Result<(), KeyError> {
    if mode & 0o077 == 0 { Ok(()) } else { Err(KeyError::Mode(mode & 0o7777)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_9679_thumbprint_is_over_the_deterministic_okp_key() {
        let key = PublicKey([7; 32]);
        let mut cose_key = vec![0xa3, 0x01, 0x01, 0x20, 0x06, 0x21, 0x58, 0x20];
        cose_key.extend_from_slice(&[7; 32]);
        let digest = ring::digest::digest(&ring::digest::SHA256, &cose_key);
        assert_eq!(key.fingerprint().0, digest.as_ref());
        assert_eq!(key.id().0, digest.as_ref()[..8]);
    }

    #[test]
    fn pem_and_text_round_trip() {
        let key = SigningKey::from_pem(SigningKey::generate_pem().expect("random").as_bytes()).expect("ours");
        let text = key.public().to_string();
        assert!(text.starts_with("ed25519:") && !text.contains('='));
        assert_eq!(text.parse(), Ok(key.public()));
        assert!(key.public().verifies(b"m", &key.sign(b"m")));
        assert!(!key.public().verifies(b"n", &key.sign(b"m")));
    }

    #[test]
    fn openssl_v1_documents_are_read() {
        // openssl genpkey -algorithm ed25519: no public half inside.
        let mut der =
            vec![0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
        der.extend_from_slice(&[9; 32]);
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(&der));
        let key = SigningKey::from_pem(pem.as_bytes()).expect("v1");
        assert_eq!(key.public(), SigningKey::from_seed(&[9; 32]).public());
    }

    #[test]
    fn refuses_open_modes_and_other_files() {
        assert_eq!(check_mode(0o100_600), Ok(()));
        assert_eq!(check_mode(0o100_400), Ok(()));
        assert_eq!(check_mode(0o100_640), Err(KeyError::Mode(0o640)));
        assert_eq!(SigningKey::from_pem(b"hello").err(), Some(KeyError::Pem));
        assert_eq!("ed25519:AAAA".parse::<PublicKey>(), Err(KeyError::Text));
    }
}

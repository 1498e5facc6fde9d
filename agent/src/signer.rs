//! The signer: counts and wards in, signed bytes out.
//!
//! Owns the private key, which is read once from a PKCS#8 PEM file that nobody else may read, and
//! the roster, which is signed once. A report's bytes are made only here.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use vardpuls_service::credential;
use vardpuls_shared::hospital::HospitalId;
use vardpuls_shared::key::{KeyError, PublicKey, SigningKey, check_mode};
use vardpuls_shared::report::{MAX_VALID_FOR, Position, Report};
use vardpuls_shared::roster::Roster;
use vardpuls_shared::signed::{Kind, sign};
use vardpuls_shared::wire::MAX_ENVELOPE;

use crate::census::Snapshot;
use crate::config::Config;

/// Why this agent cannot sign.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// No key file.
    #[error("key-file {path}: there is no such file; make a key with: vardpuls-agent keygen --config FILE")]
    Missing {
        /// The key file.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("key-file {path}: {source}; check that the agent's user may read it")]
    Read {
        /// The key file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It holds no usable key, or others may read it.
    #[error("key-file {path}: {source}")]
    Key {
        /// The key file.
        path: PathBuf,
        /// What is wrong.
        source: KeyError,
    },
    /// The roster does not fit in a message.
    #[error(
        "the roster has {0} bytes signed, more than {MAX_ENVELOPE}; shorten ward names and contacts, or split the hospital"
    )]
    RosterTooLarge(usize),
}

/// The signer of one hospital.
#[derive(Debug)]
pub struct Signer {
    hospital: HospitalId,
    key: SigningKey,
    valid_for: u32,
    roster_version: u32,
    roster: Vec<u8>,
}

impl Signer {
    /// Reads the key that `config` names.
    pub fn load(config: &Config) -> Result<Signer, SignerError> {
        let key = read_key(&config.key_file)?;
        Signer::new(key, config.roster(), config.report.valid_for)
    }

    /// Signs for the hospital of `roster` with `key`.
    pub fn new(key: SigningKey, roster: Roster, valid_for: Duration) -> Result<Signer, SignerError> {
        let signed = sign(Kind::Roster, &roster.encode(), &key);
        if signed.len() > MAX_ENVELOPE {
            return Err(SignerError::RosterTooLarge(signed.len()));
        }
        let valid_for = u32::try_from(valid_for.as_secs()).unwrap_or(MAX_VALID_FOR).min(MAX_VALID_FOR);
        Ok(Signer { hospital: roster.hospital, key, valid_for, roster_version: roster.version, roster: signed })
    }

    /// The report of a snapshot at a position, signed.
    pub fn report(&self, position: Position, snapshot: &Snapshot) -> Vec<u8> {
        let report = Report {
            hospital: self.hospital.clone(),
            position,
            observed_at: snapshot.observed_at,
            valid_for: self.valid_for,
            roster_version: self.roster_version,
            wards: snapshot.wards.clone(),
        };
        sign(Kind::Report, &report.encode(), &self.key)
    }

    /// The roster, signed.
    pub fn roster(&self) -> &[u8] {
        &self.roster
    }

    /// The version that reports refer to.
    pub fn roster_version(&self) -> u32 {
        self.roster_version
    }

    /// The public half of the key.
    pub fn public_key(&self) -> PublicKey {
        self.key.public()
    }
}

/// Reads a private key; refuses a file that others may read.
pub fn read_key(path: &Path) -> Result<SigningKey, SignerError> {
    let read = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => SignerError::Missing { path: path.to_owned() },
        _ => SignerError::Read { path: path.to_owned(), source },
    };
    let key = |source| SignerError::Key { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(read)?;
    if !credential::is_handed_over(path) {
        check_mode(file.metadata().map_err(read)?.mode()).map_err(key)?;
    }
    let mut pem = Vec::new();
    // A key file has a few hundred bytes.
    file.by_ref().take(64 * 1024).read_to_end(&mut pem).map_err(read)?;
    SigningKey::from_pem(&pem).map_err(key)
}

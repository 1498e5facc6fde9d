//! The key under which visit numbers are kept, and its file.
//!
//! In: a visit number. Out: a [`Key`], from which the number cannot be found without the secret: HMAC-SHA-256, cut to
//! 128 bits. The secret lies in a file of its own, mode 0600, made when it is first needed; a copy of the store alone
//! tells nobody which visits are in it.
//!
//! # Changing it
//! [`Secret::replace`] writes the new secret beside the old one before the store forgets what is under the old
//! ([`Replacement`]), and puts it in its place afterwards. Whichever of the two the store's name for it fits is right,
//! so that a crash at any moment leaves a pair that fits.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

/// How many bytes a secret has.
const LENGTH: usize = 32;

/// A visit number under the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Key(pub [u8; 16]);

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file system said no.
    #[error("{}: {source}; check that the agent's user may read and write there", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not a file of ours.
    #[error("{}: is not a key of {LENGTH} bytes; move it away, and a new one is made and the visits are forgotten", .0.display())]
    NotAKey(PathBuf),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes; without them no key can be made")]
    NoRandom,
}

/// The secret.
#[derive(Clone)]
pub struct Secret {
    key: hmac::Key,
    name: [u8; 8],
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        self.name == other.name
    }
}

impl Eq for Secret {}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret").finish_non_exhaustive()
    }
}

/// A secret that was written beside the one in force.
#[derive(Debug)]
pub struct Replacement {
    /// The new secret.
    pub secret: Secret,
    path: PathBuf,
}

impl Secret {
    /// A secret of these bytes.
    pub fn of(bytes: &[u8; LENGTH]) -> Secret {
        let named = digest(&SHA256, &[b"vardpuls visit key".as_slice(), bytes].concat());
        let name = *named.as_ref().first_chunk().expect("SHA-256 has 32 bytes");
        Secret { key: hmac::Key::new(hmac::HMAC_SHA256, bytes), name }
    }

    /// A name for it that gives nothing away, for the store to know it by.
    pub fn name(&self) -> [u8; 8] {
        self.name
    }

    /// A visit number under it.
    pub fn hide(&self, number: &[u8]) -> Key {
        let tag = hmac::sign(&self.key, number);
        Key(*tag.as_ref().first_chunk().expect("HMAC-SHA-256 has 32 bytes"))
    }

    /// The secret at `path`, which is made if it is missing. Where a replacement lies beside it, the one called
    /// `wanted` is taken.
    pub fn open(path: &Path, wanted: Option<[u8; 8]>) -> Result<Secret, SecretError> {
        let fresh = beside(path);
        if let Some(next) = read(&fresh)? {
            if wanted == Some(next.name) {
                settle(&fresh, path)?;
                return Ok(next);
            }
            fs::remove_file(&fresh).map_err(|source| SecretError::Io { path: fresh.clone(), source })?;
        }
        if let Some(secret) = read(path)? {
            return Ok(secret);
        }
        let secret = write_new(&fresh)?;
        settle(&fresh, path)?;
        Ok(secret)
    }

    /// Writes another secret beside the one at `path`.
    pub fn replace(path: &Path) -> Result<Replacement, SecretError> {
        Ok(Replacement { secret: write_new(&beside(path))?, path: path.to_owned() })
    }
}

impl Replacement {
    /// Puts it in the place of the old one, for good.
    pub fn settle(self) -> Result<Secret, SecretError> {
        settle(&beside(&self.path), &self.path)?;
        Ok(self.secret)
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

fn read(path: &Path) -> Result<Option<Secret>, SecretError> {
    match fs::read(path) {
        Ok(bytes) => {
            let bytes: [u8; LENGTH] = bytes.try_into().map_err(|_| SecretError::NotAKey(path.to_owned()))?;
            Ok(Some(Secret::of(&bytes)))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(SecretError::Io { path: path.to_owned(), source }),
    }
}

fn write_new(path: &Path) -> Result<Secret, SecretError> {
    let mut bytes = [0; LENGTH];
    SystemRandom::new().fill(&mut bytes).map_err(|_| SecretError::NoRandom)?;
    let io = |source| SecretError::Io { path: path.to_owned(), source };
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).map_err(io)?;
    file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(io)?;
    sync_folder(path)?;
    Ok(Secret::of(&bytes))
}

fn settle(from: &Path, to: &Path) -> Result<(), SecretError> {
    fs::rename(from, to).map_err(|source| SecretError::Io { path: to.to_owned(), source })?;
    sync_folder(to)
}

fn sync_folder(path: &Path) -> Result<(), SecretError> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| SecretError::Io { path: folder.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_made_once_for_its_owner_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("adt.key");
        let secret = Secret::open(&path, None).expect("made");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        let again = Secret::open(&path, Some(secret.name())).expect("there");
        assert_eq!(again.hide(b"V1"), secret.hide(b"V1"));
        assert_ne!(again.hide(b"V1"), again.hide(b"V2"));
        fs::write(&path, "short").expect("ours");
        assert!(matches!(Secret::open(&path, None), Err(SecretError::NotAKey(_))));
    }

    #[test]
    fn whenever_a_change_is_cut_short_the_secret_fits_the_store() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("adt.key");
        let old = Secret::open(&path, None).expect("made");
        let next = Secret::replace(&path).expect("written");
        // Before the store forgot.
        let found = Secret::open(&path, Some(old.name())).expect("there");
        assert_eq!(found.name(), old.name());
        assert_ne!(next.secret.name(), old.name());
        // After it forgot, before the file was put in place.
        let next = Secret::replace(&path).expect("written");
        let found = Secret::open(&path, Some(next.secret.name())).expect("there");
        assert_eq!(found.name(), next.secret.name());
        let third = Secret::replace(&path).expect("written").settle().expect("put in place");
        assert_eq!(Secret::open(&path, Some(third.name())).expect("there").name(), third.name());
    }
}

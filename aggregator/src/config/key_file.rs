//! The centre's private key on disk: PKCS#8 PEM that nobody else may read.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use vardpuls_service::credential;
use vardpuls_shared::key::{KeyError, SigningKey, check_mode};

/// Why the key file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// There is none.
    #[error("the key file {} does not exist; make it with: vardpuls-aggregator keygen --config FILE", .0.display())]
    Missing(PathBuf),
    /// It cannot be read.
    #[error("the key file {} cannot be read: {reason}; it must belong to the aggregator's user", file.display())]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// It is no key, or others may read it.
    #[error("the key file {}: {error}", file.display())]
    Unusable {
        /// Which file.
        file: PathBuf,
        /// What is wrong with it.
        error: KeyError,
    },
    /// A key is there already.
    #[error("the key file {} exists and is not overwritten: agents believe that key; to change keys, move the file away and give every agent the new public key", .0.display())]
    Exists(PathBuf),
    /// It cannot be written.
    #[error("the key file {} cannot be written: {reason}; its folder must exist and belong to you", file.display())]
    Unwritable {
        /// Which file.
        file: PathBuf,
        /// What the system says.
        reason: String,
    },
}

/// Reads the key; refuses a file that others may read.
pub fn load(file: &Path) -> Result<SigningKey, KeyFileError> {
    let unreadable = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound => KeyFileError::Missing(file.to_owned()),
        _ => KeyFileError::Unreadable { file: file.to_owned(), reason: e.to_string() },
    };
    let unusable = |error| KeyFileError::Unusable { file: file.to_owned(), error };
    let mut open = File::open(file).map_err(unreadable)?;
    // The mode of the file that is read, not of whatever has the name by then.
    if !credential::is_handed_over(file) {
        check_mode(open.metadata().map_err(unreadable)?.mode()).map_err(unusable)?;
    }
    let mut pem = Vec::new();
    open.read_to_end(&mut pem).map_err(unreadable)?;
    SigningKey::from_pem(&pem).map_err(unusable)
}

/// Makes a new key in a new file, mode 0600.
pub fn create(file: &Path) -> Result<SigningKey, KeyFileError> {
    let unusable = |error| KeyFileError::Unusable { file: file.to_owned(), error };
    let pem = SigningKey::generate_pem().map_err(unusable)?;
    write(file, &pem).map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists => KeyFileError::Exists(file.to_owned()),
        _ => KeyFileError::Unwritable { file: file.to_owned(), reason: e.to_string() },
    })?;
    load(file)
}

fn write(file: &Path, pem: &str) -> io::Result<()> {
    let mut new = File::options().write(true).create_new(true).mode(0o600).open(file)?;
    new.write_all(pem.as_bytes())?;
    new.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_is_for_one_reader() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("centre.key");
        assert_eq!(load(&file).err(), Some(KeyFileError::Missing(file.clone())));
        let made = create(&file).expect("makes").public();
        assert_eq!(load(&file).expect("loads").public(), made);
        assert_eq!(create(&file).err(), Some(KeyFileError::Exists(file.clone())));

        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o640)).expect("changes the mode");
        let open = KeyFileError::Unusable { file: file.clone(), error: KeyError::Mode(0o640) };
        assert_eq!(load(&file).err(), Some(open));
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("changes the mode");
        std::fs::write(&file, "not a key").expect("writes");
        let no_key = KeyFileError::Unusable { file: file.clone(), error: KeyError::Pem };
        assert_eq!(load(&file).err(), Some(no_key));
        let nowhere = folder.path().join("no/centre.key");
        assert!(matches!(create(&nowhere), Err(KeyFileError::Unwritable { .. })));
    }
}

//! A webhook's shared secret, as Standard Webhooks writes it: `whsec_` and base64 of 24 to 64 bytes.
//!
//! In: a file that nobody else may read. Out: signatures. Neither logs nor errors show the secret.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use vardpuls_shared::key::check_mode;

const PREFIX: &str = "whsec_";

/// Secret bytes that Standard Webhooks allows.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

/// A longer file is no secret.
const LONGEST_FILE: u64 = 4096;

/// A shared secret.
#[derive(Debug, Clone)]
pub struct Secret(hmac::Key);

/// Why a secret cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("the secret file {} cannot be read: {reason}; it must exist and belong to the aggregator's user", file.display())]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// Others may read it.
    #[error("the secret file {file} has mode {mode:04o}: others may read it; run chmod 600 {file} and agree on a new secret", file = file.display())]
    Open {
        /// Which file.
        file: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is not written as a secret is.
    #[error("the secret file {} holds no secret: write whsec_ and the base64 of 24 to 64 random bytes, as from: echo whsec_$(openssl rand -base64 32)", .0.display())]
    Malformed(PathBuf),
    /// It can be guessed, or is longer than receivers expect.
    #[error("the secret file {} holds a secret of {bytes} bytes, and 24 to 64 are allowed; make one with: echo whsec_$(openssl rand -base64 32)", file.display())]
    Length {
        /// Which file.
        file: PathBuf,
        /// How long it is.
        bytes: usize,
    },
}

impl Secret {
    /// Reads a secret; refuses a file that others may read. White space at its end does not count.
    pub fn load(file: &Path) -> Result<Secret, SecretError> {
        let unreadable = |e: io::Error| SecretError::Unreadable { file: file.to_owned(), reason: e.to_string() };
        let open = File::open(file).map_err(unreadable)?;
        // The mode of the file that is read, not of whatever has the name by then.
        let mode = open.metadata().map_err(unreadable)?.mode();
        if check_mode(mode).is_err() {
            return Err(SecretError::Open { file: file.to_owned(), mode: mode & 0o7777 });
        }
        let mut bytes = Vec::new();
        open.take(LONGEST_FILE).read_to_end(&mut bytes).map_err(unreadable)?;
        let malformed = || SecretError::Malformed(file.to_owned());
        let text = std::str::from_utf8(&bytes).map_err(|_| malformed())?;
        let encoded = text.trim_end().strip_prefix(PREFIX).ok_or_else(malformed)?;
        let secret = STANDARD.decode(encoded).map_err(|_| malformed())?;
        if !LENGTHS.contains(&secret.len()) {
            return Err(SecretError::Length { file: file.to_owned(), bytes: secret.len() });
        }
        Ok(Secret(hmac::Key::new(hmac::HMAC_SHA256, &secret)))
    }

    /// The signature over a message, as it stands in `webhook-signature`.
    pub fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(format!("{id}.{timestamp}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn load(text: &str, mode: u32) -> Result<Secret, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("secret");
        std::fs::write(&file, text).expect("writes");
        std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).expect("changes the mode");
        Secret::load(&file).map_err(|e| e.to_string())
    }

    #[test]
    fn signatures_are_those_of_the_published_example() {
        // From the Standard Webhooks libraries' tests.
        let secret = load("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", 0o400).expect("a secret");
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(!format!("{secret:?}").contains("MfKQ"));
    }

    #[test]
    fn what_is_no_good_secret_is_refused_with_what_to_do() {
        let good = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        for (text, mode, expected) in [
            (good, 0o640, "has mode 0640: others may read it; run chmod 600"),
            (&good[6..], 0o600, "holds no secret: write whsec_"),
            ("whsec_%", 0o600, "holds no secret: write whsec_"),
            ("", 0o600, "holds no secret: write whsec_"),
            ("whsec_c2hvcnQ=", 0o600, "holds a secret of 5 bytes, and 24 to 64 are allowed"),
        ] {
            let error = load(text, mode).expect_err(text);
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("MfKQ"), "{error}");
        }
        let missing = Secret::load(Path::new("no/such/secret")).expect_err("missing").to_string();
        assert!(missing.contains("no/such/secret cannot be read"), "{missing}");
    }
}

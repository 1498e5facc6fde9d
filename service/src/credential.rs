//! Files that the service manager hands over: `credential:NAME` in a config.
//!
//! systemd's `LoadCredential=` and `LoadCredentialEncrypted=` put private files into a folder that
//! only the service can read, and name it in `CREDENTIALS_DIRECTORY`. There `credential:agent.key` is
//! that folder's `agent.key`. Where no service manager says so, for `keygen` and `check` by hand, it is
//! the file of that name beside the config.

use std::path::{Component, Path, PathBuf};

/// What a config writes before the name.
pub const PREFIX: &str = "credential:";

/// The file that a config's path means; `beside` is the config's folder. A `credential:` that is not
/// followed by the bare name of a file is a path like any other, which leads nowhere.
pub fn locate(beside: &Path, path: impl AsRef<Path>) -> PathBuf {
    locate_in(folder().as_deref(), beside, path.as_ref())
}

/// Whether a file was handed over, and is thus for this service alone whatever its mode says.
pub fn is_handed_over(file: &Path) -> bool {
    folder().is_some_and(|folder| file.starts_with(folder))
}

fn folder() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from).filter(|folder| folder.is_absolute())
}

fn locate_in(folder: Option<&Path>, beside: &Path, path: &Path) -> PathBuf {
    let name = path.to_str().and_then(|text| text.strip_prefix(PREFIX)).map(Path::new);
    match name.filter(|name| matches!(name.components().collect::<Vec<_>>()[..], [Component::Normal(_)])) {
        Some(name) => folder.unwrap_or(beside).join(name),
        None => beside.join(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_the_services_or_lies_beside_the_config() {
        let etc = Path::new("/etc/vardpuls-agent");
        let run = Path::new("/run/credentials/vardpuls-agent.service");
        let in_service = |path: &str| locate_in(Some(run), etc, Path::new(path));
        let by_hand = |path: &str| locate_in(None, etc, Path::new(path));
        assert_eq!(in_service("credential:agent.key"), run.join("agent.key"));
        assert_eq!(by_hand("credential:agent.key"), etc.join("agent.key"));
        assert_eq!(in_service("agent.key"), etc.join("agent.key"));
        assert_eq!(in_service("/srv/agent.key"), Path::new("/srv/agent.key"));
        for wrong in ["credential:", "credential:/etc/shadow", "credential:../agent.key", "credential:a/b"] {
            assert_eq!((in_service(wrong), by_hand(wrong)), (etc.join(wrong), etc.join(wrong)));
        }
    }
}

//! Who owns a file, who may read it, and as whom we look.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::finding::Finding;

/// The user who runs this check.
pub(super) fn me() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// A warning where a file with a secret in it can be read by everybody.
pub(super) fn readable_by_all(step: &str, key: &str, path: &Path) -> Option<Finding> {
    let mode = std::fs::metadata(path).ok()?.mode() & 0o7777;
    (mode & 0o004 != 0).then(|| {
        let shown = path.display();
        let what = format!("{key} {shown} can be read by everybody on this machine (mode {mode:04o})");
        Finding::warning(step, what, format!("run: chmod o= {shown}"))
    })
}

/// A warning where somebody owns a file who is neither the agent's user nor root: they can replace it.
pub(super) fn foreign(step: &str, shown: &str, file: &Metadata, agent: u32) -> Option<Finding> {
    let owner = file.uid();
    (owner != 0 && owner != agent).then(|| {
        let what = format!("{shown} belongs to user {owner}, who is neither root nor the agent's user ({agent})");
        Finding::warning(step, what, format!("give it to the agent's user: chown {agent} {shown}"))
    })
}

//! The state folder: there, the agent's own, closed to others, and with room for what may have to
//! wait in the outbox.

use std::fs::{Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::config::Config;

use super::file_mode;
use super::finding::{Finding, Level};

const STEP: &str = "state-dir";
const DISK: &str = "disk";
/// Below this no report can be kept for long, whatever the outbox holds.
const LEAST_BYTES: u64 = 4 << 20;

/// What a file system has left for the agent's user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Room {
    bytes: u64,
    files: u64,
    /// Some file systems count no files and say 0 of 0.
    counts_files: bool,
}

/// The user who owns the state folder, or who checks where it is not there yet.
pub(super) fn owner(config: &Config) -> u32 {
    std::fs::metadata(&config.state_dir).map_or_else(|_| file_mode::me(), |m| m.uid())
}

pub(super) fn check(config: &Config) -> Vec<Finding> {
    let folder = &config.state_dir;
    let shown = folder.display();
    let file = match std::fs::metadata(folder) {
        Ok(file) if file.is_dir() => file,
        Ok(_) => return vec![Finding::failed(STEP, format!("{shown} is no folder"), "name a folder in state-dir")],
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let remedy = "the agent makes it if it may; else make it, owned by the agent's user";
            return vec![Finding::warning(STEP, format!("{shown} is not there yet"), remedy)];
        }
        Err(e) => return vec![Finding::failed(STEP, format!("{shown}: {e}"), TRUSTED)],
    };
    let mut findings = vec![writable(folder), as_whom(&file, file_mode::me(), &shown.to_string())];
    findings.retain(|f| f.level != Level::NotTried);
    findings.extend(room(folder, config.outbox.max_bytes));
    findings
}

const TRUSTED: &str = "let the agent's user write there, and run this check as that user";

fn writable(folder: &Path) -> Finding {
    let shown = folder.display();
    let probe = folder.join(format!(".check-{}", std::process::id()));
    let tried = OpenOptions::new().write(true).create_new(true).open(&probe).and_then(|mut file| {
        // A full file system makes an empty file without complaint.
        let written = io::Write::write_all(&mut file, &[0; 4096]).and_then(|()| file.sync_all());
        std::fs::remove_file(&probe).and(written)
    });
    match tried {
        Ok(()) => Finding::ok(STEP, format!("{shown} is writable")),
        Err(e) if e.kind() == io::ErrorKind::StorageFull => {
            let what = format!("{shown}: no space left on this file system; no report can be kept, and so none sent");
            Finding::failed(STEP, what, "free some, or move state-dir; what the outbox holds is safe")
        }
        Err(e) => Finding::failed(STEP, format!("{shown}: {e}"), TRUSTED),
    }
}

/// Whether the folder is closed to others, and whether we look as the one who uses it.
fn as_whom(folder: &Metadata, me: u32, shown: &str) -> Finding {
    let (mode, owner) = (folder.mode() & 0o7777, folder.uid());
    if mode & 0o022 != 0 {
        let what = format!("{shown} can be written to by others (mode {mode:04o}): they can take the outbox away");
        return Finding::warning(STEP, what, format!("run: chmod 700 {shown}"));
    }
    if me == 0 && owner != 0 {
        let what = format!("checked as root, but the folder is user {owner}'s, who may have fewer rights");
        return Finding::warning(
            STEP,
            what,
            format!("check as that user: setpriv --reuid={owner} --clear-groups vardpuls-agent check"),
        );
    }
    Finding::not_tried(STEP, "nothing to say")
}

fn room(folder: &Path, max_bytes: u64) -> Vec<Finding> {
    let outbox = std::fs::metadata(folder.join("outbox.redb")).map_or(0, |m| m.len());
    match rustix::fs::statvfs(folder) {
        Ok(s) => {
            let bytes = s.f_bavail.saturating_mul(s.f_frsize);
            judge(Room { bytes, files: s.f_favail, counts_files: s.f_files > 0 }, outbox, max_bytes)
        }
        Err(e) => vec![Finding::warning(DISK, format!("{}: {e}", folder.display()), "look at the file system")],
    }
}

/// The outbox's file grows to about twice what it holds.
fn judge(room: Room, outbox: u64, max_bytes: u64) -> Vec<Finding> {
    let need = max_bytes.saturating_mul(2).saturating_sub(outbox);
    let mb = |bytes: u64| format!("{} MiB", bytes >> 20);
    if room.counts_files && room.files == 0 {
        let what = "the file system has no room for another file";
        return vec![Finding::failed(DISK, what, "free some files (df -i), or move state-dir")];
    }
    if room.bytes < LEAST_BYTES {
        let what = format!("{} bytes free on the file system of state-dir: no report can be kept for long", room.bytes);
        return vec![Finding::failed(DISK, what, "free some space, or move state-dir")];
    }
    if room.bytes < need {
        let what = format!("{} free, but an outbox of max-bytes grows by {} more", mb(room.bytes), mb(need));
        return vec![Finding::warning(DISK, what, "free some space, move state-dir, or lower outbox.max-bytes")];
    }
    vec![Finding::ok(DISK, format!("{} free; the outbox may need {} more", mb(room.bytes), mb(need)))]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(bytes: u64, files: u64, counts_files: bool, outbox: u64) -> Level {
        judge(Room { bytes, files, counts_files }, outbox, 64 << 20)[0].level
    }

    #[test]
    fn the_outbox_must_have_room_to_grow() {
        assert_eq!(level(128 << 20, 9, true, 0), Level::Ok);
        assert_eq!(level((128 << 20) - 1, 9, true, 0), Level::Warning);
        assert_eq!(level((128 << 20) - 1, 9, true, 1), Level::Ok, "what it already has it needs no more");
        assert_eq!(level(LEAST_BYTES - 1, 9, true, 128 << 20), Level::Failed);
        assert_eq!(level(128 << 20, 0, true, 0), Level::Failed);
        assert_eq!(level(128 << 20, 0, false, 0), Level::Ok, "this one counts no files");
    }
}

//! No picture of this process's memory is left on a disk when it dies.
//!
//! Its memory holds the private key, and for the moment of reading whatever the hospital's systems sent: messages with
//! names in them. A core file would keep that, wherever the machine's crash handler puts it.
//!
//! Two locks: the limit on core files is zero, hard, so that nothing that this process starts or is told can raise it;
//! and the process is marked as not to be dumped, because a handler behind a pipe (systemd-coredump, apport) does not ask
//! for the limit. The mark also keeps other processes of the same user from reading its memory.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// The system would not promise it.
#[derive(Debug, thiserror::Error)]
#[error(
    "core dumps of this process cannot be ruled out ({0}), and its memory holds what must not be kept; allow prctl and setrlimit to it"
)]
pub struct CoreDumpsError(#[from] io::Error);

/// Rules them out for the life of this process.
pub fn forbid() -> Result<(), CoreDumpsError> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).map_err(io::Error::from)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(io::Error::from)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rustix::process::{dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn both_locks_are_shut() {
        forbid().expect("Linux lets every process do it");
        assert!(matches!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable)));
        assert_eq!(getrlimit(Resource::Core), Rlimit { current: Some(0), maximum: Some(0) });
    }
}

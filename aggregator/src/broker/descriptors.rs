//! Room for connections: each client of the embedded broker takes three file descriptors of the process.
//!
//! The soft limit is usually 1024, for programs that use `select`; we do not, and take what the hard
//! limit allows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// One to the client, two for the connection to the embedded broker.
const PER_CLIENT: u64 = 3;

/// The store, HTTP and everything else.
const BESIDE: u64 = 256;

/// Raises the limit as far as it goes, and says so if that is not enough.
pub(super) fn make_room_for(clients: usize) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::debug!(%error, "the limit on open files stays as it was");
    }
    if let Some(missing) = missing(clients, getrlimit(Resource::Nofile).current) {
        tracing::warn!("{missing}");
    }
}

/// What is wrong if not so many clients have room under a limit.
fn missing(clients: usize, limit: Option<u64>) -> Option<String> {
    let wanted = u64::try_from(clients).unwrap_or(u64::MAX).saturating_mul(PER_CLIENT).saturating_add(BESIDE);
    let limit = limit.filter(|limit| *limit < wanted)?;
    Some(format!(
        "at most {limit} files can be open, and {clients} clients of the broker need {wanted}: set LimitNOFILE={wanted} in the unit, or lower broker.network.max-connections"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_with_the_number_that_is_enough() {
        assert_eq!(missing(100, Some(556)), None);
        assert_eq!(missing(100_000, None), None);
        let said = missing(100, Some(555)).expect("too few");
        assert!(said.contains("LimitNOFILE=556"), "{said}");
    }
}

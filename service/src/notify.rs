//! What the service manager is told, over the socket that it names in `NOTIFY_SOCKET`.
//!
//! Without a service manager there is nobody to tell, and nothing happens.

use std::io;
use std::time::Duration;

use sd_notify::NotifyState;
use tracing::warn;

use crate::event::Event;

/// The longest text of how things are; a service manager shows it on one line.
const LONGEST: usize = 500;

/// Everything is open, and the work goes on; also the end of a reload.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// A reload begins; [`ready`] ends it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(e) => complain(&e),
    }
}

/// The end begins.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// How things are, in one line for people.
pub fn status(text: &str) {
    tell(&[NotifyState::Status(&line(text))]);
}

/// The work moves. Has to come at least every [`watchdog`].
pub(crate) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often the service manager wants to hear that the work moves, if it does.
pub(crate) fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// Whether anybody listens.
pub(crate) fn heard() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(states) {
        complain(&e);
    }
}

fn complain(e: &io::Error) {
    warn!(name: Event::NotNotified.name(), error = %e, "the service manager was not told");
}

/// One line: a line break would begin another message to the service manager.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_say_anything_else_to_the_service_manager() {
        assert_eq!(line("broker: refused\nWATCHDOG=1"), "broker: refused WATCHDOG=1");
        assert_eq!(line(&"å".repeat(2000)).chars().count(), LONGEST);
    }
}

//! Where events go: the journal where the service manager connected us to it, else standard error.
//!
//! Which events: what the program asks for, or what `RUST_LOG` says (`debug`, `info,rumqttc=debug`); never those that the program
//! mutes because they can hold what must not be written down.

use std::error::Error;
use std::io::{self, IsTerminal as _};
use std::str::FromStr as _;

use systemd_journal_logger::{JournalLog, connected_to_journal};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::event::Event;
use crate::journal::Journal;

/// What names the events that are wanted.
pub const VARIABLE: &str = "RUST_LOG";

/// A `RUST_LOG` that cannot be read.
#[derive(Debug)]
pub struct WrongFilter(String);

impl std::fmt::Display for WrongFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{VARIABLE}={:?} cannot be read; write a level (error, warn, info, debug, trace), or TARGET=LEVEL with commas between",
            self.0
        )
    }
}

impl Error for WrongFilter {}

/// Starts the log of the program `name`. `wanted` holds where `RUST_LOG` does not say otherwise; the targets `muted` are
/// silent whatever it says.
pub fn start(name: &str, wanted: &str, muted: &[&str]) -> Result<(), WrongFilter> {
    let asked = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty());
    let filter = filter(asked.as_deref().unwrap_or(wanted))?;
    let journal = connected_to_journal().then(JournalLog::empty).and_then(Result::ok);
    let events = tracing_subscriber::registry().with(filter).with(all_but(muted));
    if let Some(journal) = journal {
        let journal = journal.with_syslog_identifier(name.to_owned());
        events.with(Journal::new(move |record: &log::Record<'_>| journal.journal_send(record))).init();
    } else {
        let colours = io::stderr().is_terminal();
        events.with(tracing_subscriber::fmt::layer().with_ansi(colours).with_writer(io::stderr)).init();
    }
    Ok(())
}

fn filter(text: &str) -> Result<Targets, WrongFilter> {
    Targets::from_str(text).map_err(|_| WrongFilter(text.to_owned()))
}

fn all_but(muted: &[&str]) -> Targets {
    let silent = muted.iter().map(|target| (*target, LevelFilter::OFF));
    Targets::new().with_default(LevelFilter::TRACE).with_targets(silent)
}

/// Says that the program did not start or ended by itself: in the journal as an event of its own,
/// for a person as one line on standard error.
pub fn failed(name: &str, why: &str) {
    if connected_to_journal() {
        tracing::error!(name: Event::StartFailed.name(), error = why, "{name} does not run");
    } else {
        eprintln!("{name}: {why}");
    }
}

/// An error with its causes, each said once: many errors already say theirs.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_levels_and_targets() {
        for right in ["info", "info,rumqttd=off", "vardpuls_agent=debug", "warn,vardpuls_agent::publisher=trace"] {
            assert!(filter(right).is_ok(), "{right}");
        }
        assert!(filter("a=b=c").expect_err("wrong").to_string().contains("RUST_LOG=\"a=b=c\""));
    }

    #[test]
    fn what_is_muted_is_silent_with_all_that_is_in_it() {
        let filter = all_but(&["driver"]);
        for (target, heard) in [("driver", false), ("driver::wire", false), ("drive", true), ("agent", true)] {
            assert_eq!(filter.would_enable(target, &tracing::Level::ERROR), heard, "{target}");
        }
    }

    #[test]
    fn a_chain_says_each_cause_once() {
        #[derive(Debug)]
        struct Layered(&'static str, Option<Box<Layered>>);
        impl std::fmt::Display for Layered {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.0)
            }
        }
        impl Error for Layered {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                self.1.as_deref().map(|e| e as _)
            }
        }
        let inner = Layered("no such file", None);
        let middle = Layered("a.key: no such file", Some(Box::new(inner)));
        assert_eq!(chain(&Layered("no key", Some(Box::new(middle)))), "no key: a.key: no such file");
    }
}
